//! The slots of a TaskManager: which are granted, to whom, under which allocation. Pure.
//!
//! Invariants:
//! - A slot is granted to one allocation at a time; the allocation fences whoever held the slot before.
//! - A slot whose tasks still run is not free, though its allocation takes no new tasks.

use millrace_protocol::SlotRequest;
use millrace_types::{AllocationId, JobId, LeaderEpoch, SlotId, TaskManagerId, TenantId};

use crate::stale::StaleReason;

/// To whom a slot is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub allocation: AllocationId,
    pub job: JobId,
    pub tenant: TenantId,
    /// It is to be freed as soon as its tasks have ended.
    pub releasing: bool,
}

/// Refuses messages of leaders that are no longer.
#[derive(Debug, Default)]
pub(crate) struct EpochFence {
    newest: Option<LeaderEpoch>,
}

impl EpochFence {
    /// Takes note of the epoch of a message.
    pub(crate) fn check(&mut self, epoch: LeaderEpoch) -> Result<(), StaleReason> {
        if self.newest.is_some_and(|newest| epoch < newest) {
            return Err(StaleReason::Epoch);
        }
        self.newest = Some(epoch);
        Ok(())
    }
}

/// All slots.
#[derive(Debug)]
pub(crate) struct SlotTable {
    task_manager: TaskManagerId,
    slots: Vec<Option<Grant>>,
}

impl SlotTable {
    pub(crate) fn new(task_manager: TaskManagerId, slots: u32) -> Self {
        Self { task_manager, slots: (0..slots).map(|_| None).collect() }
    }

    /// Grants the slot that is asked for. Asking again for the same grant is no mistake: the offer may have been lost.
    pub(crate) fn request(&mut self, request: &SlotRequest) -> Result<(), StaleReason> {
        if request.slot.task_manager != self.task_manager {
            return Err(StaleReason::OtherTaskManager);
        }
        let grant = Grant {
            allocation: request.allocation,
            job: request.job,
            tenant: request.tenant.clone(),
            releasing: false,
        };
        let elsewhere = self.position(request.allocation).is_some_and(|index| index != request.slot.index as usize);
        match self.slots.get_mut(request.slot.index as usize) {
            None => Err(StaleReason::UnknownSlot),
            Some(_) if elsewhere => Err(StaleReason::SlotOccupied),
            Some(slot @ None) => {
                *slot = Some(grant);
                Ok(())
            }
            Some(Some(present)) if *present == grant => Ok(()),
            Some(Some(_)) => Err(StaleReason::SlotOccupied),
        }
    }

    /// Whether a task of the job may run under the allocation.
    pub(crate) fn admit(&self, allocation: AllocationId, job: JobId, tenant: &TenantId) -> Result<(), StaleReason> {
        let grant = self.position(allocation).and_then(|index| self.slots[index].as_ref());
        match grant {
            None => Err(StaleReason::UnknownAllocation),
            Some(grant) if grant.job != job || grant.tenant != *tenant => Err(StaleReason::AllocationOfAnotherJob),
            Some(grant) if grant.releasing => Err(StaleReason::UnknownAllocation),
            Some(_) => Ok(()),
        }
    }

    /// Takes no more tasks under the allocation. The slot is free behind [`Self::free`].
    pub(crate) fn release(&mut self, allocation: AllocationId) -> Result<(), StaleReason> {
        let grant = self.position(allocation).and_then(|index| self.slots[index].as_mut());
        grant.map(|grant| grant.releasing = true).ok_or(StaleReason::UnknownAllocation)
    }

    /// Frees the slot of an allocation that was released and whose tasks have ended.
    pub(crate) fn free(&mut self, allocation: AllocationId) -> Option<SlotId> {
        let index = self.position(allocation)?;
        let slot = &mut self.slots[index];
        if slot.as_ref().is_some_and(|grant| !grant.releasing) {
            return None;
        }
        *slot = None;
        Some(self.slot_id(index))
    }

    /// The slots that are granted.
    pub(crate) fn granted<'a>(&'a self) -> impl Iterator<Item = (SlotId, &'a Grant)> {
        let granted = |(index, slot): (usize, &'a Option<Grant>)| Some((self.slot_id(index), slot.as_ref()?));
        self.slots.iter().enumerate().filter_map(granted)
    }

    fn slot_id(&self, index: usize) -> SlotId {
        SlotId { task_manager: self.task_manager.clone(), index: u32::try_from(index).unwrap_or(u32::MAX) }
    }

    fn position(&self, allocation: AllocationId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|grant| grant.allocation == allocation))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn allocation(n: u8) -> AllocationId {
        AllocationId::from_bytes([n; 16])
    }

    fn request(index: u32, n: u8, job: u8) -> SlotRequest {
        SlotRequest {
            epoch: LeaderEpoch(1),
            slot: SlotId { task_manager: TaskManagerId("tm".to_owned()), index },
            allocation: allocation(n),
            job: JobId::from_bytes([job; 16]),
            tenant: TenantId::default_tenant(),
        }
    }

    fn table() -> SlotTable {
        SlotTable::new(TaskManagerId("tm".to_owned()), 2)
    }

    #[test]
    fn a_slot_is_granted_once_and_the_same_grant_is_repeatable() {
        let mut table = table();
        assert_eq!(table.request(&request(0, 1, 1)), Ok(()));
        assert_eq!(table.request(&request(0, 1, 1)), Ok(()));
        assert_eq!(table.request(&request(0, 2, 1)), Err(StaleReason::SlotOccupied));
        assert_eq!(table.request(&request(1, 1, 1)), Err(StaleReason::SlotOccupied), "one allocation, one slot");
        assert_eq!(table.request(&request(2, 3, 1)), Err(StaleReason::UnknownSlot));
        let mut elsewhere = request(1, 4, 1);
        elsewhere.slot.task_manager = TaskManagerId("other".to_owned());
        assert_eq!(table.request(&elsewhere), Err(StaleReason::OtherTaskManager));
        assert_eq!(table.granted().count(), 1);
    }

    #[test]
    fn tasks_run_only_under_a_live_allocation_of_their_own_job() {
        let mut table = table();
        table.request(&request(0, 1, 1)).unwrap();
        let (job, other) = (JobId::from_bytes([1; 16]), JobId::from_bytes([2; 16]));
        let (tenant, foreign) = (TenantId::default_tenant(), TenantId::new("foreign").unwrap());
        assert_eq!(table.admit(allocation(1), job, &tenant), Ok(()));
        assert_eq!(table.admit(allocation(1), other, &tenant), Err(StaleReason::AllocationOfAnotherJob));
        assert_eq!(table.admit(allocation(1), job, &foreign), Err(StaleReason::AllocationOfAnotherJob));
        assert_eq!(table.admit(allocation(9), job, &tenant), Err(StaleReason::UnknownAllocation));

        assert_eq!(table.free(allocation(1)), None, "nobody released it");
        table.release(allocation(1)).unwrap();
        assert_eq!(table.admit(allocation(1), job, &tenant), Err(StaleReason::UnknownAllocation));
        assert_eq!(table.request(&request(0, 2, 2)), Err(StaleReason::SlotOccupied), "its tasks still run");
        assert_eq!(table.free(allocation(1)).unwrap().index, 0);
        assert_eq!(table.release(allocation(1)), Err(StaleReason::UnknownAllocation));
        assert_eq!(table.request(&request(0, 2, 2)), Ok(()));
    }

    #[test]
    fn an_older_leader_is_refused_and_a_newer_one_takes_over() {
        let mut fence = EpochFence::default();
        assert_eq!(fence.check(LeaderEpoch(2)), Ok(()));
        assert_eq!(fence.check(LeaderEpoch(1)), Err(StaleReason::Epoch));
        assert_eq!(fence.check(LeaderEpoch(3)), Ok(()));
        assert_eq!(fence.check(LeaderEpoch(2)), Err(StaleReason::Epoch));
    }
}
