//! The vocabulary of Millrace: ids, time, key groups, limits, failures and states.
//!
//! Invariants:
//! - No IO, no clock, no random numbers: whoever needs a fresh id or the time is handed it.
//! - A value that exists is valid: constructors check what comes from outside ([`TenantId::new`],
//!   `FromStr` of every id), so that no later reader has to.

mod blob;
mod checkpoint;
mod crash;
mod failure;
mod ids;
mod key_group;
mod limits;
mod log_tail;
mod quantity;
mod status;
mod takeover;
mod time;

pub use blob::{BlobKey, BlobKind};
pub use checkpoint::{
    Alignment, Barrier, CheckpointId, SAVEPOINT_FOLDER_BYTES_MAX, SnapshotKind, StateBackendKind, StateKind,
};
pub use crash::{CrashAt, CrashAtError, CrashPoint, CrashPoints};
pub use failure::{Failure, FailureKind};
pub use ids::{
    AllocationId, AttemptId, BundleId, Digest, IdError, JobId, LeaderEpoch, NodeId, SlotId, TaskManagerId, TenantId,
    TriggerId, VertexId,
};
pub use key_group::{
    KeyGroup, KeyGroupRange, MAX_PARALLELISM_LIMIT, MIN_DEFAULT_MAX_PARALLELISM, default_max_parallelism,
    key_group_for_key,
};
pub use limits::{
    BATCH_BYTES, BUFFER_TIMEOUT_MS, MAX_PARALLELISM_PER_VERTEX, RECORD_BYTES_MAX, STATE_CACHE_BYTES, SandboxLimits,
};
pub use log_tail::{LOG_TAIL_BYTES_MAX, LogTail};
pub use quantity::{QuantityError, format_bytes, parse_bytes, parse_duration_ms};
pub use status::{ExecutionState, JobStatus};
pub use takeover::{TAKEOVERS_MAX, Takeover};
pub use time::{EventTime, MAX_EVENT_TIME, MIN_EVENT_TIME, Timestamp};
