//! States with a list for each key.

use std::cell::RefCell;
use std::rc::Rc;

use super::list_table::ListTable;
use super::table::ValueTable;
use super::ttl::{TimedList, Ttl, Verdict};
use super::value::CurrentSlot;
use crate::data::Data;
use crate::error::Result;

/// A list for each key: Flink's `ListState`.
///
/// The handle always means the key of the record, or the timer, that is being worked on. Adding does not read the list, and
/// hands over the new elements alone; a list whose elements expire is read ahead and handed over as a whole.
pub struct ListState<T> {
    pub(crate) lists: Lists<T>,
    pub(crate) slot: CurrentSlot,
}

/// Lists whose elements stay, or expire one by one.
pub(crate) enum Lists<T> {
    Lasting(Rc<RefCell<ListTable<T>>>),
    Expiring(Rc<RefCell<ValueTable<TimedList<T>>>>, Ttl),
}

impl<T: Data> ListState<T> {
    /// Adds an element at the end.
    pub fn add(&self, element: T) {
        self.add_all([element]);
    }

    /// Adds elements at the end.
    pub fn add_all(&self, elements: impl IntoIterator<Item = T>) {
        match &self.lists {
            Lists::Lasting(table) => table.borrow_mut().append(self.slot.get(), elements),
            Lists::Expiring(table, ttl) => {
                let mut elements = elements.into_iter().map(|element| ttl.stamp(element)).peekable();
                if elements.peek().is_some() {
                    let mut table = table.borrow_mut();
                    let list = table.value_mut(self.slot.get()).get_or_insert_with(|| TimedList(Vec::new()));
                    list.0.extend(elements);
                }
            }
        }
    }

    /// A copy of the elements, in the order in which they were added.
    pub fn get(&self) -> Result<Vec<T>> {
        match &self.lists {
            Lists::Lasting(table) => Ok(table.borrow_mut().elements(self.slot.get())?.to_vec()),
            Lists::Expiring(table, ttl) => {
                let mut table = table.borrow_mut();
                let verdict = |at: i64| ttl.judge(at);
                let list = table.value(self.slot.get()).as_ref();
                let elements = list.map_or(&[][..], |list| list.0.as_slice());
                if elements.iter().all(|element| verdict(element.expires_at) == Verdict::Keep) {
                    return Ok(elements.iter().map(|element| element.value.clone()).collect());
                }
                let (mut seen, mut left) = (Vec::new(), Vec::new());
                let cell = table.value_mut(self.slot.get());
                for mut element in cell.take().into_iter().flat_map(|list| list.0) {
                    let verdict = verdict(element.expires_at);
                    if verdict != Verdict::Drop {
                        seen.push(element.value.clone());
                    }
                    match verdict {
                        Verdict::Keep => left.push(element),
                        Verdict::Renew => {
                            element.expires_at = ttl.expires_at();
                            left.push(element);
                        }
                        Verdict::Drop | Verdict::ShowAndDrop => {}
                    }
                }
                *cell = (!left.is_empty()).then_some(TimedList(left));
                Ok(seen)
            }
        }
    }

    /// Replaces the list.
    pub fn update(&self, elements: Vec<T>) {
        match &self.lists {
            Lists::Lasting(table) => table.borrow_mut().replace(self.slot.get(), elements),
            Lists::Expiring(table, ttl) => {
                let elements: Vec<_> = elements.into_iter().map(|element| ttl.stamp(element)).collect();
                let list = (!elements.is_empty()).then_some(TimedList(elements));
                *table.borrow_mut().value_mut(self.slot.get()) = list;
            }
        }
    }

    /// Removes the list.
    pub fn clear(&self) {
        self.update(Vec::new());
    }
}

impl<T> Clone for ListState<T> {
    fn clone(&self) -> Self {
        let lists = match &self.lists {
            Lists::Lasting(table) => Lists::Lasting(Rc::clone(table)),
            Lists::Expiring(table, ttl) => Lists::Expiring(Rc::clone(table), ttl.clone()),
        };
        Self { lists, slot: self.slot.clone() }
    }
}
