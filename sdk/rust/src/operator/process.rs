//! Process: a function that sees a record's context and has side outputs.

use std::rc::Rc;

use crate::batch::NO_TIMESTAMP;
use crate::chunk::Chunk;
use crate::collector::{Collector, OutputTag, SideOutputs};
use crate::data::Data;
use crate::error::Result;
use crate::host::{Host, Level};
use crate::runtime::receiver::Receiver;

/// What a process function sees and does besides its record.
pub struct ProcessContext<U> {
    pub(crate) output: Collector<U>,
    pub(crate) sides: SideOutputs,
    pub(crate) host: Rc<dyn Host>,
}

impl<U: Data> ProcessContext<U> {
    /// Emits a record with the timestamp of the one being handled.
    #[inline]
    pub fn collect(&mut self, value: U) {
        self.output.collect(value);
    }

    /// Emits a record with a timestamp of its own, in milliseconds since 1970.
    pub fn collect_at(&mut self, value: U, timestamp_ms: i64) {
        self.output.collect_at(value, timestamp_ms);
    }

    /// Emits a record to a side output.
    pub fn output<S: Data>(&mut self, tag: &OutputTag<S>, value: S) {
        if let Err(error) = self.sides.push(tag, value, self.output.at) {
            self.output.fail(error);
        }
        self.output.label().enter();
    }

    /// The timestamp of the record being handled, in milliseconds since 1970, if it has one.
    pub fn timestamp(&self) -> Option<i64> {
        (self.output.at != NO_TIMESTAMP).then_some(self.output.at)
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.host.now_ms()
    }

    /// Writes a line to the task's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    /// Runs a function for each record of a chunk. The first error ends it: what failed downstream comes before what the
    /// function says.
    pub(crate) fn each<T>(
        &mut self,
        chunk: &mut Chunk<T>,
        function: impl Fn(T, &mut Self) -> Result<()>,
    ) -> Result<()> {
        self.output.label().enter();
        for (value, at) in chunk.drain() {
            self.output.at = at;
            if let Err(error) = function(value, self) {
                self.output.check()?;
                return Err(self.output.label().error(error));
            }
        }
        self.output.check()
    }
}

pub(crate) struct Process<F, U> {
    pub function: F,
    pub context: ProcessContext<U>,
}

impl<T, U: Data, F: Fn(T, &mut ProcessContext<U>) -> Result<()>> Receiver<T> for Process<F, U> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.context.each(chunk, &self.function)
    }
}
