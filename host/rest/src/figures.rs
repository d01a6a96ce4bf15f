//! From what tasks have done to Flink's figures.

use std::collections::BTreeMap;

use millrace_job_core::{SubtaskView, VertexView};
use millrace_protocol::TaskFigures;
use millrace_rest_api::{Aggregate, IoFigures, VertexFigures};
use millrace_types::{ExecutionState, TaskManagerId, Timestamp};

/// A time that may not have come: Flink writes -1.
pub(crate) fn time_or_minus_one(time: Option<Timestamp>) -> i64 {
    time.map_or(-1, millis)
}

pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// From start to end, or to now; -1 without a start.
pub(crate) fn duration(start: Option<Timestamp>, end: Option<Timestamp>, now: Timestamp) -> i64 {
    start.map_or(-1, |start| i64::try_from(end.unwrap_or(now).since_ms(start)).unwrap_or(i64::MAX))
}

/// What some tasks have done. Figures of tasks that run still are as of their last report.
pub(crate) fn io_figures(figures: &TaskFigures, complete: bool) -> IoFigures {
    IoFigures {
        read_bytes: figures.bytes_in,
        read_bytes_complete: complete,
        write_bytes: figures.bytes_out,
        write_bytes_complete: complete,
        read_records: figures.records_in,
        read_records_complete: complete,
        write_records: figures.records_out,
        write_records_complete: complete,
        accumulated_backpressured_time: figures.backpressured_ms,
        accumulated_idle_time: figures.idle_ms,
        accumulated_busy_time: figures.busy_ms as f64,
    }
}

/// Whether all figures of a vertex are in: every subtask has reported at least that it runs.
pub(crate) fn is_complete(vertex: &VertexView) -> bool {
    vertex.subtasks.iter().all(|subtask| subtask.state == ExecutionState::Running || subtask.state.is_terminal())
}

/// Figures over some subtasks, and the time that these spent in each state.
pub(crate) fn aggregated(subtasks: &[SubtaskView], now: Timestamp) -> VertexFigures {
    type Figure = (&'static str, fn(&TaskFigures) -> u64);
    const FIGURES: [Figure; 7] = [
        ("read-bytes", |figures| figures.bytes_in),
        ("write-bytes", |figures| figures.bytes_out),
        ("read-records", |figures| figures.records_in),
        ("write-records", |figures| figures.records_out),
        ("accumulated-backpressured-time", |figures| figures.backpressured_ms),
        ("accumulated-idle-time", |figures| figures.idle_ms),
        ("accumulated-busy-time", |figures| figures.busy_ms),
    ];
    let metric = |(name, of): &Figure| {
        let values = subtasks.iter().map(|subtask| of(&subtask.figures)).collect();
        (String::from(*name), aggregate(values))
    };
    let mut durations = BTreeMap::<String, Vec<u64>>::new();
    for subtask in subtasks {
        for (state, ms) in subtask.state_durations_ms(now) {
            durations.entry(state.as_str().to_owned()).or_default().push(ms);
        }
    }
    VertexFigures {
        metrics: FIGURES.iter().map(metric).collect(),
        status_duration: durations.into_iter().map(|(state, values)| (state, aggregate(values))).collect(),
    }
}

/// Statistics by the nearest rank, as Flink's histograms give them for few values.
fn aggregate(mut values: Vec<u64>) -> Aggregate {
    values.sort_unstable();
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let rank = |percent: usize| {
        let at = (values.len() * percent).div_ceil(100).clamp(1, values.len().max(1)) - 1;
        values.get(at).copied().map_or(0, signed)
    };
    let sum = values.iter().fold(0u64, |sum, value| sum.saturating_add(*value));
    let count = (values.len() as u64).max(1);
    Aggregate {
        p25: rank(25),
        min: values.first().copied().map_or(0, signed),
        avg: signed(sum / count),
        median: rank(50),
        max: values.last().copied().map_or(0, signed),
        sum: signed(sum),
        p95: rank(95),
        p75: rank(75),
    }
}

/// Where a subtask runs, as Flink names it.
pub(crate) fn endpoint(task_manager: Option<&TaskManagerId>) -> String {
    task_manager.map_or_else(|| "(unassigned)".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_the_values() {
        let of = aggregate(vec![40, 10, 30, 20]);
        assert_eq!((of.min, of.p25, of.median, of.p75, of.p95, of.max), (10, 10, 20, 30, 40, 40));
        assert_eq!((of.sum, of.avg), (100, 25));
        assert_eq!(aggregate(Vec::new()).max, 0);
    }
}
