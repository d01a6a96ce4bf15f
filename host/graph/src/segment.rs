//! Cutting a chain into segments: what runs in one instance of a component, and each native connector by itself.
//!
//! Invariant: a segment's operators are connected by streams of the chain; since a chain is a tree, so are its
//! segments, and the order in which they begin is topological.

use std::collections::BTreeMap;

use millrace_types::NodeId;

use crate::chaining::Chain;
use crate::job_graph::Segment;
use crate::resolve::Resolved;
use crate::stream_graph::StreamGraph;

/// The segments of a chain, in topological order.
pub(crate) fn segments(graph: &StreamGraph, resolved: &[Resolved], chain: &Chain) -> Vec<Segment> {
    let inputs: BTreeMap<usize, usize> = chain
        .edges
        .iter()
        .map(|&edge| (graph.edges[edge].target.0 as usize, graph.edges[edge].source.0 as usize))
        .collect();
    let mut segments: Vec<Segment> = Vec::new();
    let mut segment_of: BTreeMap<usize, usize> = BTreeMap::new();
    for &node in &chain.nodes {
        let component = &resolved[node].component;
        let joined = inputs
            .get(&node)
            .filter(|&&producer| component.is_some() && *component == resolved[producer].component)
            .and_then(|producer| segment_of.get(producer).copied());
        let segment = joined.unwrap_or_else(|| {
            segments.push(Segment { component: component.clone(), nodes: Vec::new() });
            segments.len() - 1
        });
        segment_of.insert(node, segment);
        segments[segment].nodes.push(NodeId(node as u32));
    }
    segments
}
