//! The same graph with other numbers of subtasks: as its user wants them while the job runs, and what it can run as when it
//! cannot have all the slots that it asks for.
//!
//! Invariants:
//! - Vertices, exchanges, segments and numbers of key groups stay, and no vertex gets more subtasks than key groups. A
//!   vertex gets more than it has from [`JobGraph::resized`] alone, or because it is not to change.
//! - The ends of a forward exchange have the same number of subtasks.
//! - More slots never give a vertex fewer subtasks.

use std::collections::BTreeMap;

use crate::job_graph::JobGraph;
use crate::stream_graph::Partitioning;

impl JobGraph {
    /// This graph with these numbers of subtasks, none of which is more than it is here. A forward exchange takes the
    /// smaller number of its ends, and no number is less than 1.
    #[must_use]
    pub fn at_parallelism(&self, parallelism: impl Fn(usize) -> u32) -> Self {
        self.resized(|position| {
            let most = self.vertices.get(position).map_or(1, |vertex| vertex.parallelism);
            parallelism(position).min(most)
        })
    }

    /// This graph with these numbers of subtasks. A forward exchange takes the smaller number of its ends, and no number
    /// is less than 1 or more than the vertex's key groups.
    #[must_use]
    pub fn resized(&self, parallelism: impl Fn(usize) -> u32) -> Self {
        let mut graph = self.clone();
        for (position, vertex) in graph.vertices.iter_mut().enumerate() {
            vertex.parallelism = parallelism(position).clamp(1, vertex.max_parallelism.max(1));
        }
        // A chain of forward exchanges passes the smallest number on, one exchange a round.
        let forward = |edge: &&crate::JobEdge| edge.partitioning == Partitioning::Forward;
        let ends: Vec<_> =
            self.edges.iter().filter(forward).map(|edge| (edge.source_vertex, edge.target_vertex)).collect();
        let mut changed = true;
        while changed {
            changed = false;
            for (source, target) in &ends {
                let (from, to) = (graph.vertices[*source].parallelism, graph.vertices[*target].parallelism);
                changed |= from != to;
                graph.vertices[*source].parallelism = from.min(to);
                graph.vertices[*target].parallelism = from.min(to);
            }
        }
        graph
    }

    /// How many slots some of the vertices need: in each slot sharing group as many as its widest one has subtasks.
    pub fn slots_of(&self, counts: impl Fn(usize) -> bool) -> u32 {
        self.group_widths(counts).values().sum()
    }

    /// This graph as it runs in so many slots, which vertices outside of `counts` do not use: those keep the numbers of
    /// subtasks that `others` says. `None`: some slot sharing group would have no slot.
    pub fn within_slots(&self, slots: u32, counts: impl Fn(usize) -> bool, others: &Self) -> Option<Self> {
        let widths = self.group_widths(&counts);
        if (widths.len() as u64) > u64::from(slots) {
            return None;
        }
        // The narrowest groups first: what they do not need of their share goes to the wider ones.
        let mut groups: Vec<(u32, &str)> = widths.iter().map(|(group, width)| (*width, *group)).collect();
        groups.sort_unstable();
        let (mut left, mut share) = (slots, BTreeMap::new());
        for (at, (width, group)) in groups.iter().enumerate() {
            let part = (left / (groups.len() - at) as u32).min(*width);
            left -= part;
            share.insert(*group, part);
        }
        // What others say may be more than is asked for here: of what has ended fewer may be wanted by now.
        Some(self.resized(|position| {
            let vertex = &self.vertices[position];
            match share.get(vertex.slot_sharing_group.as_str()) {
                Some(part) if counts(position) => vertex.parallelism.min(*part),
                _ => others.vertices.get(position).map_or(vertex.parallelism, |other| other.parallelism),
            }
        }))
    }

    fn group_widths(&self, counts: impl Fn(usize) -> bool) -> BTreeMap<&str, u32> {
        let mut widths = BTreeMap::new();
        for (_, vertex) in self.vertices.iter().enumerate().filter(|(position, _)| counts(*position)) {
            let width = widths.entry(vertex.slot_sharing_group.as_str()).or_insert(0);
            *width = vertex.parallelism.max(*width);
        }
        widths
    }
}
