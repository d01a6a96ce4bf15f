//! Where operators put what they emit.

use std::any::Any;
use std::marker::PhantomData;

use crate::data::Data;
use crate::error::{Error, Result};
use crate::runtime::current::Label;
use crate::runtime::receiver::{BoxReceiver, Receiver};

/// Takes the records that an operator emits.
pub struct Collector<T> {
    receiver: BoxReceiver<T>,
    label: Label,
    /// The timestamp of the record being handled.
    pub(crate) at: i64,
    /// The first failure downstream. What is collected after it is dropped: the call fails.
    failure: Option<Error>,
}

impl<T> Collector<T> {
    pub(crate) fn new(receiver: BoxReceiver<T>, label: Label) -> Self {
        Self { receiver, label, at: crate::batch::NO_TIMESTAMP, failure: None }
    }

    /// Emits a record with the timestamp of the record, or timer, that is being handled.
    #[inline]
    pub fn collect(&mut self, value: T) {
        self.collect_at(value, self.at);
    }

    /// Emits a record with a timestamp of its own, in milliseconds since 1970.
    #[inline]
    pub fn collect_at(&mut self, value: T, timestamp_ms: i64) {
        if self.failure.is_none() {
            self.failure = self.receiver.push(value, timestamp_ms).err();
        }
        self.label.enter();
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Whether something downstream failed.
    #[inline]
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.failure.take() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    pub(crate) fn label(&self) -> &Label {
        &self.label
    }
}

/// Names a side output and the type of its records: Flink's `OutputTag`.
pub struct OutputTag<T> {
    pub(crate) name: String,
    record: PhantomData<fn() -> T>,
}

impl<T: Data> OutputTag<T> {
    /// A tag of this name, unique within the operator.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), record: PhantomData }
    }
}

impl<T> Clone for OutputTag<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), record: PhantomData }
    }
}

/// The side outputs of an operator that somebody reads.
#[derive(Default)]
pub(crate) struct SideOutputs {
    /// Tags, with a `BoxReceiver` each.
    pub receivers: Vec<(String, Box<dyn Any>)>,
}

impl SideOutputs {
    /// Emits to a side output; a record of a tag that nobody reads is dropped, as in Flink.
    pub fn push<T: 'static>(&mut self, tag: &OutputTag<T>, value: T, at: i64) -> Result<()> {
        let Some((_, receiver)) = self.receivers.iter_mut().find(|(name, _)| *name == tag.name) else {
            return Ok(());
        };
        match receiver.downcast_mut::<BoxReceiver<T>>() {
            Some(receiver) => receiver.push(value, at),
            None => Err(Error::msg(format_args!("side output '{}' is read as another type", tag.name))),
        }
    }
}
