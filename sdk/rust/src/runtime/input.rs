//! The way into a segment: batches are decoded, and their records pushed into the head.

use std::marker::PhantomData;

use super::current::Label;
use super::receiver::BoxReceiver;
use crate::batch::BatchReader;
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
    format: PhantomData<D>,
}

impl<T, D: Decode<T>> BatchInput for Plain<T, D> {
    fn process(&mut self, batch: &BatchReader<'_>) -> Result<()> {
        for (index, row) in batch.rows().enumerate() {
            let value = D::decode(row.payload)
                .map_err(|error| self.label.error(format_args!("record {index} of a batch: {error}")))?;
            self.receiver.push(value, row.timestamp)?;
        }
        Ok(())
    }
}

/// An input whose records are in the format `D`.
pub(crate) fn plain_input<T: 'static, D: Decode<T>>(receiver: BoxReceiver<T>, label: Label) -> Box<dyn BatchInput> {
    Box::new(Plain::<T, D> { receiver, label, format: PhantomData })
}
