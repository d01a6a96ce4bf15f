//! Checks of the streams between operators.

use std::collections::BTreeMap;

use crate::context::GraphContext;
use crate::error::{GraphError, Side};
use crate::resolve;
use crate::stream_graph::{Format, NodeKind, Partitioning, StreamEdge, StreamGraph};

/// Checks that the ends of every stream exist and that records may pass there.
pub(crate) fn check_ends(graph: &StreamGraph, context: &GraphContext<'_>) -> Result<(), GraphError> {
    for (position, edge) in graph.edges.iter().enumerate() {
        for (side, node) in [("source", edge.source), ("target", edge.target)] {
            if node.0 as usize >= graph.nodes.len() {
                return Err(GraphError::NoSuchNode { edge: position, side, node, nodes: graph.nodes.len() });
            }
        }
        let (source, target) = (edge.source.0 as usize, edge.target.0 as usize);
        if graph.nodes[target].kind.is_source() {
            return Err(GraphError::SourceWithInput { node: graph.node_ref(target), from: graph.node_ref(source) });
        }
        if matches!(graph.nodes[source].kind, NodeKind::NativeSink(_)) {
            return Err(GraphError::SinkWithOutput { node: graph.node_ref(source), to: graph.node_ref(target) });
        }
        check_port(graph, context, source, Side::Output, edge.source_port)?;
        check_port(graph, context, target, Side::Input, edge.target_port)?;
    }
    Ok(())
}

/// A native connector has one port; a guest's operator numbers its own.
fn check_port(
    graph: &StreamGraph,
    context: &GraphContext<'_>,
    position: usize,
    side: Side,
    port: u32,
) -> Result<(), GraphError> {
    let ports = if graph.nodes[position].kind.guest_code().is_some() { context.limits.ports_max } else { 1 };
    if port < ports {
        return Ok(());
    }
    Err(GraphError::PortOutOfRange { node: graph.node_ref(position), side, port, last: ports.saturating_sub(1) })
}

/// Checks how the records of every stream are spread and written.
pub(crate) fn check_streams(graph: &StreamGraph, context: &GraphContext<'_>) -> Result<(), GraphError> {
    for edge in &graph.edges {
        check_partitioning(graph, context, edge)?;
        check_internal_format(graph, context, edge)?;
    }
    check_port_formats(graph)
}

fn check_partitioning(graph: &StreamGraph, context: &GraphContext<'_>, edge: &StreamEdge) -> Result<(), GraphError> {
    let (source, target) = (edge.source.0 as usize, edge.target.0 as usize);
    let (from, to) = (|| graph.node_ref(source), || graph.node_ref(target));
    match edge.partitioning {
        Partitioning::Forward => {
            let from_parallelism = resolve::parallelism(&graph.nodes[source], context);
            let to_parallelism = resolve::parallelism(&graph.nodes[target], context);
            if from_parallelism != to_parallelism {
                let (from, to) = (from(), to());
                return Err(GraphError::ForwardParallelism { from, from_parallelism, to, to_parallelism });
            }
        }
        Partitioning::Hash if graph.nodes[source].kind.guest_code().is_none() => {
            return Err(GraphError::HashWithoutKeys { from: from(), to: to() });
        }
        _ => {}
    }
    Ok(())
}

fn check_internal_format(graph: &StreamGraph, context: &GraphContext<'_>, edge: &StreamEdge) -> Result<(), GraphError> {
    if edge.format != Format::Internal {
        return Ok(());
    }
    let (source, target) = (edge.source.0 as usize, edge.target.0 as usize);
    let producer = resolve::component(&graph.nodes[source], context);
    if producer.is_some() && producer == resolve::component(&graph.nodes[target], context) {
        return Ok(());
    }
    Err(GraphError::InternalFormat { from: graph.node_ref(source), to: graph.node_ref(target) })
}

/// All streams at a port carry the same rows, or are read as if they did: they have one format.
fn check_port_formats(graph: &StreamGraph) -> Result<(), GraphError> {
    let mut formats = BTreeMap::new();
    for edge in &graph.edges {
        let outputs = (edge.source.0 as usize, Side::Output, edge.source_port);
        let inputs = (edge.target.0 as usize, Side::Input, edge.target_port);
        for (position, side, port) in [outputs, inputs] {
            let first = *formats.entry((position, side == Side::Output, port)).or_insert(edge.format);
            if first != edge.format {
                let node = graph.node_ref(position);
                return Err(GraphError::MixedFormats { node, side, port, first, second: edge.format });
            }
        }
    }
    Ok(())
}
