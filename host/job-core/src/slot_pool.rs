//! The slots that a job holds.
//!
//! Invariant: never two grants of one slot, never one grant of two slots, never more than the job needed when it took
//! them.

use std::collections::BTreeMap;

use millrace_types::{AllocationId, SlotId, TaskManagerId};

/// What becomes of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The job takes the slot, or has it already.
    Accepted,
    /// The job does not need it.
    Surplus,
    /// The offer contradicts what the job holds.
    Contradictory,
}

/// The slots that a job holds, and how many it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotPool {
    needed: u32,
    held: BTreeMap<AllocationId, SlotId>,
}

impl SlotPool {
    pub fn new(needed: u32) -> Self {
        Self { needed, held: BTreeMap::new() }
    }

    pub fn needed(&self) -> u32 {
        self.needed
    }

    /// The job needs so many from now on.
    pub fn set_needed(&mut self, needed: u32) {
        self.needed = needed;
    }

    pub fn held(&self) -> u32 {
        self.held.len() as u32
    }

    pub fn is_complete(&self) -> bool {
        self.held() >= self.needed
    }

    /// Takes an offered slot if the job `wants` one and needs it.
    pub fn offer(&mut self, slot: &SlotId, allocation: AllocationId, wants: bool) -> Offer {
        match self.held.get(&allocation) {
            Some(held) if held == slot => Offer::Accepted,
            Some(_) => Offer::Contradictory,
            None if !wants || self.is_complete() || self.held.values().any(|held| held == slot) => Offer::Surplus,
            None => {
                self.held.insert(allocation, slot.clone());
                Offer::Accepted
            }
        }
    }

    /// Whether a grant is held.
    pub fn holds(&self, allocation: AllocationId) -> bool {
        self.held.contains_key(&allocation)
    }

    /// Takes a slot that was the job's under an earlier leader.
    pub fn adopt(&mut self, slot: &SlotId, allocation: AllocationId) {
        self.held.insert(allocation, slot.clone());
    }

    /// Forgets a grant; whether it was held.
    pub fn remove(&mut self, allocation: AllocationId) -> bool {
        self.held.remove(&allocation).is_some()
    }

    /// Forgets all grants of a TaskManager and returns them.
    pub fn remove_task_manager(&mut self, task_manager: &TaskManagerId) -> Vec<AllocationId> {
        let lost: Vec<_> =
            self.held.iter().filter(|(_, slot)| slot.task_manager == *task_manager).map(|(id, _)| *id).collect();
        for allocation in &lost {
            self.held.remove(allocation);
        }
        lost
    }

    /// The slots in the order in which shared slots are assigned to them: by TaskManager and number.
    pub fn in_order(&self) -> Vec<(SlotId, AllocationId)> {
        let mut slots: Vec<_> = self.held.iter().map(|(allocation, slot)| (slot.clone(), *allocation)).collect();
        slots.sort_unstable();
        slots
    }

    /// Gives all slots up.
    pub fn drain(&mut self) -> Vec<(SlotId, AllocationId)> {
        let slots = self.in_order();
        self.held.clear();
        slots
    }
}
