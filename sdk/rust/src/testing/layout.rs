//! Which nodes run together: segments of operators of this component.

use std::collections::BTreeMap;

use super::random::Random;
use crate::graph::{Chaining, Edge, Format, NodeKind, Partitioning, StreamGraph};

/// The nodes of each segment, and each node's segment.
pub(super) struct Layout {
    pub segments: Vec<Vec<u32>>,
    pub segment_of: BTreeMap<u32, usize>,
}

/// Whether a node runs in the component that built the graph.
pub(super) fn is_own(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Source(code) | NodeKind::Operator(code) if code.component.is_none())
}

fn may_fuse(graph: &StreamGraph, edge: &Edge) -> bool {
    edge.partitioning == Partitioning::Forward
        && edge.format == Format::Internal
        && is_own(&graph.nodes[edge.source as usize].kind)
        && is_own(&graph.nodes[edge.target as usize].kind)
}

/// Flink's rule: a chain goes on only to an operator that has one input.
fn chains(graph: &StreamGraph, edge: &Edge) -> bool {
    let (source, target) = (&graph.nodes[edge.source as usize], &graph.nodes[edge.target as usize]);
    graph.edges.iter().filter(|other| other.target == edge.target).count() == 1
        && source.chaining != Chaining::Never
        && target.chaining == Chaining::Always
}

impl Layout {
    /// Segments as Flink's chains, or, with random numbers, any that the contract allows.
    pub fn new(graph: &StreamGraph, random: Option<&mut Random>) -> Self {
        let mut leader: Vec<u32> = (0..graph.nodes.len() as u32).collect();
        let find = |leader: &[u32], mut node: u32| {
            while leader[node as usize] != node {
                node = leader[node as usize];
            }
            node
        };
        let mut random = random;
        for edge in graph.edges.iter().filter(|edge| may_fuse(graph, edge)) {
            let is_joined = match &mut random {
                Some(random) => !random.once_in(4),
                None => chains(graph, edge),
            };
            if is_joined {
                let (source, target) = (find(&leader, edge.source), find(&leader, edge.target));
                leader[source.max(target) as usize] = source.min(target);
            }
        }
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (node, content) in (0..).zip(&graph.nodes) {
            if is_own(&content.kind) {
                members.entry(find(&leader, node)).or_default().push(node);
            }
        }
        let segments: Vec<Vec<u32>> = members.into_values().collect();
        let segment_of = segments.iter().enumerate();
        let segment_of = segment_of.flat_map(|(segment, nodes)| nodes.iter().map(move |node| (*node, segment)));
        Self { segment_of: segment_of.collect(), segments }
    }

    /// Whether the records of an edge stay in one instance.
    pub fn is_fused(&self, graph: &StreamGraph, edge: &Edge) -> bool {
        may_fuse(graph, edge) && self.segment_of.get(&edge.source) == self.segment_of.get(&edge.target)
    }
}
