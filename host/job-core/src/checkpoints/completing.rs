//! The end of a checkpoint: metadata stored, pointer written, tasks told, old ones deleted; or given up.
//!
//! Invariants:
//! - One pointer is written at a time, in the order of ids.
//! - A write of a pointer that failed may have taken effect: it is read back before anything else happens to its
//!   checkpoint.

use std::collections::BTreeSet;

use millrace_types::{CheckpointId, ExecutionState, Failure, FailureKind, JobStatus, SnapshotKind};

use super::acknowledging::files_of;
use super::completed::StoredCheckpoint;
use super::coordinator::{Pending, Retained, Stage};
use super::options::Retention;
use super::view::CheckpointsView;
use crate::core::{JobCore, Phase};
use crate::dropped::DropReason;
use crate::event::{Command, SnapshotLocation, WriteId};

/// The most files that one command deletes.
const DELETED_FILES_MAX: usize = 10_000;

impl JobCore {
    pub(crate) fn checkpoints_view(&mut self) -> &mut CheckpointsView {
        std::sync::Arc::make_mut(&mut self.view.checkpoints)
    }

    pub(crate) fn checkpoint_stored(
        &mut self,
        id: CheckpointId,
        result: Result<Box<str>, String>,
        out: &mut Vec<Command>,
    ) {
        let stage = self.coordinator.pending.get(&id).map(|pending| &pending.stage);
        let Some(Stage::Storing(checkpoint)) = stage else {
            // It was given up meanwhile, and no pointer leads to what was written. A job that has ended orders nothing more.
            let abandoned = self.coordinator.abandoned.remove(&id) && !matches!(self.phase, Phase::Ended);
            if let (true, Ok(location)) = (abandoned, result) {
                out.push(Command::DeleteCheckpoint { checkpoint: id, location });
            }
            return self.drop_message(DropReason::AlreadyAnswered);
        };
        let checkpoint = checkpoint.clone();
        let location = match result {
            Ok(location) => location,
            Err(why) => return self.checkpoint_failed(id, &format!("its metadata could not be written: {why}"), out),
        };
        let stored = StoredCheckpoint { checkpoint, location };
        if stored.checkpoint.kind == (SnapshotKind::Savepoint { stop: false }) {
            // No pointer leads to it, since the user may delete it: the job never restarts from it, and so nothing that
            // was prepared for it is committed before the next checkpoint.
            self.complete(&stored, out);
        } else if let Some(pending) = self.coordinator.pending.get_mut(&id) {
            pending.stage = Stage::Stored(stored);
        }
    }

    /// Begins to write the next pointer, if it is its turn.
    pub(crate) fn persist_next(&mut self, out: &mut Vec<Command>) {
        if self.coordinator.unsettled().is_some() || !self.goes_on() {
            return;
        }
        let stored = self.coordinator.pending.values().find_map(|pending| match &pending.stage {
            Stage::Stored(stored) => Some(stored.clone()),
            _ => None,
        });
        let Some(stored) = stored else { return };
        let (id, write) = (stored.checkpoint.id, self.next_write());
        let mut retained = self.retained_with(id);
        retained.push(id);
        debug_assert!(retained.is_sorted(), "the newest pointer comes last");
        let upgrades = self.coordinator.pending.get(&id).is_some_and(Pending::is_upgrade);
        let upgrade = self.coordinator.upgrade.as_ref().filter(|_| upgrades).map(|upgrade| upgrade.request);
        let location = stored.location.clone();
        out.push(Command::PersistCheckpoint { write, checkpoint: id, location, retained, upgrade });
        if let Some(pending) = self.coordinator.pending.get_mut(&id) {
            pending.stage = Stage::Persisting(stored, write);
        }
    }

    /// The earlier checkpoints that are retained beside a new one: the newest that every region can read.
    fn retained_with(&self, id: CheckpointId) -> Vec<CheckpointId> {
        let readable = self.coordinator.retained.iter().filter(|kept| kept.unreadable.is_empty() && kept.id() < id);
        let ids: Vec<_> = readable.map(Retained::id).collect();
        let room = self.spec.checkpoints.retained_max.saturating_sub(1) as usize;
        ids[ids.len().saturating_sub(room)..].to_vec()
    }

    /// A write is durable; whether it was a pointer.
    pub(crate) fn pointer_written(&mut self, written: WriteId, out: &mut Vec<Command>) -> bool {
        let found = self.coordinator.pending.values().find_map(|pending| match &pending.stage {
            Stage::Persisting(stored, write) if *write == written => Some(stored.clone()),
            _ => None,
        });
        found.is_some_and(|stored| {
            self.complete(&stored, out);
            true
        })
    }

    /// A write has failed; whether it was a pointer.
    pub(crate) fn pointer_write_failed(&mut self, failed: WriteId, out: &mut Vec<Command>) -> bool {
        for (id, pending) in &mut self.coordinator.pending {
            if let Stage::Persisting(stored, write) = &pending.stage
                && *write == failed
            {
                pending.stage = Stage::Reading(stored.clone(), None);
                out.push(Command::ReadPointer { checkpoint: *id });
                return true;
            }
        }
        false
    }

    pub(crate) fn pointer_read(&mut self, id: CheckpointId, result: &Result<bool, String>, out: &mut Vec<Command>) {
        let retry_at = self.now.plus_ms(self.spec.options.persist_retry_ms);
        let pending = self.coordinator.pending.get_mut(&id);
        let Some(Pending { stage: Stage::Reading(stored, retry @ None), .. }) = pending else {
            return self.drop_message(DropReason::AlreadyAnswered);
        };
        match result {
            Err(_) => *retry = Some(retry_at),
            Ok(true) => {
                let stored = stored.clone();
                self.complete(&stored, out);
            }
            Ok(false) => {
                // The read is ordered behind the write, so that this is final. A store in which the write could still take
                // effect would lose records: a job that restarts in between removes output that this checkpoint covers.
                if let Some(pending) = self.coordinator.pending.get_mut(&id) {
                    pending.stage = Stage::Collecting;
                }
                self.checkpoint_failed(id, "its pointer could not be written to the metadata store", out);
                self.pointer_settled(out);
            }
        }
    }

    /// Gives up checkpoints that take too long, and reads pointers again.
    pub(crate) fn checkpoints_deadline(&mut self, out: &mut Vec<Command>) {
        let (now, timeout_ms) = (self.now, self.spec.checkpoints.timeout_ms);
        let mut late = Vec::new();
        for (id, pending) in &mut self.coordinator.pending {
            match &mut pending.stage {
                Stage::Persisting(..) => {}
                Stage::Reading(_, retry) if retry.is_some_and(|at| at <= now) => {
                    *retry = None;
                    out.push(Command::ReadPointer { checkpoint: *id });
                }
                Stage::Reading(..) => {}
                _ if pending.deadline <= now => late.push((*id, pending.awaited.len())),
                _ => {}
            }
        }
        self.upgrade_overdue(out);
        for (id, lacking) in late {
            let why = format!("it was not complete after {timeout_ms} ms: {lacking} tasks have not acknowledged it");
            self.checkpoint_failed(id, &why, out);
        }
    }

    /// A checkpoint is complete.
    fn complete(&mut self, stored: &StoredCheckpoint, out: &mut Vec<Command>) {
        let id = stored.checkpoint.id;
        let Some(pending) = self.coordinator.pending.remove(&id) else { return };
        debug_assert!(pending.awaited.is_empty(), "checkpoint {id} lacks acknowledgements");
        self.checkpoints_view().complete(&stored.checkpoint, &stored.location);
        self.coordinator.ended_at = Some(self.now);
        if stored.checkpoint.kind != (SnapshotKind::Savepoint { stop: false }) {
            self.coordinator.failures = 0;
            self.coordinator.completed_at = Some(self.now);
            let subsumed = |pending: &Pending| pending.is_checkpoint() && !pending.is_unsettled();
            let older = self.coordinator.pending.range(..id).filter(|(_, pending)| subsumed(pending));
            let older: Vec<_> = older.map(|(id, _)| *id).collect();
            for older in older {
                self.abort(older, &format!("checkpoint {id} was complete before it"), out);
            }
            self.notify(id, true, out);
            self.retain(stored, out);
        }
        if pending.is_upgrade() {
            self.upgraded(id, out);
        }
        if let Some(request) = pending.request {
            let at = SnapshotLocation { checkpoint: id, location: stored.location.clone() };
            self.taken(&request, at, out);
        }
        self.pointer_settled(out);
    }

    /// What waited for the outcome of a pointer's write goes on.
    fn pointer_settled(&mut self, out: &mut Vec<Command>) {
        if self.coordinator.unsettled().is_none() {
            self.tasks_ended(out);
        }
    }

    /// Keeps a checkpoint, and deletes what is not needed beside it. The metadata store refers to it no longer.
    fn retain(&mut self, stored: &StoredCheckpoint, out: &mut Vec<Command>) {
        let id = stored.checkpoint.id;
        let keep = self.retained_with(id);
        let coordinator = &mut self.coordinator;
        coordinator.retained.push(Retained::new(stored.clone()));
        let dropped = coordinator.retained.extract_if(.., |kept| kept.id() != id && !keep.contains(&kept.id()));
        let mut dropped: Vec<_> = dropped.map(|kept| kept.stored).collect();
        for old in dropped.iter().filter(|old| old.checkpoint.folder.is_none()) {
            coordinator.garbage.note(old.checkpoint.files(), old.checkpoint.id);
        }
        dropped.retain(|old| old.checkpoint.kind == SnapshotKind::Checkpoint);
        if coordinator.claimed {
            dropped.extend(coordinator.start_from.take().map(|start| start.stored));
        }
        for StoredCheckpoint { checkpoint, location } in dropped {
            self.checkpoints_view().discarded(checkpoint.id);
            out.push(Command::DeleteCheckpoint { checkpoint: checkpoint.id, location });
        }
        // A savepoint does not tell which of the job's files a task that runs on names again.
        if stored.checkpoint.kind == SnapshotKind::Checkpoint {
            self.delete_unused_files(id, out);
        }
    }

    fn delete_unused_files(&mut self, completed: CheckpointId, out: &mut Vec<Command>) {
        let coordinator = &mut self.coordinator;
        let kept = coordinator.retained.iter().map(|kept| &kept.stored.checkpoint);
        let mut in_use: BTreeSet<&str> =
            kept.filter(|kept| kept.folder.is_none()).flat_map(|kept| kept.files()).collect();
        let pending = coordinator.pending.values().filter(|pending| pending.is_checkpoint());
        in_use.extend(pending.flat_map(|p| p.acknowledged.values()).flat_map(|taken| files_of(&taken.snapshot)));
        let paths = coordinator.garbage.collect(completed, &in_use);
        debug_assert!(paths.iter().all(|path| !in_use.contains(&**path)));
        let deletions = paths.chunks(DELETED_FILES_MAX).map(|paths| Command::DeleteFiles { paths: paths.to_vec() });
        out.extend(deletions);
    }

    /// Tells all tasks that run how a checkpoint ended.
    fn notify(&self, checkpoint: CheckpointId, complete: bool, out: &mut Vec<Command>) {
        for task in self.unfinished_tasks() {
            let subtask = self.subtask(task);
            let Some(task_manager) = subtask.task_manager.clone() else { continue };
            if subtask.state == ExecutionState::Canceling {
                continue;
            }
            let attempt = self.attempt_id(task);
            out.push(if complete {
                Command::NotifyCheckpointCompleted { task_manager, attempt, checkpoint }
            } else {
                Command::NotifyCheckpointAborted { task_manager, attempt, checkpoint }
            });
        }
    }

    /// Gives up a checkpoint through nobody's fault. One whose pointer may be written stays.
    pub(crate) fn abort(&mut self, id: CheckpointId, why: &str, out: &mut Vec<Command>) {
        if self.coordinator.pending.get(&id).is_none_or(Pending::is_unsettled) {
            return;
        }
        let Some(pending) = self.coordinator.pending.remove(&id) else { return };
        self.coordinator.ended_at = Some(self.now);
        let now = self.now;
        self.checkpoints_view().fail(id, now, why);
        if pending.is_checkpoint() {
            let files = pending.acknowledged.values().flat_map(|taken| files_of(&taken.snapshot));
            self.coordinator.garbage.note(files, id);
            match pending.stage {
                Stage::Stored(StoredCheckpoint { location, .. }) => {
                    out.push(Command::DeleteCheckpoint { checkpoint: id, location });
                }
                Stage::Storing(_) => drop(self.coordinator.abandoned.insert(id)),
                _ => {}
            }
        }
        self.notify(id, false, out);
        if pending.barrier.kind == SnapshotKind::Upgrade {
            self.upgrade_lost(why, out);
        }
        if let Some(request) = pending.request {
            self.refuse(&request, why, out);
        }
    }

    /// A checkpoint has failed. Too many in a row fail the job; savepoints and upgrades do not count.
    pub(crate) fn checkpoint_failed(&mut self, id: CheckpointId, why: &str, out: &mut Vec<Command>) {
        let kind = self.coordinator.pending.get(&id).map(|pending| pending.barrier.kind);
        let counts = kind == Some(SnapshotKind::Checkpoint);
        self.abort(id, why, out);
        if !counts {
            return;
        }
        self.coordinator.failures = self.coordinator.failures.saturating_add(1);
        if self.coordinator.failures > self.spec.checkpoints.tolerable_failures && matches!(self.phase, Phase::Running)
        {
            let message = format!("checkpoint {id} failed, and no more may fail in a row: {why}");
            let failure = Failure::new(FailureKind::Checkpoint, message).with_remedy(
                "remove the cause, or let more checkpoints fail with \
                 execution.checkpointing.tolerable-failed-checkpoints",
            );
            self.coordinator.failures = 0;
            self.fail_everywhere(&failure, out);
        }
    }

    /// Tasks are being stopped: no checkpoint under way will be complete, save for one whose pointer may be written.
    pub(crate) fn abort_all(&mut self, why: &str, out: &mut Vec<Command>) {
        self.give_up_checkpoints(why, out);
        self.not_stopped(why, out);
    }

    /// What becomes of the checkpoints when the job has ended: its options decide.
    pub(crate) fn leave_checkpoints(&mut self, status: JobStatus, out: &mut Vec<Command>) {
        let kept = match self.spec.checkpoints.retention {
            Retention::NoExternalized => false,
            Retention::DeleteOnCancellation => status == JobStatus::Failed,
            Retention::RetainOnCancellation => status != JobStatus::Finished,
        };
        let any = self.view.checkpoints.counts.total > 0 || !self.coordinator.retained.is_empty();
        if !kept && any {
            out.push(Command::DeleteAllCheckpoints);
        }
        self.stopped(out);
    }

    pub(crate) fn give_up_checkpoints(&mut self, why: &str, out: &mut Vec<Command>) {
        let ids: Vec<_> = self.coordinator.pending.keys().copied().collect();
        ids.into_iter().for_each(|id| self.abort(id, why, out));
        self.give_up_upgrade(why, out);
        while let Some(request) = self.coordinator.requests.pop_front() {
            self.refuse(&request, why, out);
        }
        self.coordinator.at_once = false;
    }
}
