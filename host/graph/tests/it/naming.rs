//! Names, descriptions and plans, as a real Flink showed them.

use millrace_graph::{Partitioning, slot_sharing_group_id};
use millrace_types::JobId;
use serde_json::json;

use crate::builder::{build, edge, graph, native_sink, native_source, operator, pipeline, source};

fn word_count() -> millrace_graph::StreamGraph {
    let mut graph = pipeline(vec![source("sentences"), operator("split"), operator("count"), native_sink("out")]);
    graph.edges[1].partitioning = Partitioning::Hash;
    graph
}

#[test]
fn the_plan_has_flinks_shape() {
    let job = build(&word_count()).unwrap();
    let (source, count) = (job.vertices[0].id.to_string(), job.vertices[1].id.to_string());
    let plan = job.plan(JobId::from_bytes([0xab; 16]), "WordCount");
    let chain = |operators: [(&str, &str, usize); 2]| {
        let operator = |(uid, kind, segment)| match kind {
            "wasm" => {
                json!({ "uid": format!("{uid}-uid"), "name": uid, "kind": kind, "component": "main", "segment": segment })
            }
            _ => json!({ "uid": format!("{uid}-uid"), "name": uid, "kind": kind, "segment": segment }),
        };
        json!({ "operators": operators.map(operator), "max_parallelism": 128, "slot_sharing_group": "default" })
    };
    assert_eq!(
        serde_json::to_value(plan).unwrap(),
        json!({
            "jid": "abababababababababababababababab",
            "name": "WordCount",
            "type": "STREAMING",
            "nodes": [
                {
                    "id": count, "operator": "", "parallelism": 2, "operator_strategy": "",
                    "description": "count<br/>+- Sink: out<br/>", "optimizer_properties": {},
                    "inputs": [
                        { "id": source, "num": 0, "exchange": "pipelined_bounded", "ship_strategy": "HASH" }
                    ],
                    "millrace": chain([("count", "wasm", 0), ("out", "native", 1)]),
                },
                {
                    "id": source, "operator": "", "parallelism": 2, "operator_strategy": "",
                    "description": "Source: sentences<br/>+- split<br/>", "optimizer_properties": {},
                    "millrace": chain([("sentences", "wasm", 0), ("split", "wasm", 0)]),
                },
            ],
        })
    );
}

#[test]
fn plans_list_every_vertex_behind_its_readers() {
    let hash = Partitioning::Hash;
    let job = build(&graph(
        vec![source("a"), source("b"), operator("c"), operator("d"), operator("e")],
        vec![edge(0, 2, hash), edge(1, 2, hash), edge(2, 3, hash), edge(1, 4, hash)],
    ))
    .unwrap();
    let plan = job.plan(JobId::from_bytes([0; 16]), "x");
    let descriptions: Vec<_> = plan.nodes.iter().map(|node| node.description.trim_end_matches("<br/>")).collect();
    assert_eq!(descriptions, ["d", "c", "Source: a", "e", "Source: b"]);
    let inputs: Vec<_> = plan.nodes[1].inputs.iter().map(|input| (input.num, input.id)).collect();
    assert_eq!(inputs, [(0, job.vertices[0].id), (1, job.vertices[1].id)]);
}

#[test]
fn plans_list_the_readers_of_a_vertex_in_the_order_of_its_streams() {
    let hash = Partitioning::Hash;
    let job = build(&graph(
        vec![source("a"), operator("b"), operator("c"), operator("d")],
        vec![edge(0, 2, hash), edge(0, 1, hash), edge(1, 3, hash)],
    ))
    .unwrap();
    let plan = job.plan(JobId::from_bytes([0; 16]), "x");
    let descriptions: Vec<_> = plan.nodes.iter().map(|node| node.description.trim_end_matches("<br/>")).collect();
    assert_eq!(descriptions, ["c", "d", "b", "Source: a"]);
}

#[test]
fn descriptions_draw_the_tree_of_a_chain() {
    let forward = Partitioning::Forward;
    let job = build(&graph(
        vec![source("head"), operator("b"), operator("c"), operator("d"), operator("e"), operator("f")],
        vec![edge(0, 1, forward), edge(1, 2, forward), edge(1, 3, forward), edge(0, 4, forward), edge(4, 5, forward)],
    ))
    .unwrap();
    assert_eq!(job.vertices[0].name, "Source: head -> (b -> (c, d), e -> f)");
    assert_eq!(job.vertices[0].description, "Source: head<br/>:- b<br/>:  :- c<br/>:  +- d<br/>+- e<br/>   +- f<br/>");
}

#[test]
fn descriptions_are_html_and_names_are_not() {
    let job = build(&pipeline(vec![source("<b>\"a\" & \\"), operator("x")])).unwrap();
    assert_eq!(job.vertices[0].name, "Source: <b>\"a\" & \\ -> x");
    assert_eq!(job.vertices[0].description, "Source: &lt;b&gt;&quot;a&quot; &amp; &#92;<br/>+- x<br/>");
}

#[test]
fn the_texts_of_a_long_chain_are_cut() {
    let mut nodes = vec![source("first")];
    nodes.extend((0..999).map(|number| operator(&format!("{number}-{}", "x".repeat(240)))));
    let job = build(&pipeline(nodes)).unwrap();
    assert_eq!(job.vertices.len(), 1);
    for text in [&job.vertices[0].name, &job.vertices[0].description] {
        assert!(text.ends_with('…') && text.len() < 20_000, "{} bytes", text.len());
    }
}

#[test]
fn vertex_ids_depend_on_uids_alone() {
    let job = build(&word_count()).unwrap();
    let mut renamed = word_count();
    renamed.nodes.iter_mut().for_each(|node| node.name.push('2'));
    renamed.name.push('2');
    renamed.nodes[0].parallelism = Some(1);
    renamed.nodes[1].parallelism = Some(1);
    let ids = |job: &millrace_graph::JobGraph| job.vertices.iter().map(|vertex| vertex.id).collect::<Vec<_>>();
    assert_eq!(ids(&build(&renamed).unwrap()), ids(&job));
    let mut other = word_count();
    other.nodes[1].uid = "new".into();
    let other = ids(&build(&other).unwrap());
    assert_ne!(other[0], job.vertices[0].id);
    assert_eq!(other[1], job.vertices[1].id);
    assert_eq!(job.vertex_index(other[1]), Some(1));
    assert_eq!(job.vertex_index(other[0]), None);
}

#[test]
fn sources_are_found_wherever_they_are() {
    let hash = Partitioning::Hash;
    let job = build(&graph(
        vec![operator("join"), source("a"), native_source("b"), operator("c")],
        vec![edge(1, 0, hash), edge(2, 3, Partitioning::Forward), edge(3, 0, hash)],
    ))
    .unwrap();
    let sources: Vec<_> = job.sources().map(|(vertex, node, source)| (vertex, node.0, source.name.as_str())).collect();
    assert_eq!(sources, [(0, 1, "a"), (1, 2, "b")]);
}

#[test]
fn slot_sharing_groups_have_ids_of_32_digits() {
    let id = slot_sharing_group_id("default");
    assert_eq!(id.len(), 32);
    assert_eq!(id, slot_sharing_group_id("default"));
    assert_ne!(id, slot_sharing_group_id("heavy"));
}
