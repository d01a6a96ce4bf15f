//! The job's graph.

use std::collections::BTreeSet;

use millrace_graph::{
    Format, GraphContext, GraphLimits, GuestCode, JobGraph, NativeConnector, NodeKind, Partitioning, StreamEdge,
    StreamGraph, StreamNode,
};
use millrace_types::NodeId;

use crate::rng::Rng;
use crate::scenario::{Scenario, Shape};

/// The key groups of every operator.
pub(crate) const MAX_PARALLELISM: u32 = 16;

/// The names that tell what an operator does; those of sources end with their number.
pub(crate) const SOURCE: &str = "source-";
pub(crate) const RELAY: &str = "relay";
pub(crate) const COUNT: &str = "count";
pub(crate) const SINK: &str = "sink";

fn node(name: &str, parallelism: u64, kind: NodeKind) -> StreamNode {
    StreamNode {
        generates_watermarks: kind.is_source(),
        parallelism: Some(parallelism as u32),
        max_parallelism: Some(MAX_PARALLELISM),
        ..StreamNode::new(name, kind)
    }
}

fn source(number: u8, parallelism: u64) -> StreamNode {
    let code = GuestCode::default();
    node(&format!("{SOURCE}{number}"), parallelism, NodeKind::Source(code))
}

fn operator(name: &str, parallelism: u64) -> StreamNode {
    let code = GuestCode::default();
    node(name, parallelism, NodeKind::Operator(code))
}

fn sink(name: &str, parallelism: u64) -> StreamNode {
    let native = NativeConnector { connector: "print".to_owned(), options: "{}".to_owned() };
    node(name, parallelism, NodeKind::NativeSink(native))
}

/// A graph of the scenario's shape. Each call chooses other parallelisms.
pub(crate) fn job_graph(scenario: &Scenario, rng: &mut Rng) -> JobGraph {
    let slots = u64::from(scenario.task_managers * scenario.slots).min(3);
    let mut any = || rng.between(1, slots);
    let (reads, counts, writes) = (any(), any(), any());
    let mut nodes = vec![source(0, reads)];
    let mut edges = Vec::new();
    let mut connect = |source: usize, target: usize, target_port: u32, partitioning: Partitioning| {
        let (source, target) = (NodeId(source as u32), NodeId(target as u32));
        edges.push(StreamEdge { source, source_port: 0, target, target_port, partitioning, format: Format::Raw });
    };
    let count = match scenario.shape {
        Shape::Chained | Shape::Spread => {
            connect(0, 1, 0, Partitioning::Hash);
            1
        }
        Shape::Relayed => {
            nodes.push(operator(RELAY, any()));
            connect(0, 1, 0, Partitioning::Rebalance);
            connect(1, 2, 0, Partitioning::Hash);
            2
        }
        Shape::TwoSources => {
            nodes.push(source(1, any()));
            connect(0, 2, 0, Partitioning::Hash);
            connect(1, 2, 1, Partitioning::Hash);
            2
        }
    };
    nodes.push(operator(COUNT, counts));
    if scenario.shape == Shape::Spread {
        nodes.push(sink(SINK, writes));
        connect(count, count + 1, 0, Partitioning::Rebalance);
    } else {
        nodes.push(sink(SINK, counts));
        connect(count, count + 1, 0, Partitioning::Forward);
    }
    if scenario.second_region {
        let at = nodes.len();
        let parallelism = any();
        nodes.push(source(scenario.counted_sources(), parallelism));
        nodes.push(sink("sink-beside", parallelism));
        connect(at, at + 1, 0, Partitioning::Forward);
    }
    let components: BTreeSet<String> = ["main".to_owned()].into();
    let context = GraphContext {
        limits: GraphLimits::default(),
        components: &components,
        entry_component: Some("main"),
        default_parallelism: 1,
    };
    let built = JobGraph::build(&StreamGraph { name: "simulated".to_owned(), nodes, edges }, &context);
    built.unwrap_or_else(|error| panic!("the simulated graph is refused: {error}"))
}
