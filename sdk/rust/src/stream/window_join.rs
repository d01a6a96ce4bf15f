//! Two streams joined, or grouped together, by key and window.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::Stream;
use super::keyed::KeyedStream;
use super::windowed::CONTENTS;
use crate::batch::Row;
use crate::collector::Collector;
use crate::data::Data;
use crate::definition::{NodeDef, OperatorFactory};
use crate::error::Result;
use crate::operator::window::assigner::Regular;
use crate::operator::window::contents::{CollectedApart, Either};
use crate::operator::window::general::{WindowInput, WindowOperator};
use crate::operator::window::panes::{PaneInput, PaneOperator};
use crate::operator::window::time::Pane;
use crate::operator::window::timers::HeldTimers;
use crate::operator::window::{DefaultTrigger, Lateness, TimeWindow, Trigger, WindowAssigner, WindowContext};
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
        PairedWindows {
            first,
            second,
            assigner: windows,
            trigger,
            has_default_trigger: true,
            allowed_ms: 0,
            mode: PhantomData,
        }
    }
}

/// The records of two streams by key and window.
pub struct PairedWindows<M, K, A, B, W, R> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
    assigner: W,
    trigger: R,
    /// No trigger was given: there may be a faster way to the same results.
    has_default_trigger: bool,
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
        PairedWindows { first, second, assigner, trigger, has_default_trigger: false, allowed_ms, mode }
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
        let grid = match self.assigner.shortcut().map(|shortcut| shortcut.0) {
            Some(Regular::Grid(grid)) if self.has_default_trigger && grid.is_tumbling() => Some(grid),
            _ => None,
        };
        let Self { first, second, assigner, trigger, allowed_ms, .. } = self;
        let definition = Rc::clone(&first.stream.definition);
        if assigner.is_merging() && !trigger.can_merge() {
            let error = format!("{}: windows that merge need a trigger that can", assigner.name());
            definition.borrow_mut().errors.push(error);
        }
        let contents = CollectedApart(PhantomData);
        let lateness = Lateness { allowed_ms, late: None };
        let first_of = |row: &Row<'_>| -> Result<_> { Ok(Either::First(row.decode_payload::<A>()?)) };
        let second_of = |row: &Row<'_>| -> Result<_> { Ok(Either::Second(row.decode_payload::<B>()?)) };
        let assemble: OperatorFactory = match grid {
            Some(grid) => Box::new(move |assembly| {
                let (panes, context) = assembly.keyed::<K, U, _>(|states| states.value(CONTENTS))?;
                let (label, timers, pane) = (assembly.label(), HeldTimers::default(), Pane::NONE);
                let emit = move |_: &K, _: &TimeWindow, (first, second), ctx: &mut WindowContext<'_, U>| {
                    emit(first, second, ctx.collector());
                    Ok(())
                };
                let operator = PaneOperator { label, grid, contents, emit, lateness, panes, context, timers, pane };
                let operator = Rc::new(RefCell::new(operator));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                let first = PaneInput { operator: Rc::clone(&operator), decode: first_of };
                assembly.accept_keyed(0, Box::new(first));
                assembly.accept_keyed(1, Box::new(PaneInput { operator, decode: second_of }));
                Ok(())
            }),
            None => Box::new(move |assembly| {
                let (windows, context) = assembly.keyed::<K, U, _>(|states| states.value(CONTENTS))?;
                let emit = move |_: &K, _: &W::Window, (first, second), ctx: &mut WindowContext<'_, U>| {
                    emit(first, second, ctx.collector());
                    Ok(())
                };
                let operator = Rc::new(RefCell::new(WindowOperator {
                    label: assembly.label(),
                    assigner,
                    trigger,
                    contents,
                    emit,
                    lateness,
                    windows,
                    context,
                    assigned: Vec::new(),
                    namespace: Vec::new(),
                    now_ms: 0,
                }));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                let first = WindowInput { operator: Rc::clone(&operator), decode: first_of };
                assembly.accept_keyed(0, Box::new(first));
                assembly.accept_keyed(1, Box::new(WindowInput { operator, decode: second_of }));
                Ok(())
            }),
        };
        let node = definition.borrow_mut().add_node(NodeDef::operator(kind_name, name, assemble));
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
