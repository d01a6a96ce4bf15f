//! One job as a pure state machine: inputs and the time go in, commands come out. A shell does the IO.
//!
//! Invariants:
//! - No IO, no clock, no random numbers: the same inputs give the same commands.
//! - A message of another attempt than the present one, or one that comes too late, is dropped under a named, counted
//!   reason ([`DropReason`]) and changes nothing else.
//! - The job's end is written before it is told ([`Command::PersistStatus`], then [`Command::JobEnded`]), and so is the
//!   end of a checkpoint ([`Command::StoreCheckpoint`], [`Command::PersistCheckpoint`],
//!   [`Command::NotifyCheckpointCompleted`]).
//! - A failure costs one restart, however many tasks it takes along, and waiting for slots costs none.
//!
//! A job is `INITIALIZING` until it is started, `CREATED` while it waits for slots and splits, `RUNNING` while its tasks
//! run; then `FINISHED`, or through `FAILING` to `FAILED`, or through `CANCELLING` to `CANCELED`. From a failure that its
//! restart strategy answers until its tasks are deployed again it is `RESTARTING`. Tasks that restart begin with the newest
//! checkpoint that they can read; without any, at the beginning of their input. With the adaptive scheduler the job runs
//! at the parallelism that its slots allow.

mod adopting;
mod alignment;
mod attempts;
mod checkpoints;
mod core;
mod deployment;
mod dropped;
mod ending;
mod event;
mod exceptions;
mod failing;
mod named_options;
mod regions;
mod requirements;
mod rescales;
mod restart;
mod restarting;
mod running;
mod scaling;
mod slot_pool;
mod spec;
mod split_assigner;
mod stopping;
mod tasks;
mod vertex_view;
mod view;
mod waiting;

pub use crate::core::JobCore;
pub use adopting::AdoptionOptions;
pub use checkpoints::{
    CHECKPOINT_OPTIONS, CheckpointCounts, CheckpointMode, CheckpointOptions, CheckpointStatus, CheckpointSummary,
    CheckpointView, CheckpointsView, CompletedCheckpoint, Figures, InFlightState, OperatorState, RestoredView,
    Retention, SourceState, SplitState, StartFrom, StoredCheckpoint, VertexFigures, fit_graph,
};
pub use dropped::{DropReason, Dropped};
pub use event::{Command, EnumerationId, Input, JobCode, RequestId, SnapshotLocation, StopMode, UpgradeEnd, WriteId};
pub use exceptions::{ExceptionEntry, ExceptionHistory};
pub use named_options::{NamedOption, OptionError};
pub use requirements::{ParallelismBounds, RequirementsError, check_requirements};
pub use rescales::{RESCALES_MAX, Rescale, RescaleCause, RescaleEnd, RescaleHistory, RescaledVertex, SchedulerState};
pub use restart::{Decimal, DecimalError, ExponentialDelay, RESTART_OPTIONS, RestartOptions, RestartStrategy};
pub use scaling::{AdaptiveOptions, SCHEDULER_OPTIONS, SchedulerOptions};
pub use spec::{JobOptions, JobSpec};
pub use split_assigner::{Handout, SPLIT_BYTES_MAX, SPLITS_BYTES_MAX, SPLITS_MAX, SplitAssigner, SplitProgress};
pub use vertex_view::{SubtaskView, VertexView};
pub use view::{JobView, Waiting};
