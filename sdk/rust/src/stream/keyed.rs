//! Streams whose records have keys.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::Stream;
use super::connected::ConnectedKeyedStreams;
use crate::data::Data;
use crate::definition::NodeDef;
use crate::operator::aggregate::{AggregateAll, AggregateFunction, Reduce, ReduceAll};
use crate::operator::keyed::{KeyedInput, KeyedOperator, KeyedProcessFunction};
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
    fn operator<F: KeyedProcessFunction<K, T>>(
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

    /// Groups the records of each key.
    pub fn window(&self, windows: GlobalWindows) -> WindowedStream<'_, K, T> {
        let GlobalWindows { .. } = windows;
        WindowedStream { keyed: self }
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

/// One window for all records of a key.
pub struct GlobalWindows {
    _private: (),
}

impl GlobalWindows {
    /// Whose result is emitted when the stream ends: Flink's `GlobalWindows.createWithEndOfStreamTrigger()`.
    pub fn end_of_stream() -> Self {
        Self { _private: () }
    }
}

/// The records of each key, in windows: Flink's `WindowedStream`.
pub struct WindowedStream<'a, K, T> {
    keyed: &'a KeyedStream<K, T>,
}

impl<K: Data, T: Data> WindowedStream<'_, K, T> {
    /// Reduces the records of each key and window to one.
    pub fn reduce(&self, function: impl Fn(T, T) -> T + 'static) -> Stream<T> {
        self.keyed.operator("window", "GlobalWindows", ReduceAll(function))
    }

    /// Aggregates the records of each key and window. Emits the key with the result.
    pub fn aggregate<F: AggregateFunction<T>>(&self, function: F) -> Stream<(K, F::Output)> {
        self.keyed.operator("window", "GlobalWindows", AggregateAll { function, record: PhantomData })
    }
}
