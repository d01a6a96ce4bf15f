//! The same graph with fewer subtasks.

use millrace_graph::{JobGraph, Partitioning};

use crate::builder::{build, edge, graph, operator, source};

fn parallelisms(graph: &JobGraph) -> Vec<u32> {
    graph.vertices.iter().map(|vertex| vertex.parallelism).collect()
}

/// a (4) and b (2) in the default group, c (4) in one of its own; records go by key.
fn two_groups() -> JobGraph {
    let (mut a, mut b, mut c) = (source("a"), operator("b"), operator("c"));
    (a.parallelism, b.parallelism, c.parallelism) = (Some(4), Some(2), Some(4));
    c.slot_sharing_group = Some("heavy".to_owned());
    build(&graph(vec![a, b, c], vec![edge(0, 1, Partitioning::Hash), edge(1, 2, Partitioning::Hash)])).unwrap()
}

fn within(graph: &JobGraph, slots: u32) -> Option<Vec<u32>> {
    graph.within_slots(slots, |_| true, graph).map(|graph| parallelisms(&graph))
}

#[test]
fn each_group_gets_its_share_and_the_rest_goes_to_the_wider_ones() {
    let graph = two_groups();
    assert_eq!(graph.slots_of(|_| true), 8);
    assert_eq!(within(&graph, 1), None);
    assert_eq!(within(&graph, 2), Some(vec![1, 1, 1]));
    assert_eq!(within(&graph, 3), Some(vec![1, 1, 2]));
    assert_eq!(within(&graph, 5), Some(vec![2, 2, 3]));
    assert_eq!(within(&graph, 8), Some(vec![4, 2, 4]));
    assert_eq!(within(&graph, 100), Some(vec![4, 2, 4]));
}

#[test]
fn a_graph_is_resized_up_to_its_key_groups() {
    let graph = two_groups();
    assert_eq!(graph.vertices[0].max_parallelism, 128);
    assert_eq!(parallelisms(&graph.resized(|_| 8)), [8, 8, 8]);
    assert_eq!(parallelisms(&graph.resized(|at| [0, 3, 1_000][at])), [1, 3, 128]);
    assert_eq!(parallelisms(&graph.at_parallelism(|_| 8)), [4, 2, 4]);
    assert_eq!(within(&graph.resized(|_| 8), 16), Some(vec![8, 8, 8]));
}

#[test]
fn what_does_not_count_keeps_its_subtasks_though_fewer_are_wanted_by_now() {
    let (before, wanted) = (two_groups(), two_groups().resized(|_| 1));
    let found = wanted.within_slots(8, |position| position == 2, &before);
    assert_eq!(found.as_ref().map(parallelisms), Some(vec![4, 2, 1]));
}

#[test]
fn only_the_parallelism_changes() {
    let graph = two_groups();
    let mut scaled = graph.within_slots(3, |_| true, &graph).unwrap();
    for (vertex, before) in scaled.vertices.iter_mut().zip(&graph.vertices) {
        vertex.parallelism = before.parallelism;
    }
    assert_eq!(scaled, graph);
}

#[test]
fn vertices_that_need_no_slots_stay_as_they_are() {
    let (graph, present) = (two_groups(), two_groups().at_parallelism(|_| 3));
    assert_eq!(parallelisms(&present), [3, 2, 3]);
    assert_eq!(graph.slots_of(|position| position == 2), 4);
    let scaled = graph.within_slots(1, |position| position == 2, &present).unwrap();
    assert_eq!(parallelisms(&scaled), [3, 2, 1]);
}

#[test]
fn the_ends_of_a_forward_exchange_stay_equal_across_groups() {
    let mut nodes = vec![source("a"), operator("b"), operator("c")];
    nodes.iter_mut().for_each(|node| node.parallelism = Some(4));
    nodes[1].slot_sharing_group = Some("heavy".to_owned());
    nodes[2].slot_sharing_group = Some("heavier".to_owned());
    let edges = vec![edge(0, 1, Partitioning::Forward), edge(1, 2, Partitioning::Forward)];
    let graph = build(&millrace_graph::StreamGraph { name: "g".to_owned(), nodes, edges }).unwrap();
    assert_eq!(within(&graph, 5), Some(vec![1, 1, 1]));
    assert_eq!(within(&graph, 11), Some(vec![3, 3, 3]));
    // The ends of every channel agree.
    let scaled = graph.within_slots(7, |_| true, &graph).unwrap();
    assert_eq!(parallelisms(&scaled), [2, 2, 2]);
    assert_eq!((scaled.targets_of(0, 1), scaled.sources_of(1, 1)), (1..2, 1..2));
}
