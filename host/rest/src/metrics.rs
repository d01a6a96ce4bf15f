//! Metrics of processes: `/jobmanager/metrics` and `/taskmanagers/:id/metrics`.
//!
//! As in Flink, without `get` the names are listed, and with it the values of those of the named metrics that exist.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_rest_api::Metric;
use millrace_types::TaskManagerId;
use serde::Deserialize;

use crate::error::RestError;
use crate::server::RestState;
use crate::tenant::Tenant;

/// Which metrics are wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsQuery {
    /// Names, separated by commas.
    get: Option<String>,
}

/// `GET /jobmanager/metrics`.
pub(crate) async fn job_manager(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Query(query): Query<MetricsQuery>,
) -> Json<Vec<Metric>> {
    Json(select(&state.dispatcher.metrics(&tenant), &query))
}

/// `GET /taskmanagers/:id/metrics`.
pub(crate) async fn task_manager(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(id): Path<String>,
    Query(query): Query<MetricsQuery>,
) -> Result<Json<Vec<Metric>>, RestError> {
    let found = state.dispatcher.task_manager(&TaskManagerId(id))?;
    Ok(Json(select(&found.metrics, &query)))
}

fn select(metrics: &BTreeMap<String, u64>, query: &MetricsQuery) -> Vec<Metric> {
    let Some(names) = &query.get else {
        return metrics.keys().map(|id| Metric { id: id.clone(), value: None }).collect();
    };
    let value = |id: &str| metrics.get(id).map(|value| Metric { id: id.to_owned(), value: Some(value.to_string()) });
    names.split(',').filter_map(value).collect()
}
