//! Which windows a record belongs to.

use std::rc::Rc;
use std::time::Duration;

use super::time::{GlobalWindow, Grid, TimeWindow, Window};
use super::triggers::DefaultTrigger;
use crate::host::Clock;

/// Assigns records to windows: Flink's `WindowAssigner`.
pub trait WindowAssigner<T>: 'static {
    /// The windows.
    type Window: Window;

    /// Adds the windows of a record to `windows`. `at_ms` is the record's timestamp, or the wall clock if the windows
    /// follow that, in milliseconds since 1970.
    fn assign(&self, element: &T, at_ms: i64, windows: &mut Vec<Self::Window>);

    /// Which clock the windows follow.
    fn clock(&self) -> Clock;

    /// When windows fire unless another trigger is given.
    fn default_trigger(&self) -> DefaultTrigger;

    /// The operator's name, unless it is given another one.
    fn name(&self) -> &'static str {
        "Window"
    }

    /// Whether windows of a key that overlap or touch are merged.
    fn is_merging(&self) -> bool {
        false
    }

    /// A faster way to the same results, if the default trigger is used.
    #[doc(hidden)]
    fn shortcut(&self) -> Option<Shortcut> {
        None
    }
}

/// Windows of which more is known than an assigner says.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Shortcut(pub(crate) Regular);

#[derive(Debug, Clone, Copy)]
pub(crate) enum Regular {
    /// Windows of event time on a grid, which share panes.
    Grid(Grid),
    /// One window that fires at the end of all input.
    EndOfStream,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Windows on a grid: what tumbling and sliding ones are made of.
macro_rules! grid_windows {
    ($(#[$doc:meta])* $name:ident, $clock:ident, $default:ident, $shortcut:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name {
            size_ms: i64,
            slide_ms: i64,
            grid: Grid,
        }

        impl $name {
            fn on_grid(size_ms: i64, slide_ms: i64, offset_ms: i64) -> Self {
                Self { size_ms, slide_ms, grid: Grid::new(size_ms, slide_ms, offset_ms) }
            }

            /// Shifts all windows, for days that begin elsewhere than at midnight UTC. In milliseconds, perhaps negative.
            #[must_use]
            pub fn with_offset_ms(self, offset_ms: i64) -> Self {
                Self::on_grid(self.size_ms, self.slide_ms, offset_ms)
            }
        }

        impl<T> WindowAssigner<T> for $name {
            type Window = TimeWindow;

            fn assign(&self, _: &T, at_ms: i64, windows: &mut Vec<TimeWindow>) {
                windows.extend(self.grid.windows(at_ms));
            }

            fn clock(&self) -> Clock {
                Clock::$clock
            }

            fn default_trigger(&self) -> DefaultTrigger {
                DefaultTrigger::$default
            }

            fn name(&self) -> &'static str {
                stringify!($name)
            }

            fn shortcut(&self) -> Option<Shortcut> {
                let is_regular: bool = $shortcut;
                is_regular.then(|| Shortcut(Regular::Grid(self.grid)))
            }
        }
    };
}

grid_windows! {
    /// Windows of event time, one behind the other: Flink's `TumblingEventTimeWindows`.
    TumblingEventTimeWindows, EventTime, EventTime, true
}

grid_windows! {
    /// Windows of event time that overlap, or have gaps between them: Flink's `SlidingEventTimeWindows`.
    SlidingEventTimeWindows, EventTime, EventTime, true
}

grid_windows! {
    /// Windows of the wall clock, one behind the other: Flink's `TumblingProcessingTimeWindows`.
    TumblingProcessingTimeWindows, ProcessingTime, ProcessingTime, false
}

grid_windows! {
    /// Windows of the wall clock that overlap, or have gaps between them: Flink's `SlidingProcessingTimeWindows`.
    SlidingProcessingTimeWindows, ProcessingTime, ProcessingTime, false
}

impl TumblingEventTimeWindows {
    /// Where the windows lie.
    pub(crate) fn grid(&self) -> Grid {
        self.grid
    }

    /// Windows of this size, at least a millisecond.
    pub fn of(size: Duration) -> Self {
        Self::on_grid(millis(size), millis(size), 0)
    }
}

impl TumblingProcessingTimeWindows {
    /// Windows of this size, at least a millisecond.
    pub fn of(size: Duration) -> Self {
        Self::on_grid(millis(size), millis(size), 0)
    }
}

impl SlidingEventTimeWindows {
    /// Windows of this size, one every `slide`, both at least a millisecond.
    pub fn of(size: Duration, slide: Duration) -> Self {
        Self::on_grid(millis(size), millis(slide), 0)
    }
}

impl SlidingProcessingTimeWindows {
    /// Windows of this size, one every `slide`, both at least a millisecond.
    pub fn of(size: Duration, slide: Duration) -> Self {
        Self::on_grid(millis(size), millis(slide), 0)
    }
}

/// The gap behind a record at which a session ends, in milliseconds.
type GapOf<T> = Rc<dyn Fn(&T) -> i64>;

/// Sessions: windows that end when there was no record for a while.
macro_rules! session_windows {
    ($(#[$doc:meta])* $name:ident, $clock:ident) => {
        $(#[$doc])*
        pub struct $name<T> {
            gap_of: GapOf<T>,
        }

        impl<T> $name<T> {
            /// A session ends when no record comes for this long, at least a millisecond.
            pub fn with_gap(gap: Duration) -> Self {
                let gap = millis(gap);
                Self { gap_of: Rc::new(move |_| gap) }
            }

            /// Each record says for how long it keeps its session open, at least a millisecond.
            pub fn with_dynamic_gap(gap_of: impl Fn(&T) -> Duration + 'static) -> Self {
                Self { gap_of: Rc::new(move |element| millis(gap_of(element))) }
            }
        }

        impl<T: 'static> WindowAssigner<T> for $name<T> {
            type Window = TimeWindow;

            fn assign(&self, element: &T, at_ms: i64, windows: &mut Vec<TimeWindow>) {
                let gap = (self.gap_of)(element).max(1);
                windows.push(TimeWindow { start: at_ms, end: at_ms.saturating_add(gap) });
            }

            fn clock(&self) -> Clock {
                Clock::$clock
            }

            fn default_trigger(&self) -> DefaultTrigger {
                DefaultTrigger::$clock
            }

            fn name(&self) -> &'static str {
                stringify!($name)
            }

            fn is_merging(&self) -> bool {
                true
            }
        }
    };
}

session_windows! {
    /// Sessions of event time: Flink's `EventTimeSessionWindows`, also with a dynamic gap.
    EventTimeSessionWindows, EventTime
}

session_windows! {
    /// Sessions of the wall clock: Flink's `ProcessingTimeSessionWindows`, also with a dynamic gap.
    ProcessingTimeSessionWindows, ProcessingTime
}

/// One window for all records of a key: Flink's `GlobalWindows`.
#[derive(Debug, Clone, Copy)]
pub struct GlobalWindows {
    at_end: bool,
}

impl GlobalWindows {
    /// Whose result is emitted when its trigger says so: without one, never.
    pub fn create() -> Self {
        Self { at_end: false }
    }

    /// Whose result is emitted when the stream ends: Flink's `GlobalWindows.createWithEndOfStreamTrigger()`.
    pub fn end_of_stream() -> Self {
        Self { at_end: true }
    }
}

impl<T> WindowAssigner<T> for GlobalWindows {
    type Window = GlobalWindow;

    fn assign(&self, _: &T, _: i64, windows: &mut Vec<GlobalWindow>) {
        windows.push(GlobalWindow);
    }

    fn clock(&self) -> Clock {
        // As in Flink: records need no timestamps, and none is late.
        Clock::ProcessingTime
    }

    fn default_trigger(&self) -> DefaultTrigger {
        // The end of the global window is the end of all input.
        if self.at_end { DefaultTrigger::EventTime } else { DefaultTrigger::Never }
    }

    fn name(&self) -> &'static str {
        "GlobalWindows"
    }

    fn shortcut(&self) -> Option<Shortcut> {
        self.at_end.then_some(Shortcut(Regular::EndOfStream))
    }
}
