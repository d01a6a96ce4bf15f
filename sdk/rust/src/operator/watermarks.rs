//! Timestamps and watermarks.
//!
//! The operator calls `emit_watermark` once in every call that brought it records, whether the watermark rose or not: the
//! host takes its silence for idleness. Behind a source each split has a generator of its own: what one of them has seen
//! says nothing about the others. The host makes one watermark of theirs.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::batch::BatchReader;
use crate::chunk::Chunk;
use crate::error::Result;
use crate::graph::WatermarkAlignment;
use crate::host::{Clock, Host};
use crate::runtime::assembly::Control;
use crate::runtime::current::Label;
use crate::runtime::receiver::{BoxReceiver, Receiver};

/// Of how many splits the generators are kept beside that of the split that is read. One that was dropped begins anew where
/// the split's watermark is.
const GENERATORS_KEPT_MAX: usize = 256;

/// Gives the records of a chunk their timestamps.
type Stamp<T> = Box<dyn Fn(&mut Chunk<T>)>;
/// Makes the generator of an instance.
type NewGenerator<T> = Box<dyn Fn() -> Box<dyn WatermarkGenerator<T>>>;

/// Says from records and their timestamps how far event time has come: Flink's `WatermarkGenerator`.
///
/// An instance makes its own ones, one for each split of the source in front, and a new instance begins with new ones: what
/// a generator remembers is a hint. The watermark itself lasts, and never goes back.
pub trait WatermarkGenerator<T>: 'static {
    /// Sees a record. May emit a watermark at once, which is sent behind the records of this batch.
    fn on_event(&mut self, event: &T, timestamp_ms: i64, output: &mut WatermarkOutput);

    /// Called behind each batch of records, to emit a watermark that `on_event` did not.
    fn on_periodic_emit(&mut self, output: &mut WatermarkOutput);
}

/// Takes watermarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkOutput {
    watermark: i64,
}

impl WatermarkOutput {
    const NONE: Self = Self { watermark: i64::MIN };

    /// Says that no record with a timestamp at or below this one follows, in milliseconds since 1970. One that does not
    /// exceed an earlier one changes nothing.
    pub fn emit_watermark(&mut self, timestamp_ms: i64) {
        self.watermark = self.watermark.max(timestamp_ms);
    }
}

/// The latest timestamp less a delay: Flink's `BoundedOutOfOrdernessWatermarks`.
struct Bounded {
    delay_ms: i64,
    latest: i64,
}

impl Bounded {
    fn watermark(&self) -> i64 {
        // Less one: another record with the same timestamp may follow.
        self.latest.saturating_sub(self.delay_ms).saturating_sub(1)
    }
}

enum Generator<T> {
    Bounded {
        delay_ms: i64,
    },
    Custom(NewGenerator<T>),
    /// Only the end of all input is told.
    Silent,
}

impl<T> Generator<T> {
    fn start(&self) -> Running<T> {
        match self {
            Self::Bounded { delay_ms } => Running::Bounded(Bounded { delay_ms: *delay_ms, latest: i64::MIN }),
            Self::Custom(generator) => Running::Custom(generator()),
            Self::Silent => Running::Silent,
        }
    }
}

/// How records get timestamps, and when a watermark says that no earlier one follows.
///
/// ```
/// use std::time::Duration;
/// use millrace::prelude::*;
///
/// let strategy = WatermarkStrategy::bounded_out_of_orderness(5_000, |(_, at_ms): &(String, i64)| *at_ms)
///     .with_idleness(Duration::from_secs(30))
///     .with_watermark_alignment("readings", Duration::from_secs(60), Duration::from_secs(1));
/// ```
pub struct WatermarkStrategy<T> {
    stamp: Stamp<T>,
    generator: Generator<T>,
    pub(crate) idle_timeout_ms: Option<u64>,
    pub(crate) alignment: Option<WatermarkAlignment>,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl<T: 'static> WatermarkStrategy<T> {
    fn new(generator: Generator<T>, timestamp_of: impl Fn(&T) -> i64 + 'static) -> Self {
        let stamp: Stamp<T> = Box::new(move |chunk| chunk.set_times(|value, _| timestamp_of(value)));
        Self { stamp, generator, idle_timeout_ms: None, alignment: None }
    }

    /// Timestamps, in milliseconds since 1970, that never decrease within a split of the source, or else within a subtask.
    pub fn monotonous(timestamp_of: impl Fn(&T) -> i64 + 'static) -> Self {
        Self::bounded_out_of_orderness(0, timestamp_of)
    }

    /// Timestamps that lag the latest one of the split of the source, or else of the subtask, by at most `delay_ms`.
    pub fn bounded_out_of_orderness(delay_ms: i64, timestamp_of: impl Fn(&T) -> i64 + 'static) -> Self {
        Self::new(Generator::Bounded { delay_ms: delay_ms.max(0) }, timestamp_of)
    }

    /// Watermarks of a generator of one's own.
    pub fn for_generator<G: WatermarkGenerator<T>>(
        generator: impl Fn() -> G + 'static,
        timestamp_of: impl Fn(&T) -> i64 + 'static,
    ) -> Self {
        Self::new(Generator::Custom(Box::new(move || Box::new(generator()))), timestamp_of)
    }

    /// Timestamps without watermarks: event time stands still until the end of the input.
    pub fn no_watermarks(timestamp_of: impl Fn(&T) -> i64 + 'static) -> Self {
        Self::new(Generator::Silent, timestamp_of)
    }

    /// Takes timestamps from records and from the timestamps that they have already, if any, in milliseconds since 1970.
    #[must_use]
    pub fn with_timestamp_assigner(mut self, timestamp_of: impl Fn(&T, Option<i64>) -> i64 + 'static) -> Self {
        self.stamp = Box::new(move |chunk| chunk.set_times(&timestamp_of));
        self
    }

    /// A split of the source, or else a subtask, without records for so long is idle: those that have some do not wait for
    /// it.
    #[must_use]
    pub fn with_idleness(mut self, timeout: Duration) -> Self {
        self.idle_timeout_ms = Some(millis(timeout));
        self
    }

    /// The source in front does not read the splits whose watermarks are more than `max_drift` ahead of the least one of the
    /// group. Sources tell theirs, and learn the group's, every `update_interval`.
    #[must_use]
    pub fn with_watermark_alignment(
        mut self,
        group: impl Into<String>,
        max_drift: Duration,
        update_interval: Duration,
    ) -> Self {
        self.alignment = Some(WatermarkAlignment {
            group: group.into(),
            max_drift_ms: millis(max_drift),
            update_interval_ms: millis(update_interval),
        });
        self
    }
}

/// What an instance runs of a strategy.
enum Running<T> {
    Bounded(Bounded),
    Custom(Box<dyn WatermarkGenerator<T>>),
    Silent,
}

/// What an instance has of one split.
struct OfSplit<T> {
    /// None: the records come from no source of this task.
    split: Option<u32>,
    running: Running<T>,
    /// What is to be sent behind the records of this call. What came before is lost with the instance: the host ignores a
    /// watermark that does not advance.
    watermark: WatermarkOutput,
}

/// Gives records timestamps, and the stream watermarks.
pub(crate) struct Watermarks<T> {
    stamp: Stamp<T>,
    generator: Generator<T>,
    label: Label,
    host: Rc<dyn Host>,
    output: BoxReceiver<T>,
    /// The split whose records come.
    current: OfSplit<T>,
    /// Other splits, the one that was read last at the end.
    others: VecDeque<OfSplit<T>>,
    has_records: bool,
    is_ended: bool,
}

impl<T> Watermarks<T> {
    pub fn new(strategy: WatermarkStrategy<T>, label: Label, host: Rc<dyn Host>, output: BoxReceiver<T>) -> Self {
        let WatermarkStrategy { stamp, generator, .. } = strategy;
        let current = OfSplit { split: None, running: generator.start(), watermark: WatermarkOutput::NONE };
        let others = VecDeque::new();
        Self { stamp, generator, label, host, output, current, others, has_records: false, is_ended: false }
    }
}

impl<T: 'static> Receiver<T> for Watermarks<T> {
    fn push(&mut self, chunk: &mut Chunk<T>) -> Result<()> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.label.enter();
        self.has_records = true;
        (self.stamp)(chunk);
        match &mut self.current.running {
            Running::Bounded(bounded) => {
                bounded.latest = chunk.times().iter().copied().fold(bounded.latest, i64::max);
            }
            Running::Custom(generator) => {
                for (value, at) in chunk.values().iter().zip(chunk.times()) {
                    generator.on_event(value, *at, &mut self.current.watermark);
                }
            }
            Running::Silent => {}
        }
        self.output.push(chunk)
    }
}

impl<T: 'static> Control for Watermarks<T> {
    fn timers(&mut self, _: Clock, _: &BatchReader<'_>) -> Result<()> {
        Err(self.label.error("timers for an operator that has none"))
    }

    fn watermark(&mut self, timestamp: i64) -> Result<()> {
        // Only the end of all input counts: this operator's own watermarks replace all others.
        self.is_ended |= timestamp == i64::MAX;
        Ok(())
    }

    fn turn(&mut self, split: u32, watermark: i64) {
        if self.current.split != Some(split) {
            let kept = self.others.iter().position(|other| other.split == Some(split));
            let next = kept.and_then(|at| self.others.remove(at));
            let start =
                || OfSplit { split: Some(split), running: self.generator.start(), watermark: WatermarkOutput::NONE };
            let last = std::mem::replace(&mut self.current, next.unwrap_or_else(start));
            if self.others.len() >= GENERATORS_KEPT_MAX {
                self.others.pop_front();
            }
            self.others.extend(last.split.is_some().then_some(last));
        }
        self.current.watermark.emit_watermark(watermark);
    }

    fn end_call(&mut self) {
        if std::mem::take(&mut self.has_records) {
            self.label.enter();
            let OfSplit { running, watermark, .. } = &mut self.current;
            match running {
                Running::Bounded(bounded) => watermark.emit_watermark(bounded.watermark()),
                Running::Custom(generator) => generator.on_periodic_emit(watermark),
                Running::Silent => {}
            }
            self.host.emit_watermark(self.label.node, watermark.watermark);
        }
        if std::mem::take(&mut self.is_ended) {
            self.host.emit_watermark(self.label.node, i64::MAX);
        }
    }

    fn flush(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flink's `BoundedOutOfOrdernessWatermarksTest`.
    #[test]
    fn the_watermark_lags_the_latest_timestamp_by_the_delay_and_one() {
        let mut bounded = Bounded { delay_ms: 10, latest: i64::MIN };
        assert_eq!(bounded.watermark(), i64::MIN);
        bounded.latest = 12_345;
        assert_eq!(bounded.watermark(), 12_334);
        bounded.delay_ms = 0;
        assert_eq!(bounded.watermark(), 12_344);
    }

    #[test]
    fn an_emitted_watermark_does_not_go_back() {
        let mut output = WatermarkOutput::NONE;
        output.emit_watermark(5);
        output.emit_watermark(3);
        assert_eq!(output.watermark, 5);
    }
}
