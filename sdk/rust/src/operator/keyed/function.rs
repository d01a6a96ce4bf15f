//! What a user implements for keyed operators.

use super::context::KeyedContext;
use crate::data::Data;
use crate::error::Result;
use crate::host::Clock;
use crate::state::States;

/// A function with state and timers for each key: Flink's `KeyedProcessFunction`.
///
/// The function itself does not change: what must last between two records goes through the handles in `States`.
///
/// ```
/// use millrace::prelude::*;
///
/// /// Emits, for each user, how many events came within a minute after the first.
/// struct PerMinute;
///
/// impl KeyedProcessFunction<String, u64> for PerMinute {
///     type Output = (String, u64);
///     type States = ValueState<u64>;
///
///     fn open(&self, states: &mut States) -> Result<Self::States> {
///         states.value("count")
///     }
///
///     fn process(&self, count: &Self::States, _event: u64, ctx: &mut KeyedContext<String, Self::Output>) -> Result<()> {
///         let now = ctx.timestamp().unwrap_or(0);
///         if count.get().is_none() {
///             ctx.register_event_time_timer(now + 60_000);
///         }
///         count.modify(|count| *count = Some(count.unwrap_or(0) + 1));
///         Ok(())
///     }
///
///     fn on_timer(
///         &self, count: &Self::States, _clock: Clock, _timestamp: i64, ctx: &mut KeyedContext<String, Self::Output>,
///     ) -> Result<()> {
///         let total = count.take().unwrap_or(0);
///         let user = ctx.key().clone();
///         ctx.collect((user, total));
///         Ok(())
///     }
/// }
/// ```
pub trait KeyedProcessFunction<K: Data, T: Data>: 'static {
    /// The type of the records that it emits.
    type Output: Data;
    /// The handles of its states: one, a tuple, or a struct of them.
    type States: 'static;

    /// Declares the states. Called once in every instance.
    fn open(&self, states: &mut States) -> Result<Self::States>;

    /// Handles a record.
    fn process(&self, states: &Self::States, value: T, ctx: &mut KeyedContext<K, Self::Output>) -> Result<()>;

    /// Handles a timer that has fired.
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

/// The same for two inputs, keyed alike, that share state and timers: Flink's `KeyedCoProcessFunction`.
pub trait KeyedCoProcessFunction<K: Data, A: Data, B: Data>: 'static {
    /// The type of the records that it emits.
    type Output: Data;
    /// The handles of its states.
    type States: 'static;

    /// Declares the states. Called once in every instance.
    fn open(&self, states: &mut States) -> Result<Self::States>;

    /// Handles a record of the first input.
    fn process1(&self, states: &Self::States, value: A, ctx: &mut KeyedContext<K, Self::Output>) -> Result<()>;

    /// Handles a record of the second input.
    fn process2(&self, states: &Self::States, value: B, ctx: &mut KeyedContext<K, Self::Output>) -> Result<()>;

    /// Handles a timer that has fired.
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
