//! What a window function sees and does besides its window's contents.

use crate::collector::{Collector, OutputTag, SideOutputs};
use crate::data::Data;
use crate::host::{Host, Level};
use crate::operator::KeyedContext;

/// The context of a window function.
pub struct WindowContext<'a, U> {
    output: &'a mut Collector<U>,
    sides: &'a mut SideOutputs,
    host: &'a dyn Host,
    watermark: i64,
}

impl<U: Data> WindowContext<'_, U> {
    /// Emits a record with the latest timestamp that belongs to the window.
    #[inline]
    pub fn collect(&mut self, value: U) {
        self.output.collect(value);
    }

    /// Emits a record to a side output.
    pub fn output<S: Data>(&mut self, tag: &OutputTag<S>, value: S) {
        if let Err(error) = self.sides.push(tag, value, self.output.at) {
            self.output.fail(error);
        }
        self.output.label().enter();
    }

    /// The operator's watermark, in milliseconds since 1970; `i64::MIN` before the first.
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.host.now_ms()
    }

    /// Writes a line to the task's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }
}

/// The collector that a function of another shape wants.
impl<'a, U> WindowContext<'a, U> {
    pub(crate) fn collector(&mut self) -> &mut Collector<U> {
        self.output
    }
}

/// Lends a keyed operator's context to a window function, with the key.
pub(crate) fn split<'a, K: Data, U: Data>(
    context: &'a mut KeyedContext<K, U>,
    at: i64,
) -> (Option<&'a K>, WindowContext<'a, U>) {
    context.output.at = at;
    let KeyedContext { output, sides, store, host, watermark, .. } = context;
    (store.key(), WindowContext { output, sides, host: &**host, watermark: *watermark })
}
