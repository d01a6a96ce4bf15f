//! Two streams joined, or grouped together, by key and window.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::Stream;
use super::keyed::KeyedStream;
use super::windowed::CONTENTS;
use crate::collector::Collector;
use crate::data::Data;
use crate::definition::NodeDef;
use crate::error::Result;
use crate::operator::window::contents::{CollectedApart, Either};
use crate::operator::window::general::{WindowInput, WindowOperator};
use crate::operator::window::{DefaultTrigger, Lateness, Trigger, WindowAssigner, WindowContext};
use crate::runtime::assembly::Control;

/// Each pair of records of a key and window is wanted: what [`Stream::join`] makes of [`PairedStreams`].
pub struct Joined;
/// All records of a key and window are wanted together: what [`Stream::co_group`] makes of [`PairedStreams`].
pub struct CoGrouped;

/// Two streams that are to be put together by key and window: Flink's `JoinedStreams` and `CoGroupedStreams`.
///
/// ```
/// use std::time::Duration;
/// use millrace::prelude::*;
///
/// /// Sellers with their auctions of the same ten seconds.
/// fn sellers(persons: &Stream<(u64, String)>, auctions: &Stream<(u64, u32)>) -> Stream<(u64, String, u32)> {
///     persons
///         .join(auctions)
///         .where_(|person| person.0)
///         .equal_to(|auction| auction.0)
///         .window(TumblingEventTimeWindows::of(Duration::from_secs(10)))
///         .apply(|person, auction| (person.0, person.1.clone(), auction.1))
/// }
/// ```
pub struct PairedStreams<M, A, B> {
    first: Stream<A>,
    second: Stream<B>,
    mode: PhantomData<M>,
}

impl<A: Data> Stream<A> {
    /// Pairs of records of both streams with the same key, in the same window.
    pub fn join<B: Data>(&self, other: &Stream<B>) -> PairedStreams<Joined, A, B> {
        PairedStreams { first: self.clone(), second: other.clone(), mode: PhantomData }
    }

    /// The records of both streams with the same key, in the same window.
    pub fn co_group<B: Data>(&self, other: &Stream<B>) -> PairedStreams<CoGrouped, A, B> {
        PairedStreams { first: self.clone(), second: other.clone(), mode: PhantomData }
    }
}

impl<M, A: Data, B: Data> PairedStreams<M, A, B> {
    /// The key of the first stream's records.
    pub fn where_<K: Data>(self, select: impl Fn(&A) -> K + 'static) -> PairedStreamsWhere<M, K, A, B> {
        PairedStreamsWhere { first: self.first.key_by(select), second: self.second, mode: PhantomData }
    }
}

/// Two streams, the first of which has keys.
pub struct PairedStreamsWhere<M, K, A, B> {
    first: KeyedStream<K, A>,
    second: Stream<B>,
    mode: PhantomData<M>,
}

impl<M, K: Data, A: Data, B: Data> PairedStreamsWhere<M, K, A, B> {
    /// The key of the second stream's records.
    pub fn equal_to(self, select: impl Fn(&B) -> K + 'static) -> PairedStreamsWithKey<M, K, A, B> {
        PairedStreamsWithKey { first: self.first, second: self.second.key_by(select), mode: PhantomData }
    }
}

/// Two streams with the same keys.
pub struct PairedStreamsWithKey<M, K, A, B> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
    mode: PhantomData<M>,
}

impl<M, K: Data, A: Data, B: Data> PairedStreamsWithKey<M, K, A, B> {
    /// Groups the records of each key in windows.
    pub fn window<W: WindowAssigner<Either<A, B>>>(self, windows: W) -> PairedWindows<M, K, A, B, W, DefaultTrigger> {
        let trigger = windows.default_trigger();
        let Self { first, second, .. } = self;
        PairedWindows { first, second, assigner: windows, trigger, allowed_ms: 0, mode: PhantomData }
    }
}

/// The records of two streams by key and window.
pub struct PairedWindows<M, K, A, B, W, R> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
    assigner: W,
    trigger: R,
    allowed_ms: i64,
    mode: PhantomData<M>,
}

impl<M, K, A, B, W, R> PairedWindows<M, K, A, B, W, R>
where
    K: Data,
    A: Data,
    B: Data,
    W: WindowAssigner<Either<A, B>>,
    R: Trigger<Either<A, B>, W::Window>,
{
    /// Another trigger in place of the windows' own.
    pub fn trigger<S: Trigger<Either<A, B>, W::Window>>(self, trigger: S) -> PairedWindows<M, K, A, B, W, S> {
        let Self { first, second, assigner, allowed_ms, mode, .. } = self;
        PairedWindows { first, second, assigner, trigger, allowed_ms, mode }
    }

    /// Keeps windows of event time for so long behind their ends.
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.allowed_ms = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        self
    }

    fn operator<U: Data>(
        self,
        (kind_name, name): (&'static str, &str),
        emit: impl Fn(Vec<A>, Vec<B>, &mut Collector<U>) + 'static,
    ) -> Stream<U> {
        let Self { first, second, assigner, trigger, allowed_ms, .. } = self;
        let definition = Rc::clone(&first.stream.definition);
        if assigner.is_merging() && !trigger.can_merge() {
            let error = format!("{}: windows that merge need a trigger that can", assigner.name());
            definition.borrow_mut().errors.push(error);
        }
        let node = NodeDef::operator(
            kind_name,
            name,
            Box::new(move |assembly| {
                let (windows, context) = assembly.keyed::<K, U, _>(|states| states.value(CONTENTS))?;
                let emit = move |_: &K, _: &W::Window, (first, second), ctx: &mut WindowContext<'_, U>| {
                    emit(first, second, ctx.collector());
                    Ok(())
                };
                let operator = Rc::new(RefCell::new(WindowOperator {
                    label: assembly.label(),
                    assigner,
                    trigger,
                    contents: CollectedApart(PhantomData),
                    emit,
                    lateness: Lateness { allowed_ms, late: None },
                    windows,
                    context,
                    assigned: Vec::new(),
                    namespace: Vec::new(),
                    now_ms: 0,
                }));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                let decode = |_: &[u8], payload: &[u8]| -> Result<_> { Ok(Either::First(A::from_bytes(payload)?)) };
                assembly.accept_keyed(0, Box::new(WindowInput { operator: Rc::clone(&operator), decode }));
                let decode = |_: &[u8], payload: &[u8]| -> Result<_> { Ok(Either::Second(B::from_bytes(payload)?)) };
                assembly.accept_keyed(1, Box::new(WindowInput { operator, decode }));
                Ok(())
            }),
        );
        let node = definition.borrow_mut().add_node(node);
        first.stream.feed_keyed(node, 0, first.selector, &first.factory);
        second.stream.feed_keyed(node, 1, second.selector, &second.factory);
        Stream::of_node(&definition, node)
    }
}

impl<K, A, B, W, R> PairedWindows<Joined, K, A, B, W, R>
where
    K: Data,
    A: Data,
    B: Data,
    W: WindowAssigner<Either<A, B>>,
    R: Trigger<Either<A, B>, W::Window>,
{
    /// One record for each pair, with the latest timestamp that belongs to the window.
    pub fn apply<U: Data>(self, join: impl Fn(&A, &B) -> U + 'static) -> Stream<U> {
        self.operator(("window-join", "Window Join"), move |first, second, out| {
            for one in &first {
                second.iter().for_each(|other| out.collect(join(one, other)));
            }
        })
    }
}

impl<K, A, B, W, R> PairedWindows<CoGrouped, K, A, B, W, R>
where
    K: Data,
    A: Data,
    B: Data,
    W: WindowAssigner<Either<A, B>>,
    R: Trigger<Either<A, B>, W::Window>,
{
    /// Any number of records for the records of both streams, either of which may be none.
    pub fn apply<U: Data>(self, group: impl Fn(Vec<A>, Vec<B>, &mut Collector<U>) + 'static) -> Stream<U> {
        self.operator(("co-group", "Co-Group"), group)
    }
}
