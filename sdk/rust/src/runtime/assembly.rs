//! Putting a segment together: from the last operator to the first, each gets its downstream.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::current::Label;
use super::input::{BatchInput, InputFactory};
use super::instance::{OpenContext, StateDescriptor};
use super::port::{PortBuffer, PortFactory, PortHandle};
use super::receiver::{BoxReceiver, join};
use crate::batch::{BatchReader, BatchWriter};
use crate::collector::{Collector, SideOutput, SideOutputs};
use crate::data::{Data, Fingerprint};
use crate::definition::{MAIN_OUTPUT, NodeDef, PortKind};
use crate::error::{Error, Result};
use crate::graph::{Edge, Format, Partitioning};
use crate::host::{Clock, Host};
use crate::operator::KeyedContext;
use crate::operator::source::PollSource;
use crate::state::States;
use crate::state::backing::Backing;
use crate::state::registry::Declared;
use crate::state::store::KeyedStore;

/// An operator that the host calls besides its records.
pub(crate) trait Control {
    /// Timers are due.
    fn timers(&mut self, clock: Clock, due: &BatchReader<'_>) -> Result<()>;
    /// The watermark has advanced, and the host has delivered its timers that are due.
    fn watermark(&mut self, timestamp: i64) -> Result<()>;
    /// The watermark that an earlier instance had come to: nothing happens because of it.
    fn resume(&mut self, _watermark: i64) {}
    /// The records that follow come from this split of the source, whose watermark has come to this.
    fn turn(&mut self, _split: u32, _watermark: i64) {}
    /// A call ends: nothing may be held back.
    fn end_call(&mut self);
    /// A flush follows: what is held back of the output goes out.
    fn pre_barrier(&mut self) -> Result<()> {
        Ok(())
    }
    /// Hands over changed state.
    fn flush(&mut self);
}

/// What an instance has of one node.
#[derive(Default)]
pub(crate) struct NodeRuntime {
    pub inputs: BTreeMap<u32, Box<dyn BatchInput>>,
    pub control: Option<Rc<RefCell<dyn Control>>>,
    pub source: Option<Box<dyn PollSource>>,
}

/// A segment being put together.
pub(crate) struct Assembly<'a> {
    host: Rc<dyn Host>,
    context: &'a OpenContext,
    edges: &'a [Edge],
    definitions: Vec<NodeDef>,
    segment: BTreeSet<u32>,
    /// How many of the segment's operators keep state: they share the cache's budget.
    keyed_operators: usize,
    /// The node being made.
    node: u32,
    /// What takes the records of the nodes made so far, by node and input: a `BoxReceiver<T>` for each use.
    receivers: BTreeMap<(u32, u32), Vec<Box<dyn Any>>>,
    pub ports: Vec<PortHandle>,
    pub nodes: BTreeMap<u32, NodeRuntime>,
    pub states: Vec<StateDescriptor>,
}

fn internal(what: &str) -> Error {
    Error::msg(format_args!("a fault of the SDK, please report it: {what}"))
}

impl<'a> Assembly<'a> {
    /// Puts the operators together that `context` names.
    pub fn run(
        definitions: Vec<NodeDef>,
        edges: &'a [Edge],
        host: Rc<dyn Host>,
        context: &'a OpenContext,
    ) -> Result<Self> {
        let segment: BTreeSet<u32> = context.operators.iter().copied().collect();
        if let Some(unknown) = segment.iter().find(|node| **node as usize >= definitions.len()) {
            return Err(Error::msg(format_args!("the graph has no node {unknown}")));
        }
        let is_keyed = |node: &&u32| definitions[**node as usize].inputs.iter().any(|input| input.factory.is_none());
        let keyed_operators = segment.iter().filter(is_keyed).count();
        let mut assembly = Self {
            host,
            context,
            edges,
            definitions,
            segment: segment.clone(),
            keyed_operators,
            node: 0,
            receivers: BTreeMap::new(),
            ports: Vec::new(),
            nodes: BTreeMap::new(),
            states: Vec::new(),
        };
        // Ids are a topological order, so every downstream is there before its upstream.
        for node in segment.iter().rev() {
            assembly.node = *node;
            assembly.nodes.insert(*node, NodeRuntime::default());
            let label = assembly.label();
            label.register();
            let operator = assembly.definitions[*node as usize].operator.take();
            let operator = operator.ok_or_else(|| label.error("it does not run in this component"))?;
            operator(&mut assembly)?;
        }
        Ok(assembly)
    }

    fn definition(&self) -> &NodeDef {
        &self.definitions[self.node as usize]
    }

    /// The node's id and name.
    pub fn label(&self) -> Label {
        Label { node: self.node, name: self.definition().name.as_str().into() }
    }

    pub fn host(&self) -> Rc<dyn Host> {
        Rc::clone(&self.host)
    }

    /// Whether the records of an edge stay in this instance.
    fn is_fused(&self, edge: &Edge) -> bool {
        edge.partitioning == Partitioning::Forward
            && edge.format == Format::Internal
            && self.segment.contains(&edge.source)
            && self.segment.contains(&edge.target)
    }

    /// What receives the records of one of the node's outputs.
    fn output_of<T: Data>(&mut self, output: u32) -> Result<BoxReceiver<T>> {
        let (edges, node) = (self.edges, self.node);
        let mut receivers: Vec<BoxReceiver<T>> = Vec::new();
        for port in 0..self.definition().ports.len() {
            if self.definition().ports[port].output != output {
                continue;
            }
            let mut leaves = false;
            for edge in edges.iter().filter(|edge| edge.source == node && edge.source_port == port as u32) {
                if self.is_fused(edge) {
                    receivers.push(self.fused_receiver(edge)?);
                } else {
                    leaves = true;
                }
            }
            if leaves {
                receivers.push(self.port_receiver(port)?);
            }
        }
        Ok(join(receivers))
    }

    fn fused_receiver<T: 'static>(&mut self, edge: &Edge) -> Result<BoxReceiver<T>> {
        let input = self.definitions[edge.target as usize].inputs[edge.target_port as usize].input;
        let receiver = self.receivers.get_mut(&(edge.target, input)).and_then(Vec::pop);
        let receiver = receiver.ok_or_else(|| internal("an operator has fewer receivers than readers"))?;
        let receiver = receiver.downcast::<BoxReceiver<T>>();
        receiver.map(|receiver| *receiver).map_err(|_| internal("an edge's ends differ in type"))
    }

    fn port_receiver<T: 'static>(&mut self, port: usize) -> Result<BoxReceiver<T>> {
        let is_keyed = matches!(self.definition().ports[port].kind, PortKind::Keyed(_));
        let buffer = Rc::new(RefCell::new(PortBuffer {
            host: self.host(),
            label: self.label(),
            port: port as u32,
            writer: BatchWriter::new(false, is_keyed),
            is_keyed,
            batch_bytes: self.context.batch_bytes as usize,
            record_bytes_max: self.context.record_bytes_max as usize,
        }));
        self.ports.push(Rc::clone(&buffer));
        let factory = self.definition().ports[port].factory.downcast_ref::<PortFactory<T>>();
        let factory = factory.ok_or_else(|| internal("a port's ends differ in type"))?;
        Ok(factory(buffer))
    }

    /// What receives the node's main output.
    pub fn output<T: Data>(&mut self) -> Result<BoxReceiver<T>> {
        self.output_of(MAIN_OUTPUT)
    }

    /// What collects the node's main output.
    pub fn collector<T: Data>(&mut self) -> Result<Collector<T>> {
        Ok(Collector::new(self.output()?, self.label()))
    }

    /// What receives a side output, its type forgotten: the `connect` of a `SideDef`.
    pub fn side_output<T: Data>(&mut self, output: u32) -> Result<Box<dyn Any>> {
        Ok(Box::new(SideOutput::new(self.output_of::<T>(output)?)))
    }

    /// What receives the node's side outputs.
    pub fn side_outputs(&mut self) -> Result<SideOutputs> {
        let mut sides = SideOutputs::default();
        for side in 0..self.definition().sides.len() {
            let (tag, connect) = (self.definition().sides[side].tag.clone(), self.definition().sides[side].connect);
            sides.outputs.push((tag, connect(self, MAIN_OUTPUT + 1 + side as u32)?));
        }
        Ok(sides)
    }

    /// Says what takes the records of one of the node's inputs.
    pub fn accept<T: 'static>(&mut self, input: u32, receiver: BoxReceiver<T>) -> Result<()> {
        let (mut fused, mut ports) = (0, BTreeSet::new());
        for edge in self.edges.iter().filter(|edge| edge.target == self.node) {
            if self.definition().inputs[edge.target_port as usize].input != input {
            } else if self.is_fused(edge) {
                fused += 1;
            } else {
                ports.insert(edge.target_port);
            }
        }
        let mut uses: Vec<BoxReceiver<T>> = Vec::new();
        if fused + ports.len() == 1 {
            uses.push(receiver);
        } else {
            let shared = Rc::new(RefCell::new(receiver));
            uses.extend((0..fused + ports.len()).map(|_| Box::new(Rc::clone(&shared)) as BoxReceiver<T>));
        }
        for port in ports {
            let factory = self.definition().inputs[port as usize].factory.as_ref();
            let factory = factory.and_then(|factory| factory.downcast_ref::<InputFactory<T>>());
            let (Some(factory), Some(receiver)) = (factory, uses.pop()) else {
                return Err(internal("an input's ends differ in type"));
            };
            let batch_input = factory(receiver, self.label());
            self.runtime().inputs.insert(port, batch_input);
        }
        let uses = uses.into_iter().map(|receiver| Box::new(receiver) as Box<dyn Any>).collect();
        self.receivers.insert((self.node, input), uses);
        Ok(())
    }

    /// Says what takes the batches of one of the node's keyed inputs.
    pub fn accept_keyed(&mut self, input: u32, batch_input: Box<dyn BatchInput>) {
        let port = self.definition().inputs.iter().position(|known| known.input == input);
        // An input that nothing was connected to gets no batches.
        if let Some(port) = port {
            self.runtime().inputs.insert(port as u32, batch_input);
        }
    }

    /// Says what the host's calls for the node are to reach.
    pub fn control(&mut self, control: Rc<RefCell<dyn Control>>) {
        self.runtime().control = Some(control);
    }

    /// Says what is to be polled.
    pub fn source(&mut self, source: Box<dyn PollSource>) {
        self.runtime().source = Some(source);
    }

    fn runtime(&mut self) -> &mut NodeRuntime {
        self.nodes.entry(self.node).or_default()
    }

    /// Declares the node's states, which are keyed if `describe_key` says by what.
    pub fn declare<S>(
        &mut self,
        describe_key: Option<fn(&mut Fingerprint)>,
        open: impl FnOnce(&mut States) -> Result<S>,
    ) -> Result<(S, States)> {
        let mut states = States::new(Backing::new(self.host()), self.states.len() as u32, describe_key);
        let label = self.label();
        let handles = open(&mut states).map_err(|error| label.error(error))?;
        let node = self.node;
        let descriptors = states.declared.drain(..);
        self.states.extend(descriptors.map(|Declared { name, fingerprint, kind, expires }| StateDescriptor {
            node,
            name,
            fingerprint,
            kind,
            expires,
        }));
        Ok((handles, states))
    }

    /// Declares the node's states and makes the context in which its function runs.
    pub fn keyed<K: Data, U: Data, S>(
        &mut self,
        open: impl FnOnce(&mut States) -> Result<S>,
    ) -> Result<(S, KeyedContext<K, U>)> {
        let (handles, states) = self.declare(Some(K::describe), open)?;
        let budget_bytes = self.context.state_cache_bytes as usize / self.keyed_operators.max(1);
        let store = KeyedStore::new(states, budget_bytes);
        let context = KeyedContext::new(self.collector()?, self.side_outputs()?, store, self.host());
        Ok((handles, context))
    }
}
