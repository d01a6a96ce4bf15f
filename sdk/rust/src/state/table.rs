//! The cached values of one state, by slot.

use std::collections::VecDeque;
use std::rc::Rc;

use super::backing::{ABSENT, Backing, PRESENT, SubKey};
use super::cached::CachedState;
use crate::data::Data;
use crate::error::{Error, Result};

/// What a changed value takes in a `put` besides its own bytes, its key's and its sub-key's, approximately.
pub(crate) const CHANGE_BYTES: usize = 20;

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

/// The cache of a state with one value a key.
pub(crate) struct ValueTable<V> {
    id: u32,
    name: String,
    backing: Rc<Backing>,
    cells: Vec<Cell<V>>,
    is_complete: bool,
    /// The dirty slots, those that became so first in front.
    dirty: VecDeque<u32>,
    missing: Vec<u32>,
    /// Slots that may have become vacant.
    vacated: Vec<u32>,
    weight: usize,
    dirty_weight: usize,
}

impl<V: Data> ValueTable<V> {
    pub fn new(id: u32, name: &str, backing: Rc<Backing>) -> Self {
        Self {
            id,
            name: name.to_owned(),
            backing,
            cells: Vec::new(),
            is_complete: false,
            dirty: VecDeque::new(),
            missing: Vec::new(),
            vacated: Vec::new(),
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
        let cell = &self.cells[slot as usize];
        debug_assert!(cell.is_loaded, "the slot was wanted and fetched");
        if !cell.is_dirty {
            self.set_dirty(slot);
        }
        &mut self.cells[slot as usize].value
    }

    #[inline(never)]
    fn set_dirty(&mut self, slot: u32) {
        let cell = &mut self.cells[slot as usize];
        cell.is_dirty = true;
        if cell.weight == 0 {
            cell.weight = size_of::<V>() as u32;
            self.weight += size_of::<V>();
        }
        self.dirty.push_back(slot);
        self.dirty_weight += cell.weight as usize + CHANGE_BYTES;
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

    fn slot_bytes(&self) -> usize {
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

    fn fill(&mut self, slot: u32, sub_key: &[u8], value: &[u8]) -> Result<()> {
        if !sub_key.is_empty() {
            return Err(self.wrong("the host has an entry with a sub-key, but the state has one value a key"));
        }
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

    fn fetch(&mut self) -> Result<()> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let missing = std::mem::take(&mut self.missing);
        let backing = Rc::clone(&self.backing);
        let place = |index: usize| (missing[index], SubKey::Bytes(&[]));
        let read = backing.get(self.id, missing.len(), place, |index, value| match value {
            None => Ok(()),
            Some(value) => {
                self.cells[missing[index] as usize].is_loaded = false;
                self.fill(missing[index], &[], value)
            }
        });
        read.map_err(|error| self.wrong(error))?;
        self.missing = missing;
        self.missing.clear();
        Ok(())
    }

    fn write_out(&mut self, weight_max: usize) {
        let backing = Rc::clone(&self.backing);
        let mut put = backing.put(self.id);
        while self.dirty_weight > weight_max {
            let Some(slot) = self.dirty.pop_front() else { break };
            let cell = &mut self.cells[slot as usize];
            cell.is_dirty = false;
            self.dirty_weight -= cell.weight as usize + CHANGE_BYTES;
            let mut weight = 0;
            if let Some(value) = &cell.value {
                weight = put.change(slot, &[], PRESENT, |out| value.encode(out));
                cell.is_stored = true;
            } else {
                if cell.is_stored {
                    put.change(slot, &[], ABSENT, |_| {});
                    cell.is_stored = false;
                }
                self.vacated.push(slot);
            }
            self.set_weight(slot, weight);
        }
        put.finish();
    }

    fn is_vacant(&self, slot: u32) -> bool {
        self.cells.get(slot as usize).is_none_or(|cell| {
            cell.value.is_none() && !cell.is_dirty && !cell.is_stored && (self.is_complete || !cell.is_loaded)
        })
    }

    fn settle(&mut self, vacated: &mut Vec<u32>) {
        vacated.append(&mut self.vacated);
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
