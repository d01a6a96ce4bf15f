//! The accumulators of jobs, vertices and subtasks: there are none, which clients of Flink take as of any job without any.

use axum::Json;
use axum::extract::{Path, State};
use millrace_rest_api::{JobAccumulators, SubtaskAccumulators, SubtasksAccumulators, VertexAccumulators};

use crate::error::RestError;
use crate::figures::endpoint;
use crate::jobs::job_of;
use crate::metrics::vertex_index;
use crate::server::RestState;
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// `GET /jobs/:id/accumulators`.
pub(crate) async fn job(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<JobAccumulators> {
    job_of(&state, &tenant, &id)?;
    Ok(Json(JobAccumulators::default()))
}

/// `GET /jobs/:id/vertices/:vertex/accumulators`.
pub(crate) async fn vertex(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer<VertexAccumulators> {
    let job = job_of(&state, &tenant, &id)?;
    let id = job.view.graph.vertices[vertex_index(&job, &vertex)?].id.to_string();
    Ok(Json(VertexAccumulators { id, user_accumulators: Vec::new() }))
}

/// `GET /jobs/:id/vertices/:vertex/subtasks/accumulators`.
pub(crate) async fn subtasks(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer<SubtasksAccumulators> {
    let job = job_of(&state, &tenant, &id)?;
    let index = vertex_index(&job, &vertex)?;
    let vertex = &job.view.graph.vertices[index];
    let subtasks = job.view.vertices[index].subtasks.iter().zip(0..).map(|(subtask, index)| SubtaskAccumulators {
        subtask: index,
        attempt: subtask.attempt,
        endpoint: endpoint(subtask.task_manager.as_ref()),
        user_accumulators: Vec::new(),
    });
    let (id, parallelism) = (vertex.id.to_string(), vertex.parallelism);
    Ok(Json(SubtasksAccumulators { id, parallelism, subtasks: subtasks.collect() }))
}
