//! An exchange within a process: rows spread by key over channels, and taken from their gate.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace_graph::Partitioning;
use millrace_network::{BufferBudget, CONNECT_TIMEOUT, EdgeOptions, Exchange, Gate, OutputEdgeWriter};
use millrace_protocol::ChannelId;
use millrace_types::JobId;
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};
use nexmark::sentences::word;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;
use tokio::time::Instant;

const ROWS: u64 = 2_000;

fn keyed_batch() -> BatchView {
    let mut builder = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
    (0..ROWS).for_each(|row| builder.push(None, Some(word(row).as_bytes()), b"payload"));
    builder.finish_view()
}

/// A writer, and the gate that reads all of its channels.
fn connected(runtime: &Runtime, partitioning: Partitioning, channels: u32) -> (OutputEdgeWriter, Gate) {
    let budget = BufferBudget::default();
    let exchange = Exchange::new(budget.clone(), CONNECT_TIMEOUT);
    let id = |target_subtask| ChannelId {
        job: JobId::from_bytes([1; 16]),
        edge: 0,
        source_subtask: 0,
        source_attempt: 0,
        target_subtask,
        target_attempt: 0,
    };
    let ids: Vec<ChannelId> = (0..channels).map(id).collect();
    let gate = exchange.open_gate(ids.clone()).unwrap();
    let senders = runtime.block_on(exchange.connect(&ids)).unwrap();
    let options = EdgeOptions {
        partitioning,
        target_parallelism: channels,
        target_max_parallelism: 128,
        subtask: 0,
        buffer_timeout: Duration::ZERO,
    };
    (OutputEdgeWriter::new(&options, senders, budget, StdRng::seed_from_u64(1)).unwrap(), gate)
}

fn exchange(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let batch = keyed_batch();
    let mut group = criterion.benchmark_group("exchange");
    group.throughput(Throughput::Elements(ROWS));
    for (name, partitioning) in [("whole batches in turn", Partitioning::Rebalance), ("by key", Partitioning::Hash)] {
        let (mut writer, mut gate) = connected(&runtime, partitioning, 4);
        let now = runtime.block_on(async { Instant::now() });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                writer.push_batch(&batch, now).unwrap();
                assert!(writer.try_drain().unwrap());
                while gate.try_recv().unwrap().is_some() {}
            });
        });
    }
    group.finish();
}

criterion_group!(benches, exchange);
criterion_main!(benches);
