//! Flink's chaining rules (`StreamingJobGraphGenerator.isChainable`) and the chains that they give.
//!
//! Invariants:
//! - Every node belongs to exactly one chain; a chain is a tree, since only a node with one input is chained.
//! - A stream between two chains ends at the head of one, so the chains form no cycle if the nodes form none.

use crate::resolve::Resolved;
use crate::stream_graph::{Chaining, NodeKind, Partitioning, StreamEdge, StreamGraph};

/// Operators that run as one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Positions of the nodes, in topological order; the first one is the head.
    pub nodes: Vec<usize>,
    /// Positions of the streams within the chain, in the order of the graph.
    pub edges: Vec<usize>,
}

/// Whether the ends of a stream run in one task. Two rules of Flink are settled elsewhere: a union or a second input
/// is more than one input here, and every exchange is pipelined.
fn is_chainable(graph: &StreamGraph, resolved: &[Resolved], inputs: &[usize], edge: &StreamEdge) -> bool {
    let (source, target) = (edge.source.0 as usize, edge.target.0 as usize);
    let (from, to) = (&resolved[source], &resolved[target]);
    inputs[target] == 1
        && edge.partitioning == Partitioning::Forward
        && graph.nodes[source].chaining != Chaining::Never
        && graph.nodes[target].chaining == Chaining::Always
        && from.slot_sharing_group == to.slot_sharing_group
        && from.parallelism == to.parallelism
        && from.max_parallelism == to.max_parallelism
}

fn is_asynchronous(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::NativeOperator(_))
}

/// Cuts a graph into chains, ordered topologically by their heads.
pub(crate) fn chains(graph: &StreamGraph, resolved: &[Resolved], order: &[usize]) -> Vec<Chain> {
    let mut inputs = vec![0usize; graph.nodes.len()];
    for edge in &graph.edges {
        inputs[edge.target.0 as usize] += 1;
    }
    let mut chained_input = vec![None; graph.nodes.len()];
    for (position, edge) in graph.edges.iter().enumerate() {
        if is_chainable(graph, resolved, &inputs, edge) {
            chained_input[edge.target.0 as usize] = Some(position);
        }
    }
    let mut chains: Vec<Chain> = Vec::new();
    let mut chain_of = vec![0usize; graph.nodes.len()];
    let chain_in_front = |edge: usize, chain_of: &[usize]| chain_of[graph.edges[edge].source.0 as usize];
    for &node in order {
        // Answers come when they come: behind them nobody knows which split a record is of, and a task with a source
        // generates watermarks for each split.
        let answered = |chain: &Chain| chain.nodes.iter().any(|earlier| is_asynchronous(&graph.nodes[*earlier].kind));
        let separate = |edge: &usize| {
            graph.nodes[node].generates_watermarks && answered(&chains[chain_in_front(*edge, &chain_of)])
        };
        match chained_input[node].filter(|edge| !separate(edge)) {
            Some(edge) => {
                let chain = chain_in_front(edge, &chain_of);
                chain_of[node] = chain;
                chains[chain].nodes.push(node);
                chains[chain].edges.push(edge);
            }
            None => {
                chain_of[node] = chains.len();
                chains.push(Chain { nodes: vec![node], edges: Vec::new() });
            }
        }
    }
    for chain in &mut chains {
        chain.edges.sort_unstable();
    }
    chains
}
