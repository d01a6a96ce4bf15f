//! What a TaskManager tells of its tasks when somebody asks: for metrics and flame graphs alone, no decision rests on it.
//!
//! Numbers stand in lists, in the order of [`TaskCounter`], [`TaskGauge`] and [`OperatorCounter`]: a TaskManager may have
//! very many tasks, and is asked every second.

use millrace_types::{AttemptId, EventTime, JobId, NodeId, VertexId};
use serde::{Deserialize, Serialize};

use crate::peek::{PeekRequest, PeekedRecord};

/// Declares what a list of numbers holds.
macro_rules! numbers {
    ($(#[$of:meta])* $list:ident { $($(#[$doc:meta])* $number:ident,)* }) => {
        $(#[$of])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list {
            $($(#[$doc])* $number,)*
        }

        impl $list {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$number,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
        }

        impl From<$list> for usize {
            fn from(number: $list) -> Self {
                number as Self
            }
        }
    };
}

numbers! {
    /// Numbers of a task that only grow.
    TaskCounter {
        /// Records read from other tasks.
        RecordsIn,
        /// Bytes read from other tasks.
        BytesIn,
        /// Records written to other tasks.
        RecordsOut,
        /// Bytes written to other tasks.
        BytesOut,
        /// Time spent working, in milliseconds.
        BusyMs,
        /// Time spent waiting for input, in milliseconds.
        IdleMs,
        /// Time spent waiting for output buffers, in milliseconds.
        BackpressuredMs,
        /// Batches read from tasks of the same TaskManager.
        BuffersInLocal,
        /// Batches read from tasks of other TaskManagers.
        BuffersInRemote,
        /// Bytes read from tasks of the same TaskManager.
        BytesInLocal,
        /// Bytes read from tasks of other TaskManagers.
        BytesInRemote,
        /// Batches written to other tasks.
        BuffersOut,
        /// Timers that fired.
        FiredTimers,
    }
}

numbers! {
    /// Numbers of a task as they are at the moment.
    TaskGauge {
        /// What has arrived and was not read, in batches and marks between them.
        InputQueue,
        /// What may have arrived and not been read.
        InputQueueMax,
        /// What waits to be sent, in batches and marks between them.
        OutputQueue,
        /// How long the newest alignment of barriers took, in nanoseconds.
        AlignmentNs,
        /// From the trigger of the newest checkpoint to its first barrier here, in nanoseconds.
        StartDelayNs,
        /// How long the task's components took to be fetched and compiled, in milliseconds.
        CompileMs,
        /// How long its instances took to be made and opened, in milliseconds.
        InstantiateMs,
        /// Components that were compiled already when the task came.
        CacheHits,
        /// Components that had to be compiled for it.
        CacheMisses,
    }
}

numbers! {
    /// Numbers of an operator that only grow. Records that pass within an instance are not seen.
    OperatorCounter {
        /// Records that it was handed.
        RecordsIn,
        /// Their bytes.
        BytesIn,
        /// Records that it handed on.
        RecordsOut,
        /// Their bytes.
        BytesOut,
        /// The processor time of the calls made for it, in nanoseconds: fused operators run in the calls of the first.
        CpuNs,
        /// Calls made for it.
        Calls,
        /// State that its instance handed over, in bytes.
        FlushBytes,
        /// Keys whose state its instance did not have at hand.
        StateReads,
    }
}

/// Numbers that only grow, and how fast they do at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The numbers.
    pub totals: Vec<u64>,
    /// By how much each grows in a second, times 1,000.
    pub rates_milli: Vec<u64>,
}

impl Counts {
    /// A number.
    pub fn total(&self, counter: impl Into<usize>) -> u64 {
        self.totals.get(counter.into()).copied().unwrap_or(0)
    }

    /// By how much it grows in a second.
    pub fn per_second(&self, counter: impl Into<usize>) -> f64 {
        self.rates_milli.get(counter.into()).map_or(0.0, |milli| *milli as f64 / 1_000.0)
    }
}

/// An operator's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDetail {
    /// The operator.
    pub node: NodeId,
    /// By [`OperatorCounter`].
    pub counts: Counts,
    /// The watermark that it was told last, in milliseconds since 1970.
    pub input_watermark: EventTime,
    /// The watermark that it has let pass last, in milliseconds since 1970.
    pub output_watermark: EventTime,
    /// The linear memories of its instance, in bytes, told with the first operator of the instance; 0: none.
    pub memory_bytes: u64,
}

/// A task's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDetail {
    /// The task.
    pub attempt: AttemptId,
    /// By [`TaskCounter`].
    pub counts: Counts,
    /// By [`TaskGauge`].
    pub gauges: Vec<u64>,
    /// Whether it waits for output buffers at this moment.
    pub is_backpressured: bool,
    /// Its operators, by node.
    pub operators: Vec<OperatorDetail>,
}

impl TaskDetail {
    /// A number as it is at the moment.
    pub fn gauge(&self, gauge: TaskGauge) -> u64 {
        self.gauges.get(usize::from(gauge)).copied().unwrap_or(0)
    }

    /// An operator's numbers.
    pub fn operator(&self, node: NodeId) -> Option<&OperatorDetail> {
        self.operators.iter().find(|operator| operator.node == node)
    }
}

/// Asks what the tasks of a vertex are doing, looked at again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlameRequest {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: VertexId,
    /// How often to look at each task.
    pub samples: u32,
    /// The time between two looks, in milliseconds.
    pub delay_ms: u64,
    /// The most frames of a stack, innermost ones first.
    pub depth_max: u32,
}

/// What a task was found doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FlameKind {
    /// A guest ran: in a call for this operator, or for all operators of its instance.
    Guest(Option<NodeId>),
    /// It worked outside of guests, or waited for a processor.
    Host,
    /// It waited for input.
    Idle,
    /// It waited for output buffers.
    Backpressured,
}

/// A stack that was found, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlameStack {
    /// What the task did.
    pub kind: FlameKind,
    /// The functions, outermost first, as positions in [`FlameSamples::names`]; of a guest the export comes first.
    pub frames: Vec<u32>,
    /// How often it was found.
    pub count: u32,
}

/// What the tasks of a vertex were found doing on one TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FlameSamples {
    /// The names of functions.
    pub names: Vec<String>,
    /// The stacks of each subtask.
    pub subtasks: Vec<(u32, Vec<FlameStack>)>,
}

/// What a TaskManager may be asked beside its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// The numbers of all its tasks.
    Figures,
    /// What some tasks are doing.
    Flame(FlameRequest),
    /// The next records that some tasks send.
    Peek(PeekRequest),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Question::Figures`].
    Figures(Vec<TaskDetail>),
    /// To [`Question::Flame`].
    Flame(FlameSamples),
    /// To [`Question::Peek`].
    Records(Vec<PeekedRecord>),
}
