//! What a task had at a barrier, on its way to be made durable.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_protocol::{ReaderSnapshot, Rerouting, SnapshotFigures};
use millrace_state::SealedSegment;
use millrace_types::{Barrier, Failure};
use tokio::time::Instant;

/// One operator's part.
#[derive(Debug, Default)]
pub(crate) struct OperatorParts {
    /// What has changed of its keyed state and timers since the last barrier, or, for a snapshot of a task that does not
    /// keep track of changes, all there is.
    pub sealed: Vec<SealedSegment>,
    /// Its states' fingerprints, by name.
    pub fingerprints: BTreeMap<String, String>,
    /// Its list, union and broadcast states, whole.
    pub operator_state: Option<Bytes>,
    /// Where a source's reader is.
    pub reader: Option<ReaderSnapshot>,
    /// The transactions of a sink that are prepared and not committed.
    pub committables: Vec<Bytes>,
}

/// Records that the barrier overtook.
#[derive(Debug, Clone)]
pub(crate) struct OvertakenRecords {
    pub target_uid: String,
    pub target_port: u32,
    pub target_subtask: u32,
    pub rerouting: Rerouting,
    pub batches: Vec<Bytes>,
}

/// A task's part of a checkpoint.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub barrier: Barrier,
    /// It was taken behind the end of all input: there is nothing left to do but to commit.
    pub finished: bool,
    /// By operator uid.
    pub operators: BTreeMap<String, OperatorParts>,
    pub overtaken: Vec<OvertakenRecords>,
    /// Why the checkpoint cannot be taken after all. What has changed since the last one is written all the same: it is
    /// part of the next one.
    pub refused: Option<Failure>,
    /// What is known so far.
    pub figures: SnapshotFigures,
    /// When the operators went on.
    pub taken_at: Instant,
}
