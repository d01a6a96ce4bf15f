//! The handle of a state with one value a key.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::table::ValueTable;
use crate::data::Data;

/// The slot when no key is being worked on.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// One value for each key: Flink's `ValueState`.
///
/// The handle always means the key of the record, or the timer, that is being worked on.
pub struct ValueState<V> {
    pub(crate) table: Rc<RefCell<ValueTable<V>>>,
    pub(crate) slot: Rc<Cell<u32>>,
}

impl<V: Data> ValueState<V> {
    #[inline]
    fn slot(&self) -> u32 {
        let slot = self.slot.get();
        assert!(slot != NO_SLOT, "state belongs to a key, so it can be used only while a record or timer is handled");
        slot
    }

    /// A copy of the value, if there is one.
    pub fn get(&self) -> Option<V> {
        self.table.borrow().value(self.slot()).clone()
    }

    /// Looks at the value without copying it.
    pub fn with<R>(&self, look: impl FnOnce(Option<&V>) -> R) -> R {
        look(self.table.borrow().value(self.slot()).as_ref())
    }

    /// Sets the value.
    pub fn set(&self, value: V) {
        *self.table.borrow_mut().value_mut(self.slot()) = Some(value);
    }

    /// Removes the value.
    pub fn clear(&self) {
        self.take();
    }

    /// Removes the value and returns it.
    pub fn take(&self) -> Option<V> {
        let slot = self.slot();
        let mut table = self.table.borrow_mut();
        if table.value(slot).is_none() { None } else { table.value_mut(slot).take() }
    }

    /// Changes the value in place; `None` is no value. The same state must not be used within `change`.
    pub fn modify<R>(&self, change: impl FnOnce(&mut Option<V>) -> R) -> R {
        change(self.table.borrow_mut().value_mut(self.slot()))
    }
}

impl<V> Clone for ValueState<V> {
    fn clone(&self) -> Self {
        Self { table: Rc::clone(&self.table), slot: Rc::clone(&self.slot) }
    }
}
