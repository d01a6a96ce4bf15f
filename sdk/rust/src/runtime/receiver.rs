//! What takes typed records: the link between two fused operators.

use std::cell::RefCell;
use std::rc::Rc;

use crate::error::Result;

/// Takes records of type `T`. `at` is the record's timestamp or `NO_TIMESTAMP`.
pub(crate) trait Receiver<T> {
    fn push(&mut self, value: T, at: i64) -> Result<()>;
}

pub(crate) type BoxReceiver<T> = Box<dyn Receiver<T>>;

impl<T, R: Receiver<T> + ?Sized> Receiver<T> for Box<R> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        (**self).push(value, at)
    }
}

/// An operator that several inputs, or an input and the calls of the host, reach. The graph has no cycles, so it
/// is never borrowed twice.
impl<T, R: Receiver<T> + ?Sized> Receiver<T> for Rc<RefCell<R>> {
    #[inline]
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        self.borrow_mut().push(value, at)
    }
}

/// An output that nobody reads.
pub(crate) struct Nobody;

impl<T> Receiver<T> for Nobody {
    #[inline]
    fn push(&mut self, _: T, _: i64) -> Result<()> {
        Ok(())
    }
}

/// An output that several read: all but the last get a copy.
pub(crate) struct Everybody<T> {
    pub first: Vec<BoxReceiver<T>>,
    pub last: BoxReceiver<T>,
}

impl<T: Clone> Receiver<T> for Everybody<T> {
    fn push(&mut self, value: T, at: i64) -> Result<()> {
        for receiver in &mut self.first {
            receiver.push(value.clone(), at)?;
        }
        self.last.push(value, at)
    }
}

/// One receiver of what these receive together.
pub(crate) fn join<T: Clone + 'static>(mut receivers: Vec<BoxReceiver<T>>) -> BoxReceiver<T> {
    match receivers.pop() {
        None => Box::new(Nobody),
        Some(only) if receivers.is_empty() => only,
        Some(last) => Box::new(Everybody { first: receivers, last }),
    }
}
