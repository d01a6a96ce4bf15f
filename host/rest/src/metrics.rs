//! Metrics of processes, jobs and tasks: the `metrics` paths.
//!
//! As in Flink, without `get` the names are listed, and with it the values of those of the named metrics that exist. Over
//! several tasks, jobs or TaskManagers, `agg` says which statistics.

pub(crate) mod aggregate;
pub(crate) mod job;
pub(crate) mod task;
pub(crate) mod value;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_job_core::VertexView;
use millrace_jobmanager::{ClusterFigures, JobInfo};
use millrace_rest_api::Metric;
use millrace_types::{AttemptId, JobId, TaskManagerId};
use serde::Deserialize;

use crate::error::RestError;
use crate::jobs::job_of;
use crate::path::{cannot_resolve, path_parameter, query_parameter};
use crate::server::{RestState, now};
use crate::tenant::Tenant;
use aggregate::{Aggregated, aggregated, statistics};
use job::job_metrics;
use task::Subject;
use value::{Metrics, Value, of_process, scope_name, select};

type Answer<T> = Result<Json<T>, RestError>;

/// Which metrics are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsQuery {
    /// Names, separated by commas.
    get: Option<String>,
}

/// Which metrics are wanted over several of what has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AggregatedQuery {
    /// Names, separated by commas.
    get: Option<String>,
    /// Statistics, separated by commas.
    agg: Option<String>,
    /// Of these jobs alone.
    jobs: Option<String>,
    /// Of these TaskManagers alone.
    taskmanagers: Option<String>,
    /// Of these subtasks alone: `0,2-4`.
    subtasks: Option<String>,
}

impl AggregatedQuery {
    fn answer(&self, of: &[Metrics]) -> Answer<Aggregated> {
        let statistics = statistics(self.agg.as_deref())?;
        Ok(Json(aggregated(of, self.get.as_deref(), &statistics)))
    }

    /// Whether a subtask is meant.
    fn subtasks(&self) -> Result<impl Fn(u32) -> bool + use<>, RestError> {
        let ranges = self.subtasks.as_deref().map(|text| text.split(',').map(range).collect::<Result<Vec<_>, _>>());
        let ranges = ranges.transpose()?;
        Ok(move |subtask| ranges.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&subtask))))
    }
}

/// A number, or two with a dash between them.
fn range(text: &str) -> Result<RangeInclusive<u32>, RestError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| cannot_resolve("query", "subtasks", text));
    let (first, last) = (number(first)?, number(last)?);
    if first > last { Err(cannot_resolve("query", "subtasks", text)) } else { Ok(first..=last) }
}

/// `GET /jobmanager/metrics`.
pub(crate) async fn job_manager(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Query(query): Query<MetricsQuery>,
) -> Json<Vec<Metric>> {
    Json(select(&of_process(&state.dispatcher.metrics(&tenant)), query.get.as_deref()))
}

/// `GET /taskmanagers/:id/metrics`.
pub(crate) async fn task_manager(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(id): Path<String>,
    Query(query): Query<MetricsQuery>,
) -> Answer<Vec<Metric>> {
    let found = state.dispatcher.task_manager(&TaskManagerId(id))?;
    Ok(Json(select(&of_process(&found.metrics), query.get.as_deref())))
}

/// `GET /taskmanagers/metrics`.
pub(crate) async fn task_managers(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Query(query): Query<AggregatedQuery>,
) -> Answer<Aggregated> {
    let wanted: Option<BTreeSet<&str>> = query.taskmanagers.as_deref().map(|ids| ids.split(',').collect());
    let found = state.dispatcher.task_managers();
    let found = found.iter().filter(|found| match &wanted {
        Some(wanted) => wanted.contains(found.registration.id.0.as_str()),
        None => true,
    });
    let metrics: Vec<Metrics> = found.map(|found| of_process(&found.metrics)).collect();
    query.answer(&metrics)
}

/// `GET /jobs/metrics`.
pub(crate) async fn jobs(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Query(query): Query<AggregatedQuery>,
) -> Answer<Aggregated> {
    let ids = query.jobs.as_deref().map(|ids| ids.split(',').map(|id| query_parameter::<JobId>("jobs", id)).collect());
    let wanted: Option<BTreeSet<JobId>> = ids.transpose()?;
    let (now, jobs) = (now(), state.dispatcher.jobs(&tenant));
    let jobs = jobs.iter().filter(|job| wanted.as_ref().is_none_or(|wanted| wanted.contains(&job.view.job)));
    let metrics: Vec<Metrics> = jobs.map(|job| job_metrics(&job.view, now)).collect();
    query.answer(&metrics)
}

/// `GET /jobs/:id/metrics`.
pub(crate) async fn job(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
    Query(query): Query<MetricsQuery>,
) -> Answer<Vec<Metric>> {
    let job = job_of(&state, &tenant, &id)?;
    Ok(Json(select(&job_metrics(&job.view, now()), query.get.as_deref())))
}

/// What a vertex's metrics are made of.
pub(crate) struct Tasks<'a> {
    job: &'a JobInfo,
    figures: &'a ClusterFigures,
    vertex: usize,
    tasks: &'a VertexView,
}

impl<'a> Tasks<'a> {
    pub(crate) fn new(job: &'a JobInfo, figures: &'a ClusterFigures, vertex: usize) -> Option<Self> {
        let tasks = job.view.vertices.get(vertex)?.as_ref();
        job.view.graph.vertices.get(vertex).map(|_| Self { job, figures, vertex, tasks })
    }

    /// The subtasks, in order.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Subject<'a>> {
        let (graph, vertex, figures) = (&*self.job.view.graph, self.vertex, self.figures);
        let (job, id) = (self.job.view.job, graph.vertices[vertex].id);
        self.tasks.subtasks.iter().zip(0..).map(move |(subtask, index)| {
            let attempt = AttemptId { job, vertex: id, subtask: index, attempt: subtask.attempt };
            // What was told just before the end is no longer so.
            let detail = figures.task(attempt).filter(|_| !subtask.state.is_terminal());
            Subject { graph, vertex, subtask, attempt, detail }
        })
    }
}

/// The vertex of a path, as an index.
pub(crate) fn vertex_index(job: &JobInfo, id: &str) -> Result<usize, RestError> {
    let id = path_parameter("vertexid", id)?;
    let found = job.view.graph.vertex_index(id).filter(|index| *index < job.view.vertices.len());
    found.ok_or_else(|| RestError::not_found(format!("JobVertex {id} not found")))
}

/// `GET /jobs/:id/vertices/:vertex/metrics`: the subtask's number stands in front of each name.
pub(crate) async fn vertex(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
    Query(query): Query<MetricsQuery>,
) -> Answer<Vec<Metric>> {
    let job = job_of(&state, &tenant, &id)?;
    let (index, figures) = (vertex_index(&job, &vertex)?, state.dispatcher.cluster_figures().await);
    let mut metrics = Metrics::new();
    for subject in Tasks::new(&job, &figures, index).iter().flat_map(Tasks::subjects) {
        let subtask = subject.attempt.subtask;
        metrics.extend(subject.all_metrics().into_iter().map(|(name, value)| (format!("{subtask}.{name}"), value)));
    }
    Ok(Json(select(&metrics, query.get.as_deref())))
}

/// `GET /jobs/:id/vertices/:vertex/subtasks/metrics`.
pub(crate) async fn subtasks(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
    Query(query): Query<AggregatedQuery>,
) -> Answer<Aggregated> {
    let job = job_of(&state, &tenant, &id)?;
    let (index, is_meant) = (vertex_index(&job, &vertex)?, query.subtasks()?);
    let figures = state.dispatcher.cluster_figures().await;
    let subjects = Tasks::new(&job, &figures, index);
    let subjects = subjects.iter().flat_map(Tasks::subjects).filter(|subject| is_meant(subject.attempt.subtask));
    query.answer(&subjects.map(|subject| subject.all_metrics()).collect::<Vec<_>>())
}

/// `GET /jobs/:id/vertices/:vertex/subtasks/:index/metrics`.
pub(crate) async fn subtask(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex, index)): Path<(String, String, String)>,
    Query(query): Query<MetricsQuery>,
) -> Answer<Vec<Metric>> {
    let job = job_of(&state, &tenant, &id)?;
    let vertex = vertex_index(&job, &vertex)?;
    let index: u32 = path_parameter("subtaskindex", &index)?;
    let figures = state.dispatcher.cluster_figures().await;
    let found = Tasks::new(&job, &figures, vertex).and_then(|tasks| tasks.subjects().nth(index as usize));
    let found = found.ok_or_else(|| RestError::not_found(format!("Invalid subtask index for vertex: {index}")))?;
    Ok(Json(select(&found.all_metrics(), query.get.as_deref())))
}

/// `GET /jobs/:id/vertices/:vertex/watermarks`: of each subtask's input; a source has none.
pub(crate) async fn watermarks(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer<Vec<Metric>> {
    const NAME: &str = "currentInputWatermark";
    let job = job_of(&state, &tenant, &id)?;
    let (index, figures) = (vertex_index(&job, &vertex)?, state.dispatcher.cluster_figures().await);
    let subjects = Tasks::new(&job, &figures, index);
    let watermark = |subject: Subject<'_>| {
        let value = subject.task_metrics().get(NAME).map(Value::text)?;
        Some(Metric { id: format!("{}.{NAME}", subject.attempt.subtask), value: Some(value) })
    };
    Ok(Json(subjects.iter().flat_map(Tasks::subjects).filter_map(watermark).collect()))
}

/// `GET /jobs/:id/vertices/:vertex/jm-operator-metrics`: what the JobManager has of a vertex's sources.
pub(crate) async fn coordinators(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
    Query(query): Query<MetricsQuery>,
) -> Answer<Vec<Metric>> {
    let job = job_of(&state, &tenant, &id)?;
    let index = vertex_index(&job, &vertex)?;
    let vertex = &job.view.graph.vertices[index];
    let sources = vertex.nodes.iter().filter_map(|(node, _)| job.view.splits.get(node));
    let scope = scope_name(&vertex.name);
    let metrics = sources.map(|splits| {
        (format!("{scope}.coordinator.enumerator.unassignedSplits"), Value::count(u64::from(splits.waiting)))
    });
    Ok(Json(select(&metrics.collect(), query.get.as_deref())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn subtasks_are_named_by_numbers_and_ranges() {
        let query = |subtasks: &str| AggregatedQuery {
            get: None,
            agg: None,
            jobs: None,
            taskmanagers: None,
            subtasks: Some(subtasks.to_owned()),
        };
        let is_meant = query("0,2-4").subtasks().unwrap();
        assert_eq!((0..6).filter(|subtask| is_meant(*subtask)).collect::<Vec<_>>(), [0, 2, 3, 4]);
        for wrong in ["a", "4-2", "", "-1", "1-"] {
            assert!(query(wrong).subtasks().is_err(), "{wrong}");
        }
    }
}
