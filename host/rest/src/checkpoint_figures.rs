//! From a checkpoint's view to Flink's figures of it, of its vertices and of their subtasks.

use std::collections::BTreeMap;

use millrace_job_core::{CheckpointStatus, CheckpointView, VertexFigures};
use millrace_protocol::SnapshotFigures;
use millrace_rest_api::{
    AlignmentSpread, CheckpointEntry, DurationSpread, Quantile, Spread, SubtaskAlignment, SubtaskCheckpoint,
    SubtaskDurations, SubtasksSummary, VertexCheckpoint,
};
use millrace_types::{SnapshotKind, Timestamp};

use crate::checkpoints::zeros;
use crate::figures::{millis, time_or_minus_one};

/// A checkpoint; lists leave out its vertices.
pub(crate) fn entry(view: &CheckpointView, now: Timestamp, with_tasks: bool) -> CheckpointEntry {
    let is_savepoint = view.kind.is_savepoint();
    let completed = view.status == CheckpointStatus::Completed;
    let failed = view.status == CheckpointStatus::Failed;
    let (class_name, status) = names(view.status);
    let checkpoint_type = match view.kind {
        SnapshotKind::Checkpoint if view.unaligned => "UNALIGNED_CHECKPOINT",
        SnapshotKind::Checkpoint | SnapshotKind::Upgrade => "CHECKPOINT",
        SnapshotKind::Savepoint { stop: false } => "SAVEPOINT",
        SnapshotKind::Savepoint { stop: true } => "SYNC_SAVEPOINT",
    };
    let tasks = view.vertices.iter().map(|(id, part)| (id.to_string(), part_of(view, part)));
    CheckpointEntry {
        class_name: class_name.to_owned(),
        id: view.id.0,
        status: status.to_owned(),
        is_savepoint,
        savepoint_format: is_savepoint.then(|| "NATIVE".to_owned()),
        trigger_timestamp: millis(view.triggered_at),
        latest_ack_timestamp: time_or_minus_one(view.acknowledged_at),
        checkpointed_size: view.figures.checkpointed_bytes,
        state_size: view.figures.state_bytes,
        end_to_end_duration: i64::try_from(view.duration_ms(now)).unwrap_or(i64::MAX),
        alignment_buffered: 0,
        processed_data: view.figures.processed_bytes,
        persisted_data: view.figures.persisted_bytes,
        num_subtasks: view.subtasks,
        num_acknowledged_subtasks: view.acknowledged,
        checkpoint_type: checkpoint_type.to_owned(),
        tasks: if with_tasks { tasks.collect() } else { BTreeMap::new() },
        external_path: view.location.as_deref().filter(|_| completed).map(str::to_owned),
        discarded: completed.then_some(view.discarded),
        failure_timestamp: view.failed_at.filter(|_| failed).map(millis),
        failure_message: view.failure.as_deref().filter(|_| failed).map(str::to_owned),
    }
}

fn names(status: CheckpointStatus) -> (&'static str, &'static str) {
    match status {
        CheckpointStatus::InProgress => ("in_progress", "IN_PROGRESS"),
        CheckpointStatus::Completed => ("completed", "COMPLETED"),
        CheckpointStatus::Failed => ("failed", "FAILED"),
    }
}

/// A vertex's part.
pub(crate) fn part_of(view: &CheckpointView, part: &VertexFigures) -> VertexCheckpoint {
    let sum = |of: fn(&SnapshotFigures) -> u64| part.subtasks.values().map(|(_, figures)| of(figures)).sum();
    let latest = part.subtasks.values().map(|(at, _)| *at).max();
    let acknowledged = u32::try_from(part.subtasks.len()).unwrap_or(u32::MAX);
    let status = match view.status {
        CheckpointStatus::InProgress if acknowledged == part.parallelism => CheckpointStatus::Completed,
        status => status,
    };
    VertexCheckpoint {
        id: view.id.0,
        status: names(status).1.to_owned(),
        latest_ack_timestamp: time_or_minus_one(latest),
        checkpointed_size: sum(|figures| figures.checkpointed_bytes),
        state_size: sum(|figures| figures.state_bytes),
        end_to_end_duration: latest.map_or(-1, |at| signed(at.since_ms(view.triggered_at))),
        alignment_buffered: 0,
        processed_data: sum(|figures| figures.processed_bytes),
        persisted_data: sum(|figures| figures.persisted_bytes),
        num_subtasks: part.parallelism,
        num_acknowledged_subtasks: acknowledged,
    }
}

/// A subtask's part.
pub(crate) fn subtask_of(view: &CheckpointView, part: &VertexFigures, index: u32) -> SubtaskCheckpoint {
    let Some((at, figures)) = part.subtasks.get(&index) else {
        return SubtaskCheckpoint::Pending { index, status: "pending_or_failed".to_owned() };
    };
    SubtaskCheckpoint::Completed {
        index,
        ack_timestamp: millis(*at),
        end_to_end_duration: signed(at.since_ms(view.triggered_at)),
        checkpointed_size: figures.checkpointed_bytes,
        state_size: figures.state_bytes,
        checkpoint: SubtaskDurations { sync: figures.sync_ms, asynchronous: figures.async_ms },
        alignment: SubtaskAlignment {
            buffered: 0,
            processed: figures.processed_bytes,
            persisted: figures.persisted_bytes,
            duration: figures.alignment_ms,
        },
        start_delay: figures.start_delay_ms,
        unaligned_checkpoint: figures.unaligned,
        aborted: false,
        status: "completed".to_owned(),
    }
}

/// Over the subtasks of a vertex.
pub(crate) fn subtasks_summary(view: &CheckpointView, part: &VertexFigures) -> SubtasksSummary {
    let over = |of: fn(&SnapshotFigures) -> u64| spread(part.subtasks.values().map(|(_, figures)| of(figures)));
    SubtasksSummary {
        checkpointed_size: over(|figures| figures.checkpointed_bytes),
        state_size: over(|figures| figures.state_bytes),
        end_to_end_duration: spread(part.subtasks.values().map(|(at, _)| at.since_ms(view.triggered_at))),
        checkpoint_duration: DurationSpread {
            sync: over(|figures| figures.sync_ms),
            asynchronous: over(|figures| figures.async_ms),
        },
        alignment: AlignmentSpread {
            buffered: zeros(),
            processed: over(|figures| figures.processed_bytes),
            persisted: over(|figures| figures.persisted_bytes),
            duration: over(|figures| figures.alignment_ms),
        },
        start_delay: over(|figures| figures.start_delay_ms),
    }
}

/// Flink gives no percentiles over subtasks.
fn spread(values: impl Iterator<Item = u64>) -> Spread {
    let (mut min, mut max, mut sum, mut count) = (u64::MAX, 0u64, 0u64, 0u64);
    for value in values {
        (min, max, sum, count) = (min.min(value), max.max(value), sum.saturating_add(value), count + 1);
    }
    let nan = || Quantile::Text("NaN".to_owned());
    Spread {
        min: signed(if count == 0 { 0 } else { min }),
        max: signed(max),
        avg: signed(sum.checked_div(count).unwrap_or(0)),
        p50: nan(),
        p90: nan(),
        p95: nan(),
        p99: nan(),
        p999: nan(),
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use millrace_types::{CheckpointId, VertexId};

    use super::*;

    fn view(acknowledged: &[u32]) -> (CheckpointView, VertexFigures) {
        let figures =
            |index: u32| SnapshotFigures { checkpointed_bytes: 10 + u64::from(index), ..SnapshotFigures::default() };
        let subtasks =
            acknowledged.iter().map(|index| (*index, (Timestamp(1_010 + u64::from(*index)), figures(*index))));
        let part = VertexFigures { parallelism: 2, subtasks: subtasks.collect() };
        let view = CheckpointView {
            id: CheckpointId(6),
            kind: SnapshotKind::Checkpoint,
            status: CheckpointStatus::InProgress,
            unaligned: false,
            triggered_at: Timestamp(1_000),
            acknowledged_at: None,
            failed_at: None,
            failure: None,
            location: None,
            discarded: false,
            vertices: [(VertexId::from_bytes([1; 16]), Arc::new(part.clone()))].into(),
            subtasks: 2,
            acknowledged: acknowledged.len() as u32,
            figures: SnapshotFigures::default(),
        };
        (view, part)
    }

    /// The field names and types of recorded answers.
    #[test]
    fn figures_have_the_recorded_shape() {
        let (mut view, part) = view(&[0, 1]);
        view.status = CheckpointStatus::Completed;
        view.acknowledged_at = Some(Timestamp(1_011));
        view.location = Some("/ck/job/chk-6".into());
        let details = serde_json::to_value(entry(&view, Timestamp(2_000), true)).unwrap();
        assert_eq!((&details["className"], &details["external_path"]), (&"completed".into(), &"/ck/job/chk-6".into()));
        assert_eq!(details["end_to_end_duration"], 11);
        assert_eq!(details["tasks"].as_object().unwrap().len(), 1);
        let listed = serde_json::to_value(entry(&view, Timestamp(2_000), false)).unwrap();
        assert_eq!(listed["tasks"], serde_json::json!({}));
        let subtask = serde_json::to_value(subtask_of(&view, &part, 1)).unwrap();
        assert_eq!((&subtask["className"], &subtask["checkpoint"]["async"]), (&"completed".into(), &0.into()));
        assert_eq!(subtask["end_to_end_duration"], 11);
        let summary = subtasks_summary(&view, &part);
        assert_eq!((summary.checkpointed_size.min, summary.checkpointed_size.max), (10, 11));
        assert_eq!(serde_json::to_value(summary).unwrap()["state_size"]["p50"], "NaN");
    }

    #[test]
    fn what_is_not_there_yet_is_said() {
        let (view, part) = view(&[1]);
        let vertex = part_of(&view, &part);
        assert_eq!(
            (vertex.status.as_str(), vertex.num_acknowledged_subtasks, vertex.checkpointed_size),
            ("IN_PROGRESS", 1, 11)
        );
        assert!(matches!(subtask_of(&view, &part, 0), SubtaskCheckpoint::Pending { index: 0, .. }));
        let listed = serde_json::to_value(entry(&view, Timestamp(1_500), false)).unwrap();
        assert!(listed.get("external_path").is_none() && listed.get("discarded").is_none());
        assert_eq!((&listed["status"], &listed["latest_ack_timestamp"]), (&"IN_PROGRESS".into(), &(-1).into()));
    }
}
