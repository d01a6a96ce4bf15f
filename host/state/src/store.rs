//! Where keyed entries are: in memory, or in a scratch file behind a buffer.

pub(crate) mod arena;
pub(crate) mod buffer;
mod disk;
pub(crate) mod scratch;
pub(crate) mod table;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use millrace_types::KeyGroup;
use millrace_wire::Change;

use crate::address::Space;
use crate::error::Refusal;
use crate::limits::StateLimits;
use crate::sealed::Body;
use crate::segment::Section;
use arena::Arena;
use buffer::Buffer;
use scratch::ScratchStore;
use table::{Growth, Table};

/// The tables of all keyed states, by number.
#[derive(Debug)]
pub(crate) enum Store {
    Memory(Vec<Table>),
    Scratch(Box<ScratchStore>),
}

/// The slots, prefix and place of a scan.
pub(crate) struct ScanRange<'a> {
    pub(crate) slots: RangeInclusive<usize>,
    pub(crate) prefix: &'a [u8],
    /// The slot and the key behind which to begin.
    pub(crate) after: Option<(usize, &'a [u8])>,
}

impl Store {
    /// Adds a table; its number.
    pub(crate) fn add(&mut self, space: Space) -> usize {
        match self {
            Self::Memory(tables) => {
                tables.push(Table::new(space));
                tables.len() - 1
            }
            Self::Scratch(store) => store.add(space),
        }
    }

    /// Shows a value.
    pub(crate) fn get<R>(
        &self,
        table: usize,
        slot: usize,
        key: &[u8],
        show: impl FnOnce(Option<&[u8]>) -> R,
    ) -> Result<R, Refusal> {
        match self {
            Self::Memory(tables) => Ok(show(tables.get(table).and_then(|table| table.get(slot, key)))),
            Self::Scratch(store) => store.get(table, slot, key, show),
        }
    }

    /// Visits entries in order until `visit` returns false.
    pub(crate) fn scan(
        &self,
        table: usize,
        range: ScanRange<'_>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Refusal> {
        match self {
            Self::Memory(tables) => {
                if let Some(table) = tables.get(table) {
                    table.scan(range.slots, range.prefix, range.after, visit);
                }
                Ok(())
            }
            Self::Scratch(store) => store.scan(table, range, visit),
        }
    }

    /// Applies a change.
    pub(crate) fn change(
        &mut self,
        table: usize,
        slot: usize,
        key: &[u8],
        change: Change<'_>,
        limits: &StateLimits,
        tracked: bool,
    ) -> Result<Growth, Refusal> {
        match self {
            Self::Memory(tables) => match tables.get_mut(table) {
                Some(table) => table.change(slot, key, change, limits, tracked),
                None => Ok(Growth::default()),
            },
            // What is on disk has a limit of its own.
            Self::Scratch(store) => store.change(table, slot, key, change, limits).map(|()| Growth::default()),
        }
    }

    /// Sets apart what changed since the last time, for [`Self::changes`].
    pub(crate) fn freeze(&mut self) -> Result<Frozen, Refusal> {
        match self {
            Self::Memory(_) => Ok(Frozen(None)),
            Self::Scratch(store) => store.freeze().map(Frozen),
        }
    }

    /// Takes what changed in some tables, whose positions in `tables` are the body's states. `None`: nothing.
    pub(crate) fn changes(&mut self, frozen: &Frozen, tables: &[usize]) -> Option<Body> {
        match self {
            Self::Memory(all) => {
                let take = |table: &usize| all.get_mut(*table).map(Table::take_changes).unwrap_or_default();
                let sections = sections(tables.iter().map(take));
                (!sections.is_empty()).then_some(Body::Copied(sections))
            }
            Self::Scratch(_) => {
                let buffer = frozen.0.clone()?;
                let changed = tables.iter().any(|table| buffer.table(*table).next().is_some());
                changed.then(|| Body::Buffered { buffer, tables: tables.to_vec() })
            }
        }
    }

    /// Takes a picture of some tables, whose positions in `tables` are the body's states. Changes must have been frozen.
    pub(crate) fn snapshot(&mut self, tables: &[usize]) -> Result<Body, Refusal> {
        match self {
            Self::Memory(all) => {
                let copy = |table: &usize| all.get(*table).map(Table::copy).unwrap_or_default();
                Ok(Body::Copied(sections(tables.iter().map(copy))))
            }
            Self::Scratch(store) => {
                let (picture, bytes) = store.take_picture()?;
                Ok(Body::Stored { picture, tables: tables.to_vec(), bytes })
            }
        }
    }

    /// Forgets which entries have changed. What is buffered for the disk has to be frozen instead.
    pub(crate) fn forget_changes(&mut self) {
        match self {
            Self::Memory(tables) => tables.iter_mut().for_each(Table::forget_changes),
            Self::Scratch(_) => {}
        }
    }

    /// Whether changes must not wait in memory any longer.
    pub(crate) fn overflows(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Scratch(store) => store.is_full(),
        }
    }

    /// Where segments go that are cut from changes that were set apart; `None`: changes are never set apart.
    pub(crate) fn scratch_folder(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::Scratch(store) => Some(store.folder()),
        }
    }

    /// Does some of what was put off, after a call with so many changes.
    pub(crate) fn settle(&mut self, changed: usize) -> Result<(), Refusal> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Scratch(store) => store.move_some(changed),
        }
    }
}

/// Changes that were set apart, if they are not copied one by one.
pub(crate) struct Frozen(Option<Arc<Buffer>>);

/// Numbers the entries of some tables.
fn sections(tables: impl Iterator<Item = Vec<(KeyGroup, Arena)>>) -> Vec<(Section, Arena)> {
    let numbered = (0u32..).zip(tables);
    numbered
        .flat_map(|(state, groups)| groups.into_iter().map(move |(group, arena)| ((state, group.0), arena)))
        .collect()
}
