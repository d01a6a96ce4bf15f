//! Timers as snapshots have them. The task keeps them in memory; their changes travel with those of the state.

use millrace_types::{KeyGroup, key_group_for_key};

/// Which clock a timer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerClock {
    /// The operator's watermark.
    EventTime,
    /// The wall clock.
    ProcessingTime,
}

/// A timer of an operator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateTimer {
    /// The clock that it follows.
    pub clock: TimerClock,
    /// When it is due, in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
    /// The key that it belongs to, which decides on its key group.
    pub key: Box<[u8]>,
    /// Tells timers of one key and timestamp apart.
    pub namespace: Box<[u8]>,
}

/// A timer that was set or deleted since the last seal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerUpdate {
    /// The timer.
    pub timer: StateTimer,
    /// Whether it was set, or else deleted.
    pub set: bool,
}

impl StateTimer {
    /// The timer as a segment has it. The bytes are ordered as timers are.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(13 + self.key.len() + self.namespace.len());
        bytes.push(u8::from(self.clock == TimerClock::ProcessingTime));
        bytes.extend_from_slice(&(self.timestamp ^ i64::MIN).to_be_bytes());
        bytes.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.namespace);
        bytes
    }

    /// Reads what [`Self::encode`] wrote; `None`: it is something else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (clock, rest) = bytes.split_first()?;
        let clock = match clock {
            0 => TimerClock::EventTime,
            1 => TimerClock::ProcessingTime,
            _ => return None,
        };
        let (timestamp, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (key, namespace) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        let timestamp = i64::from_be_bytes(*timestamp) ^ i64::MIN;
        Some(Self { clock, timestamp, key: key.into(), namespace: namespace.into() })
    }

    pub(crate) fn group(&self, max_parallelism: u32) -> KeyGroup {
        key_group_for_key(&self.key, max_parallelism)
    }
}
