//! The graphs that builders give.

use millrace::Program;
use millrace::graph::{Chaining, Format, Partitioning, StreamGraph};
use millrace::prelude::*;

fn graph_at(parallelism: u32, build: impl FnOnce(&Environment)) -> Result<StreamGraph> {
    let builder = |env: &Environment, _: &Args| {
        build(env);
        Ok(())
    };
    Ok(Program::build(builder, &[], parallelism)?.graph().clone())
}

fn numbers(env: &Environment) -> Stream<u64> {
    env.from_source(DatagenSource::rows(10), "numbers").try_map(|text| text.parse::<u64>())
}

/// Edges as (source, port, target, port, partitioning, format).
fn edges(graph: &StreamGraph) -> Vec<(u32, u32, u32, u32, Partitioning, Format)> {
    let edge = |edge: &millrace::graph::Edge| {
        (edge.source, edge.source_port, edge.target, edge.target_port, edge.partitioning, edge.format)
    };
    graph.edges.iter().map(edge).collect()
}

#[test]
fn nodes_are_shown_as_flink_shows_them_and_have_uids_of_their_own() {
    let graph = graph_at(1, |env| {
        env.name("demo");
        let words =
            numbers(env).filter(|n| n % 2 == 0).uid("even").flat_map(|n, out: &mut Collector<u64>| out.collect(n));
        words
            .name("split")
            .key_by(|n| *n)
            .reduce(|a, b| a + b)
            .map(|n| n.to_string())
            .sink_to(PrintSink::new(), "rows");
    })
    .unwrap();
    let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(graph.name, "demo");
    assert_eq!(names, ["numbers", "Map", "Filter", "split", "Keyed Reduce", "Map", "rows"]);
    let uids: Vec<&str> = graph.nodes.iter().map(|node| node.uid.as_str()).collect();
    let expected = [
        "0-source-numbers",
        "1-map-map",
        "even",
        "3-flat-map-split",
        "4-keyed-reduce-keyed-reduce",
        "5-map-map",
        "6-sink-rows",
    ];
    assert_eq!(uids, expected);
}

#[test]
fn a_port_is_a_distinct_way_out() {
    let graph = graph_at(1, |env| {
        let numbers = numbers(env);
        let keyed = numbers.key_by(|n| n % 3);
        keyed.reduce(|a, b| a + b);
        keyed.reduce(|a, _| a);
        numbers.key_by(|n| n % 5).reduce(|a, b| a + b);
        numbers.map(|n| n + 1);
        numbers.map(|n| n.to_string()).sink_to(FileSink::lines("a"), "lines");
        numbers.sink_to(FileSink::json("b"), "json");
    })
    .unwrap();
    use Format::{Internal, Json, Raw};
    use Partitioning::{Forward, Hash};
    assert_eq!(
        edges(&graph),
        [
            (0, 0, 1, 0, Forward, Raw),
            (1, 0, 2, 0, Hash, Internal),
            (1, 0, 3, 0, Hash, Internal),
            (1, 1, 4, 0, Hash, Internal),
            (1, 2, 5, 0, Forward, Internal),
            (1, 2, 6, 0, Forward, Internal),
            (6, 0, 7, 0, Forward, Raw),
            (1, 3, 8, 0, Forward, Json),
        ]
    );
}

#[test]
fn partitioning_follows_from_parallelism_unless_it_is_stated() {
    let graph = graph_at(4, |env| {
        let numbers = numbers(env);
        numbers.map(|n| n).set_parallelism(4);
        numbers.map(|n| n).set_parallelism(2);
        numbers.broadcast().map(|n| n);
        numbers.rescale().union(&numbers.global()).map(|n| n);
        numbers.shuffle().map(|n| n);
        numbers.rebalance().map(|n| n);
        numbers.forward().map(|n| n);
    })
    .unwrap();
    use Partitioning::{Broadcast, Forward, Global, Rebalance, Rescale, Shuffle};
    let partitionings: Vec<Partitioning> = graph.edges.iter().map(|edge| edge.partitioning).collect();
    let expected = [Forward, Forward, Rebalance, Broadcast, Rescale, Global, Shuffle, Rebalance, Forward];
    assert_eq!(partitionings, expected);
}

#[test]
fn a_source_of_the_host_gets_an_operator_that_can_give_keys() {
    let graph = graph_at(1, |env| {
        env.from_source(DatagenSource::rows(3), "rows").key_by(|row| row.len() as u64).reduce(|a, _| a);
    })
    .unwrap();
    assert_eq!(graph.nodes[1].name, "Convert");
    assert_eq!(edges(&graph)[1].4, Partitioning::Hash);
}

#[test]
fn rows_of_the_host_go_to_a_sink_of_the_host_as_they_are() {
    let graph = graph_at(1, |env| {
        env.from_source(DatagenSource::rows(3), "rows").sink_to(FileSink::lines("a"), "lines");
        env.from_source(DatagenSource::rows(3), "more").sink_to(FileSink::json("b"), "json");
    })
    .unwrap();
    use Format::{Json, Raw};
    let expected = [
        (0, 0, 1, 0, Partitioning::Forward, Raw),
        (2, 0, 4, 0, Partitioning::Forward, Raw),
        (4, 0, 3, 0, Partitioning::Forward, Json),
    ];
    assert_eq!(edges(&graph).len(), 3);
    assert!(expected.iter().all(|edge| edges(&graph).contains(edge)), "{:?}", edges(&graph));
}

#[test]
fn properties_reach_their_node() {
    let graph = graph_at(2, |env| {
        let stream = numbers(env).set_max_parallelism(64).slot_sharing_group("heavy").disable_chaining();
        stream
            .map(|n| n)
            .start_new_chain()
            .sink_to(DiscardSink::new(), "none")
            .uid("s")
            .name("void")
            .set_parallelism(1);
    })
    .unwrap();
    let node = &graph.nodes[1];
    assert_eq!((node.max_parallelism, node.slot_sharing_group.as_deref()), (Some(64), Some("heavy")));
    assert_eq!((node.chaining, graph.nodes[2].chaining), (Chaining::Never, Chaining::Head));
    let sink = &graph.nodes[3];
    assert_eq!((sink.uid.as_str(), sink.name.as_str(), sink.parallelism), ("s", "void", Some(1)));
}

#[test]
fn mistakes_of_the_builder_are_named() {
    let error = |build: fn(&Environment)| graph_at(2, build).unwrap_err().to_string();
    assert_eq!(error(|_| {}), "the builder has added no source; begin with env.from_source(…)");
    assert_eq!(
        error(|env| drop(numbers(env).uid("a").map(|n| n).name("b").uid("a"))),
        "the operators 'Map' and 'b' have the same uid 'a'"
    );
    assert_eq!(error(|env| drop(numbers(env).rebalance().name("x"))), "name() has to follow an operator directly");
    assert_eq!(
        error(|env| drop(numbers(env).forward().map(|n| n).set_parallelism(3))),
        "forward() from 'Map' to 'Map' needs equal parallelisms, not 2 and 3"
    );
    let tags = |env: &Environment| {
        let stream = numbers(env).process(|n, ctx: &mut ProcessContext<u64>| {
            ctx.collect(n);
            Ok(())
        });
        stream.side_output(&OutputTag::<u64>::new("late"));
        stream.side_output(&OutputTag::<String>::new("late"));
    };
    assert_eq!(error(tags), "side output 'late' is read as two types");
}
