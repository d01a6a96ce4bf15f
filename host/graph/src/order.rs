//! The topological order of a StreamGraph's nodes, or the cycle that prevents one.

use std::collections::BTreeSet;

use crate::stream_graph::StreamGraph;

/// The positions of all nodes so that every stream leads forwards; among the nodes that could come next the one
/// with the least id does, so the order is the same everywhere. Edges must be in range.
///
/// # Errors
/// The nodes of one cycle, in the direction of its streams.
pub(crate) fn topological(graph: &StreamGraph) -> Result<Vec<usize>, Vec<usize>> {
    let mut inputs_left = vec![0usize; graph.nodes.len()];
    let mut targets = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        inputs_left[edge.target.0 as usize] += 1;
        targets[edge.source.0 as usize].push(edge.target.0 as usize);
    }
    let mut ready: BTreeSet<usize> = (0..graph.nodes.len()).filter(|&node| inputs_left[node] == 0).collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for &target in &targets[node] {
            inputs_left[target] -= 1;
            if inputs_left[target] == 0 {
                ready.insert(target);
            }
        }
    }
    if order.len() == graph.nodes.len() { Ok(order) } else { Err(cycle(graph, &inputs_left)) }
}

/// A cycle among the nodes that were never ready. Each of them has a predecessor that was never ready either, so a
/// walk backwards must come round.
fn cycle(graph: &StreamGraph, inputs_left: &[usize]) -> Vec<usize> {
    let stuck = |node: usize| inputs_left[node] > 0;
    let mut predecessor = vec![None; graph.nodes.len()];
    for edge in graph.edges.iter().rev().filter(|edge| stuck(edge.source.0 as usize)) {
        predecessor[edge.target.0 as usize] = Some(edge.source.0 as usize);
    }
    let mut walk: Vec<usize> = Vec::new();
    let mut next = (0..graph.nodes.len()).find(|&node| stuck(node));
    while let Some(node) = next {
        if let Some(start) = walk.iter().position(|&seen| seen == node) {
            walk.drain(..start);
            break;
        }
        walk.push(node);
        next = predecessor[node];
    }
    walk.reverse();
    walk
}
