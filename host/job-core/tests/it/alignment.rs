//! Sources that are ahead of others wait.

use millrace_graph::{JobGraph, Partitioning, WatermarkAlignment};
use millrace_job_core::{Command, DropReason, Input};
use millrace_protocol::WatermarkLimit;
use millrace_types::{ExecutionState, NodeId};

use crate::graphs::{edge, guest_source, job_graph, sink};
use crate::harness::{Harness, offer};

fn graph() -> JobGraph {
    let source = |name: &str, parallelism, group: &str| {
        let mut node = guest_source(name, parallelism);
        node.generates_watermarks = true;
        let alignment = WatermarkAlignment { group: group.to_owned(), max_drift_ms: 100, update_interval_ms: 1_000 };
        node.alignment = Some(alignment);
        node
    };
    job_graph(
        vec![source("a", 2, "g"), source("b", 1, "g"), sink("out", 1)],
        vec![edge(0, 2, Partitioning::Rebalance), edge(1, 2, Partitioning::Rebalance)],
    )
}

fn limits(commands: &[Command]) -> Vec<(u32, i64)> {
    let told = commands.iter().map(|command| match command {
        Command::LimitWatermark { limit: WatermarkLimit { node, watermark_max }, .. } => (node.0, *watermark_max),
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn the_least_watermark_of_the_group_limits_all_at_most_once_in_the_interval() {
    let mut harness = Harness::new(graph());
    harness.step(Input::Start);
    harness.splits(0, 1);
    harness.splits(1, 1);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
    let mut harness = harness.all_running();
    let at = |name: &str| harness.core.view().graph.vertices.iter().position(|v| v.nodes[0].1.uid == name).unwrap();
    let (a, b) = (at("a"), at("b"));
    let tell = |harness: &mut Harness, vertex: usize, subtask, watermark| {
        let attempt = harness.attempt(vertex, subtask);
        let node = NodeId(u32::from(vertex == b));
        harness.step(Input::WatermarkReached { attempt, node, watermark })
    };
    assert_eq!(limits(&tell(&mut harness, a, 0, 5_000)), [(0, 5_100), (0, 5_100), (1, 5_100)]);
    assert_eq!(tell(&mut harness, b, 0, 1_000), [], "the interval has not passed");
    assert_eq!(limits(&harness.deadline()), [(0, 1_100), (0, 1_100), (1, 1_100)]);
    assert_eq!(tell(&mut harness, a, 0, 6_000), []);
    harness.now = harness.now.plus_ms(5_000);
    assert_eq!(harness.step(Input::DeadlineReached), [], "nothing has changed");
    // Who has ended holds nobody back.
    let ended = harness.attempt(b, 0);
    let commands = harness.report(ended, ExecutionState::Finished);
    assert_eq!(limits(&commands), [(0, 6_100), (0, 6_100)]);
    let attempt = harness.attempt(a, 0);
    harness.step(Input::WatermarkReached { attempt, node: NodeId(2), watermark: 1 });
    assert_eq!(harness.dropped(DropReason::UnknownTask), 1);
}
