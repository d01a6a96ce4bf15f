//! The splits that a subtask of a source reads, and the watermarks of the operators behind it for each.

use std::collections::BTreeMap;

use crate::graph::{Partitioning, StreamGraph};

/// What an operator has emitted for the splits that are read.
#[derive(Debug, Default)]
pub(super) struct SplitWatermarks {
    current: u32,
    splits: BTreeMap<u32, i64>,
}

impl SplitWatermarks {
    /// The records that follow come from this split. Returns its watermark so far.
    pub fn turn(&mut self, split: u32) -> i64 {
        self.current = split;
        *self.splits.entry(split).or_insert(i64::MIN)
    }

    /// The operator emits a watermark. Returns its own one: the least of its splits, but at the end of all input.
    pub fn emitted(&mut self, timestamp: i64) -> i64 {
        if let Some(watermark) = self.splits.get_mut(&self.current) {
            *watermark = timestamp.max(*watermark);
        }
        if timestamp == i64::MAX { timestamp } else { self.least().unwrap_or(timestamp) }
    }

    /// The split has ended. Returns the least of the others.
    pub fn end(&mut self, split: u32) -> Option<i64> {
        self.splits.remove(&split);
        self.least()
    }

    fn least(&self) -> Option<i64> {
        self.splits.values().copied().min()
    }
}

/// The operators that generate watermarks and see the records of a source in its own subtask.
pub(super) fn generators_behind(graph: &StreamGraph, source: u32) -> Vec<u32> {
    let mut reached = vec![source];
    let mut at = 0;
    while let Some(node) = reached.get(at).copied() {
        let edges = graph.edges.iter().filter(|edge| edge.source == node && edge.partitioning == Partitioning::Forward);
        reached.extend(edges.map(|edge| edge.target));
        at += 1;
    }
    reached.sort_unstable();
    reached.dedup();
    reached.retain(|node| graph.nodes[*node as usize].generates_watermarks);
    reached
}
