//! `/jobs/:id/resource-requirements` and `/jobs/:id/rescales`: the parallelism of jobs of the adaptive scheduler.
//!
//! Flink answers 500 to those who ask for a job of the default scheduler's requirements; here that is a conflict. Its
//! history of rescales is then one that does not exist, as in Flink.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use millrace_job_core::{Figures, RESCALES_MAX, Rescale, RescaleEnd, RescaleHistory};
use millrace_jobmanager::JobInfo;
use millrace_rest_api::{
    Empty, LatestRescales, ParallelismRange, RescaleConfig, RescaleCounts, RescaleDetails, RescalesOverview,
    RescalesSummary, ResourceRequirements, Spread, VertexRequirements,
};
use millrace_types::{JobId, VertexId};

use crate::body::Body;
use crate::checkpoints::spread;
use crate::error::RestError;
use crate::jobs::job_of;
use crate::path::path_parameter;
use crate::rescale_figures::{details, number_of, terminal_state};
use crate::server::RestState;
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// How many intervals of its checkpoints a job waits for one where it does not say how long.
const CHECKPOINTS_AWAITED: u64 = 3;

/// `GET /jobs/:id/resource-requirements`.
pub(crate) async fn requirements(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<ResourceRequirements> {
    let job = job_of(&state, &tenant, &id)?;
    state.dispatcher.adaptive_options(&job)?;
    let view = &job.view;
    let (desired, least) = (view.desired_parallelism.as_deref(), view.least_parallelism.as_deref());
    let of = |numbers: Option<&[u32]>, at: usize, otherwise: u32| {
        i64::from(numbers.and_then(|numbers| numbers.get(at).copied()).unwrap_or(otherwise))
    };
    let vertices = view.graph.vertices.iter().enumerate().map(|(at, vertex)| {
        let (lower_bound, upper_bound) = (of(least, at, 1), of(desired, at, vertex.parallelism));
        (vertex.id.to_string(), VertexRequirements { parallelism: ParallelismRange { lower_bound, upper_bound } })
    });
    Ok(Json(vertices.collect()))
}

/// `PUT /jobs/:id/resource-requirements`.
pub(crate) async fn require(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Body(stated): Body<ResourceRequirements>,
) -> Answer<Empty> {
    let job: JobId = path_parameter("jobid", &id)?;
    let mut bounds = BTreeMap::<VertexId, (i64, i64)>::new();
    for (vertex, wanted) in &stated {
        let range = wanted.parallelism;
        bounds.insert(path_parameter("jobvertexid", vertex)?, (range.lower_bound, range.upper_bound));
    }
    state.dispatcher.require_parallelism(&tenant, job, &bounds).await?;
    Ok(Json(Empty {}))
}

/// A job that has a history of rescales.
fn adaptive_job(state: &RestState, tenant: &Tenant, id: &str) -> Result<JobInfo, RestError> {
    let job = job_of(state, tenant, id)?;
    if job.view.desired_parallelism.is_none() {
        return Err(RestError::not_found(format!(
            "The job `{id}` has not enabled the `Adaptive` scheduler (jobmanager.scheduler): it is never rescaled."
        )));
    }
    Ok(job)
}

/// `GET /jobs/:id/rescales/config`.
pub(crate) async fn config(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<RescaleConfig> {
    let job = adaptive_job(&state, &tenant, &id)?;
    let options = state.dispatcher.adaptive_options(&job)?;
    let interval_ms = job.view.checkpoints.options.interval_ms.unwrap_or(0);
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Ok(Json(RescaleConfig {
        rescale_history_max: u32::try_from(RESCALES_MAX).unwrap_or(u32::MAX),
        scheduler_execution_mode: None,
        submission_resource_wait_timeout_in_millis: options.wait_timeout_ms.map_or(-1, signed),
        submission_resource_stabilization_timeout_in_millis: options.stabilization_ms,
        slot_idle_timeout_in_millis: None,
        executing_cooldown_timeout_in_millis: options.cooldown_ms,
        executing_resource_stabilization_timeout_in_millis: options.executing_stabilization_ms,
        maximum_delay_for_triggering_rescale_in_millis: options
            .max_delay_ms
            .unwrap_or_else(|| interval_ms.saturating_mul(CHECKPOINTS_AWAITED)),
        rescale_on_failed_checkpoint_count: None,
    }))
}

fn counts(history: &RescaleHistory) -> RescaleCounts {
    RescaleCounts {
        ignored: history.ignored,
        in_progress: u64::from(history.in_progress().is_some()),
        completed: history.completed,
        failed: history.failed,
    }
}

/// `GET /jobs/:id/rescales/overview`.
pub(crate) async fn overview(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<RescalesOverview> {
    let job = adaptive_job(&state, &tenant, &id)?;
    let history = &job.view.rescales;
    let latest = |wanted: &str| {
        let ended = |rescale: &&Rescale| rescale.ended.is_some_and(|(_, end)| terminal_state(end) == wanted);
        history.entries.iter().find(ended).map(|rescale| details(&job, rescale, false))
    };
    let latest =
        LatestRescales { completed: latest("COMPLETED"), failed: latest("FAILED"), ignored: latest("IGNORED") };
    Ok(Json(RescalesOverview { rescales_counts: counts(history), latest }))
}

/// `GET /jobs/:id/rescales/history`.
pub(crate) async fn history(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<Vec<RescaleDetails>> {
    let job = adaptive_job(&state, &tenant, &id)?;
    Ok(Json(job.view.rescales.entries.iter().map(|rescale| details(&job, rescale, false)).collect()))
}

/// `GET /jobs/:id/rescales/details/:rescale`.
pub(crate) async fn one(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, rescale)): Path<(String, String)>,
) -> Answer<RescaleDetails> {
    let job = adaptive_job(&state, &tenant, &id)?;
    let number = number_of(&job, &rescale)?;
    let found = number.and_then(|number| job.view.rescales.rescale(number));
    let found =
        found.ok_or_else(|| RestError::not_found(format!("Could not find rescale statistics for {rescale}.")))?;
    Ok(Json(details(&job, found, true)))
}

/// `GET /jobs/:id/rescales/summary`.
pub(crate) async fn summary(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<RescalesSummary> {
    let job = adaptive_job(&state, &tenant, &id)?;
    let history = &job.view.rescales;
    let durations = |wanted: fn(RescaleEnd) -> bool| -> Spread {
        let ended = history.entries.iter().filter_map(|rescale| Some((rescale.started_at, rescale.ended?)));
        let mut figures = Figures::default();
        for (started, (ended, _)) in ended.filter(|(_, (_, end))| wanted(*end)) {
            figures.add(ended.since_ms(started));
        }
        spread(&figures)
    };
    Ok(Json(RescalesSummary {
        rescales_counts: counts(history),
        rescales_duration_stats_in_millis: durations(|_| true),
        completed_rescales_duration_stats_in_millis: durations(|end| terminal_state(end) == "COMPLETED"),
        ignored_rescales_duration_stats_in_millis: durations(|end| terminal_state(end) == "IGNORED"),
        failed_rescales_duration_stats_in_millis: durations(|end| terminal_state(end) == "FAILED"),
    }))
}
