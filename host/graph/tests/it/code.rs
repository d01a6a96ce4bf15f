//! Other code in a graph of the same shape.

use millrace_graph::{JobGraph, NodeKind, Partitioning, StreamNode};

use crate::builder::{build, edge, graph, operator, source};

fn nodes() -> Vec<StreamNode> {
    vec![source("a"), operator("b"), operator("c")]
}

fn built(nodes: Vec<StreamNode>) -> JobGraph {
    build(&graph(nodes, vec![edge(0, 1, Partitioning::Forward), edge(1, 2, Partitioning::Hash)])).unwrap()
}

#[test]
fn code_and_names_may_be_others_and_nothing_else() {
    let old = built(nodes());
    let mut other = nodes();
    other[1].name = "better".to_owned();
    if let NodeKind::Operator(code) = &mut other[1].kind {
        (code.component, code.config) = (Some("other".to_owned()), "new".to_owned());
    }
    // Another component cuts the chain of source and operator: what ran in one instance would run in two.
    assert!(old.with_code_of(&built(other.clone()), false).is_err_and(|why| why.contains("components")));
    if let NodeKind::Operator(code) = &mut other[1].kind {
        code.component = None;
    }
    let new = built(other);
    assert_eq!(old.with_code_of(&new, false), Ok(new));
}

#[test]
fn the_running_parallelism_and_key_groups_are_kept() {
    let old = built(nodes()).at_parallelism(|_| 1);
    let new = built(nodes());
    assert!(old.with_code_of(&new, false).is_err());
    assert_eq!(old.with_code_of(&new, true), Ok(old));
}

#[test]
fn whatever_the_host_has_set_up_has_to_stay() {
    let old = built(nodes());
    type Change = fn(&mut Vec<StreamNode>);
    let changes: [(Change, &str); 6] = [
        (|nodes| nodes[1].uid = "else".to_owned(), "uids"),
        (|nodes| nodes[2].generates_watermarks = true, "watermarks"),
        (|nodes| nodes[1].idle_timeout_ms = Some(5), "watermarks"),
        (|nodes| nodes[2].slot_sharing_group = Some("heavy".to_owned()), "slot sharing"),
        (|nodes| nodes[2].max_parallelism = Some(64), "key groups"),
        (|nodes| nodes.iter_mut().for_each(|node| node.parallelism = Some(1)), "parallelism"),
    ];
    for (change, text) in changes {
        let mut other = nodes();
        change(&mut other);
        let refused = old.with_code_of(&built(other), false).unwrap_err();
        assert!(refused.contains(text), "{refused}");
    }
    let edges = vec![edge(0, 1, Partitioning::Forward), edge(1, 2, Partitioning::Rebalance)];
    let rewired = build(&graph(nodes(), edges)).unwrap();
    assert!(old.with_code_of(&rewired, false).is_err_and(|why| why.contains("streams")));
}
