//! Lists of jobs.

use millrace_types::JobStatus;
use serde::{Deserialize, Serialize};

/// `GET /jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobList {
    /// The jobs, newest first.
    pub jobs: Vec<JobIdWithStatus>,
}

/// A job and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdWithStatus {
    /// The job.
    pub id: String,
    /// Its status.
    pub status: JobStatus,
}

/// `GET /jobs/:jobid/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatusInfo {
    /// The status.
    pub status: JobStatus,
}

/// `GET /jobs/overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobsOverview {
    /// The jobs, newest first.
    pub jobs: Vec<JobSummary>,
}

/// A job in the overview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobSummary {
    /// The job.
    pub jid: String,
    /// Its name.
    pub name: String,
    /// `STREAMING`.
    #[serde(rename = "jobType")]
    pub job_type: String,
    /// `Default`.
    #[serde(rename = "schedulerType")]
    pub scheduler_type: String,
    /// When it was submitted, in milliseconds since 1970.
    pub start_time: i64,
    /// When it ended; -1 if it has not.
    pub end_time: i64,
    /// How long it has been there, in milliseconds.
    pub duration: i64,
    /// Its status.
    pub state: JobStatus,
    /// When its status last changed.
    pub last_modification: i64,
    /// Its subtasks by state.
    pub tasks: TaskCounts,
    /// Operators of which no task was made yet; 0.
    pub pending_operators: u32,
}

/// Subtasks by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the state of its name")]
pub struct TaskCounts {
    pub running: u32,
    pub canceling: u32,
    pub canceled: u32,
    pub total: u32,
    pub created: u32,
    pub scheduled: u32,
    pub deploying: u32,
    pub reconciling: u32,
    pub finished: u32,
    pub initializing: u32,
    pub failed: u32,
}
