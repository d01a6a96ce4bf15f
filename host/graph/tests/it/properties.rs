//! What holds for every graph.

use std::collections::BTreeSet;

use millrace_graph::{Chaining, JobGraph, JobVertex, Partitioning, SlotSharing, StreamEdge, StreamGraph};
use millrace_types::NodeId;
use proptest::prelude::*;

use crate::builder::{build, edge, graph, operator_of, source};

const PARTITIONINGS: [Partitioning; 4] =
    [Partitioning::Forward, Partitioning::Forward, Partitioning::Hash, Partitioning::Rescale];

/// Random acyclic graphs: a node is a source, or reads from one to three nodes before it. Then the nodes are shuffled,
/// so that ids are in no order.
fn graphs() -> impl Strategy<Value = StreamGraph> {
    let node = (0..10u8, 1..3u32, 0..6u8, any::<bool>(), proptest::collection::vec((any::<u16>(), 0..4usize), 1..4));
    proptest::collection::vec(node, 1..25).prop_flat_map(|specs| {
        let shuffled = Just((0..specs.len()).collect::<Vec<_>>()).prop_shuffle();
        (Just(specs), shuffled).prop_map(|(specs, shuffled)| {
            let mut nodes = Vec::new();
            let mut edges: Vec<StreamEdge> = Vec::new();
            for (position, (kind, parallelism, chaining, heavy, inputs)) in specs.iter().enumerate() {
                let name = format!("n{position}");
                let is_source = position == 0 || *kind == 0;
                let mut node = if is_source {
                    source(&name)
                } else {
                    operator_of(&name, if kind % 2 == 0 { "main" } else { "other" })
                };
                node.parallelism = Some(*parallelism);
                node.chaining = [Chaining::Always, Chaining::Head, Chaining::Never][usize::from(chaining / 2)];
                node.slot_sharing_group = (*heavy && *kind == 1).then(|| "heavy".to_owned());
                nodes.push(node);
                for &(input, partitioning) in inputs.iter().filter(|_| !is_source) {
                    let input = usize::from(input) % position;
                    let mut partitioning = PARTITIONINGS[partitioning];
                    if nodes[input].parallelism != nodes[position].parallelism && partitioning == Partitioning::Forward
                    {
                        partitioning = Partitioning::Rebalance;
                    }
                    edges.push(edge(shuffled[input] as u32, shuffled[position] as u32, partitioning));
                }
            }
            let mut placed: Vec<_> = nodes.into_iter().zip(&shuffled).collect();
            placed.sort_by_key(|(_, position)| **position);
            graph(placed.into_iter().map(|(node, _)| node).collect(), edges)
        })
    })
}

fn ids(vertex: &JobVertex) -> Vec<NodeId> {
    vertex.nodes.iter().map(|(id, _)| *id).collect()
}

fn check(stream: &StreamGraph, job: &JobGraph) -> Result<(), TestCaseError> {
    // Every node is in exactly one vertex, and every stream is chained or an exchange.
    let nodes: Vec<NodeId> = job.vertices.iter().flat_map(ids).collect();
    prop_assert_eq!(nodes.len(), stream.nodes.len());
    prop_assert_eq!(nodes.iter().collect::<BTreeSet<_>>().len(), stream.nodes.len());
    let chained: usize = job.vertices.iter().map(|vertex| vertex.chained_edges.len()).sum();
    prop_assert_eq!(chained + job.edges.len(), stream.edges.len());
    for vertex in &job.vertices {
        // A chain is connected, and its nodes are in topological order: each but the head is read from an earlier one.
        let ids = ids(vertex);
        for (position, id) in ids.iter().enumerate().skip(1) {
            let inputs: Vec<_> = vertex.chained_edges.iter().filter(|edge| edge.target == *id).collect();
            prop_assert_eq!(inputs.len(), 1);
            prop_assert!(ids[..position].contains(&inputs[0].source));
        }
        // Segments cut the chain; each is connected and of one component.
        let cut: Vec<NodeId> = vertex.segments.iter().flat_map(|segment| segment.nodes.clone()).collect();
        prop_assert_eq!(cut.iter().collect::<BTreeSet<_>>(), ids.iter().collect::<BTreeSet<_>>());
        prop_assert_eq!(cut.len(), ids.len());
        for segment in &vertex.segments {
            for (position, id) in segment.nodes.iter().enumerate().skip(1) {
                let input = vertex.chained_edges.iter().find(|edge| edge.target == *id).unwrap().source;
                prop_assert!(segment.nodes[..position].contains(&input));
            }
        }
    }
    for edge in &job.edges {
        // Forward in the order of the vertices means no cycle.
        prop_assert!(edge.source_vertex < edge.target_vertex);
        prop_assert!(ids(&job.vertices[edge.source_vertex]).contains(&edge.source));
        prop_assert_eq!(ids(&job.vertices[edge.target_vertex])[0], edge.target, "an exchange ends at a head");
    }
    let unique: BTreeSet<_> = job.vertices.iter().map(|vertex| vertex.id).collect();
    prop_assert_eq!(unique.len(), job.vertices.len());
    Ok(())
}

proptest! {
    #[test]
    fn chains_partition_the_graph(stream in graphs()) {
        let job = build(&stream).unwrap();
        check(&stream, &job)?;
        prop_assert_eq!(&build(&stream).unwrap(), &job);
        let stored: JobGraph = serde_json::from_str(&serde_json::to_string(&job).unwrap()).unwrap();
        prop_assert_eq!(stored, job);
    }

    #[test]
    fn slots_hold_every_subtask_once_and_no_vertex_twice(stream in graphs()) {
        let job = build(&stream).unwrap();
        let sharing = SlotSharing::of(&job);
        let mut placed = BTreeSet::new();
        for slot in 0..sharing.required_slots() {
            let members = sharing.members(slot);
            prop_assert!(!members.is_empty());
            let vertices: BTreeSet<_> = members.iter().map(|(vertex, _)| *vertex).collect();
            prop_assert_eq!(vertices.len(), members.len());
            let groups: BTreeSet<_> = vertices.iter().map(|&v| &job.vertices[v].slot_sharing_group).collect();
            prop_assert_eq!(groups.len(), 1);
            placed.extend(members.iter().copied());
        }
        let subtasks: u32 = job.vertices.iter().map(|vertex| vertex.parallelism).sum();
        prop_assert_eq!(placed.len(), subtasks as usize);
    }

    #[test]
    fn a_graph_fits_into_its_slots_and_more_slots_give_no_vertex_less(stream in graphs()) {
        let job = build(&stream).unwrap();
        let mut before: Option<JobGraph> = None;
        for slots in 1..=SlotSharing::of(&job).required_slots() {
            let Some(scaled) = job.within_slots(slots, |_| true, &job) else {
                prop_assert!(before.is_none());
                continue;
            };
            prop_assert!(SlotSharing::of(&scaled).required_slots() <= slots);
            let forward = scaled.edges.iter().filter(|edge| edge.partitioning == Partitioning::Forward);
            for edge in forward {
                let ends = (&scaled.vertices[edge.source_vertex], &scaled.vertices[edge.target_vertex]);
                prop_assert_eq!(ends.0.parallelism, ends.1.parallelism);
            }
            for (position, vertex) in scaled.vertices.iter().enumerate() {
                let least = before.as_ref().map_or(1, |before| before.vertices[position].parallelism);
                prop_assert!((least..=job.vertices[position].parallelism).contains(&vertex.parallelism));
            }
            before = Some(scaled);
        }
        prop_assert_eq!(before, Some(job));
    }

    #[test]
    fn no_graph_makes_the_checks_panic(
        mut stream in graphs(), extra in proptest::collection::vec((0..30u32, 0..30u32, 0..4usize, 0..300u32), 0..6)
    ) {
        for (source, target, partitioning, port) in extra {
            let mut extra = edge(source, target, PARTITIONINGS[partitioning]);
            extra.source_port = port;
            stream.edges.push(extra);
        }
        if let Ok(job) = build(&stream) {
            check(&stream, &job)?;
        }
    }
}
