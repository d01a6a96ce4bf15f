//! Operators with two inputs of different types that share an output.

use std::cell::RefCell;
use std::rc::Rc;

use super::process::ProcessContext;
use crate::chunk::Chunk;
use crate::data::Data;
use crate::error::Result;
use crate::runtime::receiver::Receiver;

/// One input of an operator with two; both share the context.
pub(crate) struct SideOf<F, U> {
    pub function: F,
    pub context: Rc<RefCell<ProcessContext<U>>>,
}

impl<T, U: Data, F: Fn(T, &mut ProcessContext<U>) -> Result<()>> Receiver<T> for SideOf<F, U> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.context.borrow_mut().each(chunk, &self.function)
    }
}
