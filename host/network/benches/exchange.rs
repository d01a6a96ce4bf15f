//! What a channel carries within a process, and over the loopback interface between two data planes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a bench")]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use millrace_network::{BufferBudget, ChannelSender, DataPlane, DataPlaneOptions, Exchange, Gate, Item};
use millrace_protocol::ChannelId;
use millrace_types::{JobId, TaskManagerId};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};
use tokio::runtime::{Builder, Handle, Runtime};

/// Batches that one sample moves through each channel.
const CHUNK: u64 = 256;

fn channel(source_subtask: u32) -> ChannelId {
    let job = JobId::from_bytes([1; 16]);
    ChannelId { job, edge: 0, source_subtask, source_attempt: 0, target_subtask: 0, target_attempt: 0 }
}

/// Rows of 100 bytes, so many bytes of them.
fn batch(bytes: usize) -> BatchView {
    let mut builder = BatchBuilder::new(BatchFlags::default());
    while builder.byte_len() < bytes {
        builder.push(None, None, &[7; 100]);
    }
    builder.finish_view()
}

fn threads(name: &str, threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build().unwrap()
}

/// What keeps the channels alive, and their ends.
struct Setup {
    _planes: Vec<DataPlane>,
    senders: Vec<ChannelSender>,
    gate: Gate,
}

fn exchange() -> Exchange {
    Exchange::new(BufferBudget::default(), Duration::from_secs(10))
}

async fn in_process(channels: u32) -> Setup {
    let ids: Vec<_> = (0..channels).map(channel).collect();
    let exchange = exchange();
    let gate = exchange.open_gate(ids.clone()).unwrap();
    Setup { _planes: Vec::new(), senders: exchange.connect(&ids).await.unwrap(), gate }
}

async fn loopback(channels: u32, data: &Handle) -> Setup {
    let ids: Vec<_> = (0..channels).map(channel).collect();
    let (from, to) = (exchange(), exchange());
    let id = |name: &str| TaskManagerId(name.to_owned());
    let bind =
        |name, exchange| DataPlane::bind(DataPlaneOptions::new("127.0.0.1:0"), id(name), exchange, data).unwrap();
    let (near, far) = (bind("a", from), bind("b", to.clone()));
    let gate = to.open_gate(ids.clone()).unwrap();
    let senders = near.connect(&id("b"), far.address(), &ids).await.unwrap();
    Setup { _planes: vec![near, far], senders, gate }
}

/// Moves so many batches through each channel and takes the time.
async fn run(setup: &mut Setup, batch: &BatchView, each: u64) -> Duration {
    let begin = Instant::now();
    let senders = std::mem::take(&mut setup.senders);
    let expected = each * senders.len() as u64;
    let sending: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            let batch = batch.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    let credit = sender.reserve(batch.byte_len()).await;
                    sender.send(credit, Item::Batch(batch.clone())).unwrap();
                }
                sender
            })
        })
        .collect();
    for _ in 0..expected {
        setup.gate.recv().await.unwrap().unwrap();
    }
    let took = begin.elapsed();
    for task in sending {
        setup.senders.push(task.await.unwrap());
    }
    took
}

fn benches(criterion: &mut Criterion) {
    let (tasks, data) = (threads("tasks", 2), threads("data", 1));
    for channels in [1, 8] {
        for (size, bytes) in [("1KiB", 1024), ("64KiB", 64 * 1024)] {
            let batch = batch(bytes);
            let mut group = criterion.benchmark_group(format!("exchange/{channels}x{size}"));
            let per_iteration = CHUNK * u64::from(channels);
            group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
            group.throughput(Throughput::ElementsAndBytes {
                elements: per_iteration,
                bytes: per_iteration * batch.byte_len() as u64,
            });
            for (name, mut setup) in [
                ("in-process", tasks.block_on(in_process(channels))),
                ("loopback", tasks.block_on(loopback(channels, data.handle()))),
            ] {
                group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                    bencher.iter_custom(|iterations| tasks.block_on(run(&mut setup, &batch, CHUNK * iterations)));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(exchange_benches, benches);
criterion_main!(exchange_benches);
