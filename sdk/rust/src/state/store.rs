//! The cache of one keyed operator: its keys, its states, and the policy by which they come and go.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::backing::{Backing, split_state_key};
use super::cached::{CachedState, OperatorState, SCAN_BYTES};
use super::keys::KeyTable;
use super::registry::States;
use crate::batch::BatchReader;
use crate::data::Data;
use crate::error::{Error, Result};

/// The most that is read to make the cache complete when an instance is new.
const WHOLE_LOAD_BYTES_MAX: usize = 4 << 20;
/// The changed values that are kept back at most: what a flush has to hand over.
const DIRTY_BYTES_MAX: usize = 8 << 20;

/// The cache of one keyed operator.
pub(crate) struct KeyedStore<K> {
    backing: Rc<Backing>,
    keys: KeyTable<K>,
    tables: Vec<Rc<RefCell<dyn CachedState>>>,
    operator_tables: Vec<Rc<RefCell<dyn OperatorState>>>,
    /// The slot of the key being worked on, shared with the state handles.
    current: Rc<Cell<u32>>,
    budget_bytes: usize,
    is_loaded: bool,
    /// The slots of the rows of the batch being worked on.
    rows: Vec<u32>,
    /// Slots that may have become vacant.
    vacated: Vec<u32>,
}

impl<K: Data> KeyedStore<K> {
    /// A cache for the states that were declared, of so many bytes; states of the subtask come on top.
    pub fn new(states: States, budget_bytes: usize) -> Self {
        Self {
            keys: KeyTable::new(Rc::clone(&states.backing)),
            backing: states.backing,
            tables: states.tables,
            operator_tables: states.operator_tables,
            current: states.current,
            budget_bytes,
            is_loaded: false,
            rows: Vec::new(),
            vacated: Vec::new(),
        }
    }

    /// Finds the slots of all rows and makes their states present.
    #[inline(never)]
    pub fn prepare(&mut self, batch: &BatchReader<'_>) -> Result<()> {
        if !batch.is_keyed() {
            return Err(Error::msg("the batch has no keys, but the operator is keyed"));
        }
        self.backing.forget_time();
        if !self.is_loaded {
            self.is_loaded = true;
            self.load_whole()?;
        }
        self.rows.clear();
        let found = self.keys.slots_of(batch, &mut self.rows);
        found.map_err(|error| Error::from(error).context("a key"))?;
        for table in &self.tables {
            let table = &mut *table.borrow_mut();
            table.grow(self.keys.capacity());
            table.want(&self.rows);
            table.fetch()?;
        }
        Ok(())
    }

    /// Makes a row's key the current one. Returns its slot.
    #[inline]
    pub fn select(&self, row: usize) -> u32 {
        let slot = self.rows[row];
        self.current.set(slot);
        slot
    }

    /// Makes the key of a slot the current one. It has to be in use: its states are present.
    #[inline]
    pub fn select_slot(&self, slot: u32) {
        self.current.set(slot);
    }

    /// Whether keys may be forgotten at the end of this call.
    pub fn is_over_budget(&self) -> bool {
        self.weight() > self.budget_bytes
    }

    /// The key being worked on.
    pub fn key(&self) -> Option<&K> {
        self.keys.key(self.current.get())
    }

    /// The slot of the key being worked on.
    pub fn current_slot(&self) -> u32 {
        self.current.get()
    }

    /// The slots of the rows of the batch being worked on, in order.
    #[cfg(test)]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// What the states share.
    pub fn backing(&self) -> &Rc<Backing> {
        &self.backing
    }

    /// Reads each state as long as it is small: a state that was read whole needs no reads for absent keys.
    #[cold]
    #[inline(never)]
    fn load_whole(&mut self) -> Result<()> {
        let bytes_max = WHOLE_LOAD_BYTES_MAX.min(self.budget_bytes / 4 / self.tables.len().max(1));
        let backing = Rc::clone(&self.backing);
        for table in &self.tables {
            let table = &mut *table.borrow_mut();
            let (id, mut bytes_read) = (table.id(), 0);
            let is_complete = backing.scan(id, &[], SCAN_BYTES.min(bytes_max as u32 + 1), |rows, bytes| {
                for row in rows.rows() {
                    let (key, sub_key) = split_state_key(row.key)?;
                    let slot = self.keys.slot(key).map_err(|error| Error::from(error).context("a stored key"))?;
                    table.grow(self.keys.capacity());
                    table.fill(slot, sub_key, row.payload)?;
                }
                bytes_read += bytes;
                Ok(bytes_read <= bytes_max)
            })?;
            if is_complete {
                table.set_complete();
            }
        }
        Ok(())
    }

    /// Hands over every change.
    pub fn flush(&mut self) {
        self.write_out(0);
        for table in &self.operator_tables {
            table.borrow_mut().flush();
        }
    }

    fn write_out(&mut self, weight_max: usize) {
        for table in &self.tables {
            table.borrow_mut().write_out(weight_max);
        }
    }

    /// How many keys the cache holds.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// What the cache takes, approximately.
    fn weight(&self) -> usize {
        let mut weight = self.keys.weight();
        for table in &self.tables {
            let table = table.borrow();
            weight += table.weight() + self.keys.len() * table.slot_bytes();
        }
        weight
    }

    /// Brings the cache back within its bounds. Between two calls no key is in use, so any may be forgotten.
    pub fn end_call(&mut self) {
        self.current.set(super::value::NO_SLOT);
        self.backing.forget_time();
        self.settle();
        let dirty_max = (self.budget_bytes / 4).min(DIRTY_BYTES_MAX);
        let dirty: usize = self.tables.iter().map(|table| table.borrow().dirty_weight()).sum();
        if dirty > dirty_max {
            self.write_out(dirty_max / 2 / self.tables.len().max(1));
        }
        if self.weight() > self.budget_bytes {
            // Some room at once, so that this is not done at every call.
            let target = self.budget_bytes - self.budget_bytes / 8;
            if !self.evict(target) {
                self.write_out(0);
                self.evict(target);
            }
        }
    }

    /// Forgets the keys of which nothing is left, here or in the host.
    fn settle(&mut self) {
        for table in &self.tables {
            table.borrow_mut().settle(&mut self.vacated);
        }
        while let Some(slot) = self.vacated.pop() {
            if self.keys.key(slot).is_some() && self.tables.iter().all(|table| table.borrow().is_vacant(slot)) {
                self.forget(slot);
            }
        }
    }

    fn forget(&mut self, slot: u32) {
        for table in &self.tables {
            table.borrow_mut().forget(slot);
        }
        self.keys.remove(slot);
    }

    /// Forgets what is clean, that not used lately first, until the cache weighs at most `target`.
    fn evict(&mut self, target: usize) -> bool {
        let own_clocks = self.tables.iter().map(|table| table.borrow().clock_steps()).max().unwrap_or(0);
        // Once around clears the marks of use, a second time finds everything without one.
        for _ in 0..2 * self.keys.capacity().max(own_clocks) {
            if self.weight() <= target {
                return true;
            }
            for table in &self.tables {
                table.borrow_mut().evict_step();
            }
            let Some(slot) = self.keys.advance_hand() else { continue };
            if self.tables.iter().all(|table| !table.borrow().is_dirty(slot)) {
                self.forget(slot);
            }
        }
        self.weight() <= target
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::batch::BatchWriter;
    use crate::state::table::ValueTable;
    use crate::state::value::Values;
    use crate::testing::host::ToyHost;

    type Bytes = ValueTable<Vec<u8>>;

    fn keys(range: std::ops::Range<u64>) -> Vec<u8> {
        let mut batch = BatchWriter::new(false, true);
        range.for_each(|key| batch.row(0, &key.to_le_bytes(), &[]));
        batch.finish().to_vec()
    }

    /// A cache of so many bytes, after each of a hundred batches of ten new keys has been given values.
    fn filled(budget_bytes: usize) -> (KeyedStore<u64>, Rc<RefCell<Bytes>>) {
        let mut states = States::new(Backing::new(Rc::new(ToyHost::new(128))), 0, Some(u64::describe));
        let Values::Lasting(table) = states.value::<Vec<u8>>("bytes").unwrap().values else { unreachable!() };
        let mut store = KeyedStore::<u64>::new(states, budget_bytes);
        for batch in 0..100 {
            let rows = keys(batch * 10..batch * 10 + 10);
            store.prepare(&BatchReader::new(&rows).unwrap()).unwrap();
            for row in 0..10 {
                let slot = store.select(row);
                *table.borrow_mut().value_mut(slot) = Some(vec![7; 100]);
            }
            store.end_call();
            assert!(store.weight() <= budget_bytes, "{} of {budget_bytes} bytes after batch {batch}", store.weight());
        }
        (store, table)
    }

    #[test]
    fn between_two_calls_the_cache_keeps_to_its_budget() {
        for budget_bytes in [0, 100, 5_000, 50_000] {
            let (store, table) = filled(budget_bytes);
            assert!(table.borrow().dirty_weight() <= budget_bytes / 4);
            assert!(store.len() < 1000);
        }
    }

    #[test]
    fn nothing_is_forgotten_while_there_is_room() {
        let (mut store, table) = filled(10 << 20);
        assert_eq!(store.len(), 1000);
        assert!(table.borrow().dirty_weight() > 0);
        store.flush();
        assert_eq!((store.len(), table.borrow().dirty_weight()), (1000, 0));
    }
}
