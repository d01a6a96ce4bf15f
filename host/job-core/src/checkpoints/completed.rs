//! What a checkpoint consists of, as its `_metadata` holds it.
//!
//! State is kept by operator uid, so that operators may be added, removed and chained in other ways before it is restored.
//! Invariant: paths are relative to [`CompletedCheckpoint::folder`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millrace_protocol::{InFlight, OperatorSnapshot, SnapshotFigures, SplitId, StateBlob};
use millrace_types::{CheckpointId, SnapshotKind, Timestamp, VertexId};
use serde::{Deserialize, Serialize};

/// A checkpoint or savepoint that every task has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedCheckpoint {
    /// Its number.
    pub id: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// When it was triggered.
    pub triggered_at: Timestamp,
    /// When the last task had acknowledged it.
    pub completed_at: Timestamp,
    /// The folder that its paths are within; `None`: the job's checkpoint folder. Whoever reads a savepoint, or another
    /// job's checkpoint, sets it to where that was found: it may have been moved.
    pub folder: Option<Box<str>>,
    /// Its operators by uid, also those without state.
    pub operators: BTreeMap<String, OperatorState>,
    /// What unaligned barriers overtook.
    pub in_flight: Vec<InFlightState>,
    /// How it went.
    pub figures: BTreeMap<VertexId, VertexFigures>,
}

/// An operator's part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OperatorState {
    /// Its number of subtasks.
    pub parallelism: u32,
    /// Its number of key groups.
    pub max_parallelism: u32,
    /// The subtasks that have something, without the positions of sources.
    pub subtasks: BTreeMap<u32, OperatorSnapshot>,
    /// The subtasks that had finished.
    pub finished: BTreeSet<u32>,
    /// The splits, if it is a source.
    pub source: Option<SourceState>,
}

impl OperatorState {
    /// Whether all subtasks had finished.
    pub fn is_finished(&self) -> bool {
        self.finished.len() as u32 == self.parallelism
    }

    /// Whether nothing would be lost with it.
    pub fn is_empty(&self) -> bool {
        let nothing = |snapshot: &OperatorSnapshot| {
            snapshot.keyed.is_empty() && snapshot.operator_state.is_none() && snapshot.committables.is_empty()
        };
        self.subtasks.values().all(nothing) && self.source.as_ref().is_none_or(|source| source.splits.is_empty())
    }
}

/// The splits of a source that were not read to their end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceState {
    /// How many splits were read to their end.
    pub finished: u32,
    /// The others, by number.
    pub splits: Vec<SplitState>,
}

/// A split that was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    /// Its number.
    pub id: SplitId,
    /// The split, opaque to all but the source.
    pub split: Bytes,
    /// Where to go on, opaque to all but the source; empty: at its beginning.
    pub offset: Bytes,
    /// Whether a reader had received it.
    pub held: bool,
}

/// Records that an unaligned barrier overtook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlightState {
    /// The subtask that stored them: of the consumer, or of its producer.
    pub subtask: u32,
    /// Whether it was the consumer. A channel's records at the consumer come before those at the producer.
    pub at_consumer: bool,
    /// The records.
    pub records: InFlight,
}

/// How the subtasks of a vertex took part.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VertexFigures {
    /// Its number of subtasks.
    pub parallelism: u32,
    /// When each that had not finished acknowledged, and how it went.
    pub subtasks: BTreeMap<u32, (Timestamp, SnapshotFigures)>,
}

impl CompletedCheckpoint {
    /// The files that it refers to, each perhaps more than once.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let snapshots = self.operators.values().flat_map(|operator| operator.subtasks.values());
        let blobs = snapshots.flat_map(operator_blobs);
        blobs.chain(self.in_flight.iter().map(|in_flight| &in_flight.records.batches)).filter_map(StateBlob::path)
    }
}

/// The blobs of an operator's snapshot.
pub(crate) fn operator_blobs(snapshot: &OperatorSnapshot) -> impl Iterator<Item = &StateBlob> {
    snapshot.keyed.iter().map(|segment| &segment.blob).chain(&snapshot.operator_state)
}

/// A checkpoint or savepoint, and where its `_metadata` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The checkpoint.
    pub checkpoint: Arc<CompletedCheckpoint>,
    /// Its folder, as [`crate::Input::CheckpointStored`] named it.
    pub location: Box<str>,
}

/// A savepoint, or a checkpoint of another job, that a job starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartFrom {
    /// What it starts from, with its folder set to where it was found.
    pub from: StoredCheckpoint,
    /// Whether state of operators that the job does not have is left behind; otherwise the job fails.
    pub allow_non_restored_state: bool,
    /// Whether the job owns it: then it is deleted once the job has a checkpoint of its own. Flink's CLAIM mode.
    pub claim: bool,
}
