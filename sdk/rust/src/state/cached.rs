//! What the cache of an operator asks of each of its states, whatever they hold.
//!
//! All states of an operator share the slots of its keys. Invariants: what is dirty is not forgotten; a state that is
//! *complete* holds an entry for everything that the host has of it; entries and slots stay where they are during a call.

use crate::error::Result;

/// The cache of one keyed state.
pub(crate) trait CachedState {
    /// The state's id in the host.
    fn id(&self) -> u32;
    /// Makes room for so many slots.
    fn grow(&mut self, slots: usize);
    /// What a slot takes, used or not.
    fn slot_bytes(&self) -> usize;
    /// What the entries take, approximately.
    fn weight(&self) -> usize;
    /// What handing over the changed entries will take, approximately.
    fn dirty_weight(&self) -> usize;
    /// Whether something of a slot is not yet handed over.
    fn is_dirty(&self, slot: u32) -> bool;
    /// Says that everything that has no entry is absent from the host, too.
    fn set_complete(&mut self);
    /// Takes an entry read from the host, unless there is a newer one.
    fn fill(&mut self, slot: u32, sub_key: &[u8], value: &[u8]) -> Result<()>;
    /// Says that slots are about to be used.
    fn want(&mut self, slots: &[u32]);
    /// Reads all that is wanted and not there.
    fn fetch(&mut self) -> Result<()>;
    /// Hands over the changes made longest ago until `dirty_weight` is at most `weight_max`.
    fn write_out(&mut self, weight_max: usize);
    /// Forgets a slot, of which nothing may be dirty.
    fn forget(&mut self, slot: u32);
    /// Whether there is nothing of a slot that would have to be read again if it were forgotten.
    fn is_vacant(&self, slot: u32) -> bool;
    /// At the end of a call, frees what is neither here nor in the host, and adds slots that may have become vacant.
    fn settle(&mut self, vacated: &mut Vec<u32>);
    /// How many steps take the hand of this state's own clock around; 0 if it has none.
    fn clock_steps(&self) -> usize {
        0
    }
    /// Moves the hand of this state's own clock by a step: forgets the entry there if it is clean and was not used.
    fn evict_step(&mut self) {}
}

/// What one `scan` asks for.
pub(crate) const SCAN_BYTES: u32 = 256 * 1024;

/// A state of the subtask, which is in memory whole.
pub(crate) trait OperatorState {
    /// Hands over every change.
    fn flush(&mut self);
}
