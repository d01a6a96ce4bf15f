//! The messages between JobManager and TaskManager.
//!
//! In one process they travel over bounded channels; between processes over RPC: the same messages, so that the
//! cores cannot tell the difference.
//!
//! Invariants:
//! - Every message that concerns a task names its attempt; a receiver drops and counts one that is stale.
//! - Nothing here does IO or holds a handle: a message is plain data.

mod checkpoint;
mod deployment;
mod figures;
mod job_manager;
mod peek;
mod presence;
mod task_manager;
mod upgrade;

pub use checkpoint::{
    CheckpointAck, CheckpointDecline, InFlight, OperatorRestore, OperatorSnapshot, ReaderSnapshot, Rerouting,
    SnapshotFigures, SplitPosition, StateBlob, StateSegment, SubtaskSnapshot, TaskRestore, WatermarkLimit,
};
pub use deployment::{
    ChannelId, CheckpointSettings, ComponentRef, InputChannel, InputGate, OutputChannel, OutputEdge, TaskDeployment,
    TaskSettings,
};
pub use figures::{
    Answer, Counts, FlameKind, FlameRequest, FlameSamples, FlameStack, OperatorCounter, OperatorDetail, Question,
    TaskCounter, TaskDetail, TaskGauge,
};
pub use job_manager::{
    CollectedRows, SplitId, SplitRequest, TaskFigures, TaskManagerHeartbeat, TaskManagerRegistration, TaskReport,
    ToJobManager,
};
pub use peek::{PEEK_RECORD_BYTES_MAX, PEEK_RECORDS_MAX, PEEK_WAIT_MS_MAX, PeekRequest, PeekedRecord};
pub use presence::{ACKNOWLEDGED_TOLD_MAX, PRESENCE_TASKS_MAX, Presence, ReaderPresence, TaskPresence, split_digest};
pub use task_manager::{LogRequest, LogWanted, SlotRequest, SplitAssignment, ToTaskManager};
pub use upgrade::{DeclaredStates, StateDeclaration, TaskCode, TaskUpgrade, UpgradeAnswer, UpgradeId};
