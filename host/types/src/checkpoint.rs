//! What names and describes a checkpoint, for all parts alike.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A checkpoint's or savepoint's number within its job, from 1. Later ones have higher numbers, whoever leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a task with several channels waits for the barriers of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alignment {
    /// It does not: what a channel brings behind its barrier is processed, and is processed again after a failure.
    /// Flink's AT_LEAST_ONCE.
    None,
    /// Channels whose barrier has come wait for the others.
    Aligned,
    /// As `Aligned` for so many milliseconds since the checkpoint was triggered; then the barrier overtakes what lies in
    /// front of it, and that becomes part of the checkpoint. 0: at once. Flink's unaligned checkpoints.
    Unaligned {
        /// Flink's `execution.checkpointing.aligned-checkpoint-timeout`.
        timeout_ms: u64,
    },
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SnapshotKind {
    /// Millrace's own: may refer to files of earlier ones, and is deleted when it is no longer retained.
    Checkpoint,
    /// The user's: refers to no file outside of its own folder, and is never deleted by Millrace. Always aligned.
    Savepoint {
        /// The tasks stop behind it, and end when it is complete.
        stop: bool,
    },
    /// A checkpoint behind which the tasks run other code. Always aligned, so that each record is processed by the old
    /// code in all of them, or by the new.
    Upgrade,
}

impl SnapshotKind {
    /// Whether it is the user's.
    pub const fn is_savepoint(self) -> bool {
        matches!(self, Self::Savepoint { .. })
    }
}

/// The longest path of a savepoint's folder, in bytes.
pub const SAVEPOINT_FOLDER_BYTES_MAX: usize = 4096;

/// Separates the records of a stream that belong to a checkpoint from those that come after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Barrier {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// When it was triggered, by the JobMaster's clock.
    pub triggered_at: Timestamp,
    /// What is taken.
    pub kind: SnapshotKind,
    /// The sources were told to end in front of it, which stops the job: all that comes of what they read is to be in front
    /// of it too.
    pub drain: bool,
    /// How channels wait for each other.
    pub alignment: Alignment,
    /// The folder of a savepoint, an absolute path or `s3://bucket/prefix` of at most [`SAVEPOINT_FOLDER_BYTES_MAX`];
    /// `None`: the job's checkpoint folder.
    pub folder: Option<Box<str>>,
}

/// Which state backend a task keeps its keyed state in: Flink's `state.backend.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateBackendKind {
    /// In memory.
    #[default]
    Hashmap,
    /// On the TaskManager's disk, larger than its memory.
    Redb,
}

/// Whose a state is, and what becomes of it at another parallelism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum StateKind {
    /// Each key's: it goes where its key group goes.
    #[default]
    Keyed,
    /// The subtask's: a list whose elements are dealt out among the new subtasks.
    List,
    /// The subtask's: a list; each new subtask gets the elements of all.
    Union,
    /// The same in each subtask.
    Broadcast,
}
