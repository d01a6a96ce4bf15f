//! Requests of jobs, and the life of a grant: asked for, taken, freed.

use std::collections::BTreeSet;

use millrace_protocol::SlotRequest;
use millrace_types::{AllocationId, JobId, SlotId, TenantId};

use crate::core::{Request, ResourceCore};
use crate::dropped::DropReason;
use crate::event::Command;
use crate::slot::{Grant, SlotState};
use crate::solve::{Assignment, Demand, Problem, solve};

impl ResourceCore {
    pub(crate) fn slots_requested(
        &mut self,
        job: JobId,
        tenant: TenantId,
        count: u32,
        partly: bool,
        out: &mut Vec<Command>,
    ) {
        self.unplaced_changes = true;
        if count == 0 {
            self.requests.remove(&job);
            return self.free_all(job, |state| matches!(state, SlotState::Pending { .. }), out);
        }
        let sequence = self.sequence;
        let new = Request { tenant, count, partly, sequence, told_lacking: None };
        let request = self.requests.entry(job).or_insert(new);
        (request.count, request.partly) = (count, partly);
        request.told_lacking = None;
        self.sequence += 1;
    }

    pub(crate) fn job_gone(&mut self, job: JobId, out: &mut Vec<Command>) {
        self.unplaced_changes = true;
        self.requests.remove(&job);
        self.free_all(job, |_| true, out);
    }

    /// Takes back the slots that a job holds, or is to get, in some states.
    fn free_all(&mut self, job: JobId, which: fn(&SlotState) -> bool, out: &mut Vec<Command>) {
        let slots: Vec<(SlotId, Grant)> = self
            .registry
            .slots()
            .filter(|(_, state)| state.holder() == Some(job) && which(state))
            .filter_map(|(slot, state)| state.grant().map(|grant| (slot, grant)))
            .collect();
        for (slot, grant) in slots {
            self.free(&slot, grant, out);
        }
    }

    pub(crate) fn slot_accepted(
        &mut self,
        job: JobId,
        slot: &SlotId,
        allocation: AllocationId,
        out: &mut Vec<Command>,
    ) {
        let since = self.now;
        match self.registry.slot_mut(slot) {
            Some(state @ SlotState::Pending { .. }) if state.is_under(allocation) => {
                if let Some(grant) = state.grant() {
                    *state = SlotState::Allocated { grant, since };
                }
            }
            // A heartbeat told it before.
            Some(state @ SlotState::Allocated { .. }) if state.is_under(allocation) => {}
            known => {
                let reason = if known.is_some() { DropReason::StaleAllocation } else { DropReason::UnknownSlot };
                self.drop_message(reason);
                out.push(Command::NotifySlotsLost { job, allocations: vec![allocation] });
            }
        }
    }

    pub(crate) fn slots_released(&mut self, slots: &[(SlotId, AllocationId)], out: &mut Vec<Command>) {
        for (slot, allocation) in slots {
            match self.registry.slot_mut(slot).map(|state| *state) {
                Some(state) if state.is_under(*allocation) => {
                    if let Some(grant) = state.grant() {
                        self.free(slot, grant, out);
                    }
                }
                // A grant that is not known here: an earlier leader's, say. Its TaskManager frees it all the same.
                Some(_) => {
                    let (task_manager, allocation) = (slot.task_manager.clone(), *allocation);
                    out.push(Command::FreeSlot { task_manager, allocation });
                }
                None => self.drop_message(DropReason::UnknownSlot),
            }
        }
    }

    pub(crate) fn slot_freed(&mut self, slot: &SlotId, allocation: AllocationId, out: &mut Vec<Command>) {
        match self.registry.slot_mut(slot).map(|state| *state) {
            Some(state) if state.is_under(allocation) => {
                if let Some(grant) = state.grant() {
                    self.notify_lost(grant, out);
                }
                self.set(slot, SlotState::Free);
            }
            Some(_) => self.drop_message(DropReason::StaleAllocation),
            None => self.drop_message(DropReason::UnknownSlot),
        }
    }

    pub(crate) fn slot_request_failed(&mut self, slot: &SlotId, allocation: AllocationId, out: &mut Vec<Command>) {
        match self.registry.slot_mut(slot).map(|state| *state) {
            Some(SlotState::Pending { grant, .. }) if grant.allocation == allocation => self.free(slot, grant, out),
            Some(_) => self.drop_message(DropReason::StaleAllocation),
            None => self.drop_message(DropReason::UnknownSlot),
        }
    }

    /// Has a TaskManager free a slot; nobody gets it before that is done.
    pub(crate) fn free(&mut self, slot: &SlotId, grant: Grant, out: &mut Vec<Command>) {
        let retry_at = self.now.plus_ms(self.options.slot_timeout_ms);
        let silence_counts_from = match self.registry.slot_mut(slot).map(|state| *state) {
            Some(SlotState::Freeing { grant: present, silence_counts_from, .. }) if present == grant => {
                silence_counts_from
            }
            Some(SlotState::Pending { .. }) => retry_at,
            // The TaskManager offered or reported it.
            _ => self.now,
        };
        self.set(slot, SlotState::Freeing { grant, silence_counts_from, retry_at });
        let (task_manager, allocation) = (slot.task_manager.clone(), grant.allocation);
        out.push(Command::FreeSlot { task_manager, allocation });
    }

    /// Repeats what a TaskManager did not react to; after several requests another slot is sought.
    pub(crate) fn retry(&mut self, slot: &SlotId, out: &mut Vec<Command>) {
        let retry_at = self.now.plus_ms(self.options.slot_timeout_ms);
        match self.registry.slot_mut(slot).map(|state| *state) {
            Some(SlotState::Pending { grant, attempts, .. }) if attempts < self.options.slot_request_attempts_max => {
                self.set(slot, SlotState::Pending { grant, attempts: attempts + 1, retry_at });
                self.request(slot, grant, out);
            }
            Some(SlotState::Pending { grant, .. } | SlotState::Freeing { grant, .. }) => self.free(slot, grant, out),
            _ => {}
        }
    }

    fn request(&self, slot: &SlotId, grant: Grant, out: &mut Vec<Command>) {
        let Some(request) = self.requests.get(&grant.job) else { return };
        let request = SlotRequest {
            epoch: self.epoch,
            slot: slot.clone(),
            allocation: grant.allocation,
            job: grant.job,
            tenant: request.tenant.clone(),
        };
        out.push(Command::RequestSlotFromTaskManager { task_manager: slot.task_manager.clone(), request });
    }

    /// Gives free slots to those who ask for them, and tells those who get none.
    pub(crate) fn place(&mut self, out: &mut Vec<Command>) {
        let held: Assignment =
            self.registry.slots().filter_map(|(slot, state)| state.holder().map(|job| (slot, job))).collect();
        let free: BTreeSet<SlotId> =
            self.registry.slots().filter(|(_, state)| matches!(state, SlotState::Free)).map(|(slot, _)| slot).collect();
        let mut demands: Vec<_> = self.requests.iter().map(|(job, request)| (request.sequence, *job)).collect();
        demands.sort_unstable();
        let demand = |job: JobId| {
            let request = &self.requests[&job];
            Demand { job, slots: request.count, partly: request.partly }
        };
        let demands: Vec<Demand> = demands.into_iter().map(|(_, job)| demand(job)).collect();
        let assignment = solve(&Problem { demands: demands.clone(), free }, &held);
        let retry_at = self.now.plus_ms(self.options.slot_timeout_ms);
        for (slot, job) in assignment.iter().filter(|(slot, _)| !held.contains_key(slot)) {
            let grant = Grant { allocation: self.fresh_allocation(), job: *job };
            self.set(slot, SlotState::Pending { grant, attempts: 1, retry_at });
            self.request(slot, grant, out);
        }
        for demand in demands {
            let has = assignment.values().filter(|job| **job == demand.job).count();
            self.tell_lacking(demand, has < demand.slots as usize, out);
        }
    }

    fn tell_lacking(&mut self, demand: Demand, lacks: bool, out: &mut Vec<Command>) {
        let (needed, free, total) = (demand.slots, self.registry.free(), self.registry.total());
        let Some(request) = self.requests.get_mut(&demand.job) else { return };
        let told = lacks.then_some((needed, free, total));
        if told.is_some() && request.told_lacking != told {
            out.push(Command::NotifyLacking { job: demand.job, needed, free, total });
        }
        request.told_lacking = told;
    }
}
