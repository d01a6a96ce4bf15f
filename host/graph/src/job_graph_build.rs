//! From the StreamGraph to the JobGraph.

use millrace_types::{NodeId, VertexId};
use sha2::{Digest as _, Sha256};

use crate::chaining::{Chain, chains};
use crate::context::{GraphContext, GraphLimits};
use crate::describe::{chain_description, chain_name};
use crate::error::GraphError;
use crate::job_graph::{JobEdge, JobGraph, JobVertex};
use crate::resolve::{Resolved, resolve};
use crate::segment::segments;
use crate::stream_graph::{StreamEdge, StreamGraph, StreamNode};
use crate::validate::ordered;

impl JobGraph {
    /// Validates a StreamGraph and chains its operators.
    ///
    /// # Errors
    /// What [`StreamGraph::validate`] finds, or more subtasks or channels than the limits allow.
    pub fn build(graph: &StreamGraph, context: &GraphContext<'_>) -> Result<Self, GraphError> {
        let order = ordered(graph, context)?;
        let resolved = resolve(graph, context, &order);
        let chains = chains(graph, &resolved, &order);
        let vertices = chains.iter().map(|chain| vertex(graph, &resolved, chain)).collect();
        let job_graph = Self { name: graph.name.clone(), vertices, edges: exchanges(graph, &chains) };
        job_graph.check_size(&context.limits)?;
        Ok(job_graph)
    }

    fn check_size(&self, limits: &GraphLimits) -> Result<(), GraphError> {
        let subtasks = self.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
        if subtasks > u64::from(limits.subtasks_max) {
            return Err(GraphError::TooManySubtasks { subtasks, max: limits.subtasks_max });
        }
        let channels = (0..self.edges.len()).map(|edge| self.channels(edge)).sum();
        if channels > limits.channels_max {
            return Err(GraphError::TooManyChannels { channels, max: limits.channels_max });
        }
        Ok(())
    }
}

fn vertex(graph: &StreamGraph, resolved: &[Resolved], chain: &Chain) -> JobVertex {
    let nodes: Vec<(NodeId, StreamNode)> =
        chain.nodes.iter().map(|&node| (NodeId(node as u32), graph.nodes[node].clone())).collect();
    let chained_edges: Vec<StreamEdge> = chain.edges.iter().map(|&edge| graph.edges[edge].clone()).collect();
    // All nodes of a chain agree on these, or they would not be chained.
    let head = &resolved[chain.nodes[0]];
    JobVertex {
        id: vertex_id(&nodes),
        name: chain_name(&nodes, &chained_edges),
        description: chain_description(&nodes, &chained_edges),
        segments: segments(graph, resolved, chain),
        parallelism: head.parallelism,
        max_parallelism: head.max_parallelism,
        slot_sharing_group: head.slot_sharing_group.clone(),
        nodes,
        chained_edges,
    }
}

/// The first 16 bytes of the SHA-256 of the operators' uids, each behind its length: the same in every run.
fn vertex_id(nodes: &[(NodeId, StreamNode)]) -> VertexId {
    let mut hash = Sha256::new();
    hash.update(b"millrace vertex 1");
    for (_, node) in nodes {
        hash.update((node.uid.len() as u64).to_le_bytes());
        hash.update(node.uid.as_bytes());
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    VertexId::from_bytes(id)
}

/// The streams between chains, by producing vertex and then in the order of the StreamGraph.
fn exchanges(graph: &StreamGraph, chains: &[Chain]) -> Vec<JobEdge> {
    let mut chain_of = vec![0; graph.nodes.len()];
    let mut chained = vec![false; graph.edges.len()];
    for (position, chain) in chains.iter().enumerate() {
        chain.nodes.iter().for_each(|&node| chain_of[node] = position);
        chain.edges.iter().for_each(|&edge| chained[edge] = true);
    }
    let mut exchanges: Vec<JobEdge> = graph
        .edges
        .iter()
        .zip(&chained)
        .filter(|(_, chained)| !**chained)
        .map(|(edge, _)| JobEdge {
            source_vertex: chain_of[edge.source.0 as usize],
            source: edge.source,
            source_port: edge.source_port,
            target_vertex: chain_of[edge.target.0 as usize],
            target: edge.target,
            target_port: edge.target_port,
            partitioning: edge.partitioning,
            format: edge.format,
        })
        .collect();
    exchanges.sort_by_key(|edge| edge.source_vertex);
    exchanges
}
