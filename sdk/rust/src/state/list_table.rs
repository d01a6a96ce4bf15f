//! The cached lists of one state, by slot.
//!
//! The host holds the elements back to back, so that new ones can be appended to a list that is not here. A list is
//! *known* if its elements are; what was added and not handed over is kept as bytes besides.

use std::collections::VecDeque;
use std::rc::Rc;

use super::backing::{ABSENT, APPEND, Backing, PRESENT, SubKey};
use super::cached::CachedState;
use super::table::CHANGE_BYTES;
use crate::data::{Data, Reader};
use crate::error::{Error, Result};

/// What is to be handed over of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Nothing,
    /// What was added.
    Append,
    /// All of it.
    Replace,
}

struct Cell<T> {
    /// The elements, if they are known.
    elements: Option<Vec<T>>,
    /// The bytes of what was added, for an append.
    added: Vec<u8>,
    change: Change,
    /// Whether the host may have a list.
    is_stored: bool,
    /// The bytes of the elements if they are known, as far as the host has or gets them.
    known_bytes: usize,
}

impl<T> Cell<T> {
    const EMPTY: Self =
        Self { elements: None, added: Vec::new(), change: Change::Nothing, is_stored: false, known_bytes: 0 };

    fn weight(&self) -> usize {
        let decoded = self.elements.as_ref().map_or(0, |elements| elements.len() * size_of::<T>());
        decoded + self.known_bytes + self.added.len()
    }

    fn dirty_weight(&self) -> usize {
        match self.change {
            Change::Nothing => 0,
            Change::Append => self.added.len() + CHANGE_BYTES,
            Change::Replace => self.known_bytes + CHANGE_BYTES,
        }
    }
}

/// The cache of a state with a list for each key.
pub(crate) struct ListTable<T> {
    id: u32,
    name: String,
    backing: Rc<Backing>,
    cells: Vec<Cell<T>>,
    is_complete: bool,
    /// The dirty slots, those that became so first in front.
    dirty: VecDeque<u32>,
    vacated: Vec<u32>,
    weight: usize,
    dirty_weight: usize,
}

impl<T: Data> ListTable<T> {
    pub fn new(id: u32, name: &str, backing: Rc<Backing>) -> Self {
        const { assert!(T::MIN_BYTES > 0, "elements that take no bytes could not be told from none") };
        Self {
            id,
            name: name.to_owned(),
            backing,
            cells: Vec::new(),
            is_complete: false,
            dirty: VecDeque::new(),
            vacated: Vec::new(),
            weight: 0,
            dirty_weight: 0,
        }
    }

    /// Changes a cell, and keeps the sums and the list of what is dirty.
    fn change<R>(&mut self, slot: u32, change: impl FnOnce(&mut Cell<T>) -> R) -> R {
        let cell = &mut self.cells[slot as usize];
        let (weight, dirty_weight, was) = (cell.weight(), cell.dirty_weight(), cell.change);
        let result = change(cell);
        self.weight = self.weight - weight + cell.weight();
        self.dirty_weight = self.dirty_weight - dirty_weight + cell.dirty_weight();
        if was == Change::Nothing && cell.change != Change::Nothing {
            self.dirty.push_back(slot);
        }
        result
    }

    /// Adds elements, whether the list is known or not.
    pub fn append(&mut self, slot: u32, elements: impl IntoIterator<Item = T>) {
        let is_complete = self.is_complete;
        self.change(slot, |cell| {
            if is_complete && !cell.is_stored {
                cell.elements.get_or_insert_default();
            }
            for element in elements {
                let start = cell.added.len();
                element.encode(&mut cell.added);
                if cell.change == Change::Replace {
                    cell.known_bytes += cell.added.len() - start;
                    cell.added.truncate(start);
                } else {
                    cell.change = Change::Append;
                }
                if let Some(known) = &mut cell.elements {
                    known.push(element);
                }
            }
        });
    }

    /// Replaces a list.
    pub fn replace(&mut self, slot: u32, elements: Vec<T>) {
        let is_complete = self.is_complete;
        self.change(slot, |cell| {
            // What is not known may be in the host.
            cell.is_stored |= cell.elements.is_none() && !is_complete;
            cell.added.clear();
            cell.known_bytes = elements.len() * size_of::<T>();
            cell.elements = Some(elements);
            cell.change = Change::Replace;
        });
    }

    /// The elements, read now if they are not known.
    pub fn elements(&mut self, slot: u32) -> Result<&[T]> {
        if self.cells[slot as usize].elements.is_none() {
            let mut stored = None;
            if !self.is_complete {
                let read = self.backing.get(
                    self.id,
                    1,
                    |_| (slot, SubKey::Bytes(&[])),
                    |_, value| {
                        stored = value.map(<[u8]>::to_vec);
                        Ok(())
                    },
                );
                read.map_err(|error| self.wrong(error))?;
            }
            self.know(slot, stored.as_deref())?;
        }
        Ok(self.cells[slot as usize].elements.as_deref().unwrap_or_default())
    }

    /// Takes what the host has of a list that is not known; what was added comes behind it.
    fn know(&mut self, slot: u32, stored: Option<&[u8]>) -> Result<()> {
        let mut elements = Vec::new();
        let cell = &self.cells[slot as usize];
        for bytes in [stored.unwrap_or_default(), &cell.added] {
            let mut input = Reader::new(bytes);
            while input.remaining() > 0 {
                elements.push(T::decode(&mut input).map_err(|error| self.wrong(error))?);
            }
        }
        self.change(slot, |cell| {
            cell.elements = Some(elements);
            cell.known_bytes = stored.map_or(0, <[u8]>::len);
            cell.is_stored = stored.is_some();
        });
        Ok(())
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::msg(format_args!("state '{}': {reason}", self.name))
    }
}

impl<T: Data> CachedState for ListTable<T> {
    fn id(&self) -> u32 {
        self.id
    }

    fn grow(&mut self, slots: usize) {
        if self.cells.len() < slots {
            self.cells.resize_with(slots, || Cell::EMPTY);
        }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Cell<T>>()
    }

    fn weight(&self) -> usize {
        self.weight
    }

    fn dirty_weight(&self) -> usize {
        self.dirty_weight
    }

    fn is_dirty(&self, slot: u32) -> bool {
        self.cells.get(slot as usize).is_some_and(|cell| cell.change != Change::Nothing)
    }

    fn set_complete(&mut self) {
        self.is_complete = true;
    }

    fn fill(&mut self, slot: u32, sub_key: &[u8], value: &[u8]) -> Result<()> {
        if !sub_key.is_empty() {
            return Err(self.wrong("the host has an entry with a sub-key, but the state has one list a key"));
        }
        if self.cells[slot as usize].elements.is_some() { Ok(()) } else { self.know(slot, Some(value)) }
    }

    /// A list is read when somebody asks for its elements.
    fn want(&mut self, _: &[u32]) {}

    fn fetch(&mut self) -> Result<()> {
        Ok(())
    }

    fn write_out(&mut self, weight_max: usize) {
        let backing = Rc::clone(&self.backing);
        let mut put = backing.put(self.id);
        while self.dirty_weight > weight_max {
            let Some(slot) = self.dirty.pop_front() else { break };
            let vacated = self.change(slot, |cell| {
                let change = std::mem::replace(&mut cell.change, Change::Nothing);
                let elements = cell.elements.as_deref().unwrap_or_default();
                if change == Change::Append {
                    put.change(slot, &[], APPEND, |out| out.extend_from_slice(&cell.added));
                    cell.known_bytes += if cell.elements.is_some() { cell.added.len() } else { 0 };
                    cell.added = Vec::new();
                    cell.is_stored = true;
                } else if !elements.is_empty() {
                    cell.known_bytes = put.change(slot, &[], PRESENT, |out| T::encode_all(elements, out));
                    cell.is_stored = true;
                } else if cell.is_stored {
                    put.change(slot, &[], ABSENT, |_| {});
                    cell.is_stored = false;
                }
                !cell.is_stored
            });
            if vacated {
                self.vacated.push(slot);
            }
        }
        put.finish();
    }

    fn forget(&mut self, slot: u32) {
        debug_assert!(!self.is_dirty(slot), "only what the host has is forgotten");
        if self.change(slot, |cell| std::mem::replace(cell, Cell::EMPTY).is_stored) {
            self.is_complete = false;
        }
    }

    fn is_vacant(&self, slot: u32) -> bool {
        self.cells.get(slot as usize).is_none_or(|cell| {
            cell.change == Change::Nothing && !cell.is_stored && (self.is_complete || cell.elements.is_none())
        })
    }

    fn settle(&mut self, vacated: &mut Vec<u32>) {
        vacated.append(&mut self.vacated);
    }
}
