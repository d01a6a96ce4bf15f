//! Two keyed streams joined by the distance of their records' timestamps.

use std::marker::PhantomData;

use super::Stream;
use super::connected::ConnectedKeyedStreams;
use super::keyed::KeyedStream;
use crate::collector::OutputTag;
use crate::data::Data;
use crate::error::Result;
use crate::operator::KeyedContext;
use crate::operator::interval_join::{Bounds, JoinIntervals, JoinIntervalsTo};

/// Two keyed streams whose records meet if their timestamps are near each other: Flink's `IntervalJoin`.
///
/// ```
/// use millrace::prelude::*;
///
/// /// Orders with their payments of the ten minutes after them.
/// fn paid(orders: &Stream<(u64, String)>, payments: &Stream<(u64, u32)>) -> Stream<(String, u32)> {
///     orders
///         .key_by(|order| order.0)
///         .interval_join(&payments.key_by(|payment| payment.0))
///         .between(0, 600_000)
///         .process(|order, payment, ctx| {
///             ctx.collect((order.1.clone(), payment.1));
///             Ok(())
///         })
/// }
/// ```
pub struct IntervalJoin<K, A, B> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
    bounds: Bounds,
    late_first: Option<OutputTag<A>>,
    late_second: Option<OutputTag<B>>,
}

impl<K: Data, A: Data, B: Data> IntervalJoin<K, A, B> {
    pub(super) fn new(first: KeyedStream<K, A>, second: KeyedStream<K, B>) -> Self {
        let bounds = Bounds { lower_ms: 0, upper_ms: 0 };
        Self { first, second, bounds, late_first: None, late_second: None }
    }

    /// A record of the first stream at t meets those of the second from t + `lower_ms` to t + `upper_ms`, both inclusive
    /// and perhaps negative. Without this call both timestamps have to be the same.
    #[must_use]
    pub fn between(mut self, lower_ms: i64, upper_ms: i64) -> Self {
        if lower_ms > upper_ms {
            let error = format!("interval_join: the lower bound {lower_ms} ms is above the upper bound {upper_ms} ms");
            self.first.stream.definition.borrow_mut().errors.push(error);
        }
        self.bounds = Bounds { lower_ms, upper_ms };
        self
    }

    /// Excludes the lower bound itself. Behind `between`.
    #[must_use]
    pub fn lower_bound_exclusive(mut self) -> Self {
        self.bounds.lower_ms = self.bounds.lower_ms.saturating_add(1);
        self
    }

    /// Excludes the upper bound itself. Behind `between`.
    #[must_use]
    pub fn upper_bound_exclusive(mut self) -> Self {
        self.bounds.upper_ms = self.bounds.upper_ms.saturating_sub(1);
        self
    }

    /// Where records of the first stream go that come behind the watermark: otherwise they are dropped.
    #[must_use]
    pub fn side_output_left_late_data(mut self, tag: &OutputTag<A>) -> Self {
        self.late_first = Some(tag.clone());
        self
    }

    /// Where records of the second stream go that come behind the watermark: otherwise they are dropped.
    #[must_use]
    pub fn side_output_right_late_data(mut self, tag: &OutputTag<B>) -> Self {
        self.late_second = Some(tag.clone());
        self
    }

    /// Hands each pair to a function. What it emits has the later one of the two timestamps.
    pub fn process<U: Data>(
        self,
        function: impl Fn(&A, &B, &mut KeyedContext<K, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        let Self { first, second, bounds, late_first, late_second } = self;
        let join = JoinIntervals { bounds, late_first, late_second, function };
        let connected = ConnectedKeyedStreams { first, second };
        connected.process_as(("interval-join", "Interval Join"), JoinIntervalsTo { join, output: PhantomData })
    }
}
