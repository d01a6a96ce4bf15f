//! Pairs of records whose timestamps are near each other: Flink's `IntervalJoinOperator`.
//!
//! A record of the first stream at time t pairs with those of the second from t + lower to t + upper. Each record is kept
//! until the watermark says that no partner can follow; one timer a record and time sees to that.

use crate::collector::OutputTag;
use crate::data::Data;
use crate::error::{Error, Result};
use crate::host::Clock;
use crate::operator::{KeyedCoProcessFunction, KeyedContext};
use crate::state::{States, ValueState};

/// The bounds of an interval join, both inclusive, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub lower_ms: i64,
    pub upper_ms: i64,
}

impl Bounds {
    /// The same, seen from the second stream.
    fn mirrored(self) -> Self {
        Self { lower_ms: self.upper_ms.saturating_neg(), upper_ms: self.lower_ms.saturating_neg() }
    }

    /// The latest time at which a partner of a record may come.
    fn last_use(self, at: i64) -> i64 {
        at.saturating_add(self.upper_ms.max(0))
    }

    fn holds(self, at: i64, other_at: i64) -> bool {
        at.saturating_add(self.lower_ms) <= other_at && other_at <= at.saturating_add(self.upper_ms)
    }
}

/// The records of one side, by their timestamps.
type Buffer<T> = Vec<(i64, T)>;

/// Joins. `F` gets each pair.
pub(crate) struct JoinIntervals<A, B, F> {
    pub bounds: Bounds,
    pub late_first: Option<OutputTag<A>>,
    pub late_second: Option<OutputTag<B>>,
    pub function: F,
}

fn add<T: Data>(buffer: &ValueState<Buffer<T>>, at: i64, value: T) {
    buffer.modify(|buffer| {
        let buffer = buffer.get_or_insert_default();
        let place = buffer.partition_point(|(other, _)| *other <= at);
        buffer.insert(place, (at, value));
    });
}

fn drop_old<T: Data>(buffer: &ValueState<Buffer<T>>, bounds: Bounds, timestamp: i64) {
    if buffer.with(|buffer| buffer.is_some_and(|buffer| buffer.iter().any(|(at, _)| bounds.last_use(*at) <= timestamp)))
    {
        buffer.modify(|buffer| {
            if let Some(records) = buffer {
                records.retain(|(at, _)| bounds.last_use(*at) > timestamp);
                if records.is_empty() {
                    *buffer = None;
                }
            }
        });
    }
}

/// The timestamp of a record, or `None` if it is late.
fn on_time<K: Data, U: Data>(ctx: &KeyedContext<K, U>) -> Result<Option<i64>> {
    let Some(at) = ctx.timestamp() else {
        return Err(Error::msg(
            "a record without a timestamp came to an interval join; \
             call assign_timestamps_and_watermarks in front of it",
        ));
    };
    Ok((at >= ctx.current_watermark()).then_some(at))
}

impl<K, A, B, U, F> KeyedCoProcessFunction<K, A, B> for JoinIntervalsTo<A, B, U, F>
where
    K: Data,
    A: Data,
    B: Data,
    U: Data,
    F: Fn(&A, &B, &mut KeyedContext<K, U>) -> Result<()> + 'static,
{
    type Output = U;
    type States = (ValueState<Buffer<A>>, ValueState<Buffer<B>>);

    fn open(&self, states: &mut States) -> Result<Self::States> {
        Ok((states.value("left-buffer")?, states.value("right-buffer")?))
    }

    fn process1(&self, (first, second): &Self::States, value: A, ctx: &mut KeyedContext<K, U>) -> Result<()> {
        let join = &self.join;
        let Some(at) = on_time(ctx)? else {
            if let Some(tag) = &join.late_first {
                ctx.output(tag, value);
            }
            return Ok(());
        };
        second.with(|others| {
            for (other_at, other) in others.into_iter().flatten().filter(|(other, _)| join.bounds.holds(at, *other)) {
                ctx.output.at = at.max(*other_at);
                (join.function)(&value, other, ctx)?;
            }
            Ok::<(), Error>(())
        })?;
        ctx.register_event_time_timer(join.bounds.last_use(at));
        add(first, at, value);
        Ok(())
    }

    fn process2(&self, (first, second): &Self::States, value: B, ctx: &mut KeyedContext<K, U>) -> Result<()> {
        let join = &self.join;
        let bounds = join.bounds.mirrored();
        let Some(at) = on_time(ctx)? else {
            if let Some(tag) = &join.late_second {
                ctx.output(tag, value);
            }
            return Ok(());
        };
        first.with(|others| {
            for (other_at, other) in others.into_iter().flatten().filter(|(other, _)| bounds.holds(at, *other)) {
                ctx.output.at = at.max(*other_at);
                (join.function)(other, &value, ctx)?;
            }
            Ok::<(), Error>(())
        })?;
        ctx.register_event_time_timer(bounds.last_use(at));
        add(second, at, value);
        Ok(())
    }

    fn on_timer(
        &self,
        (first, second): &Self::States,
        _: Clock,
        timestamp: i64,
        _: &mut KeyedContext<K, U>,
    ) -> Result<()> {
        drop_old(first, self.join.bounds, timestamp);
        drop_old(second, self.join.bounds.mirrored(), timestamp);
        Ok(())
    }
}

/// The same with the type of what it emits.
pub(crate) struct JoinIntervalsTo<A, B, U, F> {
    pub join: JoinIntervals<A, B, F>,
    pub output: std::marker::PhantomData<fn() -> U>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_pairs() {
        for bounds in [(-2, 3), (1, 3), (-3, -1), (0, 0)].map(|(lower_ms, upper_ms)| Bounds { lower_ms, upper_ms }) {
            for (one, other) in (-9..9).flat_map(|one| (-9..9).map(move |other| (one, other))) {
                assert_eq!(bounds.holds(one, other), bounds.mirrored().holds(other, one));
                if bounds.holds(one, other) {
                    // Whichever comes second, the first is still there.
                    assert!(bounds.last_use(one) >= other && bounds.mirrored().last_use(other) >= one);
                }
            }
        }
    }
}
