//! The watermark of a gate: the least of its channels. Flink's `StatusWatermarkValve`.

use millrace_types::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME};

/// What an event on a channel means for its gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GateProgress {
    /// The gate's watermark, if it has advanced.
    pub watermark: Option<EventTime>,
    /// Whether the last channel of the gate has ended just now.
    pub ended: bool,
}

/// Combines the watermarks of a gate's channels.
#[derive(Debug, Clone)]
pub struct WatermarkValve {
    channels: Vec<Channel>,
    watermark: EventTime,
    /// How many channels hold the gate's watermark back; at 0 it is computed anew.
    at_least: usize,
    open: usize,
    stale: u64,
}

#[derive(Debug, Clone)]
struct Channel {
    watermark: EventTime,
    ended: bool,
}

impl WatermarkValve {
    /// The valve of a gate with so many channels.
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![Channel { watermark: MIN_EVENT_TIME, ended: false }; channels],
            watermark: MIN_EVENT_TIME,
            at_least: channels,
            open: channels,
            stale: 0,
        }
    }

    /// Takes a watermark from a channel. One that does not exceed the channel's last one, or comes behind its end, is
    /// counted and has no effect.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn watermark(&mut self, channel: usize, watermark: EventTime) -> GateProgress {
        if self.channels[channel].ended {
            self.stale += 1;
            return GateProgress::default();
        }
        GateProgress { watermark: self.advance(channel, watermark), ended: false }
    }

    /// Takes the end of a channel, with which it holds no watermark back any more. A second end is counted and has no
    /// effect.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn end(&mut self, channel: usize) -> GateProgress {
        if self.channels[channel].ended {
            self.stale += 1;
            return GateProgress::default();
        }
        self.channels[channel].ended = true;
        self.open -= 1;
        let last = self.channels[channel].watermark;
        // Most channels have sent the last watermark before they end.
        let watermark = if last == MAX_EVENT_TIME { None } else { self.advance(channel, MAX_EVENT_TIME) };
        GateProgress { watermark, ended: self.open == 0 }
    }

    /// How many watermarks and ends were out of date.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    fn advance(&mut self, channel: usize, watermark: EventTime) -> Option<EventTime> {
        let last = std::mem::replace(&mut self.channels[channel].watermark, watermark);
        if watermark <= last {
            self.channels[channel].watermark = last;
            self.stale += 1;
            return None;
        }
        if last > self.watermark {
            return None;
        }
        self.at_least -= 1;
        if self.at_least > 0 {
            return None;
        }
        let least = self.channels.iter().map(|channel| channel.watermark).min().unwrap_or(MAX_EVENT_TIME);
        debug_assert!(least > self.watermark, "a gate's watermark rises");
        self.watermark = least;
        self.at_least = self.channels.iter().filter(|channel| channel.watermark == least).count();
        Some(least)
    }
}
