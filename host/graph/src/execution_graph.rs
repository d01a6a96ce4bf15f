//! The layout of the ExecutionGraph: which key groups a subtask has, and between which subtasks there are channels.
//!
//! Invariants:
//! - The channels of a subtask lead to, and come from, a range of neighbours: nothing has to be stored per channel.
//! - [`JobGraph::targets_of`] and [`JobGraph::sources_of`] state the same channels from both ends.
//!
//! A vertex, an edge or a subtask that the graph does not have is a bug of the caller and asserts.

use std::ops::Range;

use millrace_types::{KeyGroupRange, NodeId, VertexId};

use crate::job_graph::{JobEdge, JobGraph};
use crate::stream_graph::{Partitioning, StreamNode};

impl JobGraph {
    /// The position of a vertex.
    pub fn vertex_index(&self, id: VertexId) -> Option<usize> {
        self.vertices.iter().position(|vertex| vertex.id == id)
    }

    /// The sources, each with the position of its vertex.
    pub fn sources(&self) -> impl Iterator<Item = (usize, NodeId, &StreamNode)> {
        self.vertices.iter().enumerate().flat_map(|(position, vertex)| {
            let sources = vertex.nodes.iter().filter(|(_, node)| node.kind.is_source());
            sources.map(move |(id, node)| (position, *id, node))
        })
    }

    /// The key groups of a subtask.
    pub fn key_group_range(&self, vertex: usize, subtask: u32) -> KeyGroupRange {
        let vertex = &self.vertices[vertex];
        KeyGroupRange::of_subtask(subtask, vertex.parallelism, vertex.max_parallelism)
    }

    /// The consuming subtasks that a producing one sends to.
    pub fn targets_of(&self, edge: usize, source_subtask: u32) -> Range<u32> {
        let edge = &self.edges[edge];
        let (sources, targets) = self.parallelisms(edge);
        assert!(source_subtask < sources, "subtask {source_subtask} of {sources}");
        match edge.partitioning {
            Partitioning::Forward => source_subtask..source_subtask + 1,
            Partitioning::Rescale if sources >= targets => {
                // The consumer whose range of producers has this one.
                let target = share_of(source_subtask, sources, targets);
                target..target + 1
            }
            Partitioning::Rescale => {
                (source_subtask * targets).div_ceil(sources)..((source_subtask + 1) * targets).div_ceil(sources)
            }
            _ => 0..targets,
        }
    }

    /// The producing subtasks that a consuming one receives from.
    pub fn sources_of(&self, edge: usize, target_subtask: u32) -> Range<u32> {
        let edge = &self.edges[edge];
        let (sources, targets) = self.parallelisms(edge);
        assert!(target_subtask < targets, "subtask {target_subtask} of {targets}");
        match edge.partitioning {
            Partitioning::Forward => target_subtask..target_subtask + 1,
            Partitioning::Rescale if sources >= targets => {
                target_subtask * sources / targets..(target_subtask + 1) * sources / targets
            }
            Partitioning::Rescale => {
                let source = target_subtask * sources / targets;
                source..source + 1
            }
            _ => 0..sources,
        }
    }

    /// The number of channels of an exchange.
    pub(crate) fn channels(&self, edge: usize) -> u64 {
        let edge = &self.edges[edge];
        let (sources, targets) = self.parallelisms(edge);
        if edge.partitioning.is_pointwise() {
            u64::from(sources.max(targets))
        } else {
            u64::from(sources) * u64::from(targets)
        }
    }

    fn parallelisms(&self, edge: &JobEdge) -> (u32, u32) {
        (self.vertices[edge.source_vertex].parallelism, self.vertices[edge.target_vertex].parallelism)
    }
}

/// The part among `parts` equal ones of `0..whole` that has `item`, where part i is
/// `i * whole / parts .. (i + 1) * whole / parts`.
fn share_of(item: u32, whole: u32, parts: u32) -> u32 {
    ((item + 1) * parts).div_ceil(whole) - 1
}
