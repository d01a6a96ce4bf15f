//! Channels and key groups.

use millrace_graph::{JobGraph, Partitioning};
use proptest::prelude::*;

use crate::builder::{build, edge, graph, operator, source};

fn pair(sources: u32, targets: u32, partitioning: Partitioning) -> JobGraph {
    let mut nodes = vec![source("a"), operator("b")];
    nodes[0].parallelism = Some(sources);
    nodes[1].parallelism = Some(targets);
    nodes[0].chaining = millrace_graph::Chaining::Never;
    build(&graph(nodes, vec![edge(0, 1, partitioning)])).unwrap()
}

fn targets(job: &JobGraph) -> Vec<std::ops::Range<u32>> {
    (0..job.vertices[0].parallelism).map(|subtask| job.targets_of(0, subtask)).collect()
}

#[test]
fn forward_leads_from_each_to_its_like() {
    assert_eq!(targets(&pair(3, 3, Partitioning::Forward)), [0..1, 1..2, 2..3]);
}

#[test]
fn rescale_spreads_as_flink_spreads_pointwise() {
    assert_eq!(targets(&pair(2, 4, Partitioning::Rescale)), [0..2, 2..4]);
    assert_eq!(targets(&pair(4, 2, Partitioning::Rescale)), [0..1, 0..1, 1..2, 1..2]);
    assert_eq!(targets(&pair(2, 3, Partitioning::Rescale)), [0..2, 2..3]);
    assert_eq!(targets(&pair(3, 2, Partitioning::Rescale)), [0..1, 1..2, 1..2]);
}

#[test]
fn everything_else_leads_from_each_to_all() {
    use Partitioning::{Broadcast, Global, Hash, Rebalance, Shuffle};
    for partitioning in [Broadcast, Global, Hash, Rebalance, Shuffle] {
        assert_eq!(targets(&pair(2, 3, partitioning)), [0..3, 0..3], "{partitioning}");
    }
}

#[test]
fn key_groups_follow_the_vertex() {
    let job = pair(2, 3, Partitioning::Hash);
    let ranges: Vec<_> = (0..3).map(|subtask| job.key_group_range(1, subtask)).map(|r| (r.start, r.end)).collect();
    assert_eq!(ranges, [(0, 42), (43, 85), (86, 127)]);
}

proptest! {
    #[test]
    fn both_ends_agree_on_the_channels_and_nobody_is_left_out(
        sources in 1u32..60, targets in 1u32..60, forward in any::<bool>(), rescale in any::<bool>()
    ) {
        let (targets, partitioning) = match (forward, rescale) {
            (true, _) => (sources, Partitioning::Forward),
            (false, true) => (targets, Partitioning::Rescale),
            (false, false) => (targets, Partitioning::Rebalance),
        };
        let job = pair(sources, targets, partitioning);
        for source in 0..sources {
            prop_assert!(!job.targets_of(0, source).is_empty());
            for target in 0..targets {
                prop_assert_eq!(
                    job.targets_of(0, source).contains(&target),
                    job.sources_of(0, target).contains(&source)
                );
            }
        }
        for target in 0..targets {
            prop_assert!(!job.sources_of(0, target).is_empty());
        }
    }
}
