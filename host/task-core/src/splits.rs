//! The watermark of an operator whose records come from several splits: the least of its splits. Flink's
//! `WatermarkOutputMultiplexer`.
//!
//! Invariants:
//! - The operator's watermark never falls: a split that comes, or becomes active again behind it, holds it where it is
//!   until that split has caught up.
//! - Idle splits hold nothing back, and those that have ended are gone. The operator is idle while all its splits are; one
//!   without splits once it has had none for the timeout.
//! - A split is idle when it was read for the timeout without a word. While it has more, and others are read or all is held
//!   back, its time stands still: what nobody asks cannot be silent.
//!
//! Times are milliseconds of any clock that never goes back.

use std::collections::BTreeMap;

use millrace_types::{EventTime, MIN_EVENT_TIME};

/// What an event means for the operator. It is active ahead of its watermark and idle behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SplitProgress {
    /// The operator's watermark, if it has advanced.
    pub watermark: Option<EventTime>,
    /// Whether the operator is idle from now on, if that has changed.
    pub idle: Option<bool>,
}

/// What becomes of a split, or of an operator without any, that says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It may be silent for ever.
    Endless,
    /// It becomes idle at this time.
    Until(u64),
    /// Its time stands still, with so much left.
    Paused(u64),
    /// It is idle.
    Over,
}

#[derive(Debug, Clone)]
struct Split {
    watermark: EventTime,
    patience: Patience,
}

/// Combines the watermarks of an operator's splits.
#[derive(Debug, Clone)]
pub struct SplitWatermarks {
    splits: BTreeMap<u32, Split>,
    watermark: EventTime,
    idle: bool,
    idle_timeout_ms: Option<u64>,
    /// Counts while there is no split.
    without_splits: Patience,
}

impl SplitWatermarks {
    /// An operator without splits. `idle_timeout_ms`: after how long who says nothing is idle; none: never.
    pub fn new(idle_timeout_ms: Option<u64>, now_ms: u64) -> Self {
        let mut watermarks = Self {
            splits: BTreeMap::new(),
            watermark: MIN_EVENT_TIME,
            idle: false,
            idle_timeout_ms,
            without_splits: Patience::Endless,
        };
        watermarks.without_splits = watermarks.counting_from(now_ms);
        watermarks
    }

    /// A split has come, without a watermark. It is waiting to be read. One that is there already stays as it is.
    pub fn add(&mut self, split: u32) -> SplitProgress {
        let patience = self.idle_timeout_ms.map_or(Patience::Endless, Patience::Paused);
        self.splits.entry(split).or_insert(Split { watermark: MIN_EVENT_TIME, patience });
        self.combine()
    }

    /// A split has ended.
    pub fn remove(&mut self, split: u32, now_ms: u64) -> SplitProgress {
        if self.splits.remove(&split).is_some() && self.splits.is_empty() {
            // An operator that was idle stays so.
            self.without_splits = if self.idle { Patience::Over } else { self.counting_from(now_ms) };
        }
        self.combine()
    }

    /// Reading a split begins.
    pub fn read_begins(&mut self, split: u32, now_ms: u64) {
        if let Some(Split { patience, .. }) = self.splits.get_mut(&split)
            && let Patience::Paused(left_ms) = *patience
        {
            *patience = Patience::Until(now_ms.saturating_add(left_ms));
        }
    }

    /// Reading a split has ended, and it has more.
    pub fn read_ends(&mut self, split: u32, now_ms: u64) {
        if let Some(Split { patience, .. }) = self.splits.get_mut(&split)
            && let Patience::Until(at_ms) = *patience
        {
            *patience = Patience::Paused(at_ms.saturating_sub(now_ms));
        }
    }

    /// The operator has said something about a split, so that one is not idle. About one that has ended it counts if there
    /// is no other.
    pub fn heard(&mut self, split: Option<u32>, now_ms: u64) -> SplitProgress {
        let patience = self.counting_from(now_ms);
        if self.splits.is_empty() {
            self.without_splits = patience;
        } else if let Some(split) = split.and_then(|split| self.splits.get_mut(&split)) {
            split.patience = patience;
        }
        self.combine()
    }

    /// The operator has emitted a watermark for a split. One that does not exceed the split's last one has no effect; one
    /// for a split that has ended counts if there is no other.
    pub fn emitted(&mut self, split: Option<u32>, watermark: EventTime) -> SplitProgress {
        if self.splits.is_empty() {
            let rises = watermark > self.watermark;
            self.watermark = self.watermark.max(watermark);
            return SplitProgress { watermark: rises.then_some(watermark), idle: None };
        }
        if let Some(split) = split.and_then(|split| self.splits.get_mut(&split)) {
            split.watermark = split.watermark.max(watermark);
        }
        self.combine()
    }

    /// When somebody becomes idle next.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let until = |patience: &Patience| if let Patience::Until(at_ms) = patience { Some(*at_ms) } else { None };
        if self.splits.is_empty() {
            return until(&self.without_splits);
        }
        self.splits.values().filter_map(|split| until(&split.patience)).min()
    }

    /// Time has passed.
    pub fn on_time(&mut self, now_ms: u64) -> SplitProgress {
        let expire = |patience: &mut Patience| {
            if matches!(*patience, Patience::Until(at_ms) if at_ms <= now_ms) {
                *patience = Patience::Over;
            }
        };
        if self.splits.is_empty() {
            expire(&mut self.without_splits);
        }
        self.splits.values_mut().for_each(|split| expire(&mut split.patience));
        self.combine()
    }

    /// The watermark that a split has come to.
    pub fn of_split(&self, split: u32) -> EventTime {
        self.splits.get(&split).map_or(MIN_EVENT_TIME, |split| split.watermark)
    }

    fn counting_from(&self, now_ms: u64) -> Patience {
        self.idle_timeout_ms.map_or(Patience::Endless, |timeout_ms| Patience::Until(now_ms.saturating_add(timeout_ms)))
    }

    fn combine(&mut self) -> SplitProgress {
        let active = self.splits.values().filter(|split| split.patience != Patience::Over);
        let least = active.map(|split| split.watermark).min();
        let idle = match least {
            Some(_) => false,
            None if self.splits.is_empty() => self.without_splits == Patience::Over,
            None => true,
        };
        let watermark = least.filter(|least| *least > self.watermark);
        self.watermark = watermark.unwrap_or(self.watermark);
        let changed = std::mem::replace(&mut self.idle, idle) != idle;
        SplitProgress { watermark, idle: changed.then_some(idle) }
    }
}
