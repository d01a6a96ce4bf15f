//! `/jobs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use millrace_graph::slot_sharing_group_id;
use millrace_job_core::{ExceptionEntry as Exception, JobView};
use millrace_jobmanager::JobInfo;
use millrace_rest_api::{
    Empty, ExceptionEntry, ExceptionHistory, ExecutionConfig, JobConfig, JobDetails, JobExceptions, JobIdWithStatus,
    JobList, JobStatusInfo, JobSummary, JobsOverview, PlanResponse, TaskCounts, VertexSummary,
};
use millrace_types::{ExecutionState, JobId, JobStatus, Timestamp};
use serde::Deserialize;

use crate::bundles::plan_response;
use crate::error::RestError;
use crate::figures::{duration, io_figures, is_complete, millis, time_or_minus_one};
use crate::path::{cannot_resolve, path_parameter, query_parameter};
use crate::server::{RestState, now};
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// A job of the path.
pub(crate) fn job_of(state: &RestState, tenant: &Tenant, id: &str) -> Result<JobInfo, RestError> {
    let job: JobId = path_parameter("jobid", id)?;
    Ok(state.dispatcher.job(&tenant.0, job)?)
}

/// `GET /jobs`.
pub(crate) async fn list(State(state): State<RestState>, Tenant(tenant): Tenant) -> Json<JobList> {
    let jobs = state.dispatcher.jobs(&tenant);
    let jobs = jobs.iter().map(|job| JobIdWithStatus { id: job.view.job.to_string(), status: job.view.status });
    Json(JobList { jobs: jobs.collect() })
}

/// `GET /jobs/overview`.
pub(crate) async fn overview(State(state): State<RestState>, Tenant(tenant): Tenant) -> Json<JobsOverview> {
    let now = now();
    Json(JobsOverview { jobs: state.dispatcher.jobs(&tenant).iter().map(|job| summary(job, now)).collect() })
}

/// A job's entry in the overview.
pub(crate) fn summary(job: &JobInfo, now: Timestamp) -> JobSummary {
    let view = &job.view;
    let (start, end) = (Some(job.record.submission.submitted_at), view.ended_at());
    let last = view.timestamps.values().max().copied();
    JobSummary {
        jid: view.job.to_string(),
        name: view.name.clone(),
        job_type: "STREAMING".to_owned(),
        scheduler_type: scheduler_type(view),
        start_time: time_or_minus_one(start),
        end_time: time_or_minus_one(end),
        duration: duration(start, end, now),
        state: view.status,
        last_modification: time_or_minus_one(last.or(start)),
        tasks: task_counts(&view.task_counts()),
        pending_operators: 0,
    }
}

fn scheduler_type(view: &JobView) -> String {
    if view.desired_parallelism.is_some() { "Adaptive".to_owned() } else { "Default".to_owned() }
}

fn task_counts(counts: &BTreeMap<ExecutionState, u32>) -> TaskCounts {
    let of = |state| counts.get(&state).copied().unwrap_or(0);
    TaskCounts {
        running: of(ExecutionState::Running),
        canceling: of(ExecutionState::Canceling),
        canceled: of(ExecutionState::Canceled),
        total: counts.values().sum(),
        created: of(ExecutionState::Created),
        scheduled: of(ExecutionState::Scheduled),
        deploying: of(ExecutionState::Deploying),
        reconciling: of(ExecutionState::Reconciling),
        finished: of(ExecutionState::Finished),
        initializing: of(ExecutionState::Initializing),
        failed: of(ExecutionState::Failed),
    }
}

/// `GET /jobs/:id/status`.
pub(crate) async fn status(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<JobStatusInfo> {
    Ok(Json(JobStatusInfo { status: job_of(&state, &tenant, &id)?.view.status }))
}

/// `GET /jobs/:id`.
pub(crate) async fn details(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<JobDetails> {
    let job = job_of(&state, &tenant, &id)?;
    let (view, now) = (&job.view, now());
    let (start, end) = (Some(job.record.submission.submitted_at), view.ended_at());
    let vertices: Vec<_> = (0..view.vertices.len()).filter_map(|index| vertex_summary(&job, index, now)).collect();
    let mut status_counts: BTreeMap<_, u32> = ExecutionState::ALL.iter().map(|state| (*state, 0)).collect();
    for vertex in &vertices {
        *status_counts.entry(vertex.status).or_default() += 1;
    }
    let timestamp = |status: JobStatus| view.timestamps.get(&status).copied().map_or(0, millis);
    let waits = matches!(view.status, JobStatus::Created | JobStatus::Restarting);
    let waiting_for = if waits { view.waiting.as_ref().map(ToString::to_string) } else { None };
    Ok(Json(JobDetails {
        jid: view.job.to_string(),
        application_id: view.job.to_string(),
        name: view.name.clone(),
        is_stoppable: false,
        state: view.status,
        job_type: "STREAMING".to_owned(),
        scheduler_type: scheduler_type(view),
        start_time: time_or_minus_one(start),
        end_time: time_or_minus_one(end),
        duration: duration(start, end, now),
        max_parallelism: -1,
        now: millis(now),
        timestamps: JobStatus::ALL.iter().map(|status| (*status, timestamp(*status))).collect(),
        vertices,
        status_counts,
        plan: plan_response(&view.graph.plan(view.job, &view.name))?.plan,
        pending_operators: 0,
        waiting_for,
    }))
}

fn vertex_summary(job: &JobInfo, index: usize, now: Timestamp) -> Option<VertexSummary> {
    let vertex = job.view.graph.vertices.get(index)?;
    let tasks = job.view.vertices.get(index)?;
    let (start, end) = (tasks.started_at(), tasks.ended_at());
    Some(VertexSummary {
        id: vertex.id.to_string(),
        slot_sharing_group_id: slot_sharing_group_id(&vertex.slot_sharing_group),
        name: vertex.name.clone(),
        max_parallelism: vertex.max_parallelism,
        parallelism: vertex.parallelism,
        desired_parallelism: job.view.desired_parallelism.as_ref().and_then(|desired| desired.get(index).copied()),
        status: tasks.aggregate_state(),
        start_time: time_or_minus_one(start),
        end_time: time_or_minus_one(end),
        duration: duration(start, end, now),
        tasks: tasks.task_counts(),
        metrics: io_figures(&tasks.figures(), is_complete(tasks)),
    })
}

/// `GET /jobs/:id/plan`.
pub(crate) async fn plan(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<PlanResponse> {
    let job = job_of(&state, &tenant, &id)?;
    Ok(Json(plan_response(&job.view.graph.plan(job.view.job, &job.view.name))?))
}

/// `GET /jobs/:id/config`.
pub(crate) async fn config(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<JobConfig> {
    let job = job_of(&state, &tenant, &id)?;
    let submission = &job.record.submission;
    let mut user_config = submission.settings.clone();
    if !submission.args.is_empty() {
        user_config.insert("program-args".to_owned(), submission.args.join(" "));
    }
    let execution_config = ExecutionConfig {
        restart_strategy: job.view.restart_strategy.to_string(),
        job_parallelism: submission.default_parallelism,
        object_reuse_mode: true,
        user_config,
    };
    let program_args_list = submission.args.clone();
    let (jid, name) = (submission.id.to_string(), submission.name.clone());
    Ok(Json(JobConfig { jid, name, execution_config, program_args_list }))
}

/// `GET /jobs/:id/exceptions`.
pub(crate) async fn exceptions(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
    Query(query): Query<ExceptionsQuery>,
) -> Answer<JobExceptions> {
    let max = query.max_exceptions.map_or(Ok(usize::MAX), |text| query_parameter("maxExceptions", &text))?;
    // Flink's filter: `KEY:VALUE,…`; failures have no labels here, so that one that asks for any passes none.
    let labels = query.failure_label_filter.unwrap_or_default();
    let asks_for_labels = labels.split(',').any(|label| !label.trim().is_empty());
    let job = job_of(&state, &tenant, &id)?;
    let history = &job.view.exceptions;
    let all = history.entries.iter().filter(|_| !asks_for_labels);
    let truncated = history.truncated || all.clone().count() > max;
    let entries = all.take(max).map(exception).collect();
    Ok(Json(JobExceptions { exception_history: ExceptionHistory { entries, truncated } }))
}

/// Which failures to show.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExceptionsQuery {
    max_exceptions: Option<String>,
    failure_label_filter: Option<String>,
}

fn exception(entry: &Exception) -> ExceptionEntry {
    ExceptionEntry {
        exception_name: entry.failure.kind.code().to_owned(),
        stacktrace: entry.failure.to_string(),
        timestamp: millis(entry.at),
        failure_labels: BTreeMap::new(),
        task_name: entry.execution_name(),
        endpoint: entry.task_manager.as_ref().map(ToString::to_string),
        task_manager_id: entry.task_manager.as_ref().map(ToString::to_string),
        concurrent_exceptions: entry.concurrent.iter().map(exception).collect(),
    }
}

/// How to end a job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct CancelQuery {
    mode: Option<String>,
}

/// `PATCH /jobs/:id?mode=cancel`.
pub(crate) async fn cancel(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Query(query): Query<CancelQuery>,
) -> Result<(StatusCode, Json<Empty>), RestError> {
    let job: JobId = path_parameter("jobid", &id)?;
    match query.mode.as_deref().unwrap_or("cancel") {
        "cancel" => state.dispatcher.cancel(&tenant, job).await?,
        "stop" => {
            return Err(RestError::bad_request(
                "The termination mode \"stop\" has been removed from Flink too: use mode=cancel",
            ));
        }
        other => return Err(cannot_resolve("query", "mode", other)),
    }
    Ok((StatusCode::ACCEPTED, Json(Empty {})))
}

/// `GET /jobs/:id/yarn-cancel`, as tools ask that can only fetch.
pub(crate) async fn cancel_by_get(
    state: State<RestState>,
    tenant: Tenant,
    id: Path<String>,
) -> Result<(StatusCode, Json<Empty>), RestError> {
    cancel(state, tenant, id, Query(CancelQuery::default())).await
}
