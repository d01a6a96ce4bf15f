//! Checkpoints and savepoints: when they are taken, what they consist of, what is kept of them, and what tasks begin with.
//!
//! Invariants, which the property tests check from outside:
//! - A checkpoint is complete only if every subtask that had not finished before has acknowledged it, and only once its
//!   pointer is in the metadata store: bytes first, pointer second. No sink commits before that.
//! - Ids only grow, and none is used before the block that it belongs to is recorded.
//! - While the outcome of a pointer's write is unknown, its checkpoint is neither aborted nor complete, no region restarts
//!   and the job does not end.
//! - No file is deleted that a retained checkpoint refers to, or that a running task may yet refer to.

mod acknowledging;
mod completed;
mod completing;
mod coordinator;
mod garbage;
mod ids;
mod invariants;
mod options;
mod requests;
mod restoring;
mod summary;
mod triggering;
mod upgrading;
mod view;

pub use completed::{
    CompletedCheckpoint, InFlightState, OperatorState, SourceState, SplitState, StartFrom, StoredCheckpoint,
    VertexFigures,
};
pub(crate) use coordinator::Coordinator;
pub use options::{CHECKPOINT_OPTIONS, CheckpointMode, CheckpointOptions, Retention};
pub use restoring::fit_graph;
pub use summary::Figures;
pub use view::{CheckpointCounts, CheckpointStatus, CheckpointSummary, CheckpointView, CheckpointsView, RestoredView};
