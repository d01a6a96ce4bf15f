//! Operators that read a state which broadcast records change: Flink's broadcast state pattern.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::keyed::{KeyedContext, KeyedOperator};
use super::process::ProcessContext;
use crate::chunk::Chunk;
use crate::collector::OutputTag;
use crate::data::Data;
use crate::error::Result;
use crate::host::{Clock, Level};
use crate::runtime::receiver::Receiver;
use crate::state::States;

/// A function of records and of broadcast records: Flink's `BroadcastProcessFunction`.
///
/// Every subtask gets all broadcast records, and they alone may change broadcast state. They should do so without regard to
/// anything that differs between subtasks.
pub trait BroadcastProcessFunction<T, B>: 'static {
    /// The type of the records that it emits.
    type Output: Data;
    /// The handles of its states.
    type States: 'static;

    /// Declares the states. Called once in every instance.
    fn open(&self, states: &mut States) -> Result<Self::States>;

    /// Handles a record; broadcast state can be read.
    fn process_element(&self, states: &Self::States, value: T, ctx: &mut ProcessContext<Self::Output>) -> Result<()>;

    /// Handles a broadcast record; broadcast state can be changed.
    fn process_broadcast(&self, states: &Self::States, value: B, ctx: &mut ProcessContext<Self::Output>) -> Result<()>;
}

/// The same with state and timers for each key: Flink's `KeyedBroadcastProcessFunction`.
///
/// ```
/// use millrace::prelude::*;
///
/// /// Lets through what exceeds the limit of its user's plan.
/// struct Limits;
///
/// impl KeyedBroadcastProcessFunction<String, (String, u64), (String, u64)> for Limits {
///     type Output = (String, u64);
///     type States = (ValueState<u64>, BroadcastState<String, u64>);
///
///     fn open(&self, states: &mut States) -> Result<Self::States> {
///         Ok((states.value("total")?, states.broadcast("limits")?))
///     }
///
///     fn process_element(
///         &self, (total, limits): &Self::States, (plan, n): (String, u64), ctx: &mut KeyedContext<String, Self::Output>,
///     ) -> Result<()> {
///         let sum = total.get().unwrap_or(0) + n;
///         total.set(sum);
///         if limits.get(&plan)?.is_some_and(|limit| sum > limit) {
///             let user = ctx.key().clone();
///             ctx.collect((user, sum));
///         }
///         Ok(())
///     }
///
///     fn process_broadcast(
///         &self, (_, limits): &Self::States, (plan, limit): (String, u64),
///         _: &mut BroadcastContext<'_, String, Self::Output>,
///     ) -> Result<()> {
///         limits.put(plan, limit)
///     }
/// }
/// ```
pub trait KeyedBroadcastProcessFunction<K: Data, T: Data, B>: 'static {
    /// The type of the records that it emits.
    type Output: Data;
    /// The handles of its states.
    type States: 'static;

    /// Declares the states. Called once in every instance.
    fn open(&self, states: &mut States) -> Result<Self::States>;

    /// Handles a record; broadcast state can be read.
    fn process_element(&self, states: &Self::States, value: T, ctx: &mut KeyedContext<K, Self::Output>) -> Result<()>;

    /// Handles a broadcast record; broadcast state can be changed. There is no key, so keyed state cannot be used.
    fn process_broadcast(
        &self,
        states: &Self::States,
        value: B,
        ctx: &mut BroadcastContext<'_, K, Self::Output>,
    ) -> Result<()>;

    /// Handles a timer that has fired; broadcast state can be read.
    fn on_timer(
        &self,
        states: &Self::States,
        clock: Clock,
        timestamp: i64,
        ctx: &mut KeyedContext<K, Self::Output>,
    ) -> Result<()> {
        let (_, _, _, _) = (states, clock, timestamp, ctx);
        Ok(())
    }
}

/// What a keyed function sees and does besides a broadcast record: as [`KeyedContext`], but without a key and timers.
pub struct BroadcastContext<'a, K, U> {
    context: &'a mut KeyedContext<K, U>,
}

impl<K: Data, U: Data> BroadcastContext<'_, K, U> {
    /// Emits a record with the timestamp of the one being handled.
    pub fn collect(&mut self, value: U) {
        self.context.collect(value);
    }

    /// Emits a record with a timestamp of its own, in milliseconds since 1970.
    pub fn collect_at(&mut self, value: U, timestamp_ms: i64) {
        self.context.collect_at(value, timestamp_ms);
    }

    /// Emits a record to a side output.
    pub fn output<S: Data>(&mut self, tag: &OutputTag<S>, value: S) {
        self.context.output(tag, value);
    }

    /// The timestamp of the record being handled, in milliseconds since 1970, if it has one.
    pub fn timestamp(&self) -> Option<i64> {
        self.context.timestamp()
    }

    /// The operator's watermark, in milliseconds since 1970; `i64::MIN` before the first.
    pub fn current_watermark(&self) -> i64 {
        self.context.current_watermark()
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.context.processing_time()
    }

    /// Writes a line to the task's log.
    pub fn log(&self, level: Level, message: &str) {
        self.context.log(level, message);
    }
}

/// The broadcast input of a keyed operator.
pub(crate) struct BroadcastInput<O, C> {
    pub operator: Rc<RefCell<O>>,
    pub is_writable: Rc<Cell<bool>>,
    pub call: C,
}

impl<K, U, F, S, T, B, C> Receiver<B> for BroadcastInput<KeyedOperator<K, U, F, S, T>, C>
where
    K: Data,
    U: Data,
    C: Fn(&F, &S, B, &mut BroadcastContext<'_, K, U>) -> Result<()>,
{
    fn push(&mut self, chunk: &mut Chunk<B>) -> Result<()> {
        let operator = &mut *self.operator.borrow_mut();
        operator.label.enter();
        for (value, at) in chunk.drain() {
            operator.context.output.at = at;
            self.is_writable.set(true);
            let mut context = BroadcastContext { context: &mut operator.context };
            let result = (self.call)(&operator.function, &operator.states, value, &mut context);
            self.is_writable.set(false);
            if let Err(error) = result {
                operator.context.output.check()?;
                return Err(operator.label.error(error));
            }
        }
        operator.context.output.check()
    }
}
