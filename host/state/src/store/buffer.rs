//! Entries of all tables that are on their way to the scratch file: what changed last.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::key::Key;

/// The bytes of a table's number and a key group in front of a state key.
pub(crate) const PLACE_BYTES: usize = 6;

/// What an entry costs besides its key and value, in bytes: its place in the tree, its vector, and the allocator's
/// bookkeeping, roughly.
const ENTRY_BYTES: usize = 100;

/// Where an entry is among those of all tables: ordered by table, key group and state key.
pub(crate) fn place(table: usize, group: u16, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PLACE_BYTES + key.len());
    // There are some hundred tables.
    bytes.extend_from_slice(&(table as u32).to_be_bytes());
    bytes.extend_from_slice(&group.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// The key group and the state key of a place.
pub(crate) fn split_place(place: &[u8]) -> (u16, &[u8]) {
    let group = place.get(4..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u16::from_be_bytes);
    (group, place.get(PLACE_BYTES..).unwrap_or_default())
}

/// Entries by place; `None`: deleted.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    entries: BTreeMap<Key, Option<Vec<u8>>>,
    bytes: usize,
}

impl Buffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it takes of memory, in bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is known of a place: `Some(None)`, it was deleted.
    pub(crate) fn get(&self, place: &[u8]) -> Option<Option<&[u8]>> {
        self.entries.get(place).map(Option::as_deref)
    }

    pub(crate) fn set(&mut self, place: &[u8], value: Option<&[u8]>) {
        let (new_len, value) = (value.map_or(0, <[u8]>::len), value.map(<[u8]>::to_vec));
        match self.entries.get_mut(place) {
            Some(old) => {
                self.bytes -= old.as_ref().map_or(0, Vec::len);
                *old = value;
            }
            None => {
                self.bytes += ENTRY_BYTES + place.len();
                self.entries.insert(place.into(), value);
            }
        }
        self.bytes += new_len;
    }

    /// Makes a value longer; false: there is none here.
    pub(crate) fn append(&mut self, place: &[u8], bytes: &[u8]) -> bool {
        let Some(Some(value)) = self.entries.get_mut(place) else { return false };
        value.extend_from_slice(bytes);
        self.bytes += bytes.len();
        true
    }

    /// The entries from a place on whose places begin with `prefix`, in order.
    pub(crate) fn range<'a>(
        &'a self,
        from: Bound<&'a [u8]>,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let behind = self.entries.range::<[u8], _>((from, Bound::Unbounded));
        let entries = behind.map(|(place, value)| (place.as_slice(), value.as_deref()));
        entries.take_while(move |(place, _)| place.starts_with(prefix))
    }

    /// The entries of a table: key group, state key, value.
    pub(crate) fn table(&self, table: usize) -> impl Iterator<Item = (u16, &[u8], Option<&[u8]>)> {
        let first = (table as u32).to_be_bytes();
        let behind = self.entries.range::<[u8], _>((Bound::Included(&first[..]), Bound::Unbounded));
        let entries = behind.take_while(move |(place, _)| place.as_slice().starts_with(&first));
        entries.map(|(place, value)| {
            let (group, key) = split_place(place.as_slice());
            (group, key, value.as_deref())
        })
    }
}
