//! Checkpoints of a job: their statistics, their settings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /jobs/:jobid/checkpoints`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointStatistics {
    /// How many there were.
    pub counts: CheckpointCounts,
    /// Over the completed ones.
    pub summary: CheckpointsSummary,
    /// The newest of each sort.
    pub latest: LatestCheckpoints,
    /// The newest ones, newest first.
    pub history: Vec<CheckpointEntry>,
}

/// How many checkpoints there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointCounts {
    /// How often state was restored.
    pub restored: u64,
    /// All of them.
    pub total: u64,
    /// Those under way.
    pub in_progress: u64,
    /// Those that are complete.
    pub completed: u64,
    /// Those that are not and will not be.
    pub failed: u64,
}

/// Figures over the completed checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointsSummary {
    /// Bytes written for one.
    pub checkpointed_size: Spread,
    /// Bytes that one refers to.
    pub state_size: Spread,
    /// From the trigger to the last acknowledgement, in milliseconds.
    pub end_to_end_duration: Spread,
    /// Flink's field of this name; 0.
    pub alignment_buffered: Spread,
    /// Bytes processed during alignment.
    pub processed_data: Spread,
    /// Bytes of records that became part of it.
    pub persisted_data: Spread,
}

/// How some values are spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the figure of its name")]
pub struct Spread {
    pub min: i64,
    pub max: i64,
    pub avg: i64,
    pub p50: Quantile,
    pub p90: Quantile,
    pub p95: Quantile,
    pub p99: Quantile,
    pub p999: Quantile,
}

/// A number, or `NaN` as a text where there are no values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantile {
    /// The number.
    Number(f64),
    /// `NaN`.
    Text(String),
}

/// The newest checkpoint of each sort.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatestCheckpoints {
    /// A complete checkpoint.
    pub completed: Option<CheckpointEntry>,
    /// A complete savepoint.
    pub savepoint: Option<CheckpointEntry>,
    /// One that failed.
    pub failed: Option<CheckpointEntry>,
    /// The one that state was restored from.
    pub restored: Option<RestoredCheckpoint>,
}

/// The checkpoint that state was restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredCheckpoint {
    /// Its id.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub restore_timestamp: i64,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// Where it is.
    pub external_path: Option<String>,
}

/// A checkpoint in the statistics; `GET /jobs/:jobid/checkpoints/details/:checkpointid` with its tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointEntry {
    /// `completed`, `in_progress` or `failed`.
    #[serde(rename = "className")]
    pub class_name: String,
    /// Its id.
    pub id: u64,
    /// `COMPLETED`, `IN_PROGRESS` or `FAILED`.
    pub status: String,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// `NATIVE` for a savepoint: Millrace has one format.
    #[serde(rename = "savepointFormat")]
    pub savepoint_format: Option<String>,
    /// When it was triggered, in milliseconds since 1970.
    pub trigger_timestamp: i64,
    /// When the last acknowledgement came; -1: none has.
    pub latest_ack_timestamp: i64,
    /// Bytes written for it.
    pub checkpointed_size: u64,
    /// Bytes that it refers to.
    pub state_size: u64,
    /// From the trigger to the last acknowledgement so far, in milliseconds; -1: none has come.
    pub end_to_end_duration: i64,
    /// Flink's field of this name; 0.
    pub alignment_buffered: u64,
    /// Bytes processed during alignment.
    pub processed_data: u64,
    /// Bytes of records that became part of it.
    pub persisted_data: u64,
    /// Subtasks that take part.
    pub num_subtasks: u32,
    /// Those that have acknowledged.
    pub num_acknowledged_subtasks: u32,
    /// `CHECKPOINT`, `UNALIGNED_CHECKPOINT`, `SAVEPOINT` or `SYNC_SAVEPOINT`.
    pub checkpoint_type: String,
    /// By vertex; empty in lists.
    pub tasks: BTreeMap<String, VertexCheckpoint>,
    /// Where a completed one is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_path: Option<String>,
    /// Whether a completed one was deleted again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub discarded: Option<bool>,
    /// When it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_timestamp: Option<i64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_message: Option<String>,
}

/// A vertex's part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in CheckpointEntry")]
pub struct VertexCheckpoint {
    pub id: u64,
    pub status: String,
    pub latest_ack_timestamp: i64,
    pub checkpointed_size: u64,
    pub state_size: u64,
    pub end_to_end_duration: i64,
    pub alignment_buffered: u64,
    pub processed_data: u64,
    pub persisted_data: u64,
    pub num_subtasks: u32,
    pub num_acknowledged_subtasks: u32,
}

/// `GET /jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexCheckpointDetails {
    /// The vertex's part.
    #[serde(flatten)]
    pub vertex: VertexCheckpoint,
    /// Over the subtasks.
    pub summary: SubtasksSummary,
    /// Each of them.
    pub subtasks: Vec<SubtaskCheckpoint>,
}

/// Figures over the subtasks' parts of a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in CheckpointsSummary")]
pub struct SubtasksSummary {
    pub checkpointed_size: Spread,
    pub state_size: Spread,
    pub end_to_end_duration: Spread,
    pub checkpoint_duration: DurationSpread,
    pub alignment: AlignmentSpread,
    pub start_delay: Spread,
}

/// How long the parts took, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DurationSpread {
    /// While no record was processed.
    pub sync: Spread,
    /// From then until all was durable.
    #[serde(rename = "async")]
    pub asynchronous: Spread,
}

/// How the parts were aligned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlignmentSpread {
    /// Flink's field of this name; 0.
    pub buffered: Spread,
    /// Bytes processed meanwhile.
    pub processed: Spread,
    /// Bytes that became part of the checkpoint.
    pub persisted: Spread,
    /// In milliseconds.
    pub duration: Spread,
}

/// A subtask's part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "className", rename_all = "snake_case")]
pub enum SubtaskCheckpoint {
    /// It has acknowledged.
    Completed {
        /// Which subtask.
        index: u32,
        /// When it acknowledged, in milliseconds since 1970.
        ack_timestamp: i64,
        /// From the trigger until then, in milliseconds.
        end_to_end_duration: i64,
        /// Bytes written.
        checkpointed_size: u64,
        /// Bytes referred to.
        state_size: u64,
        /// How long it took.
        checkpoint: SubtaskDurations,
        /// How it was aligned.
        alignment: SubtaskAlignment,
        /// From the trigger to the first barrier, in milliseconds.
        start_delay: u64,
        /// Whether the barrier overtook records.
        unaligned_checkpoint: bool,
        /// Always false.
        aborted: bool,
        /// `completed`.
        status: String,
    },
    /// It has not.
    Pending {
        /// Which subtask.
        index: u32,
        /// `pending_or_failed`.
        status: String,
    },
}

/// How long a subtask's part took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskDurations {
    /// While no record was processed.
    pub sync: u64,
    /// From then until all was durable.
    #[serde(rename = "async")]
    pub asynchronous: u64,
}

/// How a subtask's part was aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskAlignment {
    /// Flink's field of this name; 0.
    pub buffered: u64,
    /// Bytes processed meanwhile.
    pub processed: u64,
    /// Bytes that became part of the checkpoint.
    pub persisted: u64,
    /// In milliseconds.
    pub duration: u64,
}

/// `GET /jobs/:jobid/checkpoints/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// `exactly_once` or `at_least_once`.
    pub mode: String,
    /// How often, in milliseconds; `i64::MAX` where none is taken without being asked for, as in Flink.
    pub interval: i64,
    /// How long one may take, in milliseconds.
    pub timeout: u64,
    /// The least time between two, in milliseconds.
    pub min_pause: u64,
    /// The most at a time.
    pub max_concurrent: u32,
    /// What is kept when the job ends.
    pub externalization: Externalization,
    /// `HashMapStateBackend` or `RedbStateBackend`.
    pub state_backend: String,
    /// `FileSystemCheckpointStorage`.
    pub checkpoint_storage: String,
    /// Whether barriers may overtake records.
    pub unaligned_checkpoints: bool,
    /// Failed checkpoints in a row that the job bears.
    pub tolerable_failed_checkpoints: u32,
    /// How long a checkpoint is aligned before barriers overtake records, in milliseconds.
    pub aligned_checkpoint_timeout: u64,
    /// Always true.
    pub checkpoints_after_tasks_finish: bool,
    /// Always true: a checkpoint is a base and what changed behind it.
    pub state_changelog_enabled: bool,
    /// Flink's field of this name; bases are made by size, so 0.
    pub changelog_periodic_materialization_interval: u64,
    /// `filesystem`.
    pub changelog_storage: String,
}

/// What is kept of a job's checkpoints when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Externalization {
    /// Whether anything is.
    pub enabled: bool,
    /// Whether nothing is of a job that was cancelled.
    pub delete_on_cancellation: bool,
}
