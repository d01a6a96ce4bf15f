//! Checkpoints as others may see them: what REST shows under `/jobs/:id/checkpoints`.
//!
//! Invariant: bounded by the history's length times the number of subtasks; cloning is cheap, shared per vertex.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_protocol::SnapshotFigures;
use millrace_types::{CheckpointId, SnapshotKind, Timestamp, VertexId};
use serde::{Deserialize, Serialize};

use super::completed::{CompletedCheckpoint, VertexFigures};
use super::options::CheckpointOptions;
use super::summary::Figures;

/// How far a checkpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CheckpointStatus {
    /// Not all of it is durable.
    InProgress,
    /// It can be restored.
    Completed,
    /// It will not be complete.
    Failed,
}

/// A checkpoint or savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointView {
    /// Its number.
    pub id: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// How far it is.
    pub status: CheckpointStatus,
    /// Whether barriers may overtake records.
    pub unaligned: bool,
    /// When it was triggered.
    pub triggered_at: Timestamp,
    /// When the newest acknowledgement came.
    pub acknowledged_at: Option<Timestamp>,
    /// When it failed.
    pub failed_at: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<Box<str>>,
    /// Where it is, once it is stored.
    pub location: Option<Box<str>>,
    /// Whether it was deleted since.
    pub discarded: bool,
    /// The subtasks that take part, by vertex, with the figures of those that have acknowledged. Empty where the room is
    /// lacking.
    pub vertices: BTreeMap<VertexId, Arc<VertexFigures>>,
    /// The subtasks that take part.
    pub subtasks: u32,
    /// Those of them that have acknowledged it.
    pub acknowledged: u32,
    /// The sums of their bytes, and their longest durations.
    pub figures: SnapshotFigures,
}

impl CheckpointView {
    /// From the trigger to the last acknowledgement, in milliseconds; until `now` while it is in progress.
    pub fn duration_ms(&self, now: Timestamp) -> u64 {
        let end = match self.status {
            CheckpointStatus::InProgress => now,
            CheckpointStatus::Failed => self.failed_at.unwrap_or(now),
            CheckpointStatus::Completed => self.acknowledged_at.unwrap_or(self.triggered_at),
        };
        end.since_ms(self.triggered_at)
    }

    pub(crate) fn acknowledge(&mut self, vertex: VertexId, subtask: u32, at: Timestamp, figures: &SnapshotFigures) {
        let taken = Arc::make_mut(self.vertices.entry(vertex).or_default());
        if taken.subtasks.insert(subtask, (at, *figures)).is_none() {
            self.acknowledged += 1;
            self.figures = total(&self.figures, figures);
        }
        self.acknowledged_at = self.acknowledged_at.max(Some(at));
    }
}

/// Sums of bytes, and the longer durations.
pub(crate) fn total(one: &SnapshotFigures, other: &SnapshotFigures) -> SnapshotFigures {
    SnapshotFigures {
        start_delay_ms: one.start_delay_ms.max(other.start_delay_ms),
        alignment_ms: one.alignment_ms.max(other.alignment_ms),
        sync_ms: one.sync_ms.max(other.sync_ms),
        async_ms: one.async_ms.max(other.async_ms),
        checkpointed_bytes: one.checkpointed_bytes.saturating_add(other.checkpointed_bytes),
        state_bytes: one.state_bytes.saturating_add(other.state_bytes),
        processed_bytes: one.processed_bytes.saturating_add(other.processed_bytes),
        persisted_bytes: one.persisted_bytes.saturating_add(other.persisted_bytes),
        unaligned: one.unaligned || other.unaligned,
    }
}

/// How many checkpoints there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointCounts {
    /// How often tasks were restored from one.
    pub restored: u64,
    /// How many were triggered.
    pub total: u64,
    /// How many are in progress.
    pub in_progress: u64,
    /// How many were completed.
    pub completed: u64,
    /// How many failed.
    pub failed: u64,
}

/// Figures over all completed checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointSummary {
    /// What was written for them, in bytes.
    pub checkpointed_bytes: Figures,
    /// What they refer to, in bytes.
    pub state_bytes: Figures,
    /// From the trigger to the last acknowledgement, in milliseconds.
    pub duration_ms: Figures,
    /// Records that arrived during alignment, in bytes.
    pub processed_bytes: Figures,
    /// Records that became part of them, in bytes.
    pub persisted_bytes: Figures,
    /// The longest alignment of a subtask, in milliseconds.
    pub alignment_ms: Figures,
}

/// The checkpoint that tasks were last restored from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredView {
    /// Its number.
    pub id: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// When they were restored.
    pub at: Timestamp,
    /// Where it is.
    pub location: Box<str>,
}

/// All checkpoints of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointsView {
    /// When they are taken, and which are kept.
    pub options: CheckpointOptions,
    /// How many there were.
    pub counts: CheckpointCounts,
    /// Figures over all completed ones.
    pub summary: Arc<CheckpointSummary>,
    /// The newest, newest first.
    pub history: VecDeque<Arc<CheckpointView>>,
    /// The newest completed checkpoint.
    pub latest_completed: Option<Arc<CheckpointView>>,
    /// The newest completed savepoint.
    pub latest_savepoint: Option<Arc<CheckpointView>>,
    /// The newest failed one.
    pub latest_failed: Option<Arc<CheckpointView>>,
    /// What tasks were last restored from.
    pub latest_restored: Option<RestoredView>,
}

impl CheckpointsView {
    pub(crate) fn new(options: CheckpointOptions) -> Self {
        Self {
            options,
            counts: CheckpointCounts::default(),
            summary: Arc::default(),
            history: VecDeque::new(),
            latest_completed: None,
            latest_savepoint: None,
            latest_failed: None,
            latest_restored: None,
        }
    }

    /// A checkpoint by its number, if it is still kept.
    pub fn checkpoint(&self, id: CheckpointId) -> Option<&Arc<CheckpointView>> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed];
        self.history.iter().chain(latest.into_iter().flatten()).find(|view| view.id == id)
    }

    pub(crate) fn begin(&mut self, view: CheckpointView) {
        self.counts.total += 1;
        self.counts.in_progress += 1;
        self.history.push_front(Arc::new(view));
        // One that is in progress stays: its end is yet to be shown.
        let mut kept = 0;
        let max = self.options.history_max;
        self.history.retain(|view| {
            kept += 1;
            kept <= max || view.status == CheckpointStatus::InProgress
        });
    }

    /// Changes what is shown of a checkpoint in progress.
    pub(crate) fn update(&mut self, id: CheckpointId, change: impl FnOnce(&mut CheckpointView)) {
        if let Some(view) = self.history.iter_mut().find(|view| view.id == id) {
            change(Arc::make_mut(view));
        }
    }

    pub(crate) fn complete(&mut self, checkpoint: &CompletedCheckpoint, location: &str) {
        self.counts.in_progress -= 1;
        self.counts.completed += 1;
        self.update(checkpoint.id, |view| {
            view.status = CheckpointStatus::Completed;
            view.location = Some(location.into());
        });
        let Some(view) = self.checkpoint(checkpoint.id).cloned() else { return };
        let summary = Arc::make_mut(&mut self.summary);
        summary.checkpointed_bytes.add(view.figures.checkpointed_bytes);
        summary.state_bytes.add(view.figures.state_bytes);
        summary.duration_ms.add(checkpoint.completed_at.since_ms(checkpoint.triggered_at));
        summary.processed_bytes.add(view.figures.processed_bytes);
        summary.persisted_bytes.add(view.figures.persisted_bytes);
        summary.alignment_ms.add(view.figures.alignment_ms);
        match checkpoint.kind {
            SnapshotKind::Checkpoint | SnapshotKind::Upgrade => self.latest_completed = Some(view),
            SnapshotKind::Savepoint { .. } => self.latest_savepoint = Some(view),
        }
    }

    pub(crate) fn fail(&mut self, id: CheckpointId, at: Timestamp, why: &str) {
        self.counts.in_progress -= 1;
        self.counts.failed += 1;
        self.update(id, |view| {
            view.status = CheckpointStatus::Failed;
            view.failed_at = Some(at);
            view.failure = Some(why.into());
        });
        self.latest_failed = self.checkpoint(id).cloned().or(self.latest_failed.take());
    }

    pub(crate) fn discarded(&mut self, id: CheckpointId) {
        self.update(id, |view| view.discarded = true);
        for latest in [&mut self.latest_completed, &mut self.latest_savepoint].into_iter().flatten() {
            if latest.id == id {
                Arc::make_mut(latest).discarded = true;
            }
        }
    }

    /// Leaves the figures of single subtasks out.
    pub(crate) fn shorten(&mut self) {
        let latest = [&mut self.latest_completed, &mut self.latest_savepoint, &mut self.latest_failed];
        for view in self.history.iter_mut().chain(latest.into_iter().flatten()) {
            Arc::make_mut(view).vertices.clear();
        }
    }
}
