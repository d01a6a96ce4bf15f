//! Messages that a TaskManager sends.

use std::collections::BTreeMap;

use millrace_types::{
    AllocationId, AttemptId, ExecutionState, Failure, JobId, NodeId, SlotId, TaskManagerId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{CheckpointAck, CheckpointDecline, Presence, UpgradeAnswer};

/// A split's number within its source, given by the JobMaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SplitId(pub u32);

/// A TaskManager makes itself known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskManagerRegistration {
    /// Its id in this life.
    pub id: TaskManagerId,
    /// The number of its slots.
    pub slots: u32,
    /// Where it takes records, as `host:port`; `None` where all is one process.
    pub data_address: Option<String>,
    /// Processor cores of its machine.
    pub cpu_cores: u32,
    /// Memory of its machine, in bytes.
    pub memory_bytes: u64,
    /// The slots that an earlier leader has granted and that are not free yet, and to which job.
    pub allocated: Vec<(SlotId, AllocationId, JobId)>,
}

/// A TaskManager is alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskManagerHeartbeat {
    /// Which one.
    pub id: TaskManagerId,
    /// Its free memory, in bytes.
    pub memory_free_bytes: u64,
    /// The slots that it has granted, and to which job.
    pub allocated: Vec<(SlotId, AllocationId, JobId)>,
    /// What its tasks have done so far.
    pub figures: Vec<(AttemptId, TaskFigures)>,
    /// The process's metrics, by the names under which REST shows them. Shares, whose names end in `Load`, are in
    /// millionths.
    pub metrics: BTreeMap<String, u64>,
}

/// What a subtask has done so far; every number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskFigures {
    /// Records read from other tasks.
    pub records_in: u64,
    /// Bytes read from other tasks.
    pub bytes_in: u64,
    /// Records written to other tasks.
    pub records_out: u64,
    /// Bytes written to other tasks.
    pub bytes_out: u64,
    /// Time spent working, in milliseconds.
    pub busy_ms: u64,
    /// Time spent waiting for input, in milliseconds.
    pub idle_ms: u64,
    /// Time spent waiting for output buffers, in milliseconds.
    pub backpressured_ms: u64,
}

/// A task's state has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Whose.
    pub attempt: AttemptId,
    /// The new state.
    pub state: ExecutionState,
    /// When, by the TaskManager's clock.
    pub at: Timestamp,
    /// Why, if it failed.
    pub failure: Option<Failure>,
    /// What it has done so far.
    pub figures: TaskFigures,
}

/// A source reader asks for work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRequest {
    /// The reader's task.
    pub attempt: AttemptId,
    /// The source.
    pub node: NodeId,
    /// The splits that it has read to the end since it last asked.
    pub finished: Vec<SplitId>,
}

/// Rows of a `collect` sink on their way to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedRows {
    /// The sink's task.
    pub attempt: AttemptId,
    /// The sink.
    pub node: NodeId,
    /// The number of rows that this sink sent before these.
    pub sequence: u64,
    /// The rows.
    pub rows: Vec<Vec<u8>>,
}

/// A message to the JobManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToJobManager {
    /// To the ResourceManager: I am here.
    Register(TaskManagerRegistration),
    /// To the ResourceManager and the JobMasters: I am alive.
    Heartbeat(TaskManagerHeartbeat),
    /// To a JobMaster: slots that the ResourceManager asked me to offer it.
    OfferSlots {
        /// The job.
        job: JobId,
        /// The slots, each under the allocation that asked for it.
        slots: Vec<(SlotId, AllocationId)>,
    },
    /// To the ResourceManager: this slot is free again.
    SlotFreed {
        /// The slot.
        slot: SlotId,
        /// The allocation that it was granted under.
        allocation: AllocationId,
    },
    /// To a JobMaster: a task's state has changed.
    TaskReport(TaskReport),
    /// To a JobMaster: a source reader asks for work.
    SplitRequest(SplitRequest),
    /// To a JobMaster: rows of a `collect` sink.
    Collected(CollectedRows),
    /// To a JobMaster: a subtask's part of a checkpoint is durable.
    CheckpointAcknowledged(Box<CheckpointAck>),
    /// To a JobMaster: a subtask cannot take part in a checkpoint.
    CheckpointDeclined(CheckpointDecline),
    /// To a JobMaster: the task has processed all its input, and ends with the next checkpoint that it takes part in.
    AwaitingCheckpoint {
        /// The task.
        attempt: AttemptId,
    },
    /// To a JobMaster: how far the watermark of a source that waits for others is.
    WatermarkReached {
        /// The source's task.
        attempt: AttemptId,
        /// The node that generates it.
        node: NodeId,
        /// The watermark, in milliseconds since 1970.
        watermark: i64,
    },
    /// To a JobMaster: what of its job is here. Behind [`Self::Register`] to a leader that is new, before all else that
    /// tasks say; in several parts where there are many tasks.
    Present(Box<Presence>),
    /// To a JobMaster: whether the task is ready to run other code.
    UpgradeAnswered(UpgradeAnswer),
}
