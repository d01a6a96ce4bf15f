//! What the builder has described so far: the graph, and with each node the code that runs it.
//!
//! Nodes are added behind the nodes that they read, so ids are a topological order. Everything depends on the order
//! of the builder's calls alone: the same builder with the same arguments gives the same definition.

use std::any::{Any, TypeId};
use std::rc::Rc;

use crate::error::Result;
use crate::graph::{Chaining, Edge, Format, GuestCode, NativeConnector, NodeKind, Partitioning, WatermarkAlignment};
use crate::operator::source::ErasedSource;
use crate::runtime::assembly::Assembly;

/// The main output of a node; side outputs follow.
pub(crate) const MAIN_OUTPUT: u32 = 0;

/// Makes a node's operator in an instance.
pub(crate) type OperatorFactory = Box<dyn FnOnce(&mut Assembly<'_>) -> Result<()>>;

/// A way into a node.
pub(crate) struct InputDef {
    /// Which of the operator's inputs its records belong to.
    pub input: u32,
    pub format: Format,
    /// An `InputFactory<T>`; `None` for keyed inputs, which the operator makes itself.
    pub factory: Option<Box<dyn Any>>,
}

/// What distinguishes the ports of one output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortKind {
    /// Records in a format.
    Plain(TypeId),
    /// Records with keys, by the number of the `key_by` call.
    Keyed(u32),
}

/// A way out of a node.
pub(crate) struct PortDef {
    pub output: u32,
    pub kind: PortKind,
    /// A `PortFactory<T>`.
    pub factory: Box<dyn Any>,
}

/// A side output that somebody reads.
pub(crate) struct SideDef {
    pub tag: String,
    pub record: TypeId,
    /// Makes its `SideOutput<T>`.
    pub connect: fn(&mut Assembly<'_>, u32) -> Result<Box<dyn Any>>,
}

/// A node and its code.
pub(crate) struct NodeDef {
    pub uid: Option<String>,
    /// For people; the host shows it with `Source: ` or `Sink: ` in front, as Flink does.
    pub name: String,
    pub kind: NodeKind,
    /// The kind of operator in the default uid.
    pub kind_name: &'static str,
    pub parallelism: Option<u32>,
    pub max_parallelism: Option<u32>,
    pub slot_sharing_group: Option<String>,
    pub chaining: Chaining,
    pub generates_watermarks: bool,
    pub idle_timeout_ms: Option<u64>,
    pub alignment: Option<WatermarkAlignment>,
    pub inputs: Vec<InputDef>,
    pub ports: Vec<PortDef>,
    pub sides: Vec<SideDef>,
    /// `None` for nodes that do not run in this component.
    pub operator: Option<OperatorFactory>,
    pub source: Option<Rc<dyn ErasedSource>>,
}

impl NodeDef {
    fn new(kind: NodeKind, kind_name: &'static str, name: &str) -> Self {
        Self {
            uid: None,
            name: name.to_owned(),
            kind,
            kind_name,
            parallelism: None,
            max_parallelism: None,
            slot_sharing_group: None,
            chaining: Chaining::Always,
            generates_watermarks: false,
            idle_timeout_ms: None,
            alignment: None,
            inputs: Vec::new(),
            ports: Vec::new(),
            sides: Vec::new(),
            operator: None,
            source: None,
        }
    }

    /// An operator of this component.
    pub fn operator(kind_name: &'static str, name: &str, operator: OperatorFactory) -> Self {
        let kind = NodeKind::Operator(GuestCode::default());
        Self { operator: Some(operator), ..Self::new(kind, kind_name, name) }
    }

    /// An operator of another component.
    pub fn foreign(code: GuestCode, name: &str) -> Self {
        Self::new(NodeKind::Operator(code), "component", name)
    }

    /// A source of this component.
    pub fn source(name: &str, source: Rc<dyn ErasedSource>, operator: OperatorFactory) -> Self {
        let kind = NodeKind::Source(GuestCode::default());
        let node = Self::new(kind, "source", name);
        Self { operator: Some(operator), source: Some(source), ..node }
    }

    /// A source of the host.
    pub fn native_source(connector: NativeConnector, name: &str) -> Self {
        Self::new(NodeKind::NativeSource(connector), "source", name)
    }

    /// A sink of the host.
    pub fn native_sink(connector: NativeConnector, name: &str) -> Self {
        Self::new(NodeKind::NativeSink(connector), "sink", name)
    }

    /// An operator of the host.
    pub fn native_operator(connector: NativeConnector, name: &str) -> Self {
        Self::new(NodeKind::NativeOperator(connector), "lookup", name)
    }

    /// The uid of a node that was given none: its place, kind and name.
    pub fn uid_at(&self, position: usize) -> String {
        match &self.uid {
            Some(uid) => uid.clone(),
            None => format!("{position}-{}-{}", self.kind_name, self.name.to_lowercase().replace(' ', "-")),
        }
    }
}

/// An edge whose partitioning may follow from the parallelisms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EdgeDef {
    pub edge: Edge,
    /// Nothing was asked for: forward between equal parallelisms, else rebalance.
    pub is_default: bool,
}

/// All that the builder has described.
pub(crate) struct Definition {
    pub name: Option<String>,
    pub nodes: Vec<NodeDef>,
    pub edges: Vec<EdgeDef>,
    /// The parallelism of nodes that name none.
    pub parallelism: u32,
    /// How many `key_by` there were.
    pub selectors: u32,
    /// What the builder did wrong where it has no result to return.
    pub errors: Vec<String>,
}

impl Definition {
    pub fn new(parallelism: u32) -> Self {
        Self { name: None, nodes: Vec::new(), edges: Vec::new(), parallelism, selectors: 0, errors: Vec::new() }
    }

    /// Adds a node and returns its id.
    pub fn add_node(&mut self, node: NodeDef) -> u32 {
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    /// The port of an output, made if there is none of this kind.
    pub fn port(&mut self, node: u32, output: u32, kind: PortKind, factory: impl FnOnce() -> Box<dyn Any>) -> u32 {
        let ports = &mut self.nodes[node as usize].ports;
        let found = ports.iter().position(|port| port.output == output && port.kind == kind);
        let port = found.unwrap_or_else(|| {
            ports.push(PortDef { output, kind, factory: factory() });
            ports.len() - 1
        });
        port as u32
    }

    /// The input port of a node for records of a format, made if there is none.
    pub fn input(&mut self, node: u32, input: u32, format: Format, factory: Option<Box<dyn Any>>) -> u32 {
        let inputs = &mut self.nodes[node as usize].inputs;
        // All records of an input have one type, so the format says all about their decoding.
        let same = |known: &InputDef| known.input == input && known.format == format;
        let port = inputs.iter().position(same).unwrap_or_else(|| {
            inputs.push(InputDef { input, format, factory });
            inputs.len() - 1
        });
        port as u32
    }

    /// Adds an edge.
    pub fn add_edge(
        &mut self,
        (source, source_port): (u32, u32),
        (target, target_port): (u32, u32),
        partitioning: Option<Partitioning>,
        format: Format,
    ) {
        let is_default = partitioning.is_none();
        let partitioning = partitioning.unwrap_or(Partitioning::Rebalance);
        let edge = Edge { source, source_port, target, target_port, partitioning, format };
        self.edges.push(EdgeDef { edge, is_default });
    }

    /// The parallelism of a node in this run.
    pub fn parallelism_of(&self, node: u32) -> u32 {
        self.nodes[node as usize].parallelism.unwrap_or(self.parallelism)
    }
}
