//! What the shells read out of a job's view.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_job_core::{
    CheckpointCounts, CheckpointOptions, CheckpointsView, Dropped, ExceptionEntry, ExceptionHistory, JobView,
    RestartOptions, RestartStrategy,
};
use millrace_metadata_core::JobRecord;
use millrace_types::{AttemptId, Failure, TaskManagerId, TenantId};

/// The tasks that are somewhere and have not ended.
pub(crate) fn live_tasks(view: &JobView) -> Vec<(AttemptId, TaskManagerId)> {
    let mut live = Vec::new();
    for (vertex, tasks) in view.graph.vertices.iter().zip(&view.vertices) {
        for (subtask, index) in tasks.subtasks.iter().zip(0..) {
            let attempt = AttemptId { job: view.job, vertex: vertex.id, subtask: index, attempt: subtask.attempt };
            match &subtask.task_manager {
                Some(task_manager) if !subtask.state.is_terminal() => live.push((attempt, task_manager.clone())),
                _ => (),
            }
        }
    }
    live
}

/// Where an attempt runs or ran, if it is the present one.
pub(crate) fn task_manager_of(view: &JobView, attempt: AttemptId) -> Option<TaskManagerId> {
    let vertex = view.vertices.get(view.graph.vertex_index(attempt.vertex)?)?;
    let subtask = vertex.subtasks.get(attempt.subtask as usize)?;
    if subtask.attempt == attempt.attempt { subtask.task_manager.clone() } else { None }
}

/// What made the job fail.
pub(crate) fn root_failure(view: &JobView) -> Option<Failure> {
    view.exceptions.entries.first().map(|entry| entry.failure.clone())
}

/// Shows a failure of an earlier life of the JobManager, or of its start, behind those of this life.
pub(crate) fn note_earlier(view: &mut JobView, failure: &Failure) {
    if view.exceptions.entries.iter().any(|known| known.failure == *failure) {
        return;
    }
    let at = view.started_at().unwrap_or_default();
    let entry = ExceptionEntry {
        failure: failure.clone(),
        at,
        task_name: None,
        attempt: None,
        task_manager: None,
        concurrent: Vec::new(),
    };
    Arc::make_mut(&mut view.exceptions).entries.push(entry);
}

/// The restart strategy that a run stated; the cluster's default of the time is not recorded.
fn stated_strategy(record: &JobRecord) -> RestartStrategy {
    let mut options = RestartOptions::default();
    for (key, value) in &record.submission.settings {
        // What is no such option is none of the strategy's business, and the others were checked.
        let _ = options.set(key, value);
    }
    options.strategy(false).unwrap_or_default()
}

/// Of a job's checkpoints the record has what the run stated; the cluster's defaults of the time are not recorded.
fn checkpoints_of(record: &JobRecord) -> CheckpointsView {
    let mut options = CheckpointOptions::default();
    for (key, value) in &record.submission.settings {
        // What is no such option is none of the checkpoints' business, and the others were checked.
        let _ = options.set(key, value);
    }
    CheckpointsView {
        options,
        counts: CheckpointCounts::default(),
        summary: Arc::default(),
        history: VecDeque::new(),
        latest_completed: None,
        latest_savepoint: None,
        latest_failed: None,
        latest_restored: None,
    }
}

/// A job of which only the record is left: its JobMaster had no time to store details.
pub(crate) fn view_of_record(tenant: &TenantId, record: &JobRecord) -> JobView {
    let submission = &record.submission;
    let graph = postcard::from_bytes(&submission.job_graph).unwrap_or_else(|_| JobGraph {
        name: submission.name.clone(),
        vertices: Vec::new(),
        edges: Vec::new(),
    });
    let entries = record.failure.iter().map(|failure| ExceptionEntry {
        failure: failure.clone(),
        at: record.ended_at().unwrap_or(submission.submitted_at),
        task_name: None,
        attempt: None,
        task_manager: None,
        concurrent: Vec::new(),
    });
    let exceptions = ExceptionHistory { entries: entries.collect(), truncated: false };
    JobView {
        job: submission.id,
        tenant: tenant.clone(),
        name: submission.name.clone(),
        graph: Arc::new(graph),
        status: record.status,
        timestamps: record.status_times.clone(),
        waiting: None,
        vertices: Vec::new(),
        desired_parallelism: None,
        least_parallelism: None,
        rescales: Arc::default(),
        splits: BTreeMap::new(),
        restarts: 0,
        restart_strategy: stated_strategy(record),
        checkpoints: Arc::new(checkpoints_of(record)),
        exceptions: Arc::new(exceptions),
        takeovers: record.takeovers.clone(),
        dropped: Dropped::default(),
    }
}
