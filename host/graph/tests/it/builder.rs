//! Builds graphs for tests with little text.

use std::collections::BTreeSet;

use millrace_graph::{
    Format, GraphContext, GraphError, GraphLimits, GuestCode, JobGraph, NativeConnector, NodeKind, Partitioning,
    StreamEdge, StreamGraph, StreamNode,
};
use millrace_types::NodeId;

pub const DEFAULT_PARALLELISM: u32 = 2;

/// The components "main", which is the entry, and "other".
pub fn components() -> BTreeSet<String> {
    ["main", "other"].map(str::to_owned).into()
}

pub fn context(components: &BTreeSet<String>) -> GraphContext<'_> {
    GraphContext {
        limits: GraphLimits::default(),
        components,
        entry_component: Some("main"),
        default_parallelism: DEFAULT_PARALLELISM,
    }
}

pub fn build(graph: &StreamGraph) -> Result<JobGraph, GraphError> {
    JobGraph::build(graph, &context(&components()))
}

pub fn node(name: &str, kind: NodeKind) -> StreamNode {
    StreamNode { name: name.to_owned(), ..StreamNode::new(format!("{name}-uid"), kind) }
}

pub fn guest(component: Option<&str>) -> GuestCode {
    GuestCode { component: component.map(str::to_owned), function: String::new(), config: String::new() }
}

pub fn source(name: &str) -> StreamNode {
    node(name, NodeKind::Source(guest(None)))
}

pub fn operator(name: &str) -> StreamNode {
    node(name, NodeKind::Operator(guest(None)))
}

pub fn operator_of(name: &str, component: &str) -> StreamNode {
    node(name, NodeKind::Operator(guest(Some(component))))
}

fn connector(name: &str) -> NativeConnector {
    NativeConnector { connector: name.to_owned(), options: "{}".to_owned() }
}

pub fn native_source(name: &str) -> StreamNode {
    node(name, NodeKind::NativeSource(connector("file")))
}

pub fn native_operator(name: &str) -> StreamNode {
    node(name, NodeKind::NativeOperator(connector("http-lookup")))
}

pub fn native_sink(name: &str) -> StreamNode {
    node(name, NodeKind::NativeSink(connector("print")))
}

pub fn edge(source: u32, target: u32, partitioning: Partitioning) -> StreamEdge {
    StreamEdge {
        source: NodeId(source),
        source_port: 0,
        target: NodeId(target),
        target_port: 0,
        partitioning,
        format: Format::Raw,
    }
}

pub fn graph(nodes: Vec<StreamNode>, edges: Vec<StreamEdge>) -> StreamGraph {
    StreamGraph { name: "test".to_owned(), nodes, edges }
}

/// `nodes[0] -> nodes[1] -> …`, all forward.
pub fn pipeline(nodes: Vec<StreamNode>) -> StreamGraph {
    let edges = (1..nodes.len() as u32).map(|target| edge(target - 1, target, Partitioning::Forward)).collect();
    graph(nodes, edges)
}

/// The names of the vertices, in order.
pub fn vertex_names(graph: &StreamGraph) -> Vec<String> {
    build(graph).unwrap().vertices.into_iter().map(|vertex| vertex.name).collect()
}
