//! Messages that a TaskManager receives.

use millrace_types::{AllocationId, AttemptId, JobId, LeaderEpoch, NodeId, SlotId, TenantId, VertexId};
use serde::{Deserialize, Serialize};

use crate::{SplitId, TaskDeployment};

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
    /// The splits to read, opaque to all but the source.
    pub splits: Vec<(SplitId, Vec<u8>)>,
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
}
