//! `/jobs/:id/checkpoints`: statistics, settings, one checkpoint, one vertex's part of it.

use axum::Json;
use axum::extract::{Path, State};
use millrace_job_core::{CheckpointMode, CheckpointView, Figures, Retention, VertexFigures};
use millrace_rest_api::{
    CheckpointConfig, CheckpointCounts, CheckpointEntry, CheckpointStatistics, CheckpointsSummary, Externalization,
    LatestCheckpoints, Quantile, RestoredCheckpoint, Spread, VertexCheckpointDetails,
};
use millrace_types::{CheckpointId, StateBackendKind, VertexId};

use crate::checkpoint_figures::{entry, part_of, subtask_of, subtasks_summary};
use crate::error::RestError;
use crate::figures::millis;
use crate::jobs::job_of;
use crate::path::path_parameter;
use crate::server::{RestState, now};
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// Flink's interval of a job that takes no checkpoints by itself.
const NEVER: i64 = i64::MAX;

/// `GET /jobs/:id/checkpoints`.
pub(crate) async fn statistics(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<CheckpointStatistics> {
    let job = job_of(&state, &tenant, &id)?;
    let (view, now) = (&job.view.checkpoints, now());
    let (counts, summary) = (view.counts, &view.summary);
    let latest = |found: &Option<std::sync::Arc<CheckpointView>>| found.as_ref().map(|found| entry(found, now, false));
    Ok(Json(CheckpointStatistics {
        counts: CheckpointCounts {
            restored: counts.restored,
            total: counts.total,
            in_progress: counts.in_progress,
            completed: counts.completed,
            failed: counts.failed,
        },
        summary: CheckpointsSummary {
            checkpointed_size: spread(&summary.checkpointed_bytes),
            state_size: spread(&summary.state_bytes),
            end_to_end_duration: spread(&summary.duration_ms),
            alignment_buffered: zeros(),
            processed_data: spread(&summary.processed_bytes),
            persisted_data: spread(&summary.persisted_bytes),
        },
        latest: LatestCheckpoints {
            completed: latest(&view.latest_completed),
            savepoint: latest(&view.latest_savepoint),
            failed: latest(&view.latest_failed),
            restored: view.latest_restored.as_ref().map(|restored| RestoredCheckpoint {
                id: restored.id.0,
                restore_timestamp: millis(restored.at),
                is_savepoint: restored.kind.is_savepoint(),
                external_path: Some(restored.location.to_string()),
            }),
        },
        history: view.history.iter().map(|found| entry(found, now, false)).collect(),
    }))
}

/// `GET /jobs/:id/checkpoints/config`.
pub(crate) async fn config(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<CheckpointConfig> {
    let job = job_of(&state, &tenant, &id)?;
    let options = &job.view.checkpoints.options;
    let mode = match options.mode {
        CheckpointMode::ExactlyOnce => "exactly_once",
        CheckpointMode::AtLeastOnce => "at_least_once",
    };
    let state_backend = match state.dispatcher.state_backend(&job) {
        StateBackendKind::Hashmap => "HashMapStateBackend",
        StateBackendKind::Redb => "RedbStateBackend",
    };
    Ok(Json(CheckpointConfig {
        mode: mode.to_owned(),
        interval: options.interval_ms.map_or(NEVER, |ms| i64::try_from(ms).unwrap_or(NEVER)),
        timeout: options.timeout_ms,
        min_pause: options.min_pause_ms,
        max_concurrent: options.max_concurrent,
        externalization: Externalization {
            enabled: options.retention != Retention::NoExternalized,
            delete_on_cancellation: options.retention != Retention::RetainOnCancellation,
        },
        state_backend: state_backend.to_owned(),
        checkpoint_storage: "FileSystemCheckpointStorage".to_owned(),
        unaligned_checkpoints: options.unaligned,
        tolerable_failed_checkpoints: options.tolerable_failures,
        aligned_checkpoint_timeout: options.aligned_timeout_ms,
        checkpoints_after_tasks_finish: options.after_tasks_finish,
        state_changelog_enabled: true,
        changelog_periodic_materialization_interval: 0,
        changelog_storage: "filesystem".to_owned(),
    }))
}

/// `GET /jobs/:id/checkpoints/details/:checkpoint`.
pub(crate) async fn details(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, checkpoint)): Path<(String, String)>,
) -> Answer<CheckpointEntry> {
    let job = job_of(&state, &tenant, &id)?;
    Ok(Json(entry(found(&job, &checkpoint)?, now(), true)))
}

/// `GET /jobs/:id/checkpoints/details/:checkpoint/subtasks/:vertex`.
pub(crate) async fn subtasks(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, checkpoint, vertex)): Path<(String, String, String)>,
) -> Answer<VertexCheckpointDetails> {
    let job = job_of(&state, &tenant, &id)?;
    let view = found(&job, &checkpoint)?;
    let vertex: VertexId = path_parameter("vertexid", &vertex)?;
    let missing = || {
        RestError::not_found(format!("There is no checkpoint statistics for task {vertex} in checkpoint {}.", view.id))
    };
    let part: &VertexFigures = view.vertices.get(&vertex).ok_or_else(missing)?;
    Ok(Json(VertexCheckpointDetails {
        vertex: part_of(view, part),
        summary: subtasks_summary(view, part),
        subtasks: (0..part.parallelism).map(|index| subtask_of(view, part, index)).collect(),
    }))
}

fn found<'a>(job: &'a millrace_jobmanager::JobInfo, id: &str) -> Result<&'a CheckpointView, RestError> {
    let id: u64 = path_parameter("checkpointid", id)?;
    let found = job.view.checkpoints.checkpoint(CheckpointId(id));
    found
        .map(|view| &**view)
        .ok_or_else(|| RestError::not_found(format!("Could not find checkpoint statistics for checkpoint {id}.")))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn spread(figures: &Figures) -> Spread {
    let quantile = |percent: f64| match figures.percentile(percent) {
        Some(number) => Quantile::Number(number),
        None => Quantile::Text("NaN".to_owned()),
    };
    Spread {
        min: signed(figures.min()),
        max: signed(figures.max()),
        avg: signed(figures.average()),
        p50: quantile(50.0),
        p90: quantile(90.0),
        p95: quantile(95.0),
        p99: quantile(99.0),
        p999: quantile(99.9),
    }
}

/// Of a figure that is always 0.
pub(crate) fn zeros() -> Spread {
    let zero = || Quantile::Number(0.0);
    Spread { min: 0, max: 0, avg: 0, p50: zero(), p90: zero(), p95: zero(), p99: zero(), p999: zero() }
}
