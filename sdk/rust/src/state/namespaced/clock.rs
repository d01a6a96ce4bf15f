//! Forgetting single entries: a key in constant use may have many that are not.

use super::NamespacedTable;
use crate::data::Data;
use crate::state::value::NO_SLOT;

impl<N: Data, V: Data> NamespacedTable<N, V> {
    /// Moves the hand to the next entry and forgets it, if it is clean and was not used since the last time.
    pub(super) fn advance_hand(&mut self) {
        let at = self.hand;
        self.hand = if at + 1 < self.entries.len() { at + 1 } else { 0 };
        let Some(entry) = self.entries.get_mut(at) else { return };
        let was_used = std::mem::replace(&mut entry.is_used, false);
        if entry.slot != NO_SLOT && !was_used && !entry.is_dirty {
            self.drop_entry(at as u32);
        }
    }
}
