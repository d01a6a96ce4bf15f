//! The JSON shapes of the REST API: Flink 2.3's, field for field, and Millrace's few additions.
//!
//! Server and client share these types, so that neither can drift. Invariants:
//! - Request bodies refuse unknown fields: a misspelt option must not be ignored.
//! - Answers may gain fields; clients ignore those that they do not know.

mod bundles;
mod checkpoints;
mod cluster;
mod group;
mod job_details;
mod jobs;
mod metrics;
mod peek;
mod processes;
mod rescaling;
mod savepoints;
mod upgrades;
mod vertices;

pub use bundles::{
    BundleFile, BundleList, BundleManifest, BundleUploaded, EntryPoint, ManifestComponent, PlanRequest, PlanResponse,
    RunRequest, RunResponse,
};
pub use checkpoints::{
    AlignmentSpread, CheckpointConfig, CheckpointCounts, CheckpointEntry, CheckpointStatistics, CheckpointsSummary,
    DurationSpread, Externalization, LatestCheckpoints, Quantile, RestoredCheckpoint, Spread, SubtaskAlignment,
    SubtaskCheckpoint, SubtaskDurations, SubtasksSummary, VertexCheckpoint, VertexCheckpointDetails,
};
pub use cluster::{
    AllocatedSlot, ClusterConfig, ClusterOverview, Features, Hardware, MemoryConfiguration, Metric, Resource,
    TaskManagerDetails, TaskManagerFigures, TaskManagerInfo, TaskManagerList,
};
pub use group::{GroupInfo, MemberInfo, NewAddresses, NewMember};
pub use job_details::{
    ExceptionEntry, ExceptionHistory, ExecutionConfig, IoFigures, JobConfig, JobDetails, JobExceptions, VertexSummary,
};
pub use jobs::{JobIdWithStatus, JobList, JobStatusInfo, JobSummary, JobsOverview, TaskCounts};
pub use metrics::{
    AggregatedMetric, FlameGraph, FlameNode, JobAccumulators, SubtaskAccumulators, SubtaskBackpressure,
    SubtasksAccumulators, VertexAccumulators, VertexBackpressure,
};
pub use peek::{PeekedRecord, PeekedRecords};
pub use processes::{ConfigEntry, DataSets, EnvironmentInfo, JvmInfo, LogInfo, LogList, ThreadDump, ThreadInfo};
pub use rescaling::{
    LatestRescales, ParallelismRange, RescaleConfig, RescaleCounts, RescaleDetails, RescaledSlots, RescaledVertex,
    RescalesOverview, RescalesSummary, ResourceRequirements, SchedulerStateSpan, VertexRequirements,
};
pub use savepoints::{
    CheckpointOutcome, CheckpointTriggerRequest, DisposalOutcome, DisposalRequest, FailureCause, OperationState,
    OperationStatus, SavepointOutcome, SavepointTriggerRequest, StopRequest, TriggerResponse,
};
pub use upgrades::{UPGRADE_BY_RESTART, UPGRADED_AT_A_BARRIER, UpgradeOutcome, UpgradeRequest};
pub use vertices::{
    Aggregate, SubtaskAttempts, SubtaskDetails, SubtaskTimes, VertexDetails, VertexFigures, VertexSubtaskTimes,
    VertexTaskManager, VertexTaskManagers,
};

use serde::{Deserialize, Serialize};

/// What every request that fails is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// What went wrong, one thing each; the first is the most important.
    pub errors: Vec<String>,
}

/// `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Rows of a `collect` sink, as `GET /jobs/:jobid/results` returns them: Millrace's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CollectedResults {
    /// The rows from the requested position on; bytes that are no UTF-8 are replaced.
    pub rows: Vec<String>,
    /// The position to ask for next.
    pub next: u64,
    /// No row will follow.
    pub end: bool,
}

/// The log of a job's tasks, as `GET /jobs/:jobid/log` returns it: Millrace's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLog {
    /// The newest lines, in the order of time for each TaskManager.
    pub log: String,
}
