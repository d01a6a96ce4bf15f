//! The cached entries of one state in which a key has many: the entries of a map, the windows of a key.
//!
//! An entry is addressed by (slot of the key, sub-key), found in one step of hashing, and has a number that stays its own
//! until the call ends. What an operator does for a batch:
//!
//! 1. [`want`](NamespacedTable::want) the entry of each row, which gives the entries' numbers;
//! 2. [`fetch`](CachedState::fetch), which reads all that is missing in one `get`, before the call ends in any case;
//! 3. [`value`](NamespacedTable::value), [`value_mut`](NamespacedTable::value_mut) and
//!    [`take`](NamespacedTable::take) by number.
//!
//! An entry that was not wanted ahead is read alone by [`entry`](NamespacedTable::entry), and one whose old value does not
//! matter is [`set`](NamespacedTable::set) without being read. A value of `None` is a deleted or absent entry.
//!
//! Invariants, besides those of [`CachedState`]: an entry that is dirty is in the list of dirty entries; a key that is
//! *whole* has an entry here for everything that the host has of it; a deletion of all of a key is handed over before any
//! other change of that key.

mod clock;
mod iterate;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;
use std::rc::Rc;

use super::backing::{ABSENT, Backing, DELETE_ALL, PRESENT, SubKey};
use super::cached::CachedState;
use super::chain::{Chain, Link};
use super::hash::Packed;
use super::index::Index;
use super::table::CHANGE_BYTES;
use super::value::NO_SLOT;
use crate::data::Data;
use crate::error::{Error, Result};

/// What an entry takes in the index.
const INDEX_BYTES: usize = 16;

struct Entry<V> {
    packed: Packed,
    /// The slot of its key; `NO_SLOT`: the entry is free.
    slot: u32,
    /// The value's bytes when it was last encoded or decoded.
    weight: u32,
    /// Its neighbours among the entries of its key, and among the dirty ones.
    of_key: Link,
    of_dirty: Link,
    /// Whether `value` is what the host has, or newer.
    is_loaded: bool,
    is_dirty: bool,
    /// Whether the host may have a value.
    is_stored: bool,
    /// Whether it was used since the clock's hand passed.
    is_used: bool,
    /// The sub-key's bytes, if it is long.
    bytes: Vec<u8>,
    value: Option<V>,
}

impl<V> Entry<V> {
    fn sub_key(&self) -> SubKey<'_> {
        if self.packed.is_long() { SubKey::Bytes(&self.bytes) } else { SubKey::Packed(self.packed) }
    }

    fn of_key(&mut self) -> &mut Link {
        &mut self.of_key
    }

    fn of_dirty(&mut self) -> &mut Link {
        &mut self.of_dirty
    }
}

/// What is known of a key.
#[derive(Clone, Copy)]
struct Head {
    entries: Chain,
    dirty: u32,
    /// Every entry that the host has of the key is here.
    is_whole: bool,
    /// All that the host has of the key is still to be deleted.
    is_cleared: bool,
}

impl Head {
    const EMPTY: Self = Self { entries: Chain::EMPTY, dirty: 0, is_whole: false, is_cleared: false };
}

/// The cache of a state with many entries a key. `N` is what tells them apart: its bytes are the sub-key, so it should be
/// small (up to 23 bytes it is compared as words) and its encoding decides the order of iteration.
pub(crate) struct NamespacedTable<N, V> {
    id: u32,
    name: String,
    backing: Rc<Backing>,
    index: Index,
    entries: Vec<Entry<V>>,
    free: Vec<u32>,
    heads: Vec<Head>,
    is_complete: bool,
    dirty: Chain,
    /// Slots of which all is to be deleted.
    cleared: Vec<u32>,
    missing: Vec<u32>,
    /// Entries that may be neither here nor in the host.
    vacated: Vec<u32>,
    weight: usize,
    dirty_weight: usize,
    hand: usize,
    sub_key: Vec<u8>,
    namespace: PhantomData<fn() -> N>,
}

impl<N: Data, V: Data> NamespacedTable<N, V> {
    pub fn new(id: u32, name: &str, backing: Rc<Backing>) -> Self {
        Self {
            id,
            name: name.to_owned(),
            backing,
            index: Index::new(),
            entries: Vec::new(),
            free: Vec::new(),
            heads: Vec::new(),
            is_complete: false,
            dirty: Chain::EMPTY,
            cleared: Vec::new(),
            missing: Vec::new(),
            vacated: Vec::new(),
            weight: 0,
            dirty_weight: 0,
            hand: 0,
            sub_key: Vec::new(),
            namespace: PhantomData,
        }
    }

    /// The number of an entry, which may be used until the call ends, behind the next `fetch`.
    #[inline]
    pub fn want(&mut self, slot: u32, namespace: &N) -> u32 {
        let mut sub_key = std::mem::take(&mut self.sub_key);
        sub_key.clear();
        namespace.encode(&mut sub_key);
        let entry = self.find_or_add(slot, &sub_key);
        self.sub_key = sub_key;
        let found = &mut self.entries[entry as usize];
        found.is_used = true;
        if !found.is_loaded {
            // Another row may want the same, so this also keeps an entry from being read twice.
            found.is_loaded = true;
            if self.is_complete || self.heads[slot as usize].is_whole {
                self.vacated.push(entry);
            } else {
                self.missing.push(entry);
            }
        }
        entry
    }

    /// The number of an entry, read now if it is not there.
    #[inline]
    pub fn entry(&mut self, slot: u32, namespace: &N) -> Result<u32> {
        let entry = self.want(slot, namespace);
        if !self.missing.is_empty() {
            self.fetch()?;
        }
        Ok(entry)
    }

    /// Sets an entry whose old value does not matter.
    pub fn set(&mut self, slot: u32, namespace: &N, value: V) {
        let unread = self.missing.len();
        let entry = self.want(slot, namespace);
        if self.missing.len() > unread {
            self.missing.truncate(unread);
            self.entries[entry as usize].is_stored = true;
        }
        *self.value_mut(entry) = Some(value);
    }

    /// Deletes an entry whose old value does not matter.
    pub fn remove(&mut self, slot: u32, namespace: &N) {
        let unread = self.missing.len();
        let entry = self.want(slot, namespace);
        if self.missing.len() > unread {
            self.missing.truncate(unread);
            self.entries[entry as usize].is_stored = true;
            self.mark_dirty(entry);
        }
        self.take(entry);
    }

    /// The value of an entry.
    #[inline]
    pub fn value(&self, entry: u32) -> &Option<V> {
        &self.entries[entry as usize].value
    }

    /// The value of an entry, to be changed.
    #[inline]
    pub fn value_mut(&mut self, entry: u32) -> &mut Option<V> {
        if !self.entries[entry as usize].is_dirty {
            self.mark_dirty(entry);
        }
        &mut self.entries[entry as usize].value
    }

    /// Deletes an entry and returns its value.
    pub fn take(&mut self, entry: u32) -> Option<V> {
        let found = &self.entries[entry as usize];
        if found.is_stored && found.value.is_some() {
            self.mark_dirty(entry);
        } else if !found.is_stored {
            // The host never had it: nothing is left to be done.
            self.mark_clean(entry);
            self.vacated.push(entry);
        }
        self.entries[entry as usize].value.take()
    }

    /// Deletes all entries of a key. Their numbers stay valid.
    pub fn clear(&mut self, slot: u32) {
        let head = self.heads[slot as usize];
        let mut is_stored = !self.is_complete && !head.is_whole;
        let mut at = head.entries.first();
        while let Some(entry) = at {
            at = super::chain::next(self.entries[entry as usize].of_key);
            self.mark_clean(entry);
            let found = &mut self.entries[entry as usize];
            is_stored |= found.is_stored;
            found.value = None;
            found.is_loaded = true;
            found.is_stored = false;
            self.vacated.push(entry);
        }
        // What was wanted of this key is known to be absent now.
        self.missing.retain(|entry| self.entries[*entry as usize].slot != slot);
        let head = &mut self.heads[slot as usize];
        head.is_whole = true;
        if is_stored && !head.is_cleared {
            head.is_cleared = true;
            self.cleared.push(slot);
            self.dirty_weight += CHANGE_BYTES;
        }
    }

    fn find_or_add(&mut self, slot: u32, sub_key: &[u8]) -> u32 {
        let packed = Packed::new(sub_key);
        let hash = packed.hash_of(slot + 1);
        let is_entry = |entry: u32| {
            let entry = &self.entries[entry as usize];
            entry.slot == slot && entry.packed == packed && (!packed.is_long() || entry.bytes == sub_key)
        };
        match self.index.first(hash).slot(hash).filter(|entry| is_entry(*entry)) {
            Some(entry) => entry,
            None => match self.index.find(hash, is_entry) {
                Some(entry) => entry,
                None => self.add(slot, packed, sub_key),
            },
        }
    }

    #[cold]
    fn add(&mut self, slot: u32, packed: Packed, sub_key: &[u8]) -> u32 {
        let entry = Entry {
            packed,
            slot,
            weight: 0,
            of_key: Link::UNLINKED,
            of_dirty: Link::UNLINKED,
            is_loaded: false,
            is_dirty: false,
            is_stored: false,
            is_used: true,
            bytes: if packed.is_long() { sub_key.to_vec() } else { Vec::new() },
            value: None,
        };
        self.weight += Self::entry_bytes(&entry);
        let number = match self.free.pop() {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.heads[slot as usize].entries.push(&mut self.entries, number, Entry::of_key);
        self.index.insert(packed.hash_of(slot + 1), number, |number| hash_of(&self.entries[number as usize]));
        number
    }

    fn entry_bytes(entry: &Entry<V>) -> usize {
        size_of::<Entry<V>>() + INDEX_BYTES + entry.bytes.len() + entry.weight as usize
    }

    /// Frees an entry that is clean.
    fn drop_entry(&mut self, entry: u32) {
        let found = &self.entries[entry as usize];
        debug_assert!(!found.is_dirty, "only what the host has is forgotten");
        let (slot, hash, bytes) = (found.slot, hash_of(found), Self::entry_bytes(found));
        if found.is_stored {
            self.is_complete = false;
            self.heads[slot as usize].is_whole = false;
        }
        self.weight -= bytes;
        self.index.remove(hash, entry, |number| hash_of(&self.entries[number as usize]));
        self.heads[slot as usize].entries.remove(&mut self.entries, entry, Entry::of_key);
        let found = &mut self.entries[entry as usize];
        (found.slot, found.value, found.bytes) = (NO_SLOT, None, Vec::new());
        self.free.push(entry);
    }

    fn mark_dirty(&mut self, entry: u32) {
        let found = &mut self.entries[entry as usize];
        debug_assert!(found.is_loaded, "the entry was wanted and fetched");
        if found.is_dirty {
            return;
        }
        found.is_dirty = true;
        if found.weight == 0 {
            found.weight = size_of::<V>() as u32;
            self.weight += size_of::<V>();
        }
        self.dirty_weight += found.weight as usize + CHANGE_BYTES;
        self.heads[found.slot as usize].dirty += 1;
        self.dirty.push(&mut self.entries, entry, Entry::of_dirty);
    }

    fn mark_clean(&mut self, entry: u32) {
        let found = &mut self.entries[entry as usize];
        if found.is_dirty {
            found.is_dirty = false;
            self.dirty_weight -= found.weight as usize + CHANGE_BYTES;
            self.heads[found.slot as usize].dirty -= 1;
            self.dirty.remove(&mut self.entries, entry, Entry::of_dirty);
        }
    }

    fn set_weight(&mut self, entry: u32, weight: usize) {
        let found = &mut self.entries[entry as usize];
        self.weight = self.weight - found.weight as usize + weight;
        found.weight = weight as u32;
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::msg(format_args!("state '{}': {reason}", self.name))
    }

    fn fill_entry(&mut self, entry: u32, value: &[u8]) -> Result<()> {
        let decoded = V::from_bytes(value).map_err(|error| self.wrong(error))?;
        let found = &mut self.entries[entry as usize];
        (found.value, found.is_loaded, found.is_stored) = (Some(decoded), true, true);
        self.set_weight(entry, value.len());
        Ok(())
    }
}

fn hash_of<V>(entry: &Entry<V>) -> u64 {
    entry.packed.hash_of(entry.slot + 1)
}

impl<N: Data, V: Data> CachedState for NamespacedTable<N, V> {
    fn id(&self) -> u32 {
        self.id
    }

    fn grow(&mut self, slots: usize) {
        if self.heads.len() < slots {
            self.heads.resize(slots, Head::EMPTY);
        }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Head>()
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn dirty_weight(&self) -> usize {
        self.dirty_weight
    }

    fn is_dirty(&self, slot: u32) -> bool {
        self.heads.get(slot as usize).is_some_and(|head| head.dirty > 0 || head.is_cleared)
    }

    fn set_complete(&mut self) {
        self.is_complete = true;
    }

    fn fill(&mut self, slot: u32, sub_key: &[u8], value: &[u8]) -> Result<()> {
        let entry = self.find_or_add(slot, sub_key);
        if self.entries[entry as usize].is_loaded {
            return Ok(());
        }
        self.fill_entry(entry, value)
    }

    /// Which entries of a key are about to be used is not known from the key.
    fn want(&mut self, _: &[u32]) {}

    fn fetch(&mut self) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let missing = std::mem::take(&mut self.missing);
        let backing = Rc::clone(&self.backing);
        let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
        let place = |index: usize| {
            let entry = &self.entries[missing[index] as usize];
            (entry.slot, entry.sub_key())
        };
        let read = backing.get(self.id, missing.len(), place, |index, value| {
            found.extend(value.map(|value| (missing[index], value.to_vec())));
            Ok(())
        });
        read.map_err(|error| self.wrong(error))?;
        for (entry, value) in found {
            self.fill_entry(entry, &value)?;
        }
        self.missing = missing;
        self.missing.clear();
        Ok(())
    }

    fn write_out(&mut self, weight_max: usize) {
        let backing = Rc::clone(&self.backing);
        let mut put = backing.put(self.id);
        for slot in self.cleared.drain(..) {
            self.heads[slot as usize].is_cleared = false;
            self.dirty_weight -= CHANGE_BYTES;
            put.change(slot, &[], DELETE_ALL, |_| {});
        }
        while self.dirty_weight > weight_max {
            let Some(entry) = self.dirty.first() else { break };
            self.mark_clean(entry);
            let found = &mut self.entries[entry as usize];
            let mut weight = 0;
            if let Some(value) = &found.value {
                weight =
                    found.sub_key().with(|sub_key| put.change(found.slot, sub_key, PRESENT, |out| value.encode(out)));
                found.is_stored = true;
            } else {
                if found.is_stored {
                    found.sub_key().with(|sub_key| put.change(found.slot, sub_key, ABSENT, |_| {}));
                    found.is_stored = false;
                }
                self.vacated.push(entry);
            }
            self.set_weight(entry, weight);
        }
        put.finish();
    }

    fn forget(&mut self, slot: u32) {
        while let Some(entry) = self.heads[slot as usize].entries.first() {
            self.drop_entry(entry);
        }
        self.heads[slot as usize] = Head::EMPTY;
    }

    fn is_vacant(&self, slot: u32) -> bool {
        self.heads.get(slot as usize).is_none_or(|head| head.entries.is_empty() && !head.is_cleared)
    }

    fn settle(&mut self, vacated: &mut Vec<u32>) {
        for entry in std::mem::take(&mut self.vacated) {
            let found = &self.entries[entry as usize];
            if found.slot == NO_SLOT || found.value.is_some() || found.is_dirty || found.is_stored {
                continue;
            }
            let slot = found.slot;
            // That it is absent is known without it, too; else the clock decides.
            if self.is_complete || self.heads[slot as usize].is_whole {
                self.drop_entry(entry);
                if self.heads[slot as usize].entries.is_empty() {
                    vacated.push(slot);
                }
            }
        }
    }

    fn clock_steps(&self) -> usize {
        self.entries.len()
    }

    fn evict_step(&mut self) {
        self.advance_hand();
    }
}
