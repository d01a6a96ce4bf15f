//! `/jobs/:id/vertices/:vertex/backpressure`, by Flink's rules.

use axum::Json;
use axum::extract::{Path, State};
use millrace_jobmanager::time_share;
use millrace_protocol::{TaskCounter, TaskDetail};
use millrace_rest_api::{SubtaskBackpressure, VertexBackpressure};

use crate::error::RestError;
use crate::figures::millis;
use crate::jobs::job_of;
use crate::metrics::{Tasks, vertex_index};
use crate::server::RestState;
use crate::tenant::Tenant;

/// Up to this share of its time a task is not held up, and up to the next one a little.
const OK_MAX: f64 = 0.1;
const LOW_MAX: f64 = 0.5;

fn level(ratio: f64) -> &'static str {
    match ratio {
        ratio if ratio <= OK_MAX => "ok",
        ratio if ratio <= LOW_MAX => "low",
        _ => "high",
    }
}

/// To a thousandth, as Flink's milliseconds in a second give it.
fn rounded(share: f64) -> f64 {
    (share * 1_000.0).round() / 1_000.0
}

fn of_subtask(subtask: u32, detail: &TaskDetail) -> SubtaskBackpressure {
    let share = |of| rounded(time_share(detail, of));
    let ratio = share(TaskCounter::BackpressuredMs);
    SubtaskBackpressure {
        subtask,
        level: level(ratio).to_owned(),
        ratio,
        idle_ratio: share(TaskCounter::IdleMs),
        busy_ratio: share(TaskCounter::BusyMs),
        level_again: level(ratio).to_owned(),
    }
}

/// The answer for subtasks that run; there may be none.
fn of_vertex(subtasks: Vec<SubtaskBackpressure>, end_timestamp: i64) -> VertexBackpressure {
    if subtasks.is_empty() {
        let status = "deprecated".to_owned();
        return VertexBackpressure { status, level: None, end_timestamp: None, subtasks: None, level_again: None };
    }
    let worst = subtasks.iter().map(|subtask| subtask.ratio).fold(0.0, f64::max);
    VertexBackpressure {
        status: "ok".to_owned(),
        level: Some(level(worst).to_owned()),
        end_timestamp: Some(end_timestamp),
        subtasks: Some(subtasks),
        level_again: Some(level(worst).to_owned()),
    }
}

/// `GET /jobs/:id/vertices/:vertex/backpressure`.
pub(crate) async fn backpressure(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
) -> Result<Json<VertexBackpressure>, RestError> {
    let job = job_of(&state, &tenant, &id)?;
    let (index, figures) = (vertex_index(&job, &vertex)?, state.dispatcher.cluster_figures().await);
    let tasks = Tasks::new(&job, &figures, index);
    let subjects = tasks.iter().flat_map(Tasks::subjects);
    let subtasks = subjects.filter_map(|subject| Some(of_subtask(subject.attempt.subtask, subject.detail?)));
    Ok(Json(of_vertex(subtasks.collect(), millis(figures.at))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_flinks() {
        assert_eq!([0.0, 0.1, 0.101, 0.5, 0.501, 1.0].map(level), ["ok", "ok", "low", "low", "high", "high"]);
    }

    #[test]
    fn the_worst_subtask_decides() {
        let subtask = |subtask, ratio: f64| SubtaskBackpressure {
            subtask,
            level: level(ratio).to_owned(),
            ratio,
            idle_ratio: 0.0,
            busy_ratio: 1.0 - ratio,
            level_again: level(ratio).to_owned(),
        };
        assert_eq!(of_vertex(vec![subtask(0, 0.05), subtask(1, 0.6)], 7).level.as_deref(), Some("high"));
        assert_eq!(of_vertex(Vec::new(), 7).status, "deprecated");
    }
}
