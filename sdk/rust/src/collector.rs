//! Where operators put what they emit.

use std::any::Any;
use std::fmt::Display;
use std::marker::PhantomData;

use crate::batch::NO_TIMESTAMP;
use crate::chunk::Chunk;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::runtime::current::Label;
use crate::runtime::receiver::{BoxReceiver, Receiver};

/// Takes the records that an operator emits.
pub struct Collector<T> {
    receiver: BoxReceiver<T>,
    /// What was collected and not handed on yet.
    chunk: Chunk<T>,
    label: Label,
    /// The timestamp of the record being handled.
    pub(crate) at: i64,
    /// The first failure downstream. What is collected after it is dropped: the call fails.
    failure: Option<Error>,
}

impl<T> Collector<T> {
    pub(crate) fn new(receiver: BoxReceiver<T>, label: Label) -> Self {
        Self { receiver, chunk: Chunk::new(), label, at: NO_TIMESTAMP, failure: None }
    }

    /// Emits a record with the timestamp of the record, or timer, that is being handled.
    #[inline(always)]
    pub fn collect(&mut self, value: T) {
        self.collect_at(value, self.at);
    }

    /// Emits a record with a timestamp of its own, in milliseconds since 1970.
    #[inline(always)]
    pub fn collect_at(&mut self, value: T, timestamp_ms: i64) {
        if !self.chunk.accepts(timestamp_ms) {
            self.hand_on();
        }
        self.chunk.push(value, timestamp_ms);
    }

    /// Hands on what was collected.
    #[inline(never)]
    fn hand_on(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        if self.failure.is_none() {
            self.failure = self.receiver.push(&mut self.chunk).err();
        }
        self.chunk.clear();
        self.label.enter();
    }

    /// Runs a function for each record of a chunk and hands on what it collected. The first error ends it: what failed
    /// downstream comes before what the function says, and names its own operator.
    #[inline]
    pub(crate) fn each<S, E: Display>(
        &mut self,
        chunk: &mut Chunk<S>,
        mut function: impl FnMut(S, &mut Self) -> Result<(), E>,
    ) -> Result<()> {
        self.label.enter();
        for (value, at) in chunk.drain() {
            self.at = at;
            if let Err(error) = function(value, self) {
                self.check()?;
                return Err(self.label.error(error));
            }
        }
        self.check()
    }

    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Hands on what was collected, and says whether something downstream failed.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.hand_on();
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

/// A side output. Records go there one by one: they are few.
pub(crate) struct SideOutput<T> {
    receiver: BoxReceiver<T>,
    /// Empty between two records.
    chunk: Chunk<T>,
}

impl<T> SideOutput<T> {
    pub fn new(receiver: BoxReceiver<T>) -> Self {
        Self { receiver, chunk: Chunk::new() }
    }
}

/// The side outputs of an operator that somebody reads.
#[derive(Default)]
pub(crate) struct SideOutputs {
    /// Tags, with a `SideOutput` each.
    pub outputs: Vec<(String, Box<dyn Any>)>,
}

impl SideOutputs {
    /// Emits to a side output; a record of a tag that nobody reads is dropped, as in Flink.
    pub fn push<T: 'static>(&mut self, tag: &OutputTag<T>, value: T, at: i64) -> Result<()> {
        let Some((_, output)) = self.outputs.iter_mut().find(|(name, _)| *name == tag.name) else {
            return Ok(());
        };
        match output.downcast_mut::<SideOutput<T>>() {
            Some(output) => {
                output.chunk.push(value, at);
                output.receiver.push(&mut output.chunk)
            }
            None => Err(Error::msg(format_args!("side output '{}' is read as another type", tag.name))),
        }
    }
}
