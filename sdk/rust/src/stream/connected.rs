//! Two streams for one operator.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::Stream;
use super::keyed::KeyedStream;
use crate::collector::Collector;
use crate::data::Data;
use crate::definition::NodeDef;
use crate::error::Result;
use crate::operator::connected::SideOf;
use crate::operator::keyed::{KeyedCoProcessFunction, KeyedInput, KeyedOperator};
use crate::operator::process::ProcessContext;
use crate::runtime::assembly::Control;

/// Two streams: Flink's `ConnectedStreams`.
pub struct ConnectedStreams<A, B> {
    pub(crate) first: Stream<A>,
    pub(crate) second: Stream<B>,
}

impl<A: Data, B: Data> ConnectedStreams<A, B> {
    fn operator<U: Data>(
        &self,
        (kind_name, name): (&'static str, &str),
        first: impl Fn(A, &mut ProcessContext<U>) -> Result<()> + 'static,
        second: impl Fn(B, &mut ProcessContext<U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        let node = NodeDef::operator(
            kind_name,
            name,
            Box::new(|assembly| {
                let (output, sides) = (assembly.collector::<U>()?, assembly.side_outputs()?);
                let context = Rc::new(RefCell::new(ProcessContext { output, sides, host: assembly.host() }));
                assembly.accept::<A>(0, Box::new(SideOf { function: first, context: Rc::clone(&context) }))?;
                assembly.accept::<B>(1, Box::new(SideOf { function: second, context }))
            }),
        );
        let definition = &self.first.definition;
        let node = definition.borrow_mut().add_node(node);
        self.first.feed(node, 0);
        self.second.feed(node, 1);
        Stream::of_node(definition, node)
    }

    /// One record for each of either stream.
    pub fn map<U: Data>(&self, first: impl Fn(A) -> U + 'static, second: impl Fn(B) -> U + 'static) -> Stream<U> {
        self.operator(
            ("co-map", "Co-Map"),
            move |value, context| {
                context.collect(first(value));
                Ok(())
            },
            move |value, context| {
                context.collect(second(value));
                Ok(())
            },
        )
    }

    /// Any number of records for each of either stream.
    pub fn flat_map<U: Data>(
        &self,
        first: impl Fn(A, &mut Collector<U>) + 'static,
        second: impl Fn(B, &mut Collector<U>) + 'static,
    ) -> Stream<U> {
        self.operator(
            ("co-flat-map", "Co-Flat Map"),
            move |value, context| {
                first(value, &mut context.output);
                Ok(())
            },
            move |value, context| {
                second(value, &mut context.output);
                Ok(())
            },
        )
    }

    /// Any number of records for each of either stream, with timestamps and side outputs.
    pub fn process<U: Data>(
        &self,
        first: impl Fn(A, &mut ProcessContext<U>) -> Result<()> + 'static,
        second: impl Fn(B, &mut ProcessContext<U>) -> Result<()> + 'static,
    ) -> Stream<U> {
        self.operator(("co-process", "Co-Process"), first, second)
    }
}

/// Two streams with the same keys.
pub struct ConnectedKeyedStreams<K, A, B> {
    pub(crate) first: KeyedStream<K, A>,
    pub(crate) second: KeyedStream<K, B>,
}

impl<K: Data, A: Data, B: Data> ConnectedKeyedStreams<K, A, B> {
    /// Runs a function with state and timers for each key that both streams share.
    pub fn process<F: KeyedCoProcessFunction<K, A, B>>(&self, function: F) -> Stream<F::Output> {
        self.process_as(("co-keyed-process", "Co-Keyed-Process"), function)
    }

    pub(super) fn process_as<F: KeyedCoProcessFunction<K, A, B>>(
        &self,
        (kind_name, name): (&'static str, &str),
        function: F,
    ) -> Stream<F::Output> {
        let own_keys = [self.first.is_own_key, self.second.is_own_key];
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
                        operator: Rc::clone(&operator),
                        call: |function: &F, states: &_, value: A, context: &mut _| {
                            function.process1(states, value, context)
                        },
                        is_own_key: own_keys[0],
                        record: PhantomData,
                    }),
                );
                assembly.accept_keyed(
                    1,
                    Box::new(KeyedInput {
                        operator,
                        call: |function: &F, states: &_, value: B, context: &mut _| {
                            function.process2(states, value, context)
                        },
                        is_own_key: own_keys[1],
                        record: PhantomData,
                    }),
                );
                Ok(())
            }),
        );
        let definition = &self.first.stream.definition;
        let node = definition.borrow_mut().add_node(node);
        self.first.stream.feed_keyed(node, 0, self.first.selector, &self.first.factory);
        self.second.stream.feed_keyed(node, 1, self.second.selector, &self.second.factory);
        Stream::of_node(definition, node)
    }
}
