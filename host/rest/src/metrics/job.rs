//! The metrics of a job, in Flink's names.

use millrace_job_core::{CheckpointStatus, CheckpointView, JobView};
use millrace_types::{ExecutionState, JobStatus, Timestamp};

use super::value::{Metrics, Value};
use crate::figures::millis;

/// What Flink says of what was never there.
const NEVER: i64 = -1;

/// All metrics of a job at a time.
pub(crate) fn job_metrics(view: &JobView, now: Timestamp) -> Metrics {
    let mut metrics = Metrics::new();
    let mut put = |name: &str, value: Value| drop(metrics.insert(name.to_owned(), value));
    put("numRestarts", Value::count(u64::from(view.restarts)));
    put("numRescales", Value::count(view.rescales.changed));
    put("uptime", Value::Whole(uptime(view, now)));
    put("downtime", Value::Whole(downtime(view, now)));
    let statuses = [
        ("initializingTime", JobStatus::Initializing),
        ("createdTime", JobStatus::Created),
        ("runningTime", JobStatus::Running),
        ("cancellingTime", JobStatus::Cancelling),
        ("failingTime", JobStatus::Failing),
        ("restartingTime", JobStatus::Restarting),
    ];
    for (name, status) in statuses {
        let time = if view.status == status { since(view, status, now) } else { 0 };
        put(name, Value::Whole(time));
    }
    let counts = view.task_counts();
    let has = |state| counts.get(&state).copied().unwrap_or(0) > 0;
    let deploying = [ExecutionState::Created, ExecutionState::Scheduled, ExecutionState::Deploying];
    let is_deploying = view.status == JobStatus::Running && deploying.into_iter().any(has);
    put("deployingTime", Value::Whole(if is_deploying { since(view, JobStatus::Running, now) } else { 0 }));
    put("allSubTasksRunningOrFinishedTime", Value::Whole(all_running_since(view).map_or(0, |at| span(now, at))));
    put_checkpoints(&mut metrics, view);
    metrics
}

fn span(now: Timestamp, then: Timestamp) -> i64 {
    i64::try_from(now.since_ms(then)).unwrap_or(i64::MAX)
}

fn since(view: &JobView, status: JobStatus, now: Timestamp) -> i64 {
    view.timestamps.get(&status).map_or(0, |then| span(now, *then))
}

fn uptime(view: &JobView, now: Timestamp) -> i64 {
    match view.status {
        JobStatus::Running => since(view, JobStatus::Running, now),
        status if status.is_terminal() => NEVER,
        _ => 0,
    }
}

fn downtime(view: &JobView, now: Timestamp) -> i64 {
    match view.status {
        status if status.is_terminal() => NEVER,
        status @ (JobStatus::Failing | JobStatus::Restarting | JobStatus::Cancelling) => since(view, status, now),
        _ => 0,
    }
}

/// Since when all subtasks run or have finished, if they do.
fn all_running_since(view: &JobView) -> Option<Timestamp> {
    let subtasks = view.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    let since = subtasks.map(|subtask| match subtask.state {
        ExecutionState::Running | ExecutionState::Finished => {
            let since = subtask.timestamps.get(&ExecutionState::Running);
            since.or(subtask.timestamps.get(&subtask.state)).copied()
        }
        _ => None,
    });
    since.collect::<Option<Vec<_>>>()?.into_iter().max()
}

fn put_checkpoints(metrics: &mut Metrics, view: &JobView) {
    let checkpoints = &view.checkpoints;
    let counts = &checkpoints.counts;
    let mut put = |name: &str, value: Value| drop(metrics.insert(name.to_owned(), value));
    put("totalNumberOfCheckpoints", Value::count(counts.total));
    put("numberOfInProgressCheckpoints", Value::count(counts.in_progress));
    put("numberOfCompletedCheckpoints", Value::count(counts.completed));
    put("numberOfFailedCheckpoints", Value::count(counts.failed));
    let completed = [&checkpoints.latest_completed, &checkpoints.latest_savepoint].into_iter().flatten();
    let last = completed.filter(|view| view.status == CheckpointStatus::Completed).max_by_key(|view| view.id);
    let last = last.map(AsRef::as_ref);
    let number = |of: fn(&CheckpointView) -> u64| last.map_or(Value::Whole(NEVER), |last| Value::count(of(last)));
    put("lastCompletedCheckpointId", number(|last| last.id.0));
    put("lastCheckpointDuration", number(|last| last.duration_ms(Timestamp(0))));
    put("lastCheckpointSize", number(|last| last.figures.checkpointed_bytes));
    put("lastCheckpointFullSize", number(|last| last.figures.state_bytes));
    put("lastCheckpointProcessedData", number(|last| last.figures.processed_bytes));
    put("lastCheckpointPersistedData", number(|last| last.figures.persisted_bytes));
    let at = last.and_then(|last| last.acknowledged_at);
    put("lastCheckpointCompletedTimestamp", Value::Whole(at.map_or(NEVER, millis)));
    let restored = checkpoints.latest_restored.as_ref();
    put("lastCheckpointRestoreTimestamp", Value::Whole(restored.map_or(NEVER, |restored| millis(restored.at))));
    let path = last.and_then(|last| last.location.as_deref()).unwrap_or("n/a");
    put("lastCheckpointExternalPath", Value::Text(path.to_owned()));
}
