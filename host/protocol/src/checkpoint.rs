//! What tasks and the JobMaster tell each other of checkpoints, and what a checkpoint consists of.
//!
//! Invariants:
//! - A snapshot names files by their paths within the checkpoint folder of the job, or within the savepoint's own.
//! - Files are durable before anybody is told of them.
//! - The segments of an operator's keyed state, in order, give its state at the barrier: each later entry replaces an
//!   earlier one of the same address. A file may belong to many checkpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_graph::Partitioning;
use millrace_types::{AttemptId, CheckpointId, Failure, KeyGroupRange, NodeId};
use serde::{Deserialize, Serialize};

use crate::SplitId;

/// Some bytes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateBlob {
    /// Few: they travel with the acknowledgement and stand in the checkpoint's metadata.
    Inline(Bytes),
    /// Many.
    File {
        /// Where, within the folder; `/` between its parts.
        path: String,
        /// How many.
        bytes: u64,
        /// Their xxh3_64 with seed 0.
        checksum: u64,
    },
}

impl StateBlob {
    /// How many bytes these are.
    pub fn byte_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }

    /// The file's path, if it is one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Inline(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }
}

/// Some of the keyed state and timers of an operator: a base, or what changed behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSegment {
    /// The key groups that it may have entries of.
    pub key_groups: KeyGroupRange,
    /// The entries, as `millrace-state` writes them.
    pub blob: StateBlob,
}

/// A split that a reader has begun and not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPosition {
    /// Which one.
    pub id: SplitId,
    /// Where to go on, opaque to all but the source; empty: at its beginning.
    pub offset: Bytes,
}

/// A source reader's part of a snapshot. Splits that the reader received and does not hold are finished.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReaderSnapshot {
    /// How many splits this attempt had received, restored ones included. They count in the order in which they
    /// were assigned.
    pub received: u64,
    /// Those of them that are not read to their end.
    pub held: Vec<SplitPosition>,
}

/// What one subtask of an operator had at the barrier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OperatorSnapshot {
    /// Keyed state and timers; in order.
    pub keyed: Vec<StateSegment>,
    /// The fingerprints of its states by their names, of all kinds.
    pub fingerprints: BTreeMap<String, String>,
    /// List, union and broadcast state, whole; as `millrace-state` writes it.
    pub operator_state: Option<StateBlob>,
    /// The positions of a source.
    pub reader: Option<ReaderSnapshot>,
    /// The prepared transactions of a sink, opaque to all but the sink: committed when the checkpoint is complete,
    /// and once more when it is restored.
    pub committables: Vec<Bytes>,
}

/// How records on their way find a subtask at another parallelism than they were sent at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rerouting {
    /// Each goes to the subtask that has its key.
    ByKey,
    /// Any subtask may have them.
    Any,
    /// Each subtask gets all of them; each was sent a copy.
    All,
}

impl Rerouting {
    /// What an exchange asks for.
    pub fn of(partitioning: Partitioning) -> Self {
        match partitioning {
            Partitioning::Hash => Self::ByKey,
            Partitioning::Broadcast => Self::All,
            Partitioning::Forward
            | Partitioning::Rebalance
            | Partitioning::Rescale
            | Partitioning::Global
            | Partitioning::Shuffle => Self::Any,
        }
    }
}

/// Records that an unaligned barrier overtook, on their way to one subtask of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    /// The consuming operator's uid.
    pub target_uid: String,
    /// The consuming operator's port.
    pub target_port: u32,
    /// The subtask that they were sent to.
    pub target_subtask: u32,
    /// Where they go if there are not as many subtasks any more.
    pub rerouting: Rerouting,
    /// Batches in order, each behind its length as `u32` little-endian.
    pub batches: StateBlob,
}

/// What one subtask had at the barrier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubtaskSnapshot {
    /// It was taken behind the end of all input: whoever is restored from it has only to commit.
    pub finished: bool,
    /// By operator uid; an operator that has nothing may be missing.
    pub operators: BTreeMap<String, OperatorSnapshot>,
    /// What an unaligned barrier overtook.
    pub in_flight: Vec<InFlight>,
}

/// How a subtask's part of a checkpoint went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnapshotFigures {
    /// From the trigger to the first barrier or order, in milliseconds.
    pub start_delay_ms: u64,
    /// From the first barrier to the last, in milliseconds.
    pub alignment_ms: u64,
    /// While no record was processed, in milliseconds.
    pub sync_ms: u64,
    /// From then until all was durable, in milliseconds.
    pub async_ms: u64,
    /// What was written for this checkpoint, in bytes.
    pub checkpointed_bytes: u64,
    /// All that it refers to, in bytes.
    pub state_bytes: u64,
    /// Records that arrived during alignment, in bytes.
    pub processed_bytes: u64,
    /// Records that became part of the checkpoint, in bytes.
    pub persisted_bytes: u64,
    /// Whether the barrier overtook records.
    pub unaligned: bool,
}

/// A subtask's part of a checkpoint is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointAck {
    /// Whose.
    pub attempt: AttemptId,
    /// Of which checkpoint.
    pub checkpoint: CheckpointId,
    /// What it consists of.
    pub snapshot: SubtaskSnapshot,
    /// How it went.
    pub figures: SnapshotFigures,
}

/// A subtask cannot take part in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointDecline {
    /// Whose.
    pub attempt: AttemptId,
    /// Which checkpoint.
    pub checkpoint: CheckpointId,
    /// A newer one has come before it was complete: nothing went wrong.
    pub subsumed: bool,
    /// Why.
    pub failure: Failure,
}

/// What an operator of a new subtask begins with: parts of one or more earlier subtasks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OperatorRestore {
    /// Keyed state and timers of each earlier subtask that had some of the key groups, in order. What belongs to other
    /// key groups is passed over.
    pub keyed: Vec<Vec<StateSegment>>,
    /// The fingerprints of its states, by name.
    pub fingerprints: BTreeMap<String, String>,
    /// The number of earlier subtasks.
    pub parallelism: u32,
    /// The operator state of all earlier subtasks that had any, by subtask.
    pub operator_state: BTreeMap<u32, StateBlob>,
    /// Transactions to be committed before anything else.
    pub committables: Vec<Bytes>,
}

/// What a subtask begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRestore {
    /// The checkpoint that it comes from.
    pub checkpoint: CheckpointId,
    /// The folder that paths are within, if not the job's checkpoint folder.
    pub folder: Option<String>,
    /// The subtask had finished: it opens no operator, commits its transactions, ends its outputs and is finished.
    pub finished: bool,
    /// By operator uid.
    pub operators: BTreeMap<String, OperatorRestore>,
    /// Records to be processed before any other. Those that are rerouted by key only where the key is of the
    /// subtask's key groups; others were chosen for this subtask.
    pub in_flight: Vec<InFlight>,
}

/// How the source of a task waits for others of its group; from the JobMaster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatermarkLimit {
    /// The node that generates the watermarks.
    pub node: NodeId,
    /// The source does not read on while its watermark is above this one, in milliseconds since 1970.
    pub watermark_max: i64,
}
