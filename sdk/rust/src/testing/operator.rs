//! One operator, or a few, fed record by record: Flink's `OneInputStreamOperatorTestHarness`.

use std::marker::PhantomData;
use std::rc::Rc;

use super::engine::{Bounds, Engine};
use super::stand_ins::StandIns;
use crate::batch::{BatchWriter, NO_TIMESTAMP};
use crate::connector::{NativeSink, NativeSource};
use crate::data::Data;
use crate::error::{Error, Result};
use crate::format::Opaque;
use crate::graph::NodeKind;
use crate::program::Program;
use crate::stream::Stream;

/// Feeds operators and collects what they emit.
///
/// ```
/// use millrace::prelude::*;
/// use millrace::testing::OperatorHarness;
///
/// let mut harness = OperatorHarness::new(|words: Stream<String>| {
///     words.map(|word| (word, 1u32)).key_by(|(word, _)| word.clone()).reduce(|a, b| (a.0, a.1 + b.1))
/// })
/// .unwrap();
/// for word in ["to", "be", "to"] {
///     harness.push(word.to_owned()).unwrap();
/// }
/// let expected: Vec<(String, u32)> = vec![("to".into(), 1), ("be".into(), 1), ("to".into(), 2)];
/// assert_eq!(harness.take_outputs().unwrap(), expected);
/// ```
pub struct OperatorHarness<I, O> {
    engine: Engine,
    source: u32,
    sink: u32,
    types: PhantomData<fn(I) -> O>,
}

impl<I: Data, O: Data> OperatorHarness<I, O> {
    /// A harness around the operators between the two streams, at parallelism 1.
    pub fn new(operators: impl Fn(Stream<I>) -> Stream<O> + 'static) -> Result<Self> {
        Self::with_cache(8 << 20, operators)
    }

    /// The same with a bound on what is cached of the state, in bytes.
    pub fn with_cache(state_cache_bytes: u32, operators: impl Fn(Stream<I>) -> Stream<O> + 'static) -> Result<Self> {
        let build = Rc::new(move || {
            let builder = |env: &crate::Environment, _: &crate::Args| {
                let input = env.from_source(NativeSource::<I, Opaque>::new("harness"), "harness");
                operators(input).sink_to(NativeSink::<Opaque>::new("harness"), "harness");
                Ok(())
            };
            Program::build(builder, &[], 1)
        });
        let bounds = Bounds {
            parallelism: 1,
            max_parallelism: 128,
            batch_bytes: 64 * 1024,
            record_bytes_max: 16 << 20,
            state_cache_bytes,
        };
        let engine = Engine::new(build, bounds, StandIns::default(), None)?;
        let missing = || Error::msg("the operators do not lead from the input to the output");
        let source = engine.find("harness", |kind| matches!(kind, NodeKind::NativeSource(_))).ok_or_else(missing)?;
        let sink = engine.find("harness", |kind| matches!(kind, NodeKind::NativeSink(_))).ok_or_else(missing)?;
        Ok(Self { engine, source, sink, types: PhantomData })
    }

    /// Feeds a record without a timestamp.
    pub fn push(&mut self, value: I) -> Result<()> {
        self.push_batch([(value, NO_TIMESTAMP)])
    }

    /// Feeds a record with a timestamp, in milliseconds since 1970.
    pub fn push_at(&mut self, value: I, timestamp_ms: i64) -> Result<()> {
        self.push_batch([(value, timestamp_ms)])
    }

    /// Feeds records with timestamps as one batch.
    pub fn push_batch(&mut self, values: impl IntoIterator<Item = (I, i64)>) -> Result<()> {
        let values: Vec<(I, i64)> = values.into_iter().collect();
        let mut batch = BatchWriter::new(values.iter().any(|(_, at)| *at != NO_TIMESTAMP), false);
        for (value, at) in &values {
            batch.row(*at, &[], &value.to_bytes());
        }
        self.engine.emit((self.source, 0), 0, batch.finish())?;
        self.engine.run()
    }

    /// Says that the records that follow come from this split of the source. What generates watermarks has one for each
    /// split, and the least of them counts.
    pub fn turn(&mut self, split: u32) -> Result<()> {
        self.engine.turn((self.source, 0), split)
    }

    /// Says that a split has ended, which holds no watermark back any more.
    pub fn end_split(&mut self, split: u32) -> Result<()> {
        self.engine.end_split((self.source, 0), split)
    }

    /// Advances the watermark; `i64::MAX` is the end of all input.
    pub fn watermark(&mut self, timestamp_ms: i64) -> Result<()> {
        self.engine.emit_watermark((self.source, 0), timestamp_ms)?;
        self.engine.run()
    }

    /// Sets the wall clock and fires the timers that are due.
    pub fn set_processing_time(&mut self, now_ms: i64) -> Result<()> {
        self.engine.set_processing_time(now_ms)
    }

    /// Hands all changed state to the host, as before a checkpoint.
    pub fn flush(&mut self) -> Result<()> {
        self.engine.flush_all()
    }

    /// Flushes the instance, throws it away and goes on with a new one.
    pub fn discard_instance(&mut self) -> Result<()> {
        self.engine.replace_all()
    }

    /// What was emitted since the last time.
    pub fn take_outputs(&mut self) -> Result<Vec<O>> {
        Ok(self.take_outputs_at()?.into_iter().map(|(value, _)| value).collect())
    }

    /// What was emitted since the last time, with timestamps.
    pub fn take_outputs_at(&mut self) -> Result<Vec<(O, Option<i64>)>> {
        let rows = self.engine.take_sink(self.sink).into_iter();
        rows.map(|row| {
            let at = (row.timestamp != NO_TIMESTAMP).then_some(row.timestamp);
            Ok((O::from_bytes(&row.payload)?, at))
        })
        .collect()
    }

    /// Hands all changed state to the host, and counts the entries of state and the timers that it has then.
    pub fn kept(&mut self) -> Result<(usize, usize)> {
        self.engine.flush_all()?;
        Ok(self.engine.kept())
    }

    /// How often state was read by keys: a cache that knows what is absent reads less.
    pub fn state_reads(&self) -> u64 {
        self.engine.gets()
    }
}
