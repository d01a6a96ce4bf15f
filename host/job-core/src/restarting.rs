//! RESTARTING: the tasks of the regions that failed stop, the delay passes, and the regions are made ready to run again.
//!
//! Regions that fail meanwhile join the restart under way: it is one restart, and one entry of the exception history.
//! The job keeps its slots and goes on asking for those that it lacks, so that waiting for slots and waiting for the
//! delay are one wait.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{ExecutionState, Failure, FailureKind, JobStatus, NodeId, Timestamp};

use crate::core::{JobCore, Patience, Phase, Splits};
use crate::event::{Command, EnumerationId};
use crate::rescales::SchedulerState;
use crate::tasks::Task;

impl JobCore {
    /// How long to wait before the job runs again after a failure; `None`: it does not.
    pub(crate) fn restart_delay(&mut self, failure: &Failure, region: usize) -> Option<u64> {
        // No number would be left to tell the next attempt by.
        let undone = matches!(self.phase, Phase::Running) && self.undoes_upgrade();
        let exhausted = self.all_tasks().iter().any(|task| self.subtask(*task).attempt == u32::MAX);
        let permanent = failure.kind.is_permanent() && !undone;
        let hopeless = permanent || exhausted || self.coordinator.is_lost(region);
        match (hopeless, undone) {
            (true, _) => None,
            // The code that failed goes with the upgrade.
            (false, true) => Some(0),
            (false, false) => self.restarts.failed(self.now),
        }
    }

    /// Stops a region in order to run it again, not before a time. With the adaptive scheduler all regions that have not
    /// ended go along, as they do where some may run code that is not the job's; and where the job is stopping behind a
    /// savepoint, all: the others end behind it, or have ended, and go on from it too, or from the checkpoint before it if
    /// their sources were told to end for it.
    pub(crate) fn restart_region(&mut self, region: usize, restart_at: Timestamp, why: &str, out: &mut Vec<Command>) {
        let stopping = self.coordinator.stop.as_ref().is_some_and(|stop| stop.drained || stop.taken.is_some());
        let together = self.scaling.is_some() || self.runs_other_code();
        let active = |other: &usize| together && self.is_active(*other);
        let goes_along = |other: &usize| *other == region || stopping || active(other);
        let regions: Vec<usize> = (0..self.regions.count()).filter(goes_along).collect();
        self.pending.extend(&regions);
        self.abort_all(why, out);
        self.coordinator.undrain = None;
        if self.view.status != JobStatus::Restarting {
            self.view.enter(JobStatus::Restarting, self.now);
        }
        self.phase = Phase::Restarting { patience: self.patience(), restart_at };
        self.note_scheduler(SchedulerState::Restarting);
        for task in regions.into_iter().flat_map(|region| self.tasks_of(region)).collect::<Vec<_>>() {
            self.stop_task(task, out);
        }
        self.update_slots_needed(out);
        self.record_attempts(out);
        self.show_waiting(None);
    }

    /// When a restart that is under way is to be joined, if there is one.
    pub(crate) fn restart_under_way(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Restarting { restart_at, .. } => Some(restart_at),
            Phase::Waiting if self.view.status == JobStatus::Restarting => Some(self.now),
            _ => None,
        }
    }

    /// Whether no task of a region runs or waits to run, save for those that are being cancelled. A region that was made
    /// ready before another one joined the restart waits: if it then fails, it has to be made ready once more.
    pub(crate) fn has_stopped(&self, region: usize) -> bool {
        let stopped = |state: ExecutionState| state.is_terminal() || state == ExecutionState::Canceling;
        self.tasks_of(region).into_iter().all(|task| stopped(self.subtask(task).state))
    }

    /// The tasks that have to end before their region runs again.
    pub(crate) fn stopping_tasks(&self) -> Vec<Task> {
        let mut tasks = self.pending_tasks();
        tasks.retain(|task| self.subtask(*task).state == ExecutionState::Canceling);
        tasks
    }

    /// When a restart is to be looked at again.
    pub(crate) fn restarting_due(&self) -> Option<Timestamp> {
        let Phase::Restarting { patience, restart_at } = &self.phase else { return None };
        let stopped = self.stopping_tasks().is_empty();
        if stopped && self.coordinator.unsettled().is_some() {
            return None;
        }
        Some(if stopped { *restart_at } else { patience.retry_at.min(patience.give_up_at) })
    }

    pub(crate) fn restarting_deadline(&mut self, out: &mut Vec<Command>) {
        let Phase::Restarting { patience, .. } = self.phase else { return };
        let stopping = self.stopping_tasks();
        if !stopping.is_empty() {
            if self.now >= patience.give_up_at {
                self.take_slots_away(&stopping, out);
            } else if self.now >= patience.retry_at {
                self.cancel_again(&stopping, out);
            }
        }
        self.wait_if_stopped(out);
    }

    fn cancel_again(&mut self, tasks: &[Task], out: &mut Vec<Command>) {
        let next = self.patience();
        if let Phase::Restarting { patience: Patience { retry_at, .. }, .. } = &mut self.phase {
            *retry_at = next.retry_at;
        }
        tasks.iter().for_each(|task| self.send_cancel(*task, out));
    }

    /// Tasks that did not stop lose their slots, which ends them and whatever else runs in these.
    fn take_slots_away(&mut self, stuck: &[Task], out: &mut Vec<Command>) {
        let failure = self.did_not_stop();
        let mut slots = BTreeMap::new();
        for task in stuck {
            let shared = self.sharing.slot_of(task.vertex, task.subtask);
            slots.extend(self.assigned_slots.get(&shared).cloned());
            self.subtask_mut(*task).fail(&failure);
            self.enter(*task, ExecutionState::Failed);
            self.fail(&failure, self.region_of(*task), Some(*task), out);
        }
        // A slot that is lost already is nobody's to release.
        slots.retain(|_, allocation| self.slots.remove(*allocation));
        if !slots.is_empty() {
            out.push(Command::ReleaseSlots { slots: slots.clone().into_iter().collect() });
        }
        let taken: BTreeSet<_> = slots.into_values().collect();
        let failure = Failure::new(FailureKind::TaskManagerLost, "another task in the same slot did not stop in time")
            .with_remedy("look into the log of its TaskManager");
        self.slots_gone(&taken, &self.unfinished_under(&taken), &failure, out);
    }

    /// Goes on to wait for slots and splits when all has stopped and the delay is over.
    pub(crate) fn wait_if_stopped(&mut self, out: &mut Vec<Command>) {
        let Phase::Restarting { restart_at, .. } = self.phase else { return };
        // Which checkpoint is the newest has to be known.
        if self.now < restart_at || !self.stopping_tasks().is_empty() || self.coordinator.unsettled().is_some() {
            return self.show_waiting(None);
        }
        self.phase = Phase::Waiting;
        let mut renewed = self.pending.clone();
        renewed.retain(|region| {
            // A region that waited already when another one joined is ready.
            let ended = |task: &Task| self.subtask(*task).state.is_terminal();
            let tasks: Vec<Task> = self.tasks_of(*region).into_iter().filter(ended).collect();
            tasks.iter().for_each(|task| self.renew(*task));
            !tasks.is_empty()
        });
        if let Some(scaling) = &mut self.scaling {
            scaling.waits(self.now);
        }
        self.note_scheduler(SchedulerState::WaitingForResources);
        // The splits are dealt out to as many readers as there will be, if that is known.
        if let Some(graph) = self.decided_graph() {
            self.set_graph(graph);
        }
        for region in renewed {
            self.choose_restore(region);
            self.enumerate_splits(region, out);
        }
        self.deploy_if_ready(out);
    }

    /// Asks for the splits of a region's sources, save for those that its checkpoint knows: anew at each restart, as they
    /// may have changed and all of them are to be read from their beginning.
    pub(crate) fn enumerate_splits(&mut self, region: usize, out: &mut Vec<Command>) {
        let sources = self.spec.graph.sources().filter(|(vertex, _, _)| self.regions.of_vertex(*vertex) == region);
        let sources: Vec<_> = sources.map(|(vertex, node, _)| (vertex, node)).collect();
        let from = self.coordinator.restored_from.get(&region);
        let restored = from.and_then(|from| self.coordinator.ladder().find(|kept| kept.id() == *from));
        let restored = restored.map(|kept| kept.stored.checkpoint.clone());
        for (vertex, node) in sources {
            let uid =
                self.spec.graph.vertices[vertex].nodes.iter().find(|(id, _)| *id == node).map(|(_, node)| &node.uid);
            let known = restored.as_ref().and_then(|checkpoint| checkpoint.operators.get(uid?));
            if known.is_some_and(|state| state.source.is_some()) {
                continue;
            }
            self.enumerate_splits_of(node, self.spec.graph.vertices[vertex].parallelism, out);
        }
    }

    /// Asks for the splits of a source.
    pub(crate) fn enumerate_splits_of(&mut self, node: NodeId, parallelism: u32, out: &mut Vec<Command>) {
        self.enumerations += 1;
        let enumeration = EnumerationId(self.enumerations);
        self.splits.insert(node, Splits::Listing(Some(enumeration)));
        self.view.splits.remove(&node);
        out.push(Command::EnumerateSplits { node, parallelism, enumeration });
    }
}
