//! Timestamps and watermarks.

use std::rc::Rc;

use crate::batch::BatchReader;
use crate::batch::NO_TIMESTAMP;
use crate::chunk::Chunk;
use crate::error::Result;
use crate::host::{Clock, Host};
use crate::runtime::assembly::Control;
use crate::runtime::current::Label;
use crate::runtime::receiver::{BoxReceiver, Receiver};

/// See [`WatermarkStrategy`].
type Stamp<T> = Box<dyn Fn(&mut Chunk<T>) -> i64>;

/// How records get timestamps, and when a watermark says that no earlier one follows.
pub struct WatermarkStrategy<T> {
    /// Gives the records of a chunk their timestamps and returns the latest.
    pub(crate) stamp: Stamp<T>,
    pub(crate) delay_ms: i64,
}

impl<T> WatermarkStrategy<T> {
    /// Timestamps, in milliseconds since 1970, that never decrease within a subtask.
    pub fn monotonous(timestamp_of: impl Fn(&T) -> i64 + 'static) -> Self {
        Self::bounded_out_of_orderness(0, timestamp_of)
    }

    /// Timestamps that lag the latest one by at most `delay_ms`.
    pub fn bounded_out_of_orderness(delay_ms: i64, timestamp_of: impl Fn(&T) -> i64 + 'static) -> Self {
        let stamp = move |chunk: &mut Chunk<T>| {
            let mut latest = i64::MIN;
            chunk.set_times(|value| {
                let timestamp = timestamp_of(value);
                latest = latest.max(timestamp);
                timestamp
            });
            latest
        };
        Self { stamp: Box::new(stamp), delay_ms: delay_ms.max(0) }
    }
}

pub(crate) struct Watermarks<T> {
    pub strategy: WatermarkStrategy<T>,
    pub label: Label,
    pub host: Rc<dyn Host>,
    pub output: BoxReceiver<T>,
    /// The latest timestamp. Lost with the instance: the host ignores a watermark that does not advance.
    pub latest: i64,
    /// The watermark to be sent, behind the records of this call.
    pub next: Option<i64>,
}

impl<T> Receiver<T> for Watermarks<T> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        self.label.enter();
        let latest = (self.strategy.stamp)(chunk);
        if latest > self.latest {
            self.latest = latest;
            // As in Flink: another record with the same timestamp may follow.
            self.next = Some(latest.saturating_sub(self.strategy.delay_ms).saturating_sub(1));
        }
        self.output.push(chunk)
    }
}

impl<T> Control for Watermarks<T> {
    fn timers(&mut self, _: Clock, _: &BatchReader<'_>) -> Result<()> {
        Err(self.label.error("timers for an operator that has none"))
    }

    fn watermark(&mut self, timestamp: i64) {
        // Only the end of all input counts: this operator's own watermarks replace all others.
        if timestamp == i64::MAX {
            self.next = Some(timestamp);
        }
    }

    fn end_call(&mut self) {
        if let Some(watermark) = self.next.take().filter(|watermark| *watermark != NO_TIMESTAMP) {
            self.host.emit_watermark(self.label.node, watermark);
        }
    }

    fn flush(&mut self) {}
}
