//! Time: the wall clock's, and the records'.

use serde::{Deserialize, Serialize};

/// A point on the wall clock: milliseconds since 1970-01-01T00:00:00Z. Pure code is handed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The milliseconds from `earlier` to this point; 0 where the clock went backwards.
    pub fn since_ms(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This point, so many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// A record's time, or a watermark: milliseconds since 1970-01-01T00:00:00Z, signed.
pub type EventTime = i64;

/// The watermark of an input that has not seen any.
pub const MIN_EVENT_TIME: EventTime = i64::MIN;

/// The watermark behind all input. Timers at it fire when a bounded input ends.
pub const MAX_EVENT_TIME: EventTime = i64::MAX;
