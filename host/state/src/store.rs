//! Where keyed entries are: in memory, or in a scratch file behind a buffer.

pub(crate) mod arena;
pub(crate) mod table;

use std::ops::RangeInclusive;

use millrace_wire::Change;

use crate::address::Space;
use crate::error::Refusal;
use crate::limits::StateLimits;
use crate::sealed::Body;
use table::{Growth, Table};

/// The tables of all keyed states, by number.
#[derive(Debug)]
pub(crate) enum Store {
    Memory(Vec<Table>),
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
        }
    }

    /// Takes what changed in some tables since the last time; the bodies' states are positions in `tables`.
    pub(crate) fn take_changes(&mut self, tables: &[usize]) -> Vec<Body> {
        match self {
            Self::Memory(all) => {
                let mut sections = Vec::new();
                for (state, table) in tables.iter().enumerate() {
                    let changes = all.get_mut(*table).map(Table::take_changes).unwrap_or_default();
                    sections.extend(changes.into_iter().map(|(group, arena)| ((state as u32, group.0), arena)));
                }
                if sections.is_empty() { Vec::new() } else { vec![Body::Copied(sections)] }
            }
        }
    }

    /// Takes a picture of some tables; its states are positions in `tables`.
    pub(crate) fn snapshot(&self, tables: &[usize]) -> Body {
        match self {
            Self::Memory(all) => {
                let mut sections = Vec::new();
                for (state, table) in tables.iter().enumerate() {
                    let entries = all.get(*table).map(Table::copy).unwrap_or_default();
                    sections.extend(entries.into_iter().map(|(group, arena)| ((state as u32, group.0), arena)));
                }
                Body::Copied(sections)
            }
        }
    }

    /// Forgets which entries have changed.
    pub(crate) fn forget_changes(&mut self) {
        match self {
            Self::Memory(tables) => tables.iter_mut().for_each(Table::forget_changes),
        }
    }
}
