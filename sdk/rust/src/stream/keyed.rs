//! Streams whose records have keys.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::Stream;
use super::connected::ConnectedKeyedStreams;
use super::interval_join::IntervalJoin;
use super::windowed::WindowedStream;
use crate::data::Data;
use crate::definition::NodeDef;
use crate::operator::aggregate::Reduce;
use crate::operator::keyed::{KeyedInput, KeyedOperator, KeyedProcessFunction};
use crate::operator::window::{DefaultTrigger, WindowAssigner};
use crate::runtime::assembly::Control;
use crate::runtime::port::PortFactory;

/// A stream whose records have keys: Flink's `KeyedStream`.
pub struct KeyedStream<K, T> {
    pub(crate) stream: Stream<T>,
    /// The number of the `key_by` that made it.
    pub(crate) selector: u32,
    pub(crate) factory: PortFactory<T>,
    /// Records are their own keys, and have no payload.
    pub(crate) is_own_key: bool,
    pub(crate) key: PhantomData<fn() -> K>,
}

impl<K: Data, T: Data> KeyedStream<K, T> {
    pub(super) fn operator<F: KeyedProcessFunction<K, T>>(
        &self,
        kind_name: &'static str,
        name: &str,
        function: F,
    ) -> Stream<F::Output> {
        let is_own_key = self.is_own_key;
        let node = NodeDef::operator(
            kind_name,
            name,
            Box::new(move |assembly| {
                let (states, context) = assembly.keyed::<K, F::Output, F::States>(|states| function.open(states))?;
                let operator = Rc::new(RefCell::new(KeyedOperator {
                    label: assembly.label(),
                    function,
                    states,
                    context,
                    on_timer: |function: &F, states: &_, clock, timestamp, context: &mut _| {
                        function.on_timer(states, clock, timestamp, context)
                    },
                }));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                assembly.accept_keyed(
                    0,
                    Box::new(KeyedInput {
                        operator,
                        call: |function: &F, states: &_, value: T, context: &mut _| {
                            function.process(states, value, context)
                        },
                        is_own_key,
                        record: PhantomData,
                    }),
                );
                Ok(())
            }),
        );
        self.feed(node)
    }

    /// Adds an operator that reads this stream.
    pub(super) fn feed<U: Data>(&self, node: NodeDef) -> Stream<U> {
        let definition = &self.stream.definition;
        let node = definition.borrow_mut().add_node(node);
        self.stream.feed_keyed(node, 0, self.selector, &self.factory);
        Stream::of_node(definition, node)
    }

    /// Runs a function with state and timers for each key.
    pub fn process<F: KeyedProcessFunction<K, T>>(&self, function: F) -> Stream<F::Output> {
        self.operator("keyed-process", "KeyedProcess", function)
    }

    /// Reduces the records of each key to one, and emits it after every record.
    pub fn reduce(&self, function: impl Fn(T, T) -> T + 'static) -> Stream<T> {
        self.operator("keyed-reduce", "Keyed Reduce", Reduce(function))
    }

    /// Groups the records of each key in windows.
    pub fn window<A: WindowAssigner<T>>(&self, windows: A) -> WindowedStream<K, T, A, DefaultTrigger> {
        WindowedStream::new(self.clone(), windows)
    }

    /// Pairs of records of both streams whose timestamps are near each other.
    pub fn interval_join<B: Data>(&self, other: &KeyedStream<K, B>) -> IntervalJoin<K, T, B> {
        IntervalJoin::new(self.clone(), other.clone())
    }

    /// Both streams, for an operator with two inputs and one key.
    pub fn connect<B: Data>(&self, other: &KeyedStream<K, B>) -> ConnectedKeyedStreams<K, T, B> {
        ConnectedKeyedStreams { first: self.clone(), second: other.clone() }
    }
}

impl<K, T> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
            selector: self.selector,
            factory: Rc::clone(&self.factory),
            is_own_key: self.is_own_key,
            key: PhantomData,
        }
    }
}
