//! States with a map for each key.

use std::cell::RefCell;
use std::rc::Rc;

use super::namespaced::NamespacedTable;
use super::ttl::{Timed, Ttl, Verdict};
use super::value::CurrentSlot;
use crate::data::Data;
use crate::error::Result;

/// A map for each key, whose entries are read and written one by one: Flink's `MapState`.
///
/// The handle always means the key of the record, or the timer, that is being worked on. An entry that is not cached is
/// read when it is asked for; writing needs no reading. Entries come in the order of their keys' bytes.
pub struct MapState<K, V> {
    pub(crate) entries: Entries<K, V>,
    pub(crate) slot: CurrentSlot,
}

/// Entries that stay, or expire one by one.
pub(crate) enum Entries<K, V> {
    Lasting(Rc<RefCell<NamespacedTable<K, V>>>),
    Expiring(Rc<RefCell<NamespacedTable<K, Timed<V>>>>, Ttl),
}

/// Looks at an entry that may be expired, and does what follows from its age.
fn look<K: Data, V: Data, R>(
    table: &mut NamespacedTable<K, Timed<V>>,
    ttl: &Ttl,
    entry: u32,
    look: impl FnOnce(Option<&V>) -> R,
) -> R {
    let Some(timed) = table.value(entry) else { return look(None) };
    match ttl.judge(timed.expires_at) {
        Verdict::Keep => look(Some(&timed.value)),
        Verdict::Renew => {
            let value = table.value_mut(entry).as_mut();
            look(value.map(|timed| {
                timed.expires_at = ttl.expires_at();
                &timed.value
            }))
        }
        Verdict::Drop => {
            table.take(entry);
            look(None)
        }
        Verdict::ShowAndDrop => look(table.take(entry).map(|timed| timed.value).as_ref()),
    }
}

impl<K: Data, V: Data> MapState<K, V> {
    /// Looks at the value of a map's key without copying it.
    pub fn with<R>(&self, key: &K, see: impl FnOnce(Option<&V>) -> R) -> Result<R> {
        match &self.entries {
            Entries::Lasting(table) => {
                let mut table = table.borrow_mut();
                let entry = table.entry(self.slot.get(), key)?;
                Ok(see(table.value(entry).as_ref()))
            }
            Entries::Expiring(table, ttl) => {
                let mut table = table.borrow_mut();
                let entry = table.entry(self.slot.get(), key)?;
                Ok(look(&mut table, ttl, entry, see))
            }
        }
    }

    /// The value of a map's key, if there is one.
    pub fn get(&self, key: &K) -> Result<Option<V>> {
        self.with(key, |value| value.cloned())
    }

    /// Whether the map has a key.
    pub fn contains(&self, key: &K) -> Result<bool> {
        self.with(key, |value| value.is_some())
    }

    /// Sets the value of a map's key.
    pub fn put(&self, key: &K, value: V) {
        match &self.entries {
            Entries::Lasting(table) => table.borrow_mut().set(self.slot.get(), key, value),
            Entries::Expiring(table, ttl) => table.borrow_mut().set(self.slot.get(), key, ttl.stamp(value)),
        }
    }

    /// Changes the value of a map's key in place; `None` is no value. The same state must not be used within `change`.
    pub fn modify<R>(&self, key: &K, change: impl FnOnce(&mut Option<V>) -> R) -> Result<R> {
        match &self.entries {
            Entries::Lasting(table) => {
                let mut table = table.borrow_mut();
                let entry = table.entry(self.slot.get(), key)?;
                Ok(change(table.value_mut(entry)))
            }
            Entries::Expiring(table, ttl) => {
                let mut table = table.borrow_mut();
                let entry = table.entry(self.slot.get(), key)?;
                let cell = table.value_mut(entry);
                let mut value = cell.take().and_then(|timed| ttl.unwrap(timed));
                let result = change(&mut value);
                *cell = value.map(|value| ttl.stamp(value));
                Ok(result)
            }
        }
    }

    /// Removes a map's key.
    pub fn remove(&self, key: &K) {
        match &self.entries {
            Entries::Lasting(table) => table.borrow_mut().remove(self.slot.get(), key),
            Entries::Expiring(table, _) => table.borrow_mut().remove(self.slot.get(), key),
        }
    }

    /// Removes all of the map.
    pub fn clear(&self) {
        match &self.entries {
            Entries::Lasting(table) => table.borrow_mut().clear(self.slot.get()),
            Entries::Expiring(table, _) => table.borrow_mut().clear(self.slot.get()),
        }
    }

    /// All of the map: its keys with what `see` makes of their values.
    fn collect<R>(&self, mut see: impl FnMut(K, &V) -> R) -> Result<Vec<R>> {
        let mut seen = Vec::new();
        match &self.entries {
            Entries::Lasting(table) => {
                let mut table = table.borrow_mut();
                for (key, entry) in table.entries_of(self.slot.get())? {
                    seen.extend(table.value(entry).as_ref().map(|value| see(key, value)));
                }
            }
            Entries::Expiring(table, ttl) => {
                let mut table = table.borrow_mut();
                for (key, entry) in table.entries_of(self.slot.get())? {
                    look(&mut table, ttl, entry, |value| seen.extend(value.map(|value| see(key, value))));
                }
            }
        }
        Ok(seen)
    }

    /// The map's entries.
    pub fn entries(&self) -> Result<Vec<(K, V)>> {
        self.collect(|key, value| (key, value.clone()))
    }

    /// The map's keys.
    pub fn keys(&self) -> Result<Vec<K>> {
        self.collect(|key, _| key)
    }

    /// The map's values.
    pub fn values(&self) -> Result<Vec<V>> {
        self.collect(|_, value| value.clone())
    }

    /// Whether the map has no entries.
    pub fn is_empty(&self) -> Result<bool> {
        match &self.entries {
            Entries::Lasting(table) => table.borrow_mut().is_empty(self.slot.get()),
            Entries::Expiring(..) => Ok(self.collect(|_, _| ())?.is_empty()),
        }
    }
}

impl<K, V> Clone for MapState<K, V> {
    fn clone(&self) -> Self {
        let entries = match &self.entries {
            Entries::Lasting(table) => Entries::Lasting(Rc::clone(table)),
            Entries::Expiring(table, ttl) => Entries::Expiring(Rc::clone(table), ttl.clone()),
        };
        Self { entries, slot: self.slot.clone() }
    }
}
