//! `/jobs/:id/vertices`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use millrace_graph::JobVertex;
use millrace_job_core::{SubtaskView, VertexView};
use millrace_jobmanager::JobInfo;
use millrace_rest_api::{
    SubtaskAttempts, SubtaskDetails, SubtaskTimes, VertexDetails, VertexSubtaskTimes, VertexTaskManager,
    VertexTaskManagers,
};
use millrace_types::{ExecutionState, TaskManagerId, Timestamp, VertexId};

use crate::error::RestError;
use crate::figures::{aggregated, duration, endpoint, io_figures, is_complete, millis, time_or_minus_one};
use crate::jobs::job_of;
use crate::path::path_parameter;
use crate::server::{RestState, now};
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// A vertex of the path.
fn vertex_of<'a>(job: &'a JobInfo, id: &str) -> Result<(&'a JobVertex, &'a VertexView), RestError> {
    let id: VertexId = path_parameter("vertexid", id)?;
    let index = job.view.graph.vertex_index(id);
    let found = index.and_then(|index| Some((job.view.graph.vertices.get(index)?, &**job.view.vertices.get(index)?)));
    found.ok_or_else(|| RestError::not_found(format!("JobVertex {id} not found")))
}

/// `GET /jobs/:id/vertices/:vertex`.
pub(crate) async fn details(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer<VertexDetails> {
    let job = job_of(&state, &tenant, &id)?;
    let (vertex, tasks) = vertex_of(&job, &vertex)?;
    let now = now();
    let subtasks = tasks.subtasks.iter().zip(0..);
    Ok(Json(VertexDetails {
        id: vertex.id.to_string(),
        name: vertex.name.clone(),
        parallelism: vertex.parallelism,
        max_parallelism: vertex.max_parallelism,
        now: millis(now),
        subtasks: subtasks.map(|(subtask, index)| subtask_details(subtask, index, now)).collect(),
        aggregated: aggregated(&tasks.subtasks, now),
    }))
}

fn subtask_details(subtask: &SubtaskView, index: u32, now: Timestamp) -> SubtaskDetails {
    let (start, end) = (subtask.started_at(), subtask.ended_at());
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    let durations = subtask.state_durations_ms(now).into_iter().map(|(state, ms)| (state, signed(ms)));
    let complete = subtask.state == ExecutionState::Running || subtask.state.is_terminal();
    SubtaskDetails {
        subtask: index,
        status: subtask.state,
        attempt: subtask.attempt,
        endpoint: endpoint(subtask.task_manager.as_ref()),
        start_time: time_or_minus_one(start),
        end_time: time_or_minus_one(end),
        duration: duration(start, end, now),
        metrics: io_figures(&subtask.figures, complete),
        taskmanager_id: endpoint(subtask.task_manager.as_ref()),
        status_duration: durations.collect(),
        start_time_again: time_or_minus_one(start),
    }
}

/// `GET /jobs/:id/vertices/:vertex/subtasks/:index`.
pub(crate) async fn subtask(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex, index)): Path<(String, String, String)>,
) -> Answer<SubtaskDetails> {
    let job = job_of(&state, &tenant, &id)?;
    let (_, tasks) = vertex_of(&job, &vertex)?;
    let (index, found) = subtask_of(tasks, &index)?;
    Ok(Json(subtask_details(found, index, now())))
}

fn subtask_of<'a>(tasks: &'a VertexView, index: &str) -> Result<(u32, &'a SubtaskView), RestError> {
    let index: u32 = path_parameter("subtaskindex", index)?;
    let found = tasks.subtasks.get(index as usize);
    let found = found.ok_or_else(|| RestError::not_found(format!("Invalid subtask index for vertex: {index}")))?;
    Ok((index, found))
}

/// `GET /jobs/:id/vertices/:vertex/subtasks/:index/attempts/:attempt`.
pub(crate) async fn attempt(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex, index, attempt)): Path<(String, String, String, String)>,
) -> Answer<SubtaskDetails> {
    let job = job_of(&state, &tenant, &id)?;
    let (_, tasks) = vertex_of(&job, &vertex)?;
    let (index, subtask) = subtask_of(tasks, &index)?;
    let attempt: u32 = path_parameter("attempt", &attempt)?;
    let found = subtask.attempt(attempt).ok_or_else(|| {
        let present = subtask.attempt;
        RestError::not_found(format!(
            "Could not find execution {attempt} of subtask {index}: the present one is {present}"
        ))
    })?;
    Ok(Json(subtask_details(found, index, now())))
}

/// `GET /jobs/:id/vertices/:vertex/subtasks/:index/attempts`.
pub(crate) async fn attempts(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex, index)): Path<(String, String, String)>,
) -> Answer<SubtaskAttempts> {
    let job = job_of(&state, &tenant, &id)?;
    let (_, tasks) = vertex_of(&job, &vertex)?;
    let (index, subtask) = subtask_of(tasks, &index)?;
    let now = now();
    let all = std::iter::once(subtask).chain(subtask.earlier.iter().rev().map(|earlier| &**earlier));
    Ok(Json(SubtaskAttempts { attempts: all.map(|attempt| subtask_details(attempt, index, now)).collect() }))
}

/// `GET /jobs/:id/vertices/:vertex/subtasktimes`.
pub(crate) async fn subtask_times(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer<VertexSubtaskTimes> {
    let job = job_of(&state, &tenant, &id)?;
    let (vertex, tasks) = vertex_of(&job, &vertex)?;
    let now = now();
    let times = |(subtask, index): (&SubtaskView, u32)| {
        let timestamp = |state: &ExecutionState| subtask.timestamps.get(state).copied().map_or(0, millis);
        let first = subtask.timestamps.get(&ExecutionState::Created).copied();
        SubtaskTimes {
            subtask: index,
            endpoint: endpoint(subtask.task_manager.as_ref()),
            duration: duration(first, subtask.ended_at(), now),
            timestamps: ExecutionState::ALL.iter().map(|state| (*state, timestamp(state))).collect(),
        }
    };
    let subtasks = tasks.subtasks.iter().zip(0..).map(times).collect();
    Ok(Json(VertexSubtaskTimes { id: vertex.id.to_string(), name: vertex.name.clone(), now: millis(now), subtasks }))
}

/// `GET /jobs/:id/vertices/:vertex/taskmanagers`.
pub(crate) async fn task_managers(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer<VertexTaskManagers> {
    let job = job_of(&state, &tenant, &id)?;
    let (vertex, tasks) = vertex_of(&job, &vertex)?;
    let now = now();
    let mut by_task_manager = BTreeMap::<Option<TaskManagerId>, Vec<SubtaskView>>::new();
    for subtask in &tasks.subtasks {
        by_task_manager.entry(subtask.task_manager.clone()).or_default().push(subtask.clone());
    }
    let taskmanagers = by_task_manager.into_iter().map(|(id, subtasks)| {
        let part = VertexView { subtasks };
        let (start, end) = (part.started_at(), part.ended_at());
        VertexTaskManager {
            endpoint: endpoint(id.as_ref()),
            status: part.aggregate_state(),
            start_time: time_or_minus_one(start),
            end_time: time_or_minus_one(end),
            duration: duration(start, end, now),
            metrics: io_figures(&part.figures(), is_complete(&part)),
            status_counts: part.task_counts(),
            taskmanager_id: endpoint(id.as_ref()),
            aggregated: aggregated(&part.subtasks, now),
        }
    });
    Ok(Json(VertexTaskManagers {
        id: vertex.id.to_string(),
        name: vertex.name.clone(),
        now: millis(now),
        taskmanagers: taskmanagers.collect(),
    }))
}
