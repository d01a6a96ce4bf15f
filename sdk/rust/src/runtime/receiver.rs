//! What takes typed records: the link between two fused operators.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chunk::Chunk;
use crate::error::Result;

/// Takes records of type `T`.
pub(crate) trait Receiver<T> {
    /// Takes all records of a chunk and leaves it empty. Behind an error it may leave some.
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()>;
}

pub(crate) type BoxReceiver<T> = Box<dyn Receiver<T>>;

impl<T, R: Receiver<T> + ?Sized> Receiver<T> for Box<R> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        (**self).push(chunk)
    }
}

/// An operator that several inputs, or an input and the calls of the host, reach. The graph has no cycles, so it
/// is never borrowed twice.
impl<T, R: Receiver<T> + ?Sized> Receiver<T> for Rc<RefCell<R>> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.borrow_mut().push(chunk)
    }
}

/// An output that nobody reads.
pub(crate) struct Nobody;

impl<T> Receiver<T> for Nobody {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        chunk.clear();
        Ok(())
    }
}

/// An output that several read: all but the last get a copy.
pub(crate) struct Everybody<T> {
    pub first: Vec<BoxReceiver<T>>,
    pub last: BoxReceiver<T>,
}

impl<T: Clone> Receiver<T> for Everybody<T> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        for receiver in &mut self.first {
            receiver.push(&mut chunk.clone())?;
        }
        self.last.push(chunk)
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
