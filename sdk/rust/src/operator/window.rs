//! Windows: Flink's `WindowOperator`.
//!
//! There are three ways to the same results. Windows of event time on a grid that reduce or aggregate share panes
//! (`panes`), and so do those that keep all records and do not overlap, of which each is a pane; windows of the end of the stream need nothing but a value and a timer for each key (`aggregate`); all
//! others go through `general`.

pub(crate) mod assigner;
pub(crate) mod contents;
pub(crate) mod context;
pub(crate) mod entry;
pub(crate) mod general;
pub(crate) mod local;
pub(crate) mod pane_list;
pub(crate) mod panes;
pub(crate) mod time;
pub(crate) mod timers;
pub(crate) mod trigger;
pub(crate) mod triggers;

pub use assigner::{
    EventTimeSessionWindows, GlobalWindows, ProcessingTimeSessionWindows, SlidingEventTimeWindows,
    SlidingProcessingTimeWindows, TumblingEventTimeWindows, TumblingProcessingTimeWindows, WindowAssigner,
};
pub use context::WindowContext;
pub use time::{GlobalWindow, TimeWindow, Window};
pub use trigger::{Trigger, TriggerContext, TriggerResult};
pub use triggers::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, DefaultTrigger, EventTimeTrigger,
    NeverTrigger, ProcessingTimeTrigger, PurgingTrigger,
};

use crate::collector::OutputTag;

/// What becomes of records that come behind their windows' ends.
pub(crate) struct Lateness<T> {
    /// For how long a window is kept behind its end, in milliseconds of event time.
    pub allowed_ms: i64,
    /// Where records go for which there is no window any more.
    pub late: Option<OutputTag<T>>,
}

/// What is wrong when a window of event time gets a record without a timestamp.
pub(crate) const NO_TIMESTAMP_HINT: &str = "a record without a timestamp came to a window of event time; \
    call assign_timestamps_and_watermarks in front of it";
