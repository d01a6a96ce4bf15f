//! The cached values of one state, by slot.

use std::collections::VecDeque;

use crate::batch::{BatchReader, BatchWriter};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::Host;

/// What a `put` batch aims at.
const PUT_BYTES: usize = 64 * 1024;
/// What a changed value takes in a `put` besides its own bytes and its key's, approximately.
const CHANGE_BYTES: usize = 16;

/// Change markers of `put`, presence markers of `get`.
const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

struct Cell<V> {
    value: Option<V>,
    /// Whether `value` is what the host has, or newer.
    is_loaded: bool,
    is_dirty: bool,
    /// Whether the host has a value.
    is_stored: bool,
    /// The value's bytes when it was last encoded or decoded.
    weight: u32,
}

impl<V> Cell<V> {
    const EMPTY: Self = Self { value: None, is_loaded: false, is_dirty: false, is_stored: false, weight: 0 };
}

/// Finds the bytes of a slot's key.
pub(crate) trait KeyBytes {
    fn key_bytes(&self, slot: u32) -> &[u8];
}

/// The cache of one state, whatever its values are.
pub(crate) trait CachedState {
    /// The state's id in the host.
    fn id(&self) -> u32;
    /// Makes room for so many slots.
    fn grow(&mut self, slots: usize);
    /// What a slot takes, used or not.
    fn cell_bytes(&self) -> usize;
    /// What the values take, approximately.
    fn weight(&self) -> usize;
    /// What handing over the changed values will take, approximately.
    fn dirty_weight(&self) -> usize;
    fn is_dirty(&self, slot: u32) -> bool;
    /// Says that every key without a cell is absent from the host, too.
    fn set_complete(&mut self);
    /// Takes a value read from the host, unless there is a newer one.
    fn fill(&mut self, slot: u32, value: &[u8]) -> Result<()>;
    /// Says that slots are about to be used.
    fn want(&mut self, slots: &[u32]);
    /// Reads all wanted slots that are not there.
    fn fetch(&mut self, host: &dyn Host, keys: &dyn KeyBytes, batch: &mut BatchWriter) -> Result<()>;
    /// Hands over the changes made longest ago until `dirty_weight` is at most `weight_max`.
    fn write_out(&mut self, host: &dyn Host, keys: &dyn KeyBytes, batch: &mut BatchWriter, weight_max: usize);
    /// Forgets a slot, which must not be dirty.
    fn forget(&mut self, slot: u32);
}

/// The cache of a state with one value a key.
pub(crate) struct ValueTable<V> {
    id: u32,
    name: String,
    cells: Vec<Cell<V>>,
    is_complete: bool,
    /// The dirty slots, those that became so first in front.
    dirty: VecDeque<u32>,
    missing: Vec<u32>,
    weight: usize,
    dirty_weight: usize,
}

impl<V: Data> ValueTable<V> {
    pub fn new(id: u32, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            cells: Vec::new(),
            is_complete: false,
            dirty: VecDeque::new(),
            missing: Vec::new(),
            weight: 0,
            dirty_weight: 0,
        }
    }

    /// The value of a slot that was wanted.
    #[inline]
    pub fn value(&self, slot: u32) -> &Option<V> {
        &self.cells[slot as usize].value
    }

    /// The value of a slot that was wanted, to be changed.
    #[inline]
    pub fn value_mut(&mut self, slot: u32) -> &mut Option<V> {
        let cell = &mut self.cells[slot as usize];
        debug_assert!(cell.is_loaded, "the slot was wanted and fetched");
        if !cell.is_dirty {
            cell.is_dirty = true;
            if cell.weight == 0 {
                cell.weight = size_of::<V>() as u32;
                self.weight += size_of::<V>();
            }
            self.dirty.push_back(slot);
            self.dirty_weight += cell.weight as usize + CHANGE_BYTES;
        }
        &mut cell.value
    }

    fn set_weight(&mut self, slot: u32, weight: usize) {
        let cell = &mut self.cells[slot as usize];
        self.weight = self.weight - cell.weight as usize + weight;
        cell.weight = weight as u32;
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::msg(format_args!("state '{}': {reason}", self.name))
    }
}

impl<V: Data> CachedState for ValueTable<V> {
    fn id(&self) -> u32 {
        self.id
    }

    fn grow(&mut self, slots: usize) {
        if self.cells.len() < slots {
            self.cells.resize_with(slots, || Cell::EMPTY);
        }
    }

    fn cell_bytes(&self) -> usize {
        size_of::<Cell<V>>()
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn dirty_weight(&self) -> usize {
        self.dirty_weight
    }

    fn is_dirty(&self, slot: u32) -> bool {
        self.cells.get(slot as usize).is_some_and(|cell| cell.is_dirty)
    }

    fn set_complete(&mut self) {
        self.is_complete = true;
    }

    fn fill(&mut self, slot: u32, value: &[u8]) -> Result<()> {
        let cell = &mut self.cells[slot as usize];
        if cell.is_loaded {
            return Ok(());
        }
        match V::from_bytes(value) {
            Ok(decoded) => cell.value = Some(decoded),
            Err(error) => return Err(self.wrong(error)),
        }
        cell.is_loaded = true;
        cell.is_stored = true;
        self.set_weight(slot, value.len());
        Ok(())
    }

    fn want(&mut self, slots: &[u32]) {
        for slot in slots {
            let cell = &mut self.cells[*slot as usize];
            if !cell.is_loaded {
                // A row may want what an earlier row of the batch wants, so this also keeps a key from being read twice.
                cell.is_loaded = true;
                if !self.is_complete {
                    self.missing.push(*slot);
                }
            }
        }
    }

    fn fetch(&mut self, host: &dyn Host, keys: &dyn KeyBytes, batch: &mut BatchWriter) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        batch.reset(false, true);
        for slot in &self.missing {
            batch.row(0, keys.key_bytes(*slot), &[]);
        }
        let answer = host.get(self.id, batch.finish());
        let rows = BatchReader::new(&answer).map_err(|error| self.wrong(error))?;
        if rows.len() != self.missing.len() {
            let (rows, keys) = (rows.len(), self.missing.len());
            return Err(self.wrong(format_args!("the host answered {rows} values to {keys} keys")));
        }
        let missing = std::mem::take(&mut self.missing);
        for (slot, row) in missing.iter().zip(rows.rows()) {
            match row.payload.split_first() {
                Some((&ABSENT, [])) => {}
                Some((&PRESENT, value)) => {
                    self.cells[*slot as usize].is_loaded = false;
                    self.fill(*slot, value)?;
                }
                _ => return Err(self.wrong("the host answered neither absent nor a value")),
            }
        }
        self.missing = missing;
        self.missing.clear();
        Ok(())
    }

    fn write_out(&mut self, host: &dyn Host, keys: &dyn KeyBytes, batch: &mut BatchWriter, weight_max: usize) {
        batch.reset(false, true);
        while self.dirty_weight > weight_max {
            let Some(slot) = self.dirty.pop_front() else { break };
            let cell = &mut self.cells[slot as usize];
            cell.is_dirty = false;
            self.dirty_weight -= cell.weight as usize + CHANGE_BYTES;
            let mut weight = 0;
            if let Some(value) = &cell.value {
                batch.begin_row(0);
                batch.key(|out| out.extend_from_slice(keys.key_bytes(slot)));
                batch.payload().push(PRESENT);
                let start = batch.payload().len();
                value.encode(batch.payload());
                weight = batch.payload().len() - start;
                batch.end_row();
                cell.is_stored = true;
            } else if cell.is_stored {
                batch.row(0, keys.key_bytes(slot), &[ABSENT]);
                cell.is_stored = false;
            }
            self.set_weight(slot, weight);
            if batch.size_bytes() >= PUT_BYTES {
                host.put(self.id, batch.finish());
                batch.clear();
            }
        }
        if !batch.is_empty() {
            host.put(self.id, batch.finish());
            batch.clear();
        }
    }

    fn forget(&mut self, slot: u32) {
        let cell = &mut self.cells[slot as usize];
        debug_assert!(!cell.is_dirty, "only what the host has is forgotten");
        if cell.is_stored {
            self.is_complete = false;
        }
        self.weight -= cell.weight as usize;
        *cell = Cell::EMPTY;
    }
}
