//! Lists that belong to a subtask and not to a key.
//!
//! The list is in memory whole, once somebody has asked for it; the host holds each element under its position. Invariant:
//! the first `same` elements are what the host has at their positions.

use std::cell::RefCell;
use std::rc::Rc;

use super::backing::{ABSENT, Backing, PRESENT};
use super::cached::{OperatorState, SCAN_BYTES};
use super::value::NO_SLOT;
use crate::data::Data;
use crate::error::{Error, Result};

/// A list of the subtask: Flink's operator `ListState`.
///
/// What becomes of it at another parallelism is said where it is declared: [`operator_list`](crate::States::operator_list)
/// and [`union_list`](crate::States::union_list). The list is kept in memory.
pub struct OperatorListState<T> {
    pub(crate) table: Rc<RefCell<OperatorListTable<T>>>,
}

impl<T: Data> OperatorListState<T> {
    /// A copy of the elements, in the order in which they were added.
    pub fn get(&self) -> Result<Vec<T>> {
        self.with(<[T]>::to_vec)
    }

    /// Looks at the elements without copying them.
    pub fn with<R>(&self, look: impl FnOnce(&[T]) -> R) -> Result<R> {
        Ok(look(self.table.borrow_mut().elements()?))
    }

    /// Adds an element at the end.
    pub fn add(&self, element: T) -> Result<()> {
        self.add_all([element])
    }

    /// Adds elements at the end.
    pub fn add_all(&self, elements: impl IntoIterator<Item = T>) -> Result<()> {
        self.table.borrow_mut().elements()?.extend(elements);
        Ok(())
    }

    /// Replaces the list.
    pub fn update(&self, elements: Vec<T>) -> Result<()> {
        let mut table = self.table.borrow_mut();
        *table.elements()? = elements;
        table.same = 0;
        Ok(())
    }

    /// Removes all elements.
    pub fn clear(&self) -> Result<()> {
        self.update(Vec::new())
    }
}

impl<T> Clone for OperatorListState<T> {
    fn clone(&self) -> Self {
        Self { table: Rc::clone(&self.table) }
    }
}

pub(crate) struct OperatorListTable<T> {
    id: u32,
    name: String,
    backing: Rc<Backing>,
    elements: Option<Vec<T>>,
    /// How many elements the host has, and how many of these, from the first on, are the same here.
    stored: usize,
    same: usize,
}

impl<T: Data> OperatorListTable<T> {
    pub fn new(id: u32, name: &str, backing: Rc<Backing>) -> Self {
        Self { id, name: name.to_owned(), backing, elements: None, stored: 0, same: 0 }
    }

    fn elements(&mut self) -> Result<&mut Vec<T>> {
        let elements = match self.elements.take() {
            Some(elements) => elements,
            None => {
                let elements = self.read();
                let elements = elements.map_err(|error| Error::msg(format_args!("state '{}': {error}", self.name)))?;
                (self.stored, self.same) = (elements.len(), elements.len());
                elements
            }
        };
        Ok(self.elements.insert(elements))
    }

    fn read(&self) -> Result<Vec<T>> {
        let mut elements = Vec::new();
        self.backing.scan(self.id, &[], SCAN_BYTES, |rows, _| {
            for row in rows.rows() {
                elements.push(T::from_bytes(row.payload)?);
            }
            Ok(true)
        })?;
        Ok(elements)
    }
}

impl<T: Data> OperatorState for OperatorListTable<T> {
    fn flush(&mut self) {
        let Some(elements) = &self.elements else { return };
        let position = |at: usize| (at as u32).to_be_bytes();
        let mut put = self.backing.put(self.id);
        for (at, element) in elements.iter().enumerate().skip(self.same) {
            put.change(NO_SLOT, &position(at), PRESENT, |out| element.encode(out));
        }
        for at in elements.len()..self.stored {
            put.change(NO_SLOT, &position(at), ABSENT, |_| {});
        }
        put.finish();
        (self.stored, self.same) = (elements.len(), elements.len());
    }
}
