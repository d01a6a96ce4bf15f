//! Messages that a TaskManager receives.

use bytes::Bytes;
use millrace_types::{
    AllocationId, AttemptId, Barrier, CheckpointId, Digest, JobId, LeaderEpoch, NodeId, SlotId, TenantId, VertexId,
};
use serde::{Deserialize, Serialize};

use crate::{SplitId, TaskDeployment, TaskUpgrade, UpgradeId, WatermarkLimit};

/// The ResourceManager asks a TaskManager to offer a slot to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRequest {
    /// The leader that asks; an older one than the newest seen is refused.
    pub epoch: LeaderEpoch,
    /// The slot.
    pub slot: SlotId,
    /// The grant.
    pub allocation: AllocationId,
    /// The job.
    pub job: JobId,
    /// The job's owner.
    pub tenant: TenantId,
}

/// Work for a source reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitAssignment {
    /// The reader's task.
    pub attempt: AttemptId,
    /// The source.
    pub node: NodeId,
    /// The splits to read, and where to go on in each (empty: at its beginning); opaque to all but the source.
    pub splits: Vec<(SplitId, Vec<u8>, Bytes)>,
    /// No more will come: the reader ends when it has read these.
    pub no_more: bool,
}

/// Which lines of the logs of a job's tasks are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// The job's owner.
    pub tenant: TenantId,
    /// The job.
    pub job: JobId,
    /// One vertex alone.
    pub vertex: Option<VertexId>,
    /// One subtask of the vertex alone, or the subtasks of this number of all vertices.
    pub subtask: Option<u32>,
    /// About how much, in bytes; the newest lines count.
    pub bytes_max: u64,
}

/// Which log of a TaskManager is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogWanted {
    /// That of tasks.
    Tasks(LogRequest),
    /// That of its process: the newest lines.
    Process {
        /// About how much, in bytes.
        bytes_max: u64,
    },
}

/// A message to a TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToTaskManager {
    /// Offer a slot to a job.
    RequestSlot(SlotRequest),
    /// The job needs the slot no longer: cancel what runs in it and free it.
    FreeSlot {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The grant.
        allocation: AllocationId,
    },
    /// Run a task.
    Deploy {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        task: Box<TaskDeployment>,
    },
    /// Stop a task; its state becomes `CANCELED`.
    Cancel {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
    },
    /// Work for a source reader.
    AssignSplits {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The work.
        assignment: SplitAssignment,
    },
    /// The rows of a `collect` sink up to this number have reached the JobMaster: it may send more.
    CollectAcknowledged {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The sink's task.
        attempt: AttemptId,
        /// The sink.
        node: NodeId,
        /// The number of rows that arrived.
        received: u64,
    },
    /// Begin a checkpoint: to tasks whose inputs bring no barrier, since they have none or all have ended.
    TriggerCheckpoint {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
        /// The barrier to send on.
        barrier: Barrier,
    },
    /// A checkpoint is complete: commit what was prepared for it or an earlier one. To every task.
    CheckpointCompleted {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// A checkpoint will not be complete. To every task.
    CheckpointAborted {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// The job is stopped with draining: the source is to end as if it were read to its end.
    DrainSource {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The source's task.
        attempt: AttemptId,
    },
    /// How far a source may be ahead of others.
    LimitWatermark {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The source's task.
        attempt: AttemptId,
        /// How far.
        limit: WatermarkLimit,
    },
    /// The leader goes on with a task that an earlier one deployed. What it has prepared for the completed checkpoint, or
    /// an earlier one, is to be committed; other checkpoints up to `over` will not be complete, also those of which the
    /// task hears only later.
    Adopt {
        /// The leader.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
        /// The newest checkpoint that is complete.
        completed: Option<CheckpointId>,
        /// The highest id that a leader before may have given to a checkpoint.
        over: CheckpointId,
    },
    /// A job's tasks are deployed: have its components compiled before one of its tasks comes here, when nothing else is to
    /// be done.
    Prefetch {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The job's owner.
        tenant: TenantId,
        /// The SHA-256 of each component.
        components: Vec<Digest>,
    },
    /// Make ready to run other code. The answer is [`crate::ToJobManager::UpgradeAnswered`].
    PrepareUpgrade {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
        /// The code.
        upgrade: Box<TaskUpgrade>,
    },
    /// Let go of code that was prepared: it will not be run.
    ForgetUpgrade {
        /// The leader that asks.
        epoch: LeaderEpoch,
        /// The task.
        attempt: AttemptId,
        /// Which upgrade.
        upgrade: UpgradeId,
    },
}
