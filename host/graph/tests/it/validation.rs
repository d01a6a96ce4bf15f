//! Every fault of a graph, with the message that its author reads.

use millrace_graph::{Format, GraphContext, GraphError, NodeKind, Partitioning, StreamGraph};
use millrace_types::NodeId;

use crate::builder::{
    build, components, context, edge, graph, guest, native_operator, native_sink, native_source, node, operator,
    operator_of, pipeline, source,
};

fn message(graph: &StreamGraph) -> String {
    build(graph).unwrap_err().to_string()
}

#[track_caller]
fn refused(change: impl FnOnce(&mut StreamGraph), parts: &[&str]) {
    let mut graph = pipeline(vec![source("a"), operator("b"), native_sink("c")]);
    build(&graph).unwrap();
    change(&mut graph);
    let message = message(&graph);
    for part in parts {
        assert!(message.contains(part), "\"{message}\" lacks \"{part}\"");
    }
}

#[test]
fn an_empty_graph() {
    assert_eq!(build(&graph(vec![], vec![])), Err(GraphError::Empty));
}

#[test]
fn too_many_operators_and_streams() {
    refused(|g| g.nodes = vec![source("a"); 1001], &["1001 operators", "may have 1000"]);
    refused(|g| g.edges = vec![edge(0, 1, Partitioning::Hash); 10_001], &["10001 streams", "may have 10000"]);
}

#[test]
fn texts() {
    refused(|g| g.nodes[1].uid.clear(), &["operator \"b\"", "empty uid"]);
    refused(|g| g.nodes[1].name.clear(), &["uid \"b-uid\"", "empty name"]);
    refused(|g| g.nodes[1].slot_sharing_group = Some(String::new()), &["empty slot sharing group"]);
    refused(|g| g.nodes[1].uid = "x".repeat(257), &["uid of operator \"b\"", "257 bytes", "may have 256"]);
    refused(|g| g.nodes[1].name = "a\nb".into(), &["name of operator", "control characters"]);
    refused(|g| g.name = "x".repeat(257), &["application's name has 257 bytes"]);
    refused(|g| g.name = "\u{7}".into(), &["application's name has control characters"]);
    refused(
        |g| {
            let NodeKind::Operator(code) = &mut g.nodes[1].kind else { unreachable!() };
            code.config = "x".repeat((1 << 20) + 1);
        },
        &["configuration of operator \"b\"", "may have 1048576"],
    );
}

#[test]
fn messages_quote_little_of_a_long_text() {
    let mut graph = graph(vec![source("a")], vec![]);
    graph.nodes[0].uid = "u".repeat(1_000_000);
    graph.nodes[0].name = "\u{1b}[31m".repeat(100_000);
    let message = message(&graph);
    assert!(message.len() < 1_000 && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn two_operators_with_one_uid() {
    refused(|g| g.nodes[1].uid = "a-uid".into(), &["operator \"a\"", "operator \"b\"", "same uid"]);
}

#[test]
fn streams_to_nowhere() {
    refused(|g| g.edges[1].target = NodeId(3), &["stream 1", "node 3", "target", "3 nodes"]);
    refused(|g| g.edges[0].source = NodeId(u32::MAX), &["stream 0", "source"]);
}

#[test]
fn ports_out_of_range() {
    refused(|g| g.edges[0].source_port = 256, &["operator \"a\"", "output port 256", "0 to 255"]);
    refused(|g| g.edges[1].target_port = 1, &["operator \"c\"", "input port 1", "0 to 0"]);
}

#[test]
fn sources_and_sinks_the_wrong_way_round() {
    refused(|g| g.edges.push(edge(1, 0, Partitioning::Rebalance)), &["\"a\"", "is a source", "\"b\""]);
    refused(|g| g.edges.push(edge(2, 1, Partitioning::Rebalance)), &["\"c\"", "is a sink", "\"b\""]);
    refused(|g| g.nodes.push(operator("d")), &["operator \"d\"", "no input"]);
    refused(|g| g.nodes.push(native_sink("d")), &["operator \"d\"", "no input"]);
}

#[test]
fn cycles_are_named() {
    let hash = Partitioning::Hash;
    let cyclic = graph(
        vec![source("a"), operator("b"), operator("c"), operator("d"), operator("e")],
        vec![edge(0, 1, hash), edge(1, 2, hash), edge(2, 3, hash), edge(3, 1, hash), edge(3, 4, hash)],
    );
    let message = message(&cyclic);
    let path = "\"c\" (uid \"c-uid\") -> \"d\" (uid \"d-uid\") -> \"b\" (uid \"b-uid\") -> \"c\" (uid \"c-uid\")";
    assert!(message.contains(path), "{message}");
    assert!(!message.contains("\"a\"") && !message.contains("\"e\""), "only the cycle is named: {message}");
}

#[test]
fn a_stream_to_itself_is_a_cycle() {
    refused(
        |g| g.edges.push(edge(1, 1, Partitioning::Hash)),
        &["cycle: \"b\" (uid \"b-uid\") -> \"b\" (uid \"b-uid\")"],
    );
}

#[test]
fn long_cycles_are_named_in_part() {
    let mut nodes = vec![source("s")];
    nodes.extend((0..999).map(|number| operator(&format!("o{number}"))));
    let mut graph = pipeline(nodes);
    graph.edges.push(edge(999, 1, Partitioning::Hash));
    let message = message(&graph);
    assert!(message.contains('…') && message.len() < 2_000, "{message}");
}

#[test]
fn parallelism_out_of_range() {
    refused(|g| g.nodes[1].parallelism = Some(0), &["operator \"b\"", "parallelism 0", "1 to 4096"]);
    refused(|g| g.nodes[1].parallelism = Some(4097), &["parallelism 4097"]);
    refused(|g| g.nodes[1].max_parallelism = Some(0), &["max parallelism 0", "1 to 32768"]);
    refused(|g| g.nodes[1].max_parallelism = Some(32_769), &["max parallelism 32769"]);
    refused(|g| g.nodes[1].max_parallelism = Some(1), &["parallelism 2 above its max parallelism 1"]);
    let components = components();
    for parallelism in [0, 4097] {
        let context = GraphContext { default_parallelism: parallelism, ..context(&components) };
        let error = graph(vec![source("a")], vec![]).validate(&context).unwrap_err();
        assert_eq!(error, GraphError::DefaultParallelism { parallelism });
    }
}

#[test]
fn forward_between_unequals() {
    refused(
        |g| g.nodes[1].parallelism = Some(3),
        &["operator \"a\"", "parallelism 2", "operator \"b\"", "parallelism 3", "rebalance or rescale"],
    );
}

#[test]
fn internal_format_only_within_a_component() {
    let with_format = |nodes| {
        let mut graph = pipeline(nodes);
        graph.edges[0].format = Format::Internal;
        graph
    };
    build(&with_format(vec![source("a"), operator_of("b", "main")])).unwrap();
    for nodes in [
        vec![source("a"), operator_of("b", "other")],
        vec![native_source("a"), operator("b")],
        vec![source("a"), native_sink("b")],
        vec![native_source("a"), native_sink("b")],
    ] {
        let message = message(&with_format(nodes));
        assert!(message.contains("internal") && message.contains("json"), "{message}");
    }
}

#[test]
fn one_port_has_one_format() {
    refused(
        |g| {
            g.nodes.push(native_sink("d"));
            g.edges.push(edge(1, 3, Partitioning::Forward));
            g.edges[2].format = Format::Json;
        },
        &["output port 0", "operator \"b\"", "Raw", "Json"],
    );
    refused(
        |g| {
            g.nodes.push(source("d"));
            g.edges.push(edge(3, 1, Partitioning::Rebalance));
            g.edges[2].format = Format::Json;
        },
        &["input port 0", "operator \"b\""],
    );
}

#[test]
fn keys_come_from_guests() {
    let mut graph = pipeline(vec![native_source("a"), native_operator("b"), operator("c")]);
    for edge in 0..2 {
        graph.edges[edge].partitioning = Partitioning::Hash;
        assert!(message(&graph).contains("no keys"), "{}", message(&graph));
        graph.edges[edge].partitioning = Partitioning::Rebalance;
    }
    build(&graph).unwrap();
}

#[test]
fn a_native_operator_has_an_input_and_one_port_each_way() {
    let graph = pipeline(vec![source("a"), native_operator("b"), native_sink("c")]);
    build(&graph).unwrap();
    let changed = |change: fn(&mut StreamGraph)| {
        let mut graph = graph.clone();
        change(&mut graph);
        message(&graph)
    };
    assert!(changed(|g| g.edges[0].target_port = 1).contains("port 1"));
    assert!(changed(|g| g.edges[1].source_port = 1).contains("port 1"));
    assert!(
        changed(|g| {
            g.edges.remove(0);
        })
        .contains("no input")
    );
    assert!(changed(|g| g.edges[1].format = Format::Internal).contains("internal"));
}

#[test]
fn unknown_components() {
    refused(
        |g| g.nodes[1].kind = NodeKind::Operator(guest(Some("nosuch"))),
        &["operator \"b\"", "\"nosuch\"", "\"main\", \"other\""],
    );
    let components = components();
    let manifest = GraphContext { entry_component: None, ..context(&components) };
    let unnamed = graph(vec![node("a", NodeKind::Source(guest(None)))], vec![]);
    let error = unnamed.validate(&manifest).unwrap_err();
    assert!(matches!(error, GraphError::NoComponent { .. }), "{error}");
}

#[test]
fn too_many_subtasks_and_channels() {
    let wide = |partitioning, parallelism| {
        let mut graph = pipeline(vec![source("a"), operator("b"), operator("c"), operator("d"), operator("e")]);
        graph.nodes.iter_mut().for_each(|node| node.parallelism = Some(parallelism));
        graph.edges.iter_mut().for_each(|edge| edge.partitioning = partitioning);
        graph
    };
    build(&wide(Partitioning::Forward, 4096)).unwrap();
    assert!(message(&wide(Partitioning::Rescale, 4096)).contains("20480 subtasks"));
    assert!(message(&wide(Partitioning::Hash, 1024)).contains("4194304 channels"));
    build(&wide(Partitioning::Hash, 256)).unwrap();
}
