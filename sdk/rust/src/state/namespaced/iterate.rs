//! Going through all entries of a key.

use std::rc::Rc;

use super::NamespacedTable;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::state::backing::split_state_key;
use crate::state::cached::{CachedState, SCAN_BYTES};
use crate::state::chain;

impl<N: Data, V: Data> NamespacedTable<N, V> {
    /// Makes all entries of a key present. What is here and not yet handed over counts more than what the host has.
    fn load_key(&mut self, slot: u32) -> Result<()> {
        if self.is_complete || self.heads[slot as usize].is_whole {
            return Ok(());
        }
        let backing = Rc::clone(&self.backing);
        let mut prefix = Vec::new();
        backing.write_state_key(slot, &[], &mut prefix);
        let read = backing.scan(self.id, &prefix, SCAN_BYTES, |rows, _| {
            for row in rows.rows() {
                self.fill(slot, split_state_key(row.key)?.1, row.payload)?;
            }
            Ok(true)
        });
        read.map_err(|error| self.wrong(error))?;
        self.heads[slot as usize].is_whole = true;
        Ok(())
    }

    /// The numbers of all entries of a key that have a value, with what tells them apart, in the order of their bytes: the
    /// order does not depend on what is cached.
    pub fn entries_of(&mut self, slot: u32) -> Result<Vec<(N, u32)>> {
        self.load_key(slot)?;
        let mut found: Vec<(Vec<u8>, u32)> = Vec::new();
        let mut at = self.heads[slot as usize].entries.first();
        while let Some(number) = at {
            let entry = &self.entries[number as usize];
            at = chain::next(entry.of_key);
            if entry.value.is_some() {
                found.push((entry.sub_key().with(<[u8]>::to_vec), number));
            }
        }
        found.sort_unstable();
        let decode = |(bytes, number): (Vec<u8>, u32)| match N::from_bytes(&bytes) {
            Ok(namespace) => Ok((namespace, number)),
            Err(error) => Err(self.wrong(Error::from(error).context("a sub-key"))),
        };
        found.into_iter().map(decode).collect()
    }

    /// Whether a key has an entry.
    pub fn is_empty(&mut self, slot: u32) -> Result<bool> {
        if self.has_value(slot) {
            return Ok(false);
        }
        self.load_key(slot)?;
        Ok(!self.has_value(slot))
    }

    fn has_value(&self, slot: u32) -> bool {
        let mut at = self.heads[slot as usize].entries.first();
        while let Some(number) = at {
            let entry = &self.entries[number as usize];
            if entry.value.is_some() {
                return true;
            }
            at = chain::next(entry.of_key);
        }
        false
    }
}
