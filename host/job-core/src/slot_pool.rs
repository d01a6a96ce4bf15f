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

/// Gives each shared slot that lacks one a slot: the very one that it had, else another one of the same TaskManager, else
/// what is left, in order. Those for which there is none get none.
pub(crate) fn give_back(
    former: &BTreeMap<u32, SlotId>,
    vacant: &[u32],
    mut free: Vec<(SlotId, AllocationId)>,
) -> BTreeMap<u32, (SlotId, AllocationId)> {
    let mut given = BTreeMap::new();
    let same_slot: fn(&SlotId, &SlotId) -> bool = |had, slot| had == slot;
    let same_place: fn(&SlotId, &SlotId) -> bool = |had, slot| had.task_manager == slot.task_manager;
    for fits in [same_slot, same_place] {
        for number in vacant {
            let Some(had) = former.get(number).filter(|_| !given.contains_key(number)) else { continue };
            if let Some(position) = free.iter().position(|(slot, _)| fits(had, slot)) {
                given.insert(*number, free.remove(position));
            }
        }
    }
    let others: Vec<u32> = vacant.iter().copied().filter(|number| !given.contains_key(number)).collect();
    given.extend(others.into_iter().zip(free));
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_back_to_where_it_was_and_what_is_left_in_order() {
        let slot = |name: &str, index| SlotId { task_manager: TaskManagerId(name.to_owned()), index };
        let grant = |name: &str, index, n: u8| (slot(name, index), AllocationId::from_bytes([n; 16]));
        let free = vec![grant("a", 0, 1), grant("a", 1, 2), grant("b", 0, 3), grant("c", 0, 4)];
        let given = |former: &[(u32, SlotId)], vacant: &[u32], free: &[(SlotId, AllocationId)]| {
            let given = give_back(&former.iter().cloned().collect(), vacant, free.to_vec());
            given.into_iter().map(|(number, (slot, _))| (number, slot)).collect::<Vec<_>>()
        };
        let in_order = [(0, slot("a", 0)), (1, slot("a", 1)), (2, slot("b", 0)), (3, slot("c", 0))];
        assert_eq!(given(&[], &[0, 1, 2, 3], &free), in_order);
        // Slot 1 of b is gone and slot 0 is as good; that of 0 was on a TaskManager that is gone.
        let former = [(0, slot("dead", 0)), (1, slot("b", 1)), (2, slot("a", 0)), (3, slot("a", 1))];
        let expected = [(0, slot("c", 0)), (1, slot("b", 0)), (2, slot("a", 0)), (3, slot("a", 1))];
        assert_eq!(given(&former, &[0, 1, 2, 3], &free), expected);
        // The very slot comes before another one of the same TaskManager, whoever is asked first.
        let former = [(0, slot("a", 7)), (1, slot("a", 0))];
        assert_eq!(given(&former, &[0, 1], &free[..2]), [(0, slot("a", 1)), (1, slot("a", 0))]);
        assert_eq!(given(&former, &[0, 1], &free[..1]), [(1, slot("a", 0))]);
    }
}
