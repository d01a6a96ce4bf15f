//! Flink's chaining rules, one by one. Every test starts from a pipeline that chains and changes one thing.

use millrace_graph::{Chaining, Partitioning, Segment, StreamGraph};
use millrace_types::NodeId;

use crate::builder::{
    DEFAULT_PARALLELISM, build, edge, graph, native_operator, native_sink, native_source, operator, operator_of,
    pipeline, source, vertex_names,
};

fn abc() -> StreamGraph {
    pipeline(vec![source("a"), operator("b"), operator("c")])
}

/// The pipeline a -> b -> c after a change of its middle operator.
fn with_b(change: impl FnOnce(&mut millrace_graph::StreamNode)) -> StreamGraph {
    let mut graph = abc();
    change(&mut graph.nodes[1]);
    graph
}

#[test]
fn forward_streams_between_equals_are_chained() {
    assert_eq!(vertex_names(&abc()), ["Source: a -> b -> c"]);
    let job = build(&abc()).unwrap();
    assert!(job.edges.is_empty());
    assert_eq!(job.vertices[0].chained_edges, abc().edges);
}

#[test]
fn every_other_partitioning_breaks_the_chain() {
    use Partitioning::{Broadcast, Global, Hash, Rebalance, Rescale, Shuffle};
    for partitioning in [Rebalance, Rescale, Hash, Broadcast, Global, Shuffle] {
        let mut graph = abc();
        graph.edges[0].partitioning = partitioning;
        assert_eq!(vertex_names(&graph), ["Source: a", "b -> c"], "{partitioning}");
    }
}

#[test]
fn another_parallelism_breaks_the_chain() {
    let mut graph = with_b(|b| b.parallelism = Some(DEFAULT_PARALLELISM + 1));
    graph.edges.iter_mut().for_each(|edge| edge.partitioning = Partitioning::Rebalance);
    assert_eq!(vertex_names(&graph), ["Source: a", "b", "c"]);
}

#[test]
fn the_default_parallelism_written_out_is_the_same_parallelism() {
    assert_eq!(vertex_names(&with_b(|b| b.parallelism = Some(DEFAULT_PARALLELISM))), ["Source: a -> b -> c"]);
}

#[test]
fn another_max_parallelism_breaks_the_chain() {
    assert_eq!(vertex_names(&with_b(|b| b.max_parallelism = Some(64))), ["Source: a", "b", "c"]);
    assert_eq!(vertex_names(&with_b(|b| b.max_parallelism = Some(128))), ["Source: a -> b -> c"]);
}

#[test]
fn another_slot_sharing_group_breaks_the_chain_and_is_inherited() {
    let job = build(&with_b(|b| b.slot_sharing_group = Some("heavy".into()))).unwrap();
    let vertices: Vec<_> = job.vertices.iter().map(|v| (v.name.as_str(), v.slot_sharing_group.as_str())).collect();
    assert_eq!(vertices, [("Source: a", "default"), ("b -> c", "heavy")]);
    assert_eq!(job.edges[0].partitioning, Partitioning::Forward);
}

#[test]
fn the_default_group_written_out_is_the_same_group() {
    assert_eq!(vertex_names(&with_b(|b| b.slot_sharing_group = Some("default".into()))), ["Source: a -> b -> c"]);
}

#[test]
fn head_begins_a_chain_and_lets_successors_join() {
    assert_eq!(vertex_names(&with_b(|b| b.chaining = Chaining::Head)), ["Source: a", "b -> c"]);
}

#[test]
fn never_stands_alone() {
    assert_eq!(vertex_names(&with_b(|b| b.chaining = Chaining::Never)), ["Source: a", "b", "c"]);
}

#[test]
fn a_source_may_be_head_but_not_never() {
    for (chaining, expected) in
        [(Chaining::Head, vec!["Source: a -> b -> c"]), (Chaining::Never, vec!["Source: a", "b -> c"])]
    {
        let mut graph = abc();
        graph.nodes[0].chaining = chaining;
        assert_eq!(vertex_names(&graph), expected);
    }
}

#[test]
fn several_inputs_begin_a_chain() {
    // Two inputs at one port (a union), and at two ports (a join).
    for port in [0, 1] {
        let forward = Partitioning::Forward;
        let mut union = graph(
            vec![source("a"), source("b"), operator("c"), operator("d")],
            vec![edge(0, 2, forward), edge(1, 2, forward), edge(2, 3, forward)],
        );
        union.edges[1].target_port = port;
        assert_eq!(vertex_names(&union), ["Source: a", "Source: b", "c -> d"]);
        let job = build(&union).unwrap();
        let edges: Vec<_> = job.edges.iter().map(|edge| (edge.source_vertex, edge.target_vertex)).collect();
        assert_eq!(edges, [(0, 2), (1, 2)]);
        assert_eq!(job.edges[1].target_port, port);
    }
}

#[test]
fn two_streams_from_one_operator_to_another_are_two_inputs() {
    let forward = Partitioning::Forward;
    let doubled = graph(vec![source("a"), operator("b")], vec![edge(0, 1, forward), edge(0, 1, forward)]);
    assert_eq!(vertex_names(&doubled), ["Source: a", "b"]);
    assert_eq!(build(&doubled).unwrap().edges.len(), 2);
}

#[test]
fn an_operator_with_several_readers_chains_to_each() {
    let forward = Partitioning::Forward;
    let fan_out = graph(
        vec![source("a"), operator("b"), operator("c"), operator("d"), operator("e")],
        vec![edge(0, 1, forward), edge(0, 2, forward), edge(2, 3, forward), edge(0, 4, Partitioning::Hash)],
    );
    assert_eq!(vertex_names(&fan_out), ["Source: a -> (b, c -> d)", "e"]);
}

#[test]
fn a_diamond_is_cut_where_it_closes() {
    let forward = Partitioning::Forward;
    let diamond = graph(
        vec![source("a"), operator("b"), operator("c"), operator("d")],
        vec![edge(0, 1, forward), edge(0, 2, forward), edge(1, 3, forward), edge(2, 3, forward)],
    );
    let job = build(&diamond).unwrap();
    assert_eq!(job.vertices[0].name, "Source: a -> (b, c)");
    assert_eq!(job.vertices[1].name, "d");
    assert_eq!(job.edges.iter().map(|edge| edge.source).collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
}

fn segments(graph: &StreamGraph) -> Vec<(Option<String>, Vec<u32>)> {
    let job = build(graph).unwrap();
    assert_eq!(job.vertices.len(), 1, "the graph chains into one vertex");
    let pair = |segment: &Segment| (segment.component.clone(), segment.nodes.iter().map(|node| node.0).collect());
    job.vertices[0].segments.iter().map(pair).collect()
}

#[test]
fn one_component_is_one_segment_under_either_name() {
    let graph = pipeline(vec![source("a"), operator_of("b", "main"), operator("c")]);
    assert_eq!(segments(&graph), [(Some("main".into()), vec![0, 1, 2])]);
}

#[test]
fn two_components_are_one_chain_of_two_segments() {
    let graph = pipeline(vec![source("a"), operator_of("b", "other"), operator_of("c", "other")]);
    assert_eq!(segments(&graph), [(Some("main".into()), vec![0]), (Some("other".into()), vec![1, 2])]);
}

#[test]
fn a_component_that_comes_back_runs_in_a_segment_of_its_own() {
    let graph = pipeline(vec![source("a"), operator_of("b", "other"), operator("c")]);
    let main = || Some("main".to_owned());
    assert_eq!(segments(&graph), [(main(), vec![0]), (Some("other".into()), vec![1]), (main(), vec![2])]);
}

#[test]
fn native_connectors_stand_alone_in_the_chain() {
    let graph = pipeline(vec![native_source("a"), operator("b"), operator("c"), native_sink("d")]);
    assert_eq!(segments(&graph), [(None, vec![0]), (Some("main".into()), vec![1, 2]), (None, vec![3])]);
}

#[test]
fn a_native_operator_is_chained_and_ends_the_segments_around_it() {
    let graph = pipeline(vec![source("a"), operator("b"), native_operator("c"), operator("d"), native_sink("e")]);
    let main = || Some("main".to_owned());
    assert_eq!(segments(&graph), [(main(), vec![0, 1]), (None, vec![2]), (main(), vec![3]), (None, vec![4])]);
}

#[test]
fn two_native_connectors_are_two_segments() {
    let graph = pipeline(vec![native_source("a"), native_sink("b")]);
    assert_eq!(segments(&graph), [(None, vec![0]), (None, vec![1])]);
}

#[test]
fn branches_of_one_component_fuse_around_another() {
    let forward = Partitioning::Forward;
    let graph = graph(
        vec![source("a"), operator_of("b", "other"), operator("c"), native_sink("d"), native_sink("e")],
        vec![edge(0, 1, forward), edge(0, 2, forward), edge(1, 3, forward), edge(2, 4, forward)],
    );
    assert_eq!(
        segments(&graph),
        [(Some("main".into()), vec![0, 2]), (Some("other".into()), vec![1]), (None, vec![3]), (None, vec![4])]
    );
}

#[test]
fn inputs_of_different_groups_fall_back_to_the_default_one() {
    let mut graph = graph(
        vec![source("a"), source("b"), operator("c")],
        vec![edge(0, 2, Partitioning::Hash), edge(1, 2, Partitioning::Hash)],
    );
    let group_of_c = |graph: &StreamGraph| build(graph).unwrap().vertices[2].slot_sharing_group.clone();
    graph.nodes[0].slot_sharing_group = Some("x".into());
    graph.nodes[1].slot_sharing_group = Some("y".into());
    assert_eq!(group_of_c(&graph), "default");
    graph.nodes[1].slot_sharing_group = Some("x".into());
    assert_eq!(group_of_c(&graph), "x");
}

#[test]
fn what_generates_watermarks_behind_answers_begins_a_chain() {
    let asked = |generates: usize| {
        let mut graph =
            pipeline(vec![source("a"), operator("b"), native_operator("ask"), operator("c"), operator("d")]);
        graph.nodes[generates].generates_watermarks = true;
        vertex_names(&graph)
    };
    assert_eq!(asked(4), ["Source: a -> b -> ask -> c", "d"]);
    assert_eq!(asked(1), ["Source: a -> b -> ask -> c -> d"], "in front of the answers a record is of one split");
}
