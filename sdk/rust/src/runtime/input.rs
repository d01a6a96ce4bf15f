//! The way into a segment: batches are decoded, and their records pushed into the head.

use std::marker::PhantomData;

use super::current::Label;
use super::receiver::BoxReceiver;
use crate::batch::BatchReader;
use crate::chunk::Chunk;
use crate::error::Result;
use crate::format::Decode;

/// Takes the batches of one input port.
pub(crate) trait BatchInput {
    fn process(&mut self, batch: &BatchReader<'_>) -> Result<()>;
}

/// Makes the input of a port from what receives its records.
pub(crate) type InputFactory<T> = fn(BoxReceiver<T>, Label) -> Box<dyn BatchInput>;

struct Plain<T, D> {
    receiver: BoxReceiver<T>,
    label: Label,
    /// Empty between two batches.
    chunk: Chunk<T>,
    format: PhantomData<D>,
}

impl<T, D: Decode<T>> BatchInput for Plain<T, D> {
    fn process(&mut self, batch: &BatchReader<'_>) -> Result<()> {
        for (index, row) in batch.rows().enumerate() {
            if !self.chunk.accepts(row.timestamp) {
                self.receiver.push(&mut self.chunk)?;
            }
            match D::decode(row.payload) {
                Ok(value) => self.chunk.push(value, row.timestamp),
                Err(error) => return Err(self.label.error(format_args!("record {index} of a batch: {error}"))),
            }
        }
        self.receiver.push(&mut self.chunk)
    }
}

/// An input whose records are in the format `D`.
pub(crate) fn plain_input<T: 'static, D: Decode<T>>(receiver: BoxReceiver<T>, label: Label) -> Box<dyn BatchInput> {
    Box::new(Plain::<T, D> { receiver, label, chunk: Chunk::new(), format: PhantomData })
}
