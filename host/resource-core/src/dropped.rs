//! Why messages are dropped, by name and number.

use std::collections::BTreeMap;

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// It is from, or about, a TaskManager that is not registered.
    UnknownTaskManager,
    /// It names a slot that its TaskManager does not have.
    UnknownSlot,
    /// It names a grant that the slot is not under.
    StaleAllocation,
}

/// How many messages were dropped for each reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dropped(BTreeMap<DropReason, u64>);

impl Dropped {
    pub(crate) fn count(&mut self, reason: DropReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// How many were dropped for a reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or(0)
    }
}
