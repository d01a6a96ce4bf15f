//! An instance: the calls of the host reach a segment's operators here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::assembly::{Assembly, Control, NodeRuntime};
use super::current;
use super::port::PortHandle;
use crate::batch::BatchReader;
use crate::definition::NodeDef;
use crate::error::{Error, Result};
use crate::graph::StreamGraph;
use crate::host::{Clock, Host};

/// What an instance is to run, and within which bounds.
#[derive(Debug, Clone)]
pub struct OpenContext {
    /// The nodes to run here.
    pub operators: Vec<u32>,
    /// What a batch aims at, in bytes.
    pub batch_bytes: u32,
    /// No row may be longer, in bytes.
    pub record_bytes_max: u32,
    /// What may be kept cached of the state, approximately, in bytes.
    pub state_cache_bytes: u32,
}

/// A piece of keyed state that an operator uses; its id in the host is its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDescriptor {
    /// The operator's node.
    pub node: u32,
    /// Unique within the node.
    pub name: String,
    /// Names the types of key and value.
    pub fingerprint: String,
    /// Whose it is.
    pub kind: StateKind,
    /// Whether its values begin with the time from which on the host may drop them.
    pub expires: bool,
}

/// Whose a state is, and what becomes of it at another parallelism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateKind {
    /// Each key's.
    #[default]
    Keyed,
    /// The subtask's: a list whose elements are dealt out among the new subtasks.
    List,
    /// The subtask's: a list; each new subtask gets the elements of all.
    Union,
    /// The same in each subtask.
    Broadcast,
}

/// How reading a split goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollStatus {
    /// There is more to read at once.
    More,
    /// There is nothing for so many milliseconds.
    Idle {
        /// When to poll again, in milliseconds from now.
        wait_ms: u32,
    },
    /// The split is read to its end.
    Finished,
}

/// The outcome of a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Where to go on reading.
    pub offset: Vec<u8>,
    /// How reading goes on.
    pub status: PollStatus,
}

/// The operators of a segment, running. After an error the instance is of no use any more.
pub struct Instance {
    nodes: BTreeMap<u32, NodeRuntime>,
    /// All nodes with state, timers or watermarks of their own.
    controls: Vec<Rc<RefCell<dyn Control>>>,
    ports: Vec<PortHandle>,
    states: Vec<StateDescriptor>,
}

impl Instance {
    pub(crate) fn open(
        definitions: Vec<NodeDef>,
        graph: &StreamGraph,
        host: Rc<dyn Host>,
        context: &OpenContext,
    ) -> Result<Self> {
        let assembly = Assembly::run(definitions, &graph.edges, host, context)?;
        let controls = assembly.nodes.values().filter_map(|node| node.control.clone()).collect();
        let (nodes, ports, states) = (assembly.nodes, assembly.ports, assembly.states);
        current::leave();
        Ok(Self { nodes, controls, ports, states })
    }

    /// The states of the operators, in the order of their ids.
    pub fn states(&self) -> &[StateDescriptor] {
        &self.states
    }

    fn node(&mut self, node: u32) -> Result<&mut NodeRuntime> {
        self.nodes.get_mut(&node).ok_or_else(|| Error::msg(format_args!("node {node} is not opened in this instance")))
    }

    fn control(&mut self, node: u32) -> Result<Option<Rc<RefCell<dyn Control>>>> {
        Ok(self.node(node)?.control.clone())
    }

    /// Hands over all that the call has produced, and brings the caches back within their bounds.
    fn end_call(&mut self) {
        for port in &self.ports {
            port.borrow_mut().emit();
        }
        for control in &self.controls {
            control.borrow_mut().end_call();
        }
        current::leave();
    }

    /// Input for a node.
    pub fn process(&mut self, node: u32, port: u32, batch: &[u8]) -> Result<()> {
        let batch = BatchReader::new(batch)?;
        let input = self.node(node)?.inputs.get_mut(&port);
        let input = input.ok_or_else(|| Error::msg(format_args!("node {node} has no open input port {port}")))?;
        input.process(&batch)?;
        self.end_call();
        Ok(())
    }

    /// Reads from a split of a source.
    pub fn poll(&mut self, node: u32, split: &[u8], offset: &[u8], bytes_max: u32) -> Result<Polled> {
        let source = self.node(node)?.source.as_mut();
        let source = source.ok_or_else(|| Error::msg(format_args!("node {node} is no source")))?;
        let polled = source.poll(split, offset, bytes_max)?;
        self.end_call();
        Ok(polled)
    }

    /// The node's watermark before this instance was opened.
    pub fn resume(&mut self, node: u32, watermark: i64) -> Result<()> {
        if let Some(control) = self.control(node)? {
            control.borrow_mut().resume(watermark);
        }
        Ok(())
    }

    /// The records that a node gets come from this split of the source, whose watermark has come to this.
    pub fn turn(&mut self, node: u32, split: u32, watermark: i64) -> Result<()> {
        if let Some(control) = self.control(node)? {
            control.borrow_mut().turn(split, watermark);
        }
        Ok(())
    }

    /// The node's watermark has advanced.
    pub fn watermark(&mut self, node: u32, timestamp: i64) -> Result<()> {
        if let Some(control) = self.control(node)? {
            control.borrow_mut().watermark(timestamp)?;
            self.end_call();
        }
        Ok(())
    }

    /// Timers of a node are due.
    pub fn timers(&mut self, node: u32, clock: Clock, due: &[u8]) -> Result<()> {
        let due = BatchReader::new(due)?;
        let control = self.control(node)?;
        let control = control.ok_or_else(|| Error::msg(format_args!("node {node} has no timers")))?;
        control.borrow_mut().timers(clock, &due)?;
        self.end_call();
        Ok(())
    }

    /// A flush follows: all that operators hold back of their output goes out.
    pub fn pre_barrier(&mut self) -> Result<()> {
        // From the first operator to the last, so that what one lets go does not stay in another.
        let mut controls: Vec<_> = self.nodes.values().filter_map(|node| node.control.clone()).collect();
        controls.drain(..).try_for_each(|control| control.borrow_mut().pre_barrier())?;
        self.end_call();
        Ok(())
    }

    /// Hands over all state that has changed, behind `pre_barrier`. Emits nothing.
    pub fn flush(&mut self) {
        for control in &self.controls {
            control.borrow_mut().flush();
        }
    }
}
