//! What a job is, fixed before it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_protocol::{ComponentRef, TaskSettings};
use millrace_types::{Digest, Failure, JobId, Takeover, TenantId, Timestamp};

use crate::adopting::AdoptionOptions;
use crate::checkpoints::{CheckpointOptions, StartFrom, StoredCheckpoint};
use crate::requirements::ParallelismBounds;
use crate::restart::RestartStrategy;
use crate::scaling::AdaptiveOptions;

/// How a JobMaster treats its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobOptions {
    /// Entries of the exception history, and concurrent exceptions of each: Flink's `web.exception-history-size`.
    pub exceptions_max: usize,
    /// How long a TaskManager has to confirm a cancellation before it is told again, in milliseconds.
    pub cancel_retry_ms: u64,
    /// How long a task may take to stop before its slot is taken away, in milliseconds: Flink's
    /// `task.cancellation.timeout`.
    pub cancel_timeout_ms: u64,
    /// How long to wait before a failed write to the metadata store is tried again, in milliseconds.
    pub persist_retry_ms: u64,
    /// Earlier attempts of each subtask that stay visible: Flink's `jobmanager.execution.attempts-history-size`.
    pub attempts_max: usize,
    /// Whether the job runs again when it has failed.
    pub restart_strategy: RestartStrategy,
    /// Decides the jitter of delays before restarts: any number, another one for each job.
    pub restart_seed: u64,
    /// How the adaptive scheduler treats it; `None`: it waits for all slots that it needs.
    pub adaptive: Option<AdaptiveOptions>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            exceptions_max: 16,
            cancel_retry_ms: 5_000,
            cancel_timeout_ms: 180_000,
            persist_retry_ms: 1_000,
            attempts_max: 16,
            restart_strategy: RestartStrategy::None,
            restart_seed: 0,
            adaptive: None,
        }
    }
}

/// A job to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpec {
    /// Its id.
    pub job: JobId,
    /// Its owner.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its vertices and exchanges.
    pub graph: Arc<JobGraph>,
    /// What its user wanted of its parallelism while it ran, in the order of the graph; `None`: the graph says it.
    pub requirements: Option<Vec<ParallelismBounds>>,
    /// The components of its bundle, by their names in the manifest.
    pub components: BTreeMap<String, ComponentRef>,
    /// The digest of its StreamGraph.
    pub graph_digest: Digest,
    /// The arguments of the run.
    pub args: Vec<String>,
    /// The parallelism of operators that name none.
    pub default_parallelism: u32,
    /// The number of its tasks' first attempts: higher than all that earlier lives of the JobManager gave out, so that
    /// messages of earlier lives are stale.
    pub first_attempt: u32,
    /// The attempt numbers of each vertex's tasks that the metadata store has as given out last.
    pub recorded_attempts: Vec<u32>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// How to take over tasks that an earlier leader deployed; `None`: there can be none.
    pub adoption: Option<AdoptionOptions>,
    /// How earlier leaders took the job over, the newest last.
    pub takeovers: Vec<Takeover>,
    /// How its tasks run.
    pub settings: TaskSettings,
    /// How it is treated.
    pub options: JobOptions,
    /// When its checkpoints are taken, and which are kept.
    pub checkpoints: CheckpointOptions,
    /// The checkpoints that the metadata store has of it, newest last.
    pub restored: Vec<StoredCheckpoint>,
    /// What it starts from when it has no checkpoint of its own.
    pub start_from: Option<StartFrom>,
    /// What of its checkpoints could not be read: the first entry of its exception history.
    pub lost: Option<Failure>,
    /// The highest checkpoint id that the metadata store has as reserved.
    pub recorded_checkpoint: u64,
}
