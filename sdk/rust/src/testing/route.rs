//! Spreading a batch over the subtasks of a target.

use super::host::key_group;
use crate::batch::{BatchReader, BatchWriter};
use crate::error::Result;
use crate::graph::Partitioning;

/// Where batches go in turn.
#[derive(Default)]
pub(super) struct Turn(u32);

/// The batches that each target subtask gets.
pub(super) fn spread(
    partitioning: Partitioning,
    bytes: Vec<u8>,
    subtask: u32,
    targets: u32,
    max_parallelism: u32,
    turn: &mut Turn,
) -> Result<Vec<(u32, Vec<u8>)>> {
    Ok(match partitioning {
        Partitioning::Forward => vec![(subtask, bytes)],
        Partitioning::Global => vec![(0, bytes)],
        Partitioning::Broadcast => (0..targets).map(|target| (target, bytes.clone())).collect(),
        Partitioning::Rebalance | Partitioning::Rescale | Partitioning::Shuffle => {
            turn.0 = (turn.0 + 1) % targets;
            vec![(turn.0, bytes)]
        }
        Partitioning::Hash => by_key(&bytes, targets, max_parallelism)?,
    })
}

fn by_key(bytes: &[u8], targets: u32, max_parallelism: u32) -> Result<Vec<(u32, Vec<u8>)>> {
    let batch = BatchReader::new(bytes)?;
    let mut parts: Vec<BatchWriter> = (0..targets).map(|_| BatchWriter::new(batch.is_timestamped(), true)).collect();
    for row in batch.rows() {
        let group = key_group(row.key, max_parallelism.into()) as u32;
        let target = group * targets / max_parallelism;
        parts[target as usize].row(row.timestamp, row.key, row.payload);
    }
    let parts = (0..).zip(&mut parts).filter(|(_, part)| !part.is_empty());
    Ok(parts.map(|(target, part)| (target, part.finish().to_vec())).collect())
}

/// Whether subtask `from` of the producer has a channel to subtask `to` of the target.
pub(super) fn connects(partitioning: Partitioning, from: u32, to: u32) -> bool {
    match partitioning {
        Partitioning::Forward => from == to,
        Partitioning::Global => to == 0,
        _ => true,
    }
}
