//! When a checkpoint begins, and which tasks are told.

use std::collections::BTreeSet;

use millrace_graph::Partitioning;
use millrace_types::{Alignment, AttemptId, Barrier, CheckpointId, ExecutionState, SnapshotKind, Timestamp};

use super::coordinator::{Pending, Request, Stage};
use super::view::{CheckpointStatus, CheckpointView};
use crate::core::{JobCore, Phase};
use crate::event::Command;
use crate::tasks::Task;

impl JobCore {
    /// Whatever the checkpoints need after a step: ids, pointers, the next one.
    pub(crate) fn coordinate(&mut self, out: &mut Vec<Command>) {
        self.undrain(out);
        self.undo_upgrade(out);
        self.reserve_ids(out);
        self.persist_next(out);
        self.take_upgrade(out);
        while self.snapshot_due().is_some_and(|due| due <= self.now)
            && self.tasks_can_snapshot()
            && let Some(id) = self.coordinator.ids.take()
        {
            let request = self.coordinator.requests.pop_front();
            let kind = request.as_ref().map_or(SnapshotKind::Checkpoint, Request::kind);
            self.trigger(id, kind, request, out);
        }
        // The end of the job may have waited for a savepoint.
        self.end_if_all_ended(out);
    }

    /// When the next one is due, as far as time and other checkpoints decide about it.
    fn snapshot_due(&self) -> Option<Timestamp> {
        let coordinator = &self.coordinator;
        let concurrent = coordinator.pending.len() as u32;
        if !matches!(self.phase, Phase::Running) || concurrent >= self.spec.checkpoints.max_concurrent {
            return None;
        }
        // It goes before all others, and alone.
        if self.upgrade_is_due() {
            return None;
        }
        if !coordinator.requests.is_empty() {
            return Some(self.now);
        }
        // The tasks are about to stop behind a savepoint.
        let interval_ms = self.spec.checkpoints.interval_ms.filter(|_| coordinator.stop.is_none())?;
        if coordinator.at_once {
            return Some(self.now);
        }
        let paused = coordinator.ended_at.map(|ended| ended.plus_ms(self.spec.checkpoints.min_pause_ms));
        Some(coordinator.triggered_at.plus_ms(interval_ms)).max(paused)
    }

    /// Whether all tasks run or have finished, and a checkpoint of them is of use.
    pub(crate) fn tasks_can_snapshot(&self) -> bool {
        let asked = self.coordinator.requests.front();
        let (mut running, mut finished) = (0, 0);
        for task in self.all_tasks() {
            match self.subtask(task).state {
                ExecutionState::Running => running += 1,
                ExecutionState::Finished => finished += 1,
                _ => return false,
            }
        }
        let wanted = asked.is_some() || self.coordinator.at_once;
        // One that stops the job is answered when all tasks have finished, and so are those in front of it.
        let stops = self.coordinator.requests.iter().any(|request| request.stop.is_some());
        (running > 0 || stops) && (finished == 0 || wanted || self.spec.checkpoints.after_tasks_finish)
    }

    /// When a deadline of the checkpoints is due.
    pub(crate) fn checkpoint_deadline(&self) -> Option<Timestamp> {
        let coordinator = &self.coordinator;
        let due = self.snapshot_due().filter(|_| coordinator.ids.has_next() && self.tasks_can_snapshot());
        let pending = coordinator.pending.values().filter_map(|pending| match pending.stage {
            Stage::Persisting(..) => None,
            Stage::Reading(_, retry_at) => retry_at,
            _ => Some(pending.deadline),
        });
        let ids = coordinator.ids.retry_at().filter(|_| self.goes_on());
        pending.chain(due).chain(ids).chain(self.upgrade_deadline()).min()
    }

    pub(crate) fn trigger(
        &mut self,
        id: CheckpointId,
        kind: SnapshotKind,
        request: Option<Request>,
        out: &mut Vec<Command>,
    ) {
        let barrier = Barrier {
            checkpoint: id,
            triggered_at: self.now,
            kind,
            drain: request.as_ref().and_then(|request| request.stop).is_some_and(|stop| stop.drain),
            alignment: self.alignment_at(kind),
            folder: request.as_ref().and_then(|request| request.folder.clone()),
        };
        if barrier.drain {
            self.drain(out);
        }
        let finished = |task: &Task| self.subtask(*task).state == ExecutionState::Finished;
        let (finished, awaited): (BTreeSet<_>, BTreeSet<_>) = self.all_tasks().into_iter().partition(finished);
        for task in &awaited {
            if self.producers_finished(*task, &finished)
                && let Some(task_manager) = self.subtask(*task).task_manager.clone()
            {
                let (attempt, barrier) = (self.attempt_id(*task), barrier.clone());
                out.push(Command::TriggerCheckpoint { task_manager, attempt, barrier });
            }
        }
        self.show_begun(&barrier, &awaited);
        let complete = awaited.is_empty();
        let deadline = self.now.plus_ms(self.spec.checkpoints.timeout_ms);
        let pending = Pending {
            barrier,
            stage: Stage::Collecting,
            awaited,
            acknowledged: Default::default(),
            finished,
            request,
            deadline,
        };
        debug_assert!(self.coordinator.pending.last_key_value().is_none_or(|(last, _)| *last < id));
        self.coordinator.pending.insert(id, pending);
        if !kind.is_savepoint() {
            self.coordinator.triggered_at = self.now;
            self.coordinator.at_once = false;
        }
        if complete {
            self.all_acknowledged(id, out);
        }
    }

    /// How channels wait for each other. What a barrier overtakes on a broadcast exchange fits no other number of
    /// consumers, so a job that may be rescaled waits there, as Flink does.
    fn alignment_at(&self, kind: SnapshotKind) -> Alignment {
        let broadcasts = || self.spec.graph.edges.iter().any(|edge| edge.partitioning == Partitioning::Broadcast);
        match self.spec.checkpoints.alignment(kind) {
            Alignment::Unaligned { .. } if self.scaling.is_some() && broadcasts() => Alignment::Aligned,
            alignment => alignment,
        }
    }

    /// Whether no barrier will reach a task by itself: it has no inputs, or all its producers have finished.
    fn producers_finished(&self, task: Task, finished: &BTreeSet<Task>) -> bool {
        let graph = &self.spec.graph;
        let mut edges = graph.edges.iter().enumerate().filter(|(_, edge)| edge.target_vertex == task.vertex);
        edges.all(|(position, edge)| {
            let mut sources = graph.sources_of(position, task.subtask);
            sources.all(|subtask| finished.contains(&Task { vertex: edge.source_vertex, subtask }))
        })
    }

    fn show_begun(&mut self, barrier: &Barrier, awaited: &BTreeSet<Task>) {
        let mut view = CheckpointView {
            id: barrier.checkpoint,
            kind: barrier.kind,
            status: CheckpointStatus::InProgress,
            unaligned: matches!(barrier.alignment, millrace_types::Alignment::Unaligned { .. }),
            triggered_at: self.now,
            acknowledged_at: None,
            failed_at: None,
            failure: None,
            location: None,
            discarded: false,
            vertices: Default::default(),
            subtasks: awaited.len() as u32,
            acknowledged: 0,
            figures: Default::default(),
        };
        for task in awaited {
            let vertex = &self.spec.graph.vertices[task.vertex];
            let taken = view.vertices.entry(vertex.id).or_default();
            std::sync::Arc::make_mut(taken).parallelism = vertex.parallelism;
        }
        self.checkpoints_view().begin(view);
    }

    /// A task has finished: checkpoints that wait for it cannot be complete, and others take their place. Once all sources
    /// of a region have finished, tasks with transactions wait for one checkpoint more.
    pub(crate) fn finished_amid_checkpoints(&mut self, task: Task, out: &mut Vec<Command>) {
        let waits = |pending: &Pending| pending.awaited.contains(&task);
        let over: Vec<_> = self.coordinator.pending.iter().filter(|(_, p)| waits(p)).map(|(id, _)| *id).collect();
        for id in over {
            let request = self.coordinator.pending.get_mut(&id).and_then(|pending| pending.request.take());
            match request {
                // What the user asked for is taken again.
                Some(request) => self.coordinator.requests.push_front(request),
                None => self.coordinator.at_once = true,
            }
            self.abort(id, &format!("{} finished before it took part", self.task_name(task)), out);
        }
        self.finished_amid_upgrade(task, out);
        let tasks = self.tasks_of(self.region_of(task));
        let ended = |task: &Task| self.subtask(*task).state.is_terminal();
        let is_source = |task: &Task| self.is_source(*task);
        if tasks.iter().filter(|task| is_source(task)).all(ended) && !tasks.iter().all(ended) {
            self.coordinator.at_once = true;
        }
    }

    /// A task waits for a checkpoint to end. When all that run do, nothing is gained by waiting for the interval.
    pub(crate) fn awaiting_checkpoint(&mut self, attempt: AttemptId) {
        if let Err(reason) = self.live_task(&attempt) {
            return self.drop_message(reason);
        }
        let live: BTreeSet<AttemptId> = self.unfinished_tasks().into_iter().map(|task| self.attempt_id(task)).collect();
        let awaiting = &mut self.coordinator.awaiting;
        awaiting.insert(attempt);
        awaiting.retain(|attempt| live.contains(attempt));
        if awaiting.len() == live.len() {
            self.coordinator.at_once = true;
        }
    }

    pub(crate) fn is_source(&self, task: Task) -> bool {
        self.spec.graph.edges.iter().all(|edge| edge.target_vertex != task.vertex)
    }
}
