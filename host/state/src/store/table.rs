//! The entries of one state in memory, by key group and then by state key, and which of them have changed.
//!
//! Invariant: while changes are tracked, the list of a slot names each entry that changed since the last seal; an entry
//! that is there is on it at most once, since its epoch says so.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};

use millrace_types::KeyGroup;
use millrace_wire::Change;

use crate::address::Space;
use crate::error::{Refusal, show_key};
use crate::key::Key;
use crate::limits::StateLimits;
use crate::store::arena::Arena;

/// How long a list of changes may grow before deletes that are on it twice are sought.
const CHANGES_UNSORTED_MAX: usize = 4096;

#[derive(Debug)]
struct Value {
    bytes: Vec<u8>,
    /// The seal before which it changed last.
    epoch: u32,
}

#[derive(Debug, Default)]
struct Slot {
    entries: BTreeMap<Key, Value>,
    changed: Vec<Key>,
    /// At which length the list is searched for what is on it twice.
    tidy_at: usize,
}

impl Slot {
    fn note(&mut self, key: Key) {
        self.changed.push(key);
        if self.changed.len() >= self.tidy_at.max(CHANGES_UNSORTED_MAX) {
            self.changed.sort_unstable();
            self.changed.dedup();
            self.tidy_at = 2 * self.changed.len();
        }
    }
}

/// The entries of one state.
#[derive(Debug)]
pub(crate) struct Table {
    space: Space,
    slots: Vec<Slot>,
    /// The number of seals, from 1; entries of other epochs have not changed since the last one.
    epoch: u32,
}

/// The bytes that a change took away and brought, as limits count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Table {
    pub(crate) fn new(space: Space) -> Self {
        Self { space, slots: (0..space.slots()).map(|_| Slot::default()).collect(), epoch: 1 }
    }

    pub(crate) fn get(&self, slot: usize, key: &[u8]) -> Option<&[u8]> {
        let value = self.slots.get(slot)?.entries.get(key)?;
        Some(&value.bytes)
    }

    /// Applies a change. Only a tracked one is part of the next seal.
    pub(crate) fn change(
        &mut self,
        slot: usize,
        key: &[u8],
        change: Change<'_>,
        limits: &StateLimits,
        tracked: bool,
    ) -> Result<Growth, Refusal> {
        let epoch = self.epoch;
        let Some(slot) = self.slots.get_mut(slot) else {
            return Ok(Growth::default());
        };
        let (bytes, append) = match change {
            Change::Delete => return Ok(delete(slot, key, epoch, tracked)),
            Change::DeletePrefix => return Ok(delete_prefix(slot, key, epoch, tracked)),
            Change::Set(bytes) => (bytes, false),
            Change::Append(bytes) => (bytes, true),
        };
        let Some(value) = slot.entries.get_mut(key) else {
            check_entry(key, bytes.len(), limits)?;
            if tracked {
                slot.note(key.into());
            }
            let epoch = if tracked { epoch } else { 0 };
            slot.entries.insert(key.into(), Value { bytes: bytes.to_vec(), epoch });
            return Ok(Growth { before: 0, after: StateLimits::cost(key, bytes.len()) });
        };
        let before = StateLimits::cost(key, value.bytes.len());
        check_entry(key, bytes.len() + if append { value.bytes.len() } else { 0 }, limits)?;
        if !append {
            value.bytes.clear();
            // A value that shrank for good must not keep the memory of its longest time.
            value.bytes.shrink_to(2 * bytes.len());
        }
        value.bytes.extend_from_slice(bytes);
        let after = StateLimits::cost(key, value.bytes.len());
        if tracked && value.epoch != epoch {
            value.epoch = epoch;
            slot.note(key.into());
        }
        Ok(Growth { before, after })
    }

    /// Visits the entries of some slots whose keys begin with `prefix` and come behind `after`, in order, until `visit`
    /// returns false.
    pub(crate) fn scan(
        &self,
        slots: RangeInclusive<usize>,
        prefix: &[u8],
        after: Option<(usize, &[u8])>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) {
        for slot in slots {
            let Some(Slot { entries, .. }) = self.slots.get(slot) else { return };
            let from = match after {
                Some((first, after)) if slot == first && after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            for (key, value) in entries.range::<[u8], _>((from, Bound::Unbounded)) {
                let key = key.as_slice();
                if !key.starts_with(prefix) {
                    break;
                }
                if !visit(key, &value.bytes) {
                    return;
                }
            }
        }
    }

    /// Takes the entries that changed since the last time, by key group.
    pub(crate) fn take_changes(&mut self) -> Vec<(KeyGroup, Arena)> {
        let mut taken = Vec::new();
        for (at, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| !slot.changed.is_empty()) {
            let mut changed = std::mem::take(&mut slot.changed);
            slot.tidy_at = 0;
            changed.sort_unstable();
            changed.dedup();
            let mut arena = Arena::default();
            for key in &changed {
                let key = key.as_slice();
                arena.push(key, slot.entries.get(key).map(|value| value.bytes.as_slice()));
            }
            taken.push((self.space.group(at), arena));
        }
        self.next_epoch();
        taken
    }

    /// Forgets which entries have changed.
    pub(crate) fn forget_changes(&mut self) {
        for slot in &mut self.slots {
            slot.changed = Vec::new();
        }
        self.next_epoch();
    }

    fn next_epoch(&mut self) {
        // After four billion seals one entry of the first of them might be taken for one of the next.
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// Copies all entries, by key group.
    pub(crate) fn copy(&self) -> Vec<(KeyGroup, Arena)> {
        let mut copied = Vec::new();
        for (at, slot) in self.slots.iter().enumerate().filter(|(_, slot)| !slot.entries.is_empty()) {
            let mut arena = Arena::default();
            slot.entries.iter().for_each(|(key, value)| arena.push(key.as_slice(), Some(&value.bytes)));
            copied.push((self.space.group(at), arena));
        }
        copied
    }
}

fn delete(slot: &mut Slot, key: &[u8], epoch: u32, tracked: bool) -> Growth {
    let Some(value) = slot.entries.remove(key) else {
        return Growth::default();
    };
    if tracked && value.epoch != epoch {
        slot.note(key.into());
    }
    Growth { before: StateLimits::cost(key, value.bytes.len()), after: 0 }
}

fn delete_prefix(slot: &mut Slot, prefix: &[u8], epoch: u32, tracked: bool) -> Growth {
    let behind = slot.entries.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
    let keys = behind.map(|(key, _)| key).take_while(|key| key.as_slice().starts_with(prefix));
    let keys: Vec<Key> = keys.cloned().collect();
    let before = keys.iter().map(|key| delete(slot, key.as_slice(), epoch, tracked).before).sum();
    Growth { before, after: 0 }
}

/// Refuses an entry that is too long to be read back.
pub(crate) fn check_entry(key: &[u8], value_len: usize, limits: &StateLimits) -> Result<(), Refusal> {
    let (len, max) = ((key.len() + value_len) as u64, limits.entry_bytes_max);
    if len <= u64::from(max) { Ok(()) } else { Err(Refusal::EntryTooLong { key: show_key(key), len, max }) }
}
