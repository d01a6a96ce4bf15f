//! Streams into functions with state of their subtask, and with broadcast state.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::Stream;
use super::keyed::KeyedStream;
use crate::data::Data;
use crate::definition::NodeDef;
use crate::operator::broadcast::{
    BroadcastContext, BroadcastInput, BroadcastProcessFunction, KeyedBroadcastProcessFunction,
};
use crate::operator::connected::SideOf;
use crate::operator::keyed::{KeyedInput, KeyedOperator};
use crate::operator::process::{Process, ProcessContext};
use crate::operator::stateful::{ProcessFunction, SubtaskStates};
use crate::runtime::assembly::Control;

impl<T: Data> Stream<T> {
    /// Runs a function with state of its subtask.
    pub fn process_function<F: ProcessFunction<T>>(&self, function: F) -> Stream<F::Output> {
        let node = NodeDef::operator(
            "process",
            "Process",
            Box::new(move |assembly| {
                let (handles, states) = assembly.declare(None, |states| function.open(states))?;
                let (output, sides) = (assembly.collector::<F::Output>()?, assembly.side_outputs()?);
                let context = ProcessContext { output, sides, host: assembly.host() };
                let (label, tables) = (assembly.label(), states.operator_tables);
                assembly.control(Rc::new(RefCell::new(SubtaskStates { label, tables })));
                let function = move |value, context: &mut ProcessContext<_>| function.process(&handles, value, context);
                assembly.accept::<T>(0, Box::new(Process { function, context }))
            }),
        );
        let definition = &self.definition;
        let node = definition.borrow_mut().add_node(node);
        self.feed(node, 0);
        Stream::of_node(definition, node)
    }

    /// This stream, and one whose records go to all subtasks: Flink's `connect` of a `BroadcastStream`.
    pub fn connect_broadcast<B: Data>(&self, broadcast: &Stream<B>) -> BroadcastConnectedStream<T, B> {
        BroadcastConnectedStream { first: self.clone(), broadcast: broadcast.broadcast() }
    }
}

impl<K: Data, T: Data> KeyedStream<K, T> {
    /// This stream, and one whose records go to all subtasks: Flink's `connect` of a `BroadcastStream`.
    pub fn connect_broadcast<B: Data>(&self, broadcast: &Stream<B>) -> KeyedBroadcastConnectedStream<K, T, B> {
        KeyedBroadcastConnectedStream { first: self.clone(), broadcast: broadcast.broadcast() }
    }
}

/// A stream and a broadcast one: Flink's `BroadcastConnectedStream`.
pub struct BroadcastConnectedStream<T, B> {
    first: Stream<T>,
    broadcast: Stream<B>,
}

impl<T: Data, B: Data> BroadcastConnectedStream<T, B> {
    /// Runs a function whose broadcast state the broadcast records change.
    pub fn process<F: BroadcastProcessFunction<T, B>>(&self, function: F) -> Stream<F::Output> {
        let node = NodeDef::operator(
            "co-process-broadcast",
            "Co-Process-Broadcast",
            Box::new(move |assembly| {
                let (handles, states) = assembly.declare(None, |states| function.open(states))?;
                let (output, sides) = (assembly.collector::<F::Output>()?, assembly.side_outputs()?);
                let context = Rc::new(RefCell::new(ProcessContext { output, sides, host: assembly.host() }));
                let (label, tables) = (assembly.label(), states.operator_tables);
                assembly.control(Rc::new(RefCell::new(SubtaskStates { label, tables })));
                let (shared, is_writable) = (Rc::new((function, handles)), states.is_writable);
                is_writable.set(false);
                let elements = {
                    let shared = Rc::clone(&shared);
                    move |value: T, context: &mut ProcessContext<_>| shared.0.process_element(&shared.1, value, context)
                };
                let broadcasts = move |value: B, context: &mut ProcessContext<_>| {
                    is_writable.set(true);
                    let result = shared.0.process_broadcast(&shared.1, value, context);
                    is_writable.set(false);
                    result
                };
                assembly.accept::<T>(0, Box::new(SideOf { function: elements, context: Rc::clone(&context) }))?;
                assembly.accept::<B>(1, Box::new(SideOf { function: broadcasts, context }))
            }),
        );
        let definition = &self.first.definition;
        let node = definition.borrow_mut().add_node(node);
        self.first.feed(node, 0);
        self.broadcast.feed(node, 1);
        Stream::of_node(definition, node)
    }
}

/// A stream with keys and a broadcast one.
pub struct KeyedBroadcastConnectedStream<K, T, B> {
    first: KeyedStream<K, T>,
    broadcast: Stream<B>,
}

impl<K: Data, T: Data, B: Data> KeyedBroadcastConnectedStream<K, T, B> {
    /// Runs a function with state and timers for each key, whose broadcast state the broadcast records change.
    pub fn process<F: KeyedBroadcastProcessFunction<K, T, B>>(&self, function: F) -> Stream<F::Output> {
        let is_own_key = self.first.is_own_key;
        let node = NodeDef::operator(
            "co-process-broadcast-keyed",
            "Co-Process-Broadcast-Keyed",
            Box::new(move |assembly| {
                let mut is_writable = Rc::default();
                let (states, context) = assembly.keyed::<K, F::Output, F::States>(|states| {
                    is_writable = Rc::clone(&states.is_writable);
                    function.open(states)
                })?;
                is_writable.set(false);
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
                        call: |function: &F, states: &_, value: T, context: &mut _| {
                            function.process_element(states, value, context)
                        },
                        is_own_key,
                        record: PhantomData,
                    }),
                );
                let call =
                    |function: &F, states: &F::States, value: B, context: &mut BroadcastContext<'_, K, F::Output>| {
                        function.process_broadcast(states, value, context)
                    };
                assembly.accept::<B>(1, Box::new(BroadcastInput { operator, is_writable, call }))
            }),
        );
        let definition = &self.first.stream.definition;
        let node = definition.borrow_mut().add_node(node);
        self.first.stream.feed_keyed(node, 0, self.first.selector, &self.first.factory);
        self.broadcast.feed(node, 1);
        Stream::of_node(definition, node)
    }
}
