//! Streams whose records are grouped by key and window.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use super::Stream;
use super::keyed::KeyedStream;
use crate::batch::Row;
use crate::collector::OutputTag;
use crate::data::Data;
use crate::definition::NodeDef;
use crate::error::{Error, Result};
use crate::operator::aggregate::{AggregateAll, AggregateFunction, ReduceAll};
use crate::operator::window::assigner::Regular;
use crate::operator::window::contents::{Aggregated, Collected, Contents, Reduced};
use crate::operator::window::general::{WindowInput, WindowOperator};
use crate::operator::window::local::LocalReduce;
use crate::operator::window::panes::{PaneInput, PaneOperator};
use crate::operator::window::time::{Grid, Pane};
use crate::operator::window::timers::HeldTimers;
use crate::operator::window::{
    DefaultTrigger, Lateness, TimeWindow, Trigger, TumblingEventTimeWindows, Window, WindowAssigner, WindowContext,
};
use crate::runtime::assembly::Control;

/// The name of the state of all windows.
pub(super) const CONTENTS: &str = "window-contents";

/// The records of each key, in windows: Flink's `WindowedStream`.
///
/// ```
/// use std::time::Duration;
/// use millrace::prelude::*;
///
/// /// The number of clicks of each user in each minute, with the minute's end.
/// fn clicks_a_minute(users: &Stream<String>) -> Stream<(String, i64, u64)> {
///     users
///         .map(|user| (user, 1u64))
///         .key_by(|(user, _)| user.clone())
///         .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
///         .allowed_lateness(Duration::from_secs(5))
///         .reduce_with(|a, b| (a.0, a.1 + b.1), |user, window, (_, clicks), ctx| {
///             ctx.collect((user.clone(), window.end, clicks));
///             Ok(())
///         })
/// }
/// ```
pub struct WindowedStream<K, T, A, R> {
    keyed: KeyedStream<K, T>,
    assigner: A,
    trigger: R,
    /// No trigger was given: there may be a faster way to the same results.
    has_default_trigger: bool,
    lateness: Lateness<T>,
}

impl<K: Data, T: Data, A: WindowAssigner<T>> WindowedStream<K, T, A, DefaultTrigger> {
    pub(super) fn new(keyed: KeyedStream<K, T>, assigner: A) -> Self {
        let trigger = assigner.default_trigger();
        let lateness = Lateness { allowed_ms: 0, late: None };
        Self { keyed, assigner, trigger, has_default_trigger: true, lateness }
    }
}

impl<K: Data, T: Data, A: WindowAssigner<T>, R: Trigger<T, A::Window>> WindowedStream<K, T, A, R> {
    /// Another trigger in place of the windows' own.
    pub fn trigger<S: Trigger<T, A::Window>>(self, trigger: S) -> WindowedStream<K, T, A, S> {
        let Self { keyed, assigner, lateness, .. } = self;
        WindowedStream { keyed, assigner, trigger, has_default_trigger: false, lateness }
    }

    /// Keeps windows of event time for so long behind their ends. A record that still finds its window makes it fire
    /// again.
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.lateness.allowed_ms = i64::try_from(lateness.as_millis()).unwrap_or(i64::MAX);
        self
    }

    /// Where records go whose windows are gone: otherwise they are dropped.
    #[must_use]
    pub fn side_output_late_data(mut self, tag: &OutputTag<T>) -> Self {
        self.lateness.late = Some(tag.clone());
        self
    }

    /// Reduces the records of each key and window to one. The function has to be associative.
    pub fn reduce(self, function: impl Fn(T, T) -> T + 'static) -> Stream<T> {
        if let (true, Some(Regular::EndOfStream)) = (self.has_default_trigger, self.regular()) {
            return self.keyed.operator("window", self.assigner.name(), ReduceAll(function));
        }
        self.contents(Reduced(function), |_: &K, _: &A::Window, reduced, ctx: &mut WindowContext<'_, T>| {
            ctx.collect(reduced);
            Ok(())
        })
    }

    /// Reduces the records of each key and window to one, and hands it to a function.
    pub fn reduce_with<U: Data>(
        self,
        function: impl Fn(T, T) -> T + 'static,
        process: impl Fn(&K, &A::Window, T, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        self.contents(Reduced(function), process)
    }

    /// Aggregates the records of each key and window. Emits the key with the result.
    pub fn aggregate<F: AggregateFunction<T>>(self, function: F) -> Stream<(K, F::Output)> {
        if let (true, Some(Regular::EndOfStream)) = (self.has_default_trigger, self.regular()) {
            let function = AggregateAll { function, record: PhantomData };
            return self.keyed.operator("window", self.assigner.name(), function);
        }
        self.aggregate_with(function, |key: &K, _: &A::Window, result, ctx: &mut WindowContext<'_, (K, F::Output)>| {
            ctx.collect((key.clone(), result));
            Ok(())
        })
    }

    /// Aggregates the records of each key and window, and hands the result to a function.
    pub fn aggregate_with<F: AggregateFunction<T>, U: Data>(
        self,
        function: F,
        process: impl Fn(&K, &A::Window, F::Output, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        let function = Rc::new(function);
        let aggregated = Aggregated(Rc::clone(&function));
        self.contents(aggregated, move |key: &K, window: &A::Window, kept, ctx: &mut WindowContext<'_, U>| {
            process(key, window, function.result(kept), ctx)
        })
    }

    /// Hands all records of each key and window to a function, in the order of their arrival.
    pub fn process<U: Data>(
        self,
        process: impl Fn(&K, &A::Window, Vec<T>, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        match (self.has_default_trigger, self.regular()) {
            (true, Some(Regular::Grid(grid))) if grid.is_tumbling() => self.panes(grid, Collected, process),
            // Lists are not merged from panes: each window has its own.
            _ => self.general(Collected, process),
        }
    }

    fn regular(&self) -> Option<Regular> {
        self.assigner.shortcut().map(|shortcut| shortcut.0)
    }

    fn contents<U: Data, C: Contents<T>>(
        self,
        contents: C,
        emit: impl Fn(&K, &A::Window, C::Kept, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        match (self.has_default_trigger, self.regular()) {
            (true, Some(Regular::Grid(grid))) => self.panes(grid, contents, emit),
            _ => self.general(contents, emit),
        }
    }

    fn panes<U: Data, C: Contents<T>>(
        self,
        grid: Grid,
        contents: C,
        emit: impl Fn(&K, &A::Window, C::Kept, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        let (keyed, lateness) = (self.keyed, self.lateness);
        let is_own_key = keyed.is_own_key;
        let decode = move |row: &Row<'_>| Ok(if is_own_key { row.decode_key()? } else { row.decode_payload()? });
        let node = NodeDef::operator(
            "window",
            self.assigner.name(),
            Box::new(move |assembly| {
                let (panes, context) = assembly.keyed::<K, U, _>(|states| states.value(CONTENTS))?;
                let emit = move |key: &K, window: &TimeWindow, kept, ctx: &mut WindowContext<'_, U>| {
                    let window = A::Window::of_time(*window);
                    emit(key, &window.ok_or_else(|| Error::msg("panes of windows that are no time"))?, kept, ctx)
                };
                let operator = Rc::new(RefCell::new(PaneOperator {
                    label: assembly.label(),
                    grid,
                    contents,
                    emit,
                    lateness,
                    panes,
                    context,
                    timers: HeldTimers::default(),
                    pane: Pane::NONE,
                }));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                assembly.accept_keyed(0, Box::new(PaneInput { operator, decode }));
                Ok(())
            }),
        );
        keyed.feed(node)
    }

    fn general<U: Data, C: Contents<T>>(
        self,
        contents: C,
        emit: impl Fn(&K, &A::Window, C::Kept, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        let Self { keyed, assigner, trigger, lateness, .. } = self;
        if assigner.is_merging() && !trigger.can_merge() {
            let error = format!("{}: windows that merge need a trigger that can", assigner.name());
            keyed.stream.definition.borrow_mut().errors.push(error);
        }
        let is_own_key = keyed.is_own_key;
        let node = NodeDef::operator(
            "window",
            assigner.name(),
            Box::new(move |assembly| {
                let (windows, context) = assembly.keyed::<K, U, _>(|states| states.value(CONTENTS))?;
                let operator = WindowOperator {
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
                };
                let operator = Rc::new(RefCell::new(operator));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                let decode =
                    move |row: &Row<'_>| Ok(if is_own_key { row.decode_key()? } else { row.decode_payload()? });
                assembly.accept_keyed(0, Box::new(WindowInput { operator, decode }));
                Ok(())
            }),
        );
        keyed.feed(node)
    }
}

/// The records of a whole stream, in windows: Flink's `AllWindowedStream`. One subtask handles them all.
pub struct AllWindowedStream<T, A, R> {
    windowed: WindowedStream<(), T, A, R>,
}

impl<T: Data> Stream<T> {
    /// Reduces what each subtask has of a window to one record, or a few: ahead of `window_all(windows).reduce(function)`,
    /// so that not every record has to travel. The function has to be associative.
    ///
    /// ```
    /// use std::time::Duration;
    /// use millrace::prelude::*;
    ///
    /// /// The highest of all numbers of each ten seconds.
    /// fn highest(numbers: &Stream<i64>) -> Stream<i64> {
    ///     let windows = TumblingEventTimeWindows::of(Duration::from_secs(10));
    ///     numbers.local_reduce(windows, i64::max).window_all(windows).reduce(i64::max)
    /// }
    /// ```
    pub fn local_reduce(&self, windows: TumblingEventTimeWindows, function: impl Fn(T, T) -> T + 'static) -> Self {
        self.operator(NodeDef::operator(
            "local-reduce",
            "Local Reduce",
            Box::new(move |assembly| {
                let reduce = LocalReduce::new(function, windows.grid(), assembly.collector::<T>()?);
                let reduce = Rc::new(RefCell::new(reduce));
                assembly.control(Rc::clone(&reduce) as Rc<RefCell<dyn Control>>);
                assembly.accept::<T>(0, Box::new(reduce))
            }),
        ))
    }

    /// Groups all records in windows, in one subtask.
    pub fn window_all<A: WindowAssigner<T>>(&self, windows: A) -> AllWindowedStream<T, A, DefaultTrigger> {
        AllWindowedStream { windowed: self.key_by(|_| ()).window(windows) }
    }
}

/// Runs an operator in one subtask, whatever the parallelism.
fn alone<U: Data>(stream: Stream<U>) -> Stream<U> {
    stream.set_parallelism(1).set_max_parallelism(1)
}

impl<T: Data, A: WindowAssigner<T>, R: Trigger<T, A::Window>> AllWindowedStream<T, A, R> {
    /// See [`WindowedStream::trigger`].
    pub fn trigger<S: Trigger<T, A::Window>>(self, trigger: S) -> AllWindowedStream<T, A, S> {
        AllWindowedStream { windowed: self.windowed.trigger(trigger) }
    }

    /// See [`WindowedStream::allowed_lateness`].
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { windowed: self.windowed.allowed_lateness(lateness) }
    }

    /// See [`WindowedStream::side_output_late_data`].
    #[must_use]
    pub fn side_output_late_data(self, tag: &OutputTag<T>) -> Self {
        Self { windowed: self.windowed.side_output_late_data(tag) }
    }

    /// Reduces the records of each window to one. The function has to be associative.
    pub fn reduce(self, function: impl Fn(T, T) -> T + 'static) -> Stream<T> {
        alone(self.windowed.reduce(function))
    }

    /// Reduces the records of each window to one, and hands it to a function.
    pub fn reduce_with<U: Data>(
        self,
        function: impl Fn(T, T) -> T + 'static,
        process: impl Fn(&A::Window, T, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        alone(self.windowed.reduce_with(function, move |(), window, reduced, ctx| process(window, reduced, ctx)))
    }

    /// Aggregates the records of each window.
    pub fn aggregate<F: AggregateFunction<T>>(self, function: F) -> Stream<F::Output> {
        self.aggregate_with(function, |_, result, ctx| {
            ctx.collect(result);
            Ok(())
        })
    }

    /// Aggregates the records of each window, and hands the result to a function.
    pub fn aggregate_with<F: AggregateFunction<T>, U: Data>(
        self,
        function: F,
        process: impl Fn(&A::Window, F::Output, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        alone(self.windowed.aggregate_with(function, move |(), window, result, ctx| process(window, result, ctx)))
    }

    /// Hands all records of each window to a function, in the order of their arrival.
    pub fn process<U: Data>(
        self,
        process: impl Fn(&A::Window, Vec<T>, &mut WindowContext<'_, U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        alone(self.windowed.process(move |(), window, records, ctx| process(window, records, ctx)))
    }
}
