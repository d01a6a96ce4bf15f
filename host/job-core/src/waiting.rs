//! CREATED, and RESTARTING once the tasks have stopped: the job collects slots and splits. Nothing runs before it has all
//! of both, so a missing file or a small cluster costs nothing.

use millrace_types::{AllocationId, ExecutionState, Failure, JobStatus, NodeId, SlotId};

use crate::core::{JobCore, Phase, Splits};
use crate::deployment::Placement;
use crate::dropped::DropReason;
use crate::event::{Command, EnumerationId};
use crate::rescales::{RescaleCause, RescaleEnd, SchedulerState};
use crate::slot_pool::{self, Offer};
use crate::split_assigner::SplitAssigner;
use crate::tasks::Task;
use crate::view::Waiting;

impl JobCore {
    pub(crate) fn start(&mut self, out: &mut Vec<Command>) {
        if !matches!(self.phase, Phase::Initializing) {
            return self.drop_message(DropReason::AlreadyAnswered);
        }
        match self.spec.adoption.filter(|_| self.unfit.is_none()) {
            Some(options) => self.begin_adoption(options, out),
            None => self.begin(out),
        }
    }

    /// Collects what the tasks need to run for the first time under this leader.
    pub(crate) fn begin(&mut self, out: &mut Vec<Command>) {
        self.phase = Phase::Waiting;
        self.view.enter(JobStatus::Created, self.now);
        if let Some(scaling) = &mut self.scaling {
            scaling.waits(self.now);
        }
        self.begin_rescale(RescaleCause::InitialSchedule);
        for task in self.all_tasks() {
            self.enter(task, ExecutionState::Scheduled);
        }
        out.push(Command::RequestSlots { count: self.slots.needed() });
        if let Some(failure) = self.unfit.take() {
            self.fail(&failure, 0, None, out);
            return self.tasks_ended(out);
        }
        for region in self.pending.clone() {
            self.choose_restore(region);
            self.enumerate_splits(region, out);
        }
        self.record_attempts(out);
        self.deploy_if_ready(out);
    }

    pub(crate) fn slots_offered(&mut self, offers: Vec<(SlotId, AllocationId)>, out: &mut Vec<Command>) {
        for (slot, allocation) in offers {
            // A slot in use may be offered once more; others are wanted as long as the job goes on and lacks some.
            match self.slots.offer(&slot, allocation, self.goes_on()) {
                Offer::Accepted => out.push(Command::AcceptSlot { slot, allocation }),
                Offer::Surplus => {
                    self.drop_message(DropReason::SurplusSlot);
                    out.push(Command::RejectSlot { slot, allocation });
                }
                // Rejecting it by its grant would free the slot that the job holds under the same one.
                Offer::Contradictory => self.drop_message(DropReason::UnknownAllocation),
            }
        }
        self.deploy_if_ready(out);
    }

    pub(crate) fn slots_lacking(&mut self, needed: u32, free: u32, total: u32) {
        let waits = matches!(self.phase, Phase::Waiting | Phase::Restarting { .. });
        if waits && needed == self.slots.needed() {
            self.show_waiting(Some((free, total)));
        } else if self.scaling.is_none() || !matches!(self.phase, Phase::Running) {
            // A job that runs with fewer slots than it asks for knows it.
            self.drop_message(DropReason::TooLate);
        }
    }

    pub(crate) fn splits_enumerated(
        &mut self,
        node: NodeId,
        enumeration: EnumerationId,
        result: Result<Vec<Vec<u8>>, Failure>,
        out: &mut Vec<Command>,
    ) {
        match self.splits.get(&node) {
            None => return self.drop_message(DropReason::UnknownSplits),
            Some(Splits::Listing(Some(asked))) if *asked == enumeration => {}
            Some(_) => return self.drop_message(DropReason::AlreadyAnswered),
        }
        if !self.goes_on() {
            return self.drop_message(DropReason::TooLate);
        }
        match result.and_then(SplitAssigner::new) {
            Ok(assigner) => {
                self.view.splits.insert(node, assigner.progress());
                self.splits.insert(node, Splits::Listed(assigner));
                self.deploy_if_ready(out);
            }
            Err(failure) => {
                self.splits.insert(node, Splits::Listing(None));
                let found = self.spec.graph.sources().find(|(_, id, _)| *id == node);
                let Some((vertex, _, source)) = found else { return };
                let failure = failure.in_operator(&source.name);
                self.fail(&failure, self.regions.of_vertex(vertex), None, out);
                self.tasks_ended(out);
            }
        }
    }

    /// How many slots the job needs: those that it has assigned, and those of tasks that run or are to run again.
    fn slots_needed(&self) -> u32 {
        if let Some(desired) = self.slots_desired() {
            return desired;
        }
        let needed = |slot: &u32| self.assigned_slots.contains_key(slot) || self.slot_is_vacant(*slot);
        (0..self.sharing.required_slots()).filter(needed).count() as u32
    }

    /// Whether tasks are to run in a shared slot that the job does not have.
    fn slot_is_vacant(&self, slot: u32) -> bool {
        let runs = |(vertex, subtask): &(usize, u32)| {
            let task = Task { vertex: *vertex, subtask: *subtask };
            self.pending.contains(&self.region_of(task)) || !self.subtask(task).state.is_terminal()
        };
        !self.assigned_slots.contains_key(&slot) && self.sharing.members(slot).iter().any(runs)
    }

    /// Tells the ResourceManager how many slots the job needs, if that has changed.
    pub(crate) fn update_slots_needed(&mut self, out: &mut Vec<Command>) {
        if self.slots_needed() != self.slots.needed() {
            self.request_slots_needed(out);
        }
    }

    /// Tells the ResourceManager how many slots the job needs.
    pub(crate) fn request_slots_needed(&mut self, out: &mut Vec<Command>) {
        self.slots.set_needed(self.slots_needed());
        out.push(Command::RequestSlots { count: self.slots.needed() });
    }

    /// Asks again for slots that were lost, so that the ResourceManager says again what is lacking.
    pub(crate) fn replace_lost_slots(&mut self, out: &mut Vec<Command>) {
        self.request_slots_needed(out);
        if !matches!(self.phase, Phase::Running) {
            self.show_waiting(None);
        }
    }

    /// Says what the job waits for; keeps what the ResourceManager said last unless there is news.
    pub(crate) fn show_waiting(&mut self, cluster_slots: Option<(u32, u32)>) {
        let known = self.view.waiting.as_ref().and_then(|waiting| waiting.cluster_slots);
        let unlisted = self.splits.iter().filter(|(_, splits)| matches!(splits, Splits::Listing(Some(_))));
        let restart_at = match self.phase {
            Phase::Restarting { restart_at, .. } if restart_at > self.now => Some(restart_at),
            _ => None,
        };
        self.view.waiting = Some(Waiting {
            slots_needed: self.slots.needed(),
            slots_have: self.slots.held(),
            cluster_slots: cluster_slots.or(known),
            tasks_stopping: self.stopping_tasks().len() as u32,
            restart_at,
            sources: unlisted.map(|(node, _)| *node).collect(),
            unrecorded_attempt: self.attempt_unrecorded(),
            unsettled_checkpoint: self.coordinator.unsettled(),
        });
    }

    pub(crate) fn deploy_if_ready(&mut self, out: &mut Vec<Command>) {
        match self.phase {
            Phase::Waiting => {}
            Phase::Restarting { .. } => return self.show_waiting(None),
            _ => return,
        }
        let has_slots = if self.scaling.is_some() { self.adapt_to_slots(out) } else { self.slots.is_complete() };
        let recorded = self.attempt_unrecorded().is_none();
        let listed = self.splits.values().all(|splits| matches!(splits, Splits::Listed(_)));
        if recorded && listed && has_slots {
            self.deploy(out);
        } else {
            self.show_waiting(None);
        }
    }

    /// Gives the shared slots that have none those that nothing is assigned to: each one of the TaskManager that it was on,
    /// if there is one, the others in order.
    fn fill_vacant_slots(&mut self) {
        let assigned = |slot: &(SlotId, AllocationId)| self.assigned_slots.values().any(|taken| taken == slot);
        let free: Vec<_> = self.slots.in_order().into_iter().filter(|slot| !assigned(slot)).collect();
        let vacant: Vec<u32> = (0..self.sharing.required_slots()).filter(|slot| self.slot_is_vacant(*slot)).collect();
        self.assigned_slots.extend(slot_pool::give_back(&self.former_slots, &vacant, free));
        self.note_places();
    }

    /// Keeps in mind where the shared slots are.
    pub(crate) fn note_places(&mut self) {
        self.former_slots = self.assigned_slots.iter().map(|(number, (slot, _))| (*number, slot.clone())).collect();
    }

    /// Deploys all tasks that wait at once: their channels find each other wherever and whenever they come up.
    fn deploy(&mut self, out: &mut Vec<Command>) {
        self.fill_vacant_slots();
        self.phase = Phase::Running;
        self.view.enter(JobStatus::Running, self.now);
        self.view.waiting = None;
        self.restarts.deployed(self.now);
        if let Some(scaling) = &mut self.scaling {
            scaling.deployed(self.now);
        }
        self.note_scheduler(SchedulerState::Executing);
        self.end_rescale(RescaleEnd::Succeeded);
        self.release_surplus(out);
        self.coordinator.triggered_at = self.now;
        self.coordinator.undo = None;
        let tasks = self.pending_tasks();
        self.pending.clear();
        let attempts: Vec<Vec<u32>> = self
            .view
            .vertices
            .iter()
            .map(|vertex| vertex.subtasks.iter().map(|subtask| subtask.attempt).collect())
            .collect();
        for task in tasks {
            let Task { vertex, subtask } = task;
            self.enter(task, ExecutionState::Deploying);
            let timestamps = self.subtask(task).timestamps.clone();
            let placement = Placement {
                spec: &self.spec,
                sharing: &self.sharing,
                slots: &self.assigned_slots,
                attempts: &attempts,
            };
            let deployment = placement.deployment(vertex, subtask, self.restore_of(task), timestamps);
            let task_manager = placement.task_manager(vertex, subtask).clone();
            self.subtask_mut(task).task_manager = Some(task_manager.clone());
            out.push(Command::Deploy { task_manager, task: Box::new(deployment) });
        }
    }
}
