//! Which operator is running, so that a panic can be blamed on it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::error::Error;

const NONE: u32 = u32::MAX;

thread_local! {
    static CURRENT: Cell<u32> = const { Cell::new(NONE) };
    static NAMES: RefCell<Vec<(u32, Rc<str>)>> = const { RefCell::new(Vec::new()) };
}

/// An operator's id and name, for errors and panics.
#[derive(Clone)]
pub(crate) struct Label {
    pub node: u32,
    pub name: Rc<str>,
}

impl Label {
    /// An error of this operator.
    #[cold]
    pub fn error(&self, reason: impl fmt::Display) -> Error {
        Error::msg(format_args!("operator '{}': {reason}", self.name))
    }

    /// Says that this operator's code runs from here on. One store: it is done per record.
    #[inline]
    pub fn enter(&self) {
        CURRENT.set(self.node);
    }

    /// Makes the name known to [`operator_name`].
    pub fn register(&self) {
        NAMES.with_borrow_mut(|names| {
            names.retain(|(node, _)| *node != self.node);
            names.push((self.node, Rc::clone(&self.name)));
        });
    }
}

/// Says that no operator's code runs.
pub(crate) fn leave() {
    CURRENT.set(NONE);
}

/// The name of the operator whose code runs.
pub fn operator_name() -> Option<Rc<str>> {
    let current = CURRENT.get();
    NAMES.with_borrow(|names| names.iter().find(|(node, _)| *node == current).map(|(_, name)| Rc::clone(name)))
}
