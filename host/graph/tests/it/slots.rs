//! Slot sharing.

use millrace_graph::{Partitioning, SlotSharing, StreamGraph, required_slots};

use crate::builder::{build, edge, graph, operator, source};

/// Flink's overview: A, B and D at parallelism 4, C and E at 2; A and C are sources, E is the sink.
fn five_operators() -> StreamGraph {
    let with = |mut node: millrace_graph::StreamNode, parallelism| {
        node.parallelism = Some(parallelism);
        node
    };
    let rebalance = Partitioning::Rebalance;
    graph(
        vec![
            with(source("A"), 4),
            with(operator("B"), 4),
            with(source("C"), 2),
            with(operator("D"), 4),
            with(operator("E"), 2),
        ],
        vec![
            edge(0, 1, rebalance),
            edge(1, 3, Partitioning::Hash),
            edge(2, 3, Partitioning::Hash),
            edge(3, 4, rebalance),
        ],
    )
}

#[test]
fn the_five_operators_need_four_slots() {
    let job = build(&five_operators()).unwrap();
    assert_eq!(required_slots(&job), 4);
    let sharing = SlotSharing::of(&job);
    let name = |&(vertex, _): &(usize, u32)| job.vertices[vertex].name.as_str();
    for slot in 0..4 {
        let mut names: Vec<_> = sharing.members(slot).iter().map(name).collect();
        names.sort_unstable();
        let expected: &[&str] =
            if slot < 2 { &["B", "D", "E", "Source: A", "Source: C"] } else { &["B", "D", "Source: A"] };
        assert_eq!(names, expected, "slot {slot}");
        assert!(sharing.members(slot).iter().all(|&(vertex, subtask)| sharing.slot_of(vertex, subtask) == slot));
    }
    assert!(sharing.members(4).is_empty());
}

#[test]
fn groups_do_not_share_slots() {
    let mut graph = five_operators();
    graph.nodes[3].slot_sharing_group = Some("heavy".into());
    let job = build(&graph).unwrap();
    // D takes 4 slots of its own and E inherits its group; A and B need 4.
    assert_eq!(required_slots(&job), 8);
    let sharing = SlotSharing::of(&job);
    let slots = |name: &str| {
        let vertex = job.vertices.iter().position(|vertex| vertex.name == name).unwrap();
        (sharing.slot_of(vertex, 0), sharing.slot_of(vertex, 1))
    };
    assert_eq!(slots("Source: A"), (0, 1));
    assert_eq!(slots("D"), (4, 5));
    assert_eq!(slots("E"), (4, 5));
}
