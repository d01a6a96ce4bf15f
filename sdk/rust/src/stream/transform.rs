//! The operators without keys.

use std::any::TypeId;
use std::fmt::Display;
use std::marker::PhantomData;

use std::cell::RefCell;
use std::rc::Rc;

use super::Stream;
use super::connected::ConnectedStreams;
use super::keyed::KeyedStream;
use crate::chunk::Chunk;
use crate::collector::{Collector, OutputTag};
use crate::data::Data;
use crate::definition::{MAIN_OUTPUT, NodeDef, SideDef};
use crate::error::Result;
use crate::format::{Decode, ForeignFormat};
use crate::graph::GuestCode;
use crate::operator::process::{Process, ProcessContext};
use crate::operator::stateless::{Filter, FilterMap, FlatMap, Map, TryFlatMap, TryMap};
use crate::operator::watermarks::{WatermarkStrategy, Watermarks};
use crate::runtime::assembly::Control;
use crate::runtime::input::plain_input;
use crate::runtime::port::{OwnKeys, SelectKeys, WriteRow, keyed_port};

/// An operator of the host that asks somebody else about each record.
pub trait IntoOperator<T> {
    /// What comes of a record.
    type Output: Data;

    /// Adds the operator behind a stream.
    fn add_to(self, stream: &Stream<T>, name: &str) -> Stream<Self::Output>;
}

/// An operator of another component of the bundle.
pub struct Component {
    code: GuestCode,
}

impl Component {
    /// The component of this name in the manifest.
    pub fn named(name: impl Into<String>) -> Self {
        Self { code: GuestCode { component: Some(name.into()), ..GuestCode::default() } }
    }

    /// What the component is to run, if it has several functions.
    #[must_use]
    pub fn function(mut self, function: impl Into<String>) -> Self {
        self.code.function = function.into();
        self
    }

    /// Configuration that the component gets as it is.
    #[must_use]
    pub fn config(mut self, config: impl Into<String>) -> Self {
        self.code.config = config.into();
        self
    }
}

impl<T: Data> Stream<T> {
    /// One record for each.
    pub fn map<U: Data>(&self, function: impl Fn(T) -> U + 'static) -> Stream<U> {
        self.operator(NodeDef::operator(
            "map",
            "Map",
            Box::new(|assembly| {
                let output = assembly.output::<U>()?;
                let label = assembly.label();
                assembly.accept::<T>(0, Box::new(Map { function, label, output, mapped: Chunk::new() }))
            }),
        ))
    }

    /// One record for each; an error fails the application.
    pub fn try_map<U: Data, E: Display + 'static>(&self, function: impl Fn(T) -> Result<U, E> + 'static) -> Stream<U> {
        self.operator(NodeDef::operator(
            "map",
            "Map",
            Box::new(|assembly| {
                let output = assembly.collector::<U>()?;
                assembly.accept::<T>(0, Box::new(TryMap { function, output, error: PhantomData }))
            }),
        ))
    }

    /// The records for which the function holds.
    pub fn filter(&self, function: impl Fn(&T) -> bool + 'static) -> Self {
        self.operator(NodeDef::operator(
            "filter",
            "Filter",
            Box::new(|assembly| {
                let output = assembly.output::<T>()?;
                let label = assembly.label();
                assembly.accept::<T>(0, Box::new(Filter { function, label, output, kept: Chunk::new() }))
            }),
        ))
    }

    /// One record or none for each, from a look at it: what is not taken from it is not copied, even where others read the
    /// same stream.
    pub fn filter_map<U: Data>(&self, function: impl Fn(&T) -> Option<U> + 'static) -> Stream<U> {
        self.operator(NodeDef::operator(
            "filter-map",
            "Filter Map",
            Box::new(|assembly| {
                let output = assembly.output::<U>()?;
                let label = assembly.label();
                assembly.accept::<T>(0, Box::new(FilterMap { function, label, output, mapped: Chunk::new() }))
            }),
        ))
    }

    /// Any number of records for each.
    pub fn flat_map<U: Data>(&self, function: impl Fn(T, &mut Collector<U>) + 'static) -> Stream<U> {
        self.operator(NodeDef::operator(
            "flat-map",
            "Flat Map",
            Box::new(|assembly| {
                let output = assembly.collector::<U>()?;
                assembly.accept::<T>(0, Box::new(FlatMap { function, output }))
            }),
        ))
    }

    /// Any number of records for each; an error fails the application.
    pub fn try_flat_map<U: Data, E: Display + 'static>(
        &self,
        function: impl Fn(T, &mut Collector<U>) -> Result<(), E> + 'static,
    ) -> Stream<U> {
        self.operator(NodeDef::operator(
            "flat-map",
            "Flat Map",
            Box::new(|assembly| {
                let output = assembly.collector::<U>()?;
                assembly.accept::<T>(0, Box::new(TryFlatMap { function, output, error: PhantomData }))
            }),
        ))
    }

    /// Any number of records for each, with timestamps and side outputs; an error fails the application.
    pub fn process<U: Data>(&self, function: impl Fn(T, &mut ProcessContext<U>) -> Result<()> + 'static) -> Stream<U> {
        self.operator(NodeDef::operator(
            "process",
            "Process",
            Box::new(|assembly| {
                let (output, sides) = (assembly.collector::<U>()?, assembly.side_outputs()?);
                let context = ProcessContext { output, sides, host: assembly.host() };
                assembly.accept::<T>(0, Box::new(Process { function, context }))
            }),
        ))
    }

    /// The records that the operator has emitted with this tag.
    pub fn side_output<S: Data>(&self, tag: &OutputTag<S>) -> Stream<S> {
        let definition = &mut *self.definition.borrow_mut();
        let Some((node, MAIN_OUTPUT)) = self.single() else {
            definition.errors.push("side_output() has to follow an operator directly".to_owned());
            return Stream { definition: Rc::clone(&self.definition), upstreams: Vec::new() };
        };
        let sides = &mut definition.nodes[node as usize].sides;
        let known = sides.iter().position(|side| side.tag == tag.name);
        let side = known.unwrap_or_else(|| {
            sides.push(SideDef {
                tag: tag.name.clone(),
                record: TypeId::of::<S>(),
                connect: |assembly, output| assembly.side_output::<S>(output),
            });
            sides.len() - 1
        });
        if sides[side].record != TypeId::of::<S>() {
            definition.errors.push(format!("side output '{}' is read as two types", tag.name));
        }
        Stream::of_output(&self.definition, node, MAIN_OUTPUT + 1 + side as u32)
    }

    /// Gives records timestamps, and the stream watermarks.
    pub fn assign_timestamps_and_watermarks(&self, strategy: WatermarkStrategy<T>) -> Self {
        let (idle_timeout_ms, alignment) = (strategy.idle_timeout_ms, strategy.alignment.clone());
        let mut node = NodeDef::operator(
            "watermarks",
            "Timestamps/Watermarks",
            Box::new(|assembly| {
                let (label, host, output) = (assembly.label(), assembly.host(), assembly.output::<T>()?);
                let operator = Rc::new(RefCell::new(Watermarks::new(strategy, label, host, output)));
                assembly.control(Rc::clone(&operator) as Rc<RefCell<dyn Control>>);
                assembly.accept::<T>(0, Box::new(operator))
            }),
        );
        node.generates_watermarks = true;
        node.idle_timeout_ms = idle_timeout_ms;
        node.alignment = alignment;
        self.operator(node)
    }

    /// The records of both streams.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.upstreams.extend(other.upstreams.iter().cloned());
        all
    }

    /// Both streams, for an operator with two inputs.
    pub fn connect<B: Data>(&self, other: &Stream<B>) -> ConnectedStreams<T, B> {
        ConnectedStreams { first: self.clone(), second: other.clone() }
    }

    /// Gives each record a key: records with the same key meet in the same subtask.
    pub fn key_by<K: Data>(&self, select: impl Fn(&T) -> K + 'static) -> KeyedStream<K, T> {
        self.keyed(false, SelectKeys(select))
    }

    /// Makes each record its own key. It travels once, where `key_by(Clone::clone)` would send it twice.
    pub fn key_by_self(&self) -> KeyedStream<T, T> {
        self.keyed(true, OwnKeys)
    }

    fn keyed<K: Data>(&self, is_own_key: bool, write: impl WriteRow<T>) -> KeyedStream<K, T> {
        let stream = self.owned();
        let definition = &mut *self.definition.borrow_mut();
        definition.selectors += 1;
        let (selector, factory) = (definition.selectors, keyed_port(write));
        KeyedStream { stream, selector, factory, is_own_key, key: PhantomData }
    }

    /// Has the host ask somebody else about each record, many at a time: Flink's `AsyncDataStream`.
    pub fn async_lookup<O: IntoOperator<T>>(&self, operator: O, name: &str) -> Stream<O::Output> {
        operator.add_to(self, name)
    }

    /// Sends the records through an operator of another component, perhaps in another language.
    pub fn via<F: ForeignFormat<T>>(&self, component: Component, format: F) -> Stream<F::Output> {
        // The format is a type with one value.
        let _ = format;
        let name = match component.code.function.as_str() {
            "" => component.code.component.clone().unwrap_or_default(),
            function => function.to_owned(),
        };
        let node = self.definition.borrow_mut().add_node(NodeDef::foreign(component.code, &name));
        self.feed_outside::<F>(node);
        let format = <F as Decode<F::Output>>::FORMAT;
        Stream::of_outside(&self.definition, node, format, plain_input::<F::Output, F>)
    }
}
