//! What a TaskManager tells a new leader of the tasks that outlived the old one.
//!
//! A task is not asked: what is told here is known at once, however long the task waits for buffers or its guest computes.

use std::collections::BTreeMap;

use millrace_types::{
    AllocationId, AttemptId, CheckpointId, ExecutionState, Failure, JobId, NodeId, SlotId, TaskManagerId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{SplitId, TaskFigures};

/// How many of the checkpoints that a task has acknowledged are told, the newest ones.
pub const ACKNOWLEDGED_TOLD_MAX: usize = 64;

/// The most tasks of one [`Presence`].
pub const PRESENCE_TASKS_MAX: usize = 256;

/// Tasks of one job that a TaskManager has, or had until they ended in a slot that the job still has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The TaskManager.
    pub task_manager: TaskManagerId,
    /// The job.
    pub job: JobId,
    /// The job's slots there, all of them.
    pub slots: Vec<(SlotId, AllocationId)>,
    /// Some of the tasks.
    pub tasks: Vec<TaskPresence>,
}

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPresence {
    /// The attempt.
    pub attempt: AttemptId,
    /// The number of its vertex's subtasks.
    pub parallelism: u32,
    /// The grant that it runs in.
    pub allocation: AllocationId,
    /// Its state. One that was told to stop is `CANCELING`.
    pub state: ExecutionState,
    /// When it entered each state: those before its deployment as the deployment stated them, by the JobManager's clock.
    pub timestamps: BTreeMap<ExecutionState, Timestamp>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// What it has done so far.
    pub figures: TaskFigures,
    /// The checkpoint that it began with.
    pub restored_from: Option<CheckpointId>,
    /// The newest checkpoints that it has acknowledged, at most [`ACKNOWLEDGED_TOLD_MAX`], ascending.
    pub acknowledged: Vec<CheckpointId>,
    /// Its source, if it has one.
    pub reader: Option<ReaderPresence>,
    /// Whether it has processed all its input and ends with the next checkpoint.
    pub awaits_checkpoint: bool,
    /// Whether it was told to make other code ready: it may run that, or not.
    pub code_in_doubt: bool,
    /// Whether it has a `collect` sink, whose rows were on their way to the old leader.
    pub collects: bool,
}

/// How far the reader of a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderPresence {
    /// The source.
    pub node: NodeId,
    /// The splits that have reached the reader or wait for it, in order, each with its [`split_digest`]. A split that comes
    /// later than this is told comes from an old leader and is dropped.
    pub received: Vec<(SplitId, u64)>,
    /// Those of them that it has read to their end.
    pub finished: Vec<SplitId>,
    /// Whether it waits for an answer to a request for splits.
    pub requested: bool,
    /// Whether it was told that no more splits come.
    pub no_more: bool,
    /// Whether it was told to end as if all were read.
    pub drained: bool,
}

/// By which a split is told from another one of its number: the xxh3_64 of its bytes, with seed 0.
pub fn split_digest(split: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(split)
}
