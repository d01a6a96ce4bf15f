//! One job.

use std::collections::BTreeMap;

use millrace_types::{ExecutionState, JobStatus};
use serde::{Deserialize, Serialize};

/// `GET /jobs/:jobid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetails {
    /// The job.
    pub jid: String,
    /// The application; the same.
    pub application_id: String,
    /// Its name.
    pub name: String,
    /// Flink's field of this name: always false.
    #[serde(rename = "isStoppable")]
    pub is_stoppable: bool,
    /// Its status.
    pub state: JobStatus,
    /// `STREAMING`.
    pub job_type: String,
    /// `Default` or `Adaptive`.
    #[serde(rename = "schedulerType")]
    pub scheduler_type: String,
    /// When it was submitted, in milliseconds since 1970.
    pub start_time: i64,
    /// When it ended; -1 if it has not.
    pub end_time: i64,
    /// How long it has been there, in milliseconds.
    pub duration: i64,
    /// The job's max parallelism; -1: each vertex derives its own.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: i64,
    /// The server's clock.
    pub now: i64,
    /// When each status was entered; 0 if it was not.
    pub timestamps: BTreeMap<JobStatus, i64>,
    /// The vertices, in topological order.
    pub vertices: Vec<VertexSummary>,
    /// Vertices by the state that their subtasks add up to.
    pub status_counts: BTreeMap<ExecutionState, u32>,
    /// Flink's JSON plan.
    pub plan: serde_json::Value,
    /// Operators of which no task was made yet; 0.
    pub pending_operators: u32,
    /// What the job waits for, where it waits: Millrace's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub waiting_for: Option<String>,
}

/// A vertex in a job's details.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VertexSummary {
    /// The vertex.
    pub id: String,
    /// Its slot sharing group.
    #[serde(rename = "slotSharingGroupId")]
    pub slot_sharing_group_id: String,
    /// Its chain's name.
    pub name: String,
    /// Its number of key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: u32,
    /// Its number of subtasks.
    pub parallelism: u32,
    /// With the adaptive scheduler the number that was asked for: Millrace's own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub desired_parallelism: Option<u32>,
    /// The state that its subtasks add up to.
    pub status: ExecutionState,
    /// When its first subtask was deployed; -1 if none was.
    pub start_time: i64,
    /// When its last subtask ended; -1 while one has not.
    pub end_time: i64,
    /// From start to end, or to now; -1 if it did not start.
    pub duration: i64,
    /// Its subtasks by state.
    pub tasks: BTreeMap<ExecutionState, u32>,
    /// What its subtasks have done.
    pub metrics: IoFigures,
}

/// What tasks have done.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IoFigures {
    /// Bytes from other tasks.
    pub read_bytes: u64,
    /// Whether that is exact.
    pub read_bytes_complete: bool,
    /// Bytes to other tasks.
    pub write_bytes: u64,
    /// Whether that is exact.
    pub write_bytes_complete: bool,
    /// Records from other tasks.
    pub read_records: u64,
    /// Whether that is exact.
    pub read_records_complete: bool,
    /// Records to other tasks.
    pub write_records: u64,
    /// Whether that is exact.
    pub write_records_complete: bool,
    /// Time waited for output buffers, in milliseconds.
    pub accumulated_backpressured_time: u64,
    /// Time waited for input, in milliseconds.
    pub accumulated_idle_time: u64,
    /// Time worked, in milliseconds.
    pub accumulated_busy_time: f64,
}

/// `GET /jobs/:jobid/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobConfig {
    /// The job.
    pub jid: String,
    /// Its name.
    pub name: String,
    /// How it runs.
    pub execution_config: ExecutionConfig,
    /// The application's arguments, one by one: Millrace's own.
    #[serde(default)]
    pub program_args_list: Vec<String>,
}

/// How a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExecutionConfig {
    /// What happens at a failure, in words.
    pub restart_strategy: String,
    /// The parallelism of operators that state none.
    pub job_parallelism: u32,
    /// Flink's field of this name. Fused operators always hand records on by reference.
    pub object_reuse_mode: bool,
    /// The options and arguments of the run.
    pub user_config: BTreeMap<String, String>,
}

/// `GET /jobs/:jobid/exceptions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobExceptions {
    /// The job's failures, newest first.
    pub exception_history: ExceptionHistory,
}

/// A job's failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionHistory {
    /// The failures, newest first.
    pub entries: Vec<ExceptionEntry>,
    /// Whether there were more.
    pub truncated: bool,
}

/// A failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionEntry {
    /// The failure's code, such as `MR-TRAP`.
    pub exception_name: String,
    /// Cause, guest's backtrace and remedy.
    pub stacktrace: String,
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// Labels; none.
    pub failure_labels: BTreeMap<String, String>,
    /// The subtask, such as `Source: lines -> split (1/2) - execution #0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// Where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The TaskManager that it ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_manager_id: Option<String>,
    /// Failures of other tasks that came with this one.
    #[serde(default)]
    pub concurrent_exceptions: Vec<ExceptionEntry>,
}
