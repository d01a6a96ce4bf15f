//! `/jobs/:id/results` and `/jobs/:id/log`: Millrace's own.

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_rest_api::{CollectedResults, JobLog};
use millrace_types::{JobId, VertexId};
use serde::Deserialize;

use crate::error::RestError;
use crate::path::{path_parameter, query_parameter};
use crate::server::RestState;
use crate::tenant::Tenant;

/// What to fetch.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ResultsQuery {
    from: Option<String>,
    wait_ms: Option<String>,
}

/// `GET /jobs/:id/results?from=N&wait-ms=M`.
pub(crate) async fn results(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Query(query): Query<ResultsQuery>,
) -> Result<Json<CollectedResults>, RestError> {
    let job: JobId = path_parameter("jobid", &id)?;
    let number = |name, text: Option<String>| text.map_or(Ok(0), |text| query_parameter::<u64>(name, &text));
    let (from, wait_ms) = (number("from", query.from)?, number("wait-ms", query.wait_ms)?);
    let found = state.dispatcher.results(&tenant, job, from, wait_ms).await?;
    let rows = found.rows.iter().map(|row| String::from_utf8_lossy(row).into_owned()).collect();
    Ok(Json(CollectedResults { rows, next: found.next, end: found.end }))
}

/// Whose lines to fetch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LogQuery {
    vertex: Option<String>,
    subtask: Option<String>,
}

/// `GET /jobs/:id/log?vertex=V&subtask=N`.
pub(crate) async fn log(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<Json<JobLog>, RestError> {
    let job: JobId = path_parameter("jobid", &id)?;
    let vertex: Option<VertexId> = query.vertex.map(|text| query_parameter("vertex", &text)).transpose()?;
    let subtask: Option<u32> = query.subtask.map(|text| query_parameter("subtask", &text)).transpose()?;
    Ok(Json(JobLog { log: state.dispatcher.task_log(&tenant, job, vertex, subtask).await? }))
}
