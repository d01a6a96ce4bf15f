//! The entries of one state, by key group and then by key.

use std::collections::BTreeMap;
use std::ops::Bound;

use millrace_types::{KeyGroup, KeyGroupRange, key_group_for_key};
use millrace_wire::Change;

use crate::error::{Refusal, show_key};
use crate::key::Key;
use crate::limits::StateLimits;

/// Which keys a subtask has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ownership {
    pub(crate) range: KeyGroupRange,
    pub(crate) max_parallelism: u32,
}

impl Ownership {
    /// The position of a key's group among those of the subtask.
    fn slot_of(self, key: &[u8]) -> Result<usize, Refusal> {
        let group = key_group_for_key(key, self.max_parallelism);
        if self.range.contains(group) { Ok(self.slot(group)) } else { Err(self.foreign(key, group)) }
    }

    fn slot(self, group: KeyGroup) -> usize {
        usize::from(group.0.saturating_sub(self.range.start))
    }

    #[cold]
    fn foreign(self, key: &[u8], group: KeyGroup) -> Refusal {
        Refusal::ForeignKey { key: show_key(key), group, range: self.range }
    }
}

type Entries = BTreeMap<Key, Vec<u8>>;

/// The entries of one state.
#[derive(Debug)]
pub(crate) struct Table {
    ownership: Ownership,
    /// An entry for each key group of the subtask.
    groups: Vec<Entries>,
}

impl Table {
    pub(crate) fn new(ownership: Ownership) -> Self {
        let groups = ownership.slot(KeyGroup(ownership.range.end)) + 1;
        Self { ownership, groups: (0..groups).map(|_| Entries::new()).collect() }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Refusal> {
        let slot = self.ownership.slot_of(key)?;
        Ok(self.groups.get(slot).and_then(|entries| entries.get(key)).map(Vec::as_slice))
    }

    /// Applies a change and gives the bytes that were there under the key before and are there now.
    pub(crate) fn change(
        &mut self,
        key: &[u8],
        change: Change<'_>,
        limits: &StateLimits,
    ) -> Result<(u64, u64), Refusal> {
        let slot = self.ownership.slot_of(key)?;
        let Some(entries) = self.groups.get_mut(slot) else {
            return Ok((0, 0));
        };
        let cost = |value_len: usize| (key.len() + value_len) as u64 + StateLimits::ENTRY_BYTES;
        let check = |len: usize| {
            let (len, max) = ((key.len() + len) as u64, limits.entry_bytes_max);
            if len <= u64::from(max) { Ok(()) } else { Err(Refusal::EntryTooLong { key: show_key(key), len, max }) }
        };
        let (bytes, append) = match change {
            Change::Delete => return Ok((entries.remove(key).map_or(0, |old| cost(old.len())), 0)),
            Change::Set(bytes) => (bytes, false),
            Change::Append(bytes) => (bytes, true),
        };
        let Some(value) = entries.get_mut(key) else {
            check(bytes.len())?;
            entries.insert(key.into(), bytes.to_vec());
            return Ok((0, cost(bytes.len())));
        };
        let before = cost(value.len());
        check(bytes.len() + if append { value.len() } else { 0 })?;
        if !append {
            value.clear();
            // A value that shrank for good must not keep the memory of its longest time.
            value.shrink_to(2 * bytes.len());
        }
        value.extend_from_slice(bytes);
        Ok((before, cost(value.len())))
    }

    /// The entries whose keys begin with `prefix`, behind `after`, in order.
    pub(crate) fn scan<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
    ) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])>, Refusal> {
        let first = after.map_or(Ok(0), |key| self.ownership.slot_of(key))?;
        Ok(self.groups.iter().enumerate().skip(first).flat_map(move |(slot, entries)| {
            let from = match after {
                Some(after) if slot == first && after >= prefix => Bound::Excluded(after),
                _ => Bound::Included(prefix),
            };
            let behind = entries.range::<[u8], _>((from, Bound::Unbounded));
            behind.map(|(key, value)| (key.as_slice(), value.as_slice())).take_while(|(key, _)| key.starts_with(prefix))
        }))
    }
}
