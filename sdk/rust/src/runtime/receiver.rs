//! What takes typed records: the link between two fused operators.

use std::cell::RefCell;
use std::rc::Rc;

use crate::chunk::Chunk;
use crate::error::Result;

/// Takes records of type `T`.
pub(crate) trait Receiver<T> {
    /// Takes all records of a chunk and leaves it empty. Behind an error it may leave some.
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()>;

    /// Takes copies of the records of a chunk that others read too. Whoever needs only some of them, or nothing but a look
    /// at them, copies no more than that.
    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()>
    where
        T: Clone,
    {
        self.push(&mut chunk.clone())
    }
}

pub(crate) type BoxReceiver<T> = Box<dyn Receiver<T>>;

impl<T, R: Receiver<T> + ?Sized> Receiver<T> for Box<R> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        (**self).push(chunk)
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()>
    where
        T: Clone,
    {
        (**self).push_shared(chunk)
    }
}

/// An operator that several inputs, or an input and the calls of the host, reach. The graph has no cycles, so it
/// is never borrowed twice.
impl<T, R: Receiver<T> + ?Sized> Receiver<T> for Rc<RefCell<R>> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.borrow_mut().push(chunk)
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()>
    where
        T: Clone,
    {
        self.borrow_mut().push_shared(chunk)
    }
}

/// An output that nobody reads.
pub(crate) struct Nobody;

impl<T> Receiver<T> for Nobody {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        chunk.clear();
        Ok(())
    }

    fn push_shared(&mut self, _: &Chunk<T>) -> Result<()> {
        Ok(())
    }
}

/// An output that several read: all but the last share the chunk.
pub(crate) struct Everybody<T> {
    pub first: Vec<BoxReceiver<T>>,
    pub last: BoxReceiver<T>,
}

impl<T: Clone> Receiver<T> for Everybody<T> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        for receiver in &mut self.first {
            receiver.push_shared(chunk)?;
        }
        self.last.push(chunk)
    }

    fn push_shared(&mut self, chunk: &Chunk<T>) -> Result<()> {
        self.first.iter_mut().try_for_each(|receiver| receiver.push_shared(chunk))?;
        self.last.push_shared(chunk)
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
