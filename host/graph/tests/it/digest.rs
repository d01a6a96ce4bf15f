//! The digest of a StreamGraph: pinned, and different for every difference.

use std::collections::BTreeSet;

use millrace_graph::{Chaining, Format, GuestCode, NativeConnector, NodeKind, Partitioning, StreamGraph};
use millrace_types::NodeId;

use crate::builder::{edge, graph, native_sink, operator, pipeline, source};

fn base() -> StreamGraph {
    pipeline(vec![source("a"), operator("b"), native_sink("c")])
}

#[test]
fn the_encoding_is_pinned() {
    // A changed digest makes the graphs of running jobs unknown to their own builders: never change it by accident.
    assert_eq!(base().digest().to_string(), "9449129a497885821d424a6c10f5e74c5df8b145ee906df608f863aec26275d8");
}

#[test]
fn json_white_space_does_not_matter() {
    let compact: StreamGraph = serde_json::from_str(&serde_json::to_string(&base()).unwrap()).unwrap();
    let pretty: StreamGraph = serde_json::from_str(&serde_json::to_string_pretty(&base()).unwrap()).unwrap();
    assert_eq!(compact.digest(), pretty.digest());
    assert_eq!(compact.digest(), base().digest());
}

#[test]
fn every_field_counts() {
    type Change = fn(&mut StreamGraph);
    let guest = |graph: &mut StreamGraph, change: fn(&mut GuestCode)| {
        let NodeKind::Operator(code) = &mut graph.nodes[1].kind else { unreachable!() };
        change(code);
    };
    let changes: &[Change] = &[
        |g| g.name.push('x'),
        |g| g.nodes[0].uid.push('x'),
        |g| g.nodes[0].name.push('x'),
        |g| g.nodes[0].parallelism = Some(0),
        |g| g.nodes[0].max_parallelism = Some(0),
        |g| g.nodes[0].slot_sharing_group = Some(String::new()),
        |g| g.nodes[0].chaining = Chaining::Head,
        |g| g.nodes[0].generates_watermarks = true,
        |g| g.nodes[0].kind = NodeKind::Operator(GuestCode::default()),
        |g| {
            g.nodes[2].kind =
                NodeKind::NativeSource(NativeConnector { connector: "print".into(), options: "{}".into() })
        },
        |g| {
            g.nodes[2].kind = NodeKind::NativeSink(NativeConnector { connector: "print".into(), options: "{ }".into() })
        },
        |g| {
            g.nodes[2].kind =
                NodeKind::NativeOperator(NativeConnector { connector: "print".into(), options: "{}".into() })
        },
        |g| g.edges[0].source = NodeId(2),
        |g| g.edges[0].source_port = 1,
        |g| g.edges[0].target = NodeId(2),
        |g| g.edges[0].target_port = 1,
        |g| g.edges[0].partitioning = Partitioning::Rescale,
        |g| g.edges[0].format = Format::Json,
        |g| g.edges.swap(0, 1),
        |g| g.nodes.swap(0, 1),
    ];
    let mut digests = BTreeSet::from([base().digest()]);
    for (position, change) in changes.iter().enumerate() {
        let mut changed = base();
        change(&mut changed);
        assert!(digests.insert(changed.digest()), "change {position} gives a digest that is there already");
    }
    for change in [
        (|code| code.component = Some(String::new())) as fn(&mut GuestCode),
        |code| code.function.push('x'),
        |code| code.config.push('x'),
    ] {
        let mut changed = base();
        guest(&mut changed, change);
        assert!(digests.insert(changed.digest()));
    }
}

#[test]
fn text_cannot_move_from_one_field_to_the_next() {
    let mut one = graph(vec![source("ab")], vec![]);
    one.nodes[0].uid = "u".into();
    let mut two = one.clone();
    two.nodes[0].uid = "ua".into();
    two.nodes[0].name = "b".into();
    assert_ne!(one.digest(), two.digest());
    assert_ne!(base().digest(), graph(base().nodes, vec![edge(0, 1, Partitioning::Forward)]).digest());
}
