//! Windows: what they are, and the arithmetic of windows that follow a grid.

use crate::data::{Data, DecodeError, Fingerprint, Reader};

/// What groups the records of a key: Flink's `Window`.
pub trait Window: Data + Ord + std::fmt::Debug {
    /// The latest timestamp that belongs to it, in milliseconds since 1970. Its results have this timestamp.
    fn max_timestamp(&self) -> i64;

    /// The same as a span of time, if such windows are spans of time.
    #[doc(hidden)]
    fn of_time(window: TimeWindow) -> Option<Self> {
        let _ = window;
        None
    }

    /// The window of both, if they overlap or touch. `None` for windows that never merge.
    fn merged(&self, other: &Self) -> Option<Self> {
        let _ = other;
        None
    }
}

/// A span of time, from `start` to just before `end`: Flink's `TimeWindow`. In milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeWindow {
    /// The first timestamp that belongs to it.
    pub start: i64,
    /// The first timestamp that does not.
    pub end: i64,
}

impl Window for TimeWindow {
    fn max_timestamp(&self) -> i64 {
        self.end.saturating_sub(1)
    }

    fn of_time(window: TimeWindow) -> Option<Self> {
        Some(window)
    }

    fn merged(&self, other: &Self) -> Option<Self> {
        let touches = self.start <= other.end && self.end >= other.start;
        touches.then(|| Self { start: self.start.min(other.start), end: self.end.max(other.end) })
    }
}

impl Data for TimeWindow {
    const MIN_BYTES: usize = 16;

    fn encode(&self, out: &mut Vec<u8>) {
        self.start.encode(out);
        self.end.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { start: i64::decode(input)?, end: i64::decode(input)? })
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.generic("time-window", &[]);
    }
}

/// The one window of all records of a key: Flink's `GlobalWindow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlobalWindow;

impl Window for GlobalWindow {
    fn max_timestamp(&self) -> i64 {
        i64::MAX
    }
}

impl Data for GlobalWindow {
    const MIN_BYTES: usize = 0;

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self)
    }

    fn describe(fingerprint: &mut Fingerprint) {
        fingerprint.generic("global-window", &[]);
    }
}

/// Windows of one size that begin at `offset` and every `slide` before and behind it. In milliseconds, `size` and `slide`
/// at least 1.
///
/// Windows that overlap have *panes* in common: the spans between two neighbouring borders of windows. All timestamps
/// of a pane belong to the same windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    size: i64,
    slide: i64,
    offset: i64,
}

impl Grid {
    pub fn new(size: i64, slide: i64, offset: i64) -> Self {
        let (size, slide) = (size.max(1), slide.max(1));
        Self { size, slide, offset: offset.rem_euclid(slide) }
    }

    /// The start of the last window that begins at or before a timestamp.
    pub fn last_start(&self, timestamp: i64) -> i64 {
        timestamp.saturating_sub(timestamp.wrapping_sub(self.offset).rem_euclid(self.slide))
    }

    fn window(&self, start: i64) -> TimeWindow {
        TimeWindow { start, end: start.saturating_add(self.size) }
    }

    /// The windows of a timestamp, the latest first, as Flink has them.
    pub fn windows(&self, timestamp: i64) -> impl Iterator<Item = TimeWindow> + use<> {
        let grid = *self;
        let first = Some(self.last_start(timestamp));
        let starts = std::iter::successors(first, move |start| start.checked_sub(grid.slide));
        // Not `timestamp - size`, which may not exist.
        starts.take_while(move |start| start.saturating_add(grid.size) > timestamp).map(move |start| grid.window(start))
    }

    /// The window that ends at `end`, if there is one.
    pub fn window_of_end(&self, end: i64) -> Option<TimeWindow> {
        let start = end.checked_sub(self.size)?;
        (self.last_start(start) == start).then_some(TimeWindow { start, end })
    }

    /// Whether windows touch, so that each is one pane.
    pub fn is_tumbling(&self) -> bool {
        self.size == self.slide
    }

    /// The window that begins next.
    pub fn next(&self, window: TimeWindow) -> TimeWindow {
        self.window(window.start.saturating_add(self.slide))
    }

    /// The pane of a timestamp.
    pub fn pane(&self, timestamp: i64) -> Pane {
        let start = self.last_start(timestamp);
        let border = start.saturating_add(self.size.rem_euclid(self.slide));
        let next = start.saturating_add(self.slide);
        let (start, end) = match (border == start, timestamp < border) {
            (true, _) => (start, next),
            (false, true) => (start, border),
            (false, false) => (border, next),
        };
        let first = self.windows(timestamp).last();
        let first_fires_at = first.map_or(i64::MAX, |window| window.max_timestamp());
        Pane { start, end, last: self.windows(timestamp).next(), first_fires_at }
    }
}

/// A pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pane {
    pub start: i64,
    pub end: i64,
    /// The last of its windows; `None`: it lies between two windows.
    pub last: Option<TimeWindow>,
    /// The latest timestamp of the first of its windows.
    pub first_fires_at: i64,
}

impl Pane {
    /// No timestamp's.
    pub const NONE: Self = Self { start: 0, end: 0, last: None, first_fires_at: i64::MAX };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> TimeWindow {
        TimeWindow { start, end }
    }

    fn windows(size: i64, slide: i64, offset: i64, timestamp: i64) -> Vec<TimeWindow> {
        Grid::new(size, slide, offset).windows(timestamp).collect()
    }

    /// Flink's `TumblingEventTimeWindowsTest`.
    #[test]
    fn tumbling_windows() {
        for (timestamp, expected) in
            [(0, (0, 5000)), (4999, (0, 5000)), (5000, (5000, 10000)), (-1, (-5000, 0)), (-5000, (-5000, 0))]
        {
            assert_eq!(windows(5000, 5000, 0, timestamp), [window(expected.0, expected.1)]);
        }
        for (timestamp, start) in [(0, -4900), (4899, -100 - 4800 + 5000), (4900, 100), (5099, 100), (5100, 5100)] {
            let found = windows(5000, 5000, 100, timestamp);
            assert!(found[0].start <= timestamp && timestamp < found[0].end, "{timestamp} {start}");
            assert_eq!((found[0].start - 100).rem_euclid(5000), 0);
        }
        assert_eq!(windows(5000, 5000, -100, 4900), [window(4900, 9900)]);
    }

    /// Flink's `SlidingEventTimeWindowsTest`.
    #[test]
    fn sliding_windows() {
        let starts = |slide, offset, timestamp| -> Vec<i64> {
            windows(5000, slide, offset, timestamp).iter().map(|window| window.start).collect()
        };
        assert_eq!(starts(1000, 0, 0), [0, -1000, -2000, -3000, -4000]);
        assert_eq!(starts(1000, 0, 4999), [4000, 3000, 2000, 1000, 0]);
        assert_eq!(starts(1000, 0, 5000), [5000, 4000, 3000, 2000, 1000]);
        assert_eq!(starts(1000, 100, 100), [100, -900, -1900, -2900, -3900]);
        assert_eq!(starts(3000, 0, 0), [0, -3000]);
        assert_eq!(starts(3000, 0, 2500), [0]);
        // Windows with gaps between them.
        assert_eq!(starts(7000, 0, 4999), [0]);
        assert_eq!(starts(7000, 0, 5000), [0; 0]);
    }

    #[test]
    fn all_timestamps_of_a_pane_have_the_same_windows() {
        for (size, slide, offset) in [(10, 2, 0), (10, 3, 1), (3, 10, 0), (7, 7, 3), (5, 4, -2), (1, 1, 0), (2, 5, 4)] {
            let grid = Grid::new(size, slide, offset);
            for timestamp in -40..40 {
                let pane = grid.pane(timestamp);
                assert!(pane.start <= timestamp && timestamp < pane.end, "{pane:?} of {timestamp}");
                assert_eq!(pane.last, grid.windows(timestamp).next());
                for other in pane.start..pane.end {
                    assert_eq!(grid.pane(other), pane);
                    assert!(grid.windows(other).eq(grid.windows(timestamp)), "{other} and {timestamp}");
                }
                for found in grid.windows(timestamp) {
                    assert_eq!(grid.window_of_end(found.end), Some(found));
                    assert!(slide == 1 || grid.window_of_end(found.end + 1).is_none());
                }
            }
        }
    }

    #[test]
    fn the_ends_of_time_overflow_nothing() {
        let grid = Grid::new(10, 3, 1);
        for timestamp in [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1] {
            let _ = (grid.pane(timestamp), grid.windows(timestamp).count());
        }
    }

    #[test]
    fn windows_that_touch_merge() {
        assert_eq!(window(0, 10).merged(&window(10, 12)), Some(window(0, 12)));
        assert_eq!(window(0, 10).merged(&window(-3, 4)), Some(window(-3, 10)));
        assert_eq!(window(0, 10).merged(&window(11, 12)), None);
        assert_eq!(GlobalWindow.merged(&GlobalWindow), None);
    }
}
