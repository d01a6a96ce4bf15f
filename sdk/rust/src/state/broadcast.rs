//! Maps that every subtask has: Flink's broadcast state.
//!
//! The map is in memory whole, once somebody has asked for it. Invariant: keys whose entries differ from the host's are
//! among the dirty ones.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::backing::{ABSENT, Backing, PRESENT, split_state_key};
use super::cached::{OperatorState, SCAN_BYTES};
use super::value::NO_SLOT;
use crate::data::Data;
use crate::error::{Error, Result};

/// A map that every subtask has: Flink's `BroadcastState`.
///
/// It is the same in all subtasks if all do the same to it. So where an operator has broadcast records, these alone may
/// change it: they reach all subtasks. Entries come in the order of their keys' bytes.
pub struct BroadcastState<K, V> {
    pub(crate) table: Rc<RefCell<BroadcastTable<K, V>>>,
    pub(crate) is_writable: Rc<Cell<bool>>,
}

impl<K: Data, V: Data> BroadcastState<K, V> {
    /// Looks at the value of a key without copying it.
    pub fn with<R>(&self, key: &K, look: impl FnOnce(Option<&V>) -> R) -> Result<R> {
        Ok(look(self.table.borrow_mut().entries()?.get(&key.to_bytes()).map(|(_, value)| value)))
    }

    /// The value of a key, if there is one.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.with(key, |value| value.cloned())
    }

    /// Whether the map has a key.
    pub fn contains(&self, key: &K) -> Result<bool> {
        self.with(key, |value| value.is_some())
    }

    /// Runs a function for each entry.
    pub fn for_each(&self, mut look: impl FnMut(&K, &V)) -> Result<()> {
        self.table.borrow_mut().entries()?.values().for_each(|(key, value)| look(key, value));
        Ok(())
    }

    /// A copy of the entries.
    pub fn entries(&self) -> Result<Vec<(K, V)>> {
        Ok(self.table.borrow_mut().entries()?.values().cloned().collect())
    }

    /// Whether the map has no entries.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.table.borrow_mut().entries()?.is_empty())
    }

    /// Sets the value of a key. Fails while a record that is not broadcast is handled.
    pub fn put(&self, key: K, value: V) -> Result<()> {
        let bytes = key.to_bytes();
        let mut table = self.writable()?;
        table.entries()?.insert(bytes.clone(), (key, value));
        table.dirty.insert(bytes);
        Ok(())
    }

    /// Removes a key. Fails while a record that is not broadcast is handled.
    pub fn remove(&self, key: &K) -> Result<()> {
        let bytes = key.to_bytes();
        let mut table = self.writable()?;
        if table.entries()?.remove(&bytes).is_some() {
            table.dirty.insert(bytes);
        }
        Ok(())
    }

    /// Removes all keys. Fails while a record that is not broadcast is handled.
    pub fn clear(&self) -> Result<()> {
        let mut table = self.writable()?;
        let entries = std::mem::take(table.entries()?);
        table.dirty.extend(entries.into_keys());
        Ok(())
    }

    fn writable(&self) -> Result<std::cell::RefMut<'_, BroadcastTable<K, V>>> {
        let table = self.table.borrow_mut();
        if self.is_writable.get() {
            return Ok(table);
        }
        let hint = "change it in process_broadcast, which runs alike in all subtasks";
        Err(Error::msg(format_args!("broadcast state '{}' can only be read here: {hint}", table.name)))
    }
}

impl<K, V> Clone for BroadcastState<K, V> {
    fn clone(&self) -> Self {
        Self { table: Rc::clone(&self.table), is_writable: Rc::clone(&self.is_writable) }
    }
}

/// Entries by the bytes of their keys.
type Entries<K, V> = BTreeMap<Vec<u8>, (K, V)>;

pub(crate) struct BroadcastTable<K, V> {
    id: u32,
    name: String,
    backing: Rc<Backing>,
    entries: Option<Entries<K, V>>,
    dirty: BTreeSet<Vec<u8>>,
}

impl<K: Data, V: Data> BroadcastTable<K, V> {
    pub fn new(id: u32, name: &str, backing: Rc<Backing>) -> Self {
        Self { id, name: name.to_owned(), backing, entries: None, dirty: BTreeSet::new() }
    }

    fn entries(&mut self) -> Result<&mut Entries<K, V>> {
        let entries = match self.entries.take() {
            Some(entries) => entries,
            None => self.read().map_err(|error| Error::msg(format_args!("state '{}': {error}", self.name)))?,
        };
        Ok(self.entries.insert(entries))
    }

    fn read(&self) -> Result<Entries<K, V>> {
        let mut entries = BTreeMap::new();
        self.backing.scan(self.id, &[], SCAN_BYTES, |rows, _| {
            for row in rows.rows() {
                let bytes = split_state_key(row.key)?.1;
                entries.insert(bytes.to_vec(), (K::from_bytes(bytes)?, V::from_bytes(row.payload)?));
            }
            Ok(true)
        })?;
        Ok(entries)
    }
}

impl<K: Data, V: Data> OperatorState for BroadcastTable<K, V> {
    fn flush(&mut self) {
        let Some(entries) = &self.entries else { return };
        let mut put = self.backing.put(self.id);
        for key in std::mem::take(&mut self.dirty) {
            match entries.get(&key) {
                Some((_, value)) => put.change(NO_SLOT, &key, PRESENT, |out| value.encode(out)),
                None => put.change(NO_SLOT, &key, ABSENT, |_| {}),
            };
        }
        put.finish();
    }
}
