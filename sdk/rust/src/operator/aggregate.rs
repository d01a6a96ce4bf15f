//! Reduce, and windows that end with the stream.

use std::marker::PhantomData;

use super::keyed::{KeyedContext, KeyedProcessFunction};
use crate::data::Data;
use crate::error::Result;
use crate::host::Clock;
use crate::state::{States, ValueState};

/// The end of all time: the maximum timestamp of a global window, and the watermark at the end of all input.
const END_OF_STREAM: i64 = i64::MAX;

/// Aggregates records step by step: Flink's `AggregateFunction`.
pub trait AggregateFunction<T>: 'static {
    /// What is kept.
    type Accumulator: Data;
    /// What comes out.
    type Output: Data;

    /// The accumulator of no records.
    fn create(&self) -> Self::Accumulator;

    /// Takes in a record.
    fn add(&self, accumulator: &mut Self::Accumulator, value: T);

    /// Takes in another accumulator: of an earlier pane of the same window, or of a window merged into this one.
    fn merge(&self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);

    /// What the accumulator amounts to.
    fn result(&self, accumulator: Self::Accumulator) -> Self::Output;
}

/// Flink's `KeyedStream.reduce`: emits the reduced value after every record.
pub(crate) struct Reduce<F>(pub F);

impl<K: Data, T: Data, F: Fn(T, T) -> T + 'static> KeyedProcessFunction<K, T> for Reduce<F> {
    type Output = T;
    type States = ValueState<T>;

    fn open(&self, states: &mut States) -> Result<ValueState<T>> {
        states.value("reduced")
    }

    #[inline]
    fn process(&self, reduced: &ValueState<T>, value: T, ctx: &mut KeyedContext<K, T>) -> Result<()> {
        let value = reduced.modify(|reduced| {
            let value = match reduced.take() {
                Some(so_far) => (self.0)(so_far, value),
                None => value,
            };
            *reduced = Some(value.clone());
            value
        });
        ctx.collect(value);
        Ok(())
    }
}

/// Reduces all records of a key and emits the result at the end of the stream.
pub(crate) struct ReduceAll<F>(pub F);

impl<K: Data, T: Data, F: Fn(T, T) -> T + 'static> KeyedProcessFunction<K, T> for ReduceAll<F> {
    type Output = T;
    type States = ValueState<T>;

    fn open(&self, states: &mut States) -> Result<ValueState<T>> {
        states.value("window-contents")
    }

    #[inline]
    fn process(&self, contents: &ValueState<T>, value: T, ctx: &mut KeyedContext<K, T>) -> Result<()> {
        let is_first = contents.modify(|contents| match contents.take() {
            Some(so_far) => {
                *contents = Some((self.0)(so_far, value));
                false
            }
            None => {
                *contents = Some(value);
                true
            }
        });
        if is_first {
            ctx.register_event_time_timer(END_OF_STREAM);
        }
        Ok(())
    }

    fn on_timer(&self, contents: &ValueState<T>, _: Clock, _: i64, ctx: &mut KeyedContext<K, T>) -> Result<()> {
        if let Some(reduced) = contents.take() {
            ctx.collect(reduced);
        }
        Ok(())
    }
}

/// Aggregates all records of a key and emits the key and the result at the end of the stream.
pub(crate) struct AggregateAll<F, T> {
    pub function: F,
    pub record: PhantomData<fn(T)>,
}

impl<K: Data, T: Data, F: AggregateFunction<T>> KeyedProcessFunction<K, T> for AggregateAll<F, T> {
    type Output = (K, F::Output);
    type States = ValueState<F::Accumulator>;

    fn open(&self, states: &mut States) -> Result<Self::States> {
        states.value("window-contents")
    }

    #[inline]
    fn process(&self, contents: &Self::States, value: T, ctx: &mut KeyedContext<K, Self::Output>) -> Result<()> {
        let is_first = contents.modify(|contents| {
            let is_first = contents.is_none();
            self.function.add(contents.get_or_insert_with(|| self.function.create()), value);
            is_first
        });
        if is_first {
            ctx.register_event_time_timer(END_OF_STREAM);
        }
        Ok(())
    }

    fn on_timer(
        &self,
        contents: &Self::States,
        _: Clock,
        _: i64,
        ctx: &mut KeyedContext<K, Self::Output>,
    ) -> Result<()> {
        if let Some(accumulator) = contents.take() {
            let key = ctx.key().clone();
            ctx.collect((key, self.function.result(accumulator)));
        }
        Ok(())
    }
}
