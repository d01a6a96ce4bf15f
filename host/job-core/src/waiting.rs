//! INITIALIZING and CREATED: the job collects slots and splits. Nothing runs before it has all of both, so a missing
//! file or a small cluster costs nothing.

use millrace_types::{AllocationId, ExecutionState, Failure, JobStatus, NodeId, SlotId};

use crate::core::{JobCore, Phase};
use crate::deployment::Placement;
use crate::dropped::DropReason;
use crate::event::Command;
use crate::slot_pool::Offer;
use crate::split_assigner::SplitAssigner;
use crate::tasks::Task;
use crate::view::Waiting;

impl JobCore {
    pub(crate) fn start(&mut self, out: &mut Vec<Command>) {
        if !matches!(self.phase, Phase::Initializing) {
            return self.drop_message(DropReason::AlreadyAnswered);
        }
        self.phase = Phase::Waiting;
        self.view.enter(JobStatus::Created, self.now);
        for task in self.all_tasks() {
            self.enter(task, ExecutionState::Scheduled);
        }
        out.push(Command::RequestSlots { count: self.slots.needed() });
        for (vertex, node, _) in self.spec.graph.sources() {
            out.push(Command::EnumerateSplits { node, parallelism: self.spec.graph.vertices[vertex].parallelism });
        }
        self.show_waiting(None);
    }

    pub(crate) fn slots_offered(&mut self, offers: Vec<(SlotId, AllocationId)>, out: &mut Vec<Command>) {
        for (slot, allocation) in offers {
            // A slot in use may be offered once more; others are wanted only before the tasks are deployed.
            match self.slots.offer(&slot, allocation, matches!(self.phase, Phase::Waiting)) {
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
        if matches!(self.phase, Phase::Waiting) && needed == self.slots.needed() {
            self.show_waiting(Some((free, total)));
        } else {
            self.drop_message(DropReason::TooLate);
        }
    }

    pub(crate) fn splits_enumerated(
        &mut self,
        node: NodeId,
        result: Result<Vec<Vec<u8>>, Failure>,
        out: &mut Vec<Command>,
    ) {
        match self.splits.get(&node) {
            None => return self.drop_message(DropReason::UnknownSplits),
            Some(Some(_)) => return self.drop_message(DropReason::AlreadyAnswered),
            Some(None) if !matches!(self.phase, Phase::Waiting) => return self.drop_message(DropReason::TooLate),
            Some(None) => {}
        }
        match result.and_then(SplitAssigner::new) {
            Ok(assigner) => {
                self.view.splits.insert(node, assigner.progress());
                self.splits.insert(node, Some(assigner));
                self.deploy_if_ready(out);
            }
            Err(failure) => {
                let name = self.spec.graph.sources().find(|(_, id, _)| *id == node).map(|(_, _, node)| &node.name);
                let failure = name.map_or_else(|| failure.clone(), |name| failure.clone().in_operator(name));
                self.fail(failure, None, out);
            }
        }
    }

    /// Asks again for slots that were lost before anything ran in them.
    pub(crate) fn replace_lost_slots(&mut self, out: &mut Vec<Command>) {
        out.push(Command::RequestSlots { count: self.slots.needed() });
        self.show_waiting(None);
    }

    /// Says what the job waits for; keeps what the ResourceManager said last unless there is news.
    fn show_waiting(&mut self, cluster_slots: Option<(u32, u32)>) {
        let known = self.view.waiting.as_ref().and_then(|waiting| waiting.cluster_slots);
        let unlisted = self.splits.iter().filter(|(_, splits)| splits.is_none());
        self.view.waiting = Some(Waiting {
            slots_needed: self.slots.needed(),
            slots_have: self.slots.held(),
            cluster_slots: cluster_slots.or(known),
            sources: unlisted.map(|(node, _)| *node).collect(),
        });
    }

    fn deploy_if_ready(&mut self, out: &mut Vec<Command>) {
        if !matches!(self.phase, Phase::Waiting) {
            return;
        }
        if self.slots.is_complete() && self.splits.values().all(Option::is_some) {
            self.deploy(out);
        } else {
            self.show_waiting(None);
        }
    }

    /// Deploys all tasks at once: their channels find each other wherever and whenever they come up.
    fn deploy(&mut self, out: &mut Vec<Command>) {
        self.phase = Phase::Running;
        self.view.enter(JobStatus::Running, self.now);
        self.view.waiting = None;
        self.assigned_slots = self.slots.in_order();
        let attempts: Vec<Vec<u32>> = self
            .view
            .vertices
            .iter()
            .map(|vertex| vertex.subtasks.iter().map(|subtask| subtask.attempt).collect())
            .collect();
        for task in self.all_tasks() {
            let Task { vertex, subtask } = task;
            let placement = Placement {
                spec: &self.spec,
                sharing: &self.sharing,
                slots: &self.assigned_slots,
                attempts: &attempts,
            };
            let deployment = placement.deployment(vertex, subtask);
            let task_manager = placement.task_manager(vertex, subtask).clone();
            self.enter(task, ExecutionState::Deploying);
            self.subtask_mut(task).task_manager = Some(task_manager.clone());
            out.push(Command::Deploy { task_manager, task: Box::new(deployment) });
        }
    }
}
