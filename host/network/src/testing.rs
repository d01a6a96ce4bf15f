//! What the tests of this crate share.
#![allow(clippy::expect_used, reason = "tests")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use millrace_protocol::ChannelId;
use millrace_types::{Alignment, Barrier, CheckpointId, JobId, SnapshotKind, Timestamp};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};

use crate::budget::BufferBudget;
use crate::channel::ChannelSender;
use crate::exchange::{CONNECT_TIMEOUT, Exchange};
use crate::gate::Gate;

pub(crate) fn channel_id(source_subtask: u32, target_subtask: u32) -> ChannelId {
    let job = JobId::from_bytes([1; 16]);
    ChannelId { job, edge: 0, source_subtask, source_attempt: 0, target_subtask, target_attempt: 0 }
}

pub(crate) fn barrier(checkpoint: u64, alignment: Alignment) -> Arc<Barrier> {
    let (kind, triggered_at) = (SnapshotKind::Checkpoint, Timestamp(1));
    Arc::new(Barrier {
        checkpoint: CheckpointId(checkpoint),
        triggered_at,
        kind,
        drain: false,
        alignment,
        folder: None,
    })
}

pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// So many connected channels that one gate reads.
pub(crate) async fn channels(count: u32, budget: &BufferBudget) -> (Vec<ChannelSender>, Gate) {
    let exchange = Exchange::new(budget.clone(), CONNECT_TIMEOUT);
    let ids: Vec<_> = (0..count).map(|subtask| channel_id(0, subtask)).collect();
    let gate = exchange.open_gate(ids.clone()).expect("fresh ids");
    let senders = exchange.connect(&ids).await.expect("offered above");
    (senders, gate)
}

/// A keyed batch whose rows have these keys, and payloads of `payload_bytes` that count the rows from `first`.
pub(crate) fn keyed_batch(keys: &[u8], first: u64, payload_bytes: usize) -> BatchView {
    let mut builder = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
    for (number, key) in (first..).zip(keys) {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(payload_bytes.max(8), 0);
        builder.push(None, Some(&[*key]), &payload);
    }
    builder.finish_view()
}

/// The key and the number of each row of a batch that [`keyed_batch`] made.
pub(crate) fn read_back(batch: &BatchView) -> Vec<(u8, u64)> {
    let number = |payload: &[u8]| payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    batch.rows().map(|row| (row.key.map_or(0, |key| key[0]), number(row.payload))).collect()
}
