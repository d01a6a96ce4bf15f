//! What it costs to call a guest: with nothing, with a full batch, and with keys whose state is in the guest's cache.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::io::Read;

use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use millrace::batch::BatchWriter;
use millrace::{Data, Text};
use millrace_graph::{GuestCode, StreamGraph};
use millrace_sandbox::{
    Clock, CompiledComponent, CompilerCommand, HostError, LogLevel, LogSource, OpenSpec, OperatorHost,
    OperatorInstance, OperatorSpec, Sandbox, SandboxOptions,
};
use millrace_tests::repository;
use millrace_types::{
    BATCH_BYTES, Digest, EventTime, MIN_EVENT_TIME, NodeId, RECORD_BYTES_MAX, STATE_CACHE_BYTES, SandboxLimits,
    TenantId,
};
use nexmark::events::Bid;
use nexmark::sentences::word;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

/// Drops output and has no state: what is measured is the way there.
struct Nowhere;

fn no_rows() -> Vec<u8> {
    BatchWriter::new(false, true).finish().to_vec()
}

#[async_trait]
impl OperatorHost for Nowhere {
    async fn emit(&mut self, _: NodeId, _: u32, _: Bytes) -> Result<(), HostError> {
        Ok(())
    }

    fn emit_watermark(&mut self, _: NodeId, _: EventTime) -> Result<(), HostError> {
        Ok(())
    }

    fn get(&mut self, _: u32, _: &[u8]) -> Result<Vec<u8>, HostError> {
        Ok(no_rows())
    }

    fn scan(&mut self, _: u32, _: &[u8], _: Option<&[u8]>, _: u32) -> Result<Vec<u8>, HostError> {
        Ok(no_rows())
    }

    fn put(&mut self, _: u32, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn set_timers(&mut self, _: NodeId, _: Clock, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn now_ms(&mut self) -> i64 {
        0
    }

    fn log(&mut self, _: LogLevel, _: &str, _: LogSource) {}
}

/// The component of the bundle.
fn component() -> Bytes {
    let file = std::fs::File::open(repository::bundle("nexmark").unwrap()).unwrap();
    let mut archive = zip::ZipArchive::new(file).unwrap();
    let mut bytes = Vec::new();
    archive.by_name("nexmark.wasm").unwrap().read_to_end(&mut bytes).unwrap();
    Bytes::from(bytes)
}

struct Fixture {
    runtime: Runtime,
    sandbox: Sandbox,
    component: CompiledComponent,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let program = repository::millrace().unwrap();
        let compiler = CompilerCommand { program, args: vec!["compile-component".to_owned()] };
        let sandbox = Sandbox::new(SandboxOptions::new(folder.path(), compiler)).unwrap();
        let bytes = component();
        let (tenant, digest) = (TenantId::default_tenant(), Digest::from_bytes(Sha256::digest(&bytes).into()));
        let component = runtime.block_on(sandbox.compile(&tenant, &digest, bytes)).unwrap();
        Self { runtime, sandbox, component, _folder: folder }
    }

    /// The operator of this name in an instance of its own.
    fn open(&self, query: &str, name: &str) -> (OperatorInstance, NodeId) {
        let args = vec!["--query".to_owned(), query.to_owned()];
        let build = self.sandbox.build_graph(&self.component, &args, 1);
        let graph: StreamGraph = self.runtime.block_on(build).unwrap();
        let (node, found) = graph.nodes.iter().enumerate().find(|(_, node)| node.name == name).unwrap();
        let node = NodeId(node as u32);
        let operator = OperatorSpec {
            node,
            uid: found.uid.clone(),
            name: name.to_owned(),
            code: GuestCode::default(),
            watermark: MIN_EVENT_TIME,
        };
        let spec = OpenSpec {
            args,
            default_parallelism: 1,
            graph_digest: Some(graph.digest()),
            operators: vec![operator],
            subtask: 0,
            parallelism: 1,
            max_parallelism: 128,
            batch_bytes: BATCH_BYTES,
            record_bytes_max: RECORD_BYTES_MAX,
            state_cache_bytes: STATE_CACHE_BYTES,
            limits: SandboxLimits::default(),
        };
        let opening = self.sandbox.open(&self.component, spec, Box::new(Nowhere));
        (self.runtime.block_on(opening).unwrap(), node)
    }
}

/// A batch of one bid that q2 does not watch, with this much text.
fn one_bid(bytes: usize) -> Vec<u8> {
    let (channel, url, extra) = (Text::default(), Text::default(), "x".repeat(bytes).into());
    let bid = Bid { auction: 1, bidder: 1, price: 1, channel, url, time: 1, extra };
    let mut writer = BatchWriter::new(false, false);
    writer.row(0, &[], &bid.to_bytes());
    writer.finish().to_vec()
}

/// As many words as a batch holds, none twice.
fn words() -> (Vec<u8>, u64) {
    let mut writer = BatchWriter::new(false, true);
    let mut count = 0;
    while writer.size_bytes() < BATCH_BYTES as usize {
        writer.row(0, &word(count).to_bytes(), &[]);
        count += 1;
    }
    (writer.finish().to_vec(), count)
}

fn boundary(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let (mut watched, node) = fixture.open("q2", "watched");
    let mut group = criterion.benchmark_group("boundary");
    let empty = BatchWriter::new(false, false).finish().to_vec();
    for (name, batch) in [("an empty batch", empty), ("64 KiB in one row", one_bid(64 * 1024 - 256))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| fixture.runtime.block_on(watched.process(node, 0, &batch)).unwrap());
        });
    }
    let (mut count, node) = fixture.open("wc", "count");
    let (batch, words) = words();
    group.throughput(Throughput::Elements(words));
    group.bench_function("words whose counts are cached", |bencher| {
        bencher.iter(|| fixture.runtime.block_on(count.process(node, 0, &batch)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, boundary);
criterion_main!(benches);
