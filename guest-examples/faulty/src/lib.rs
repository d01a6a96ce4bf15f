//! A guest without an SDK that breaks the contract on purpose. The run's first argument names the fault: those of the
//! builder show in `build`, those of the operator in `process`.

#![cfg(target_arch = "wasm32")]

use std::cell::Cell;

wit_bindgen::generate!({ path: "../../sdk/wit", world: "application" });

use exports::millrace::app::operator::{self, OpenContext, PollStatus, Polled, StateDescriptor};
use exports::millrace::app::program::{self, BuildContext};
use millrace::app::graph::{
    Chaining, Edge, Format, GuestCode, NativeConnector, Node, NodeKind, Partitioning, StreamGraph,
};
use millrace::app::host::{self, Clock};

struct Faulty;
export!(Faulty);

/// Rows of the source; the operator fails long before the last one.
const ROWS: u32 = 100_000;

/// Where the number of rows of a batch is.
const ROW_COUNT: std::ops::Range<usize> = 8..12;

/// A batch without rows.
const EMPTY_BATCH: &[u8] = b"MRB1\0\0\0\0\0\0\0\0\x10\0\0\0";

thread_local! {
    static FAULT: Cell<&'static str> = const { Cell::new("") };
    static ROWS_SEEN: Cell<u32> = const { Cell::new(0) };
}

fn fault(args: &[String]) -> &'static str {
    FAULT.set(args.first().cloned().unwrap_or_default().leak());
    FAULT.get()
}

fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        uid: name.to_owned(),
        name: name.to_owned(),
        kind,
        parallelism: None,
        max_parallelism: None,
        slot_sharing_group: None,
        chaining: Chaining::Always,
        generates_watermarks: false,
        idle_timeout_ms: None,
        alignment: None,
    }
}

fn edge(source: u32, target: u32) -> Edge {
    Edge { source, source_port: 0, target, target_port: 0, partitioning: Partitioning::Forward, format: Format::Raw }
}

fn native(connector: &str, options: String) -> NativeConnector {
    NativeConnector { connector: connector.to_owned(), options }
}

/// Source → operator → sink, with the faults that a graph can have.
fn graph(fault: &str) -> StreamGraph {
    let component = (fault == "unknown-component").then(|| "nowhere".to_owned());
    let code = GuestCode { component, function: String::new(), config: String::new() };
    let unbounded = matches!(fault, "unbounded" | "passes" | "slow" | "never-returns");
    let rows = if unbounded { "null".to_owned() } else { ROWS.to_string() };
    let source = native("datagen", format!(r#"{{"kind": "sequence", "rows": {rows}}}"#));
    let mut graph = StreamGraph {
        name: "faulty".to_owned(),
        nodes: vec![
            node("numbers", NodeKind::NativeSource(source)),
            node("breaks", NodeKind::Operator(code)),
            node("nothing", NodeKind::NativeSink(native("discard", "{}".to_owned()))),
        ],
        edges: vec![edge(0, 1), edge(1, 2)],
    };
    if matches!(fault, "passes" | "slow") {
        // No fault: two vertices with an exchange between them.
        graph.edges[0].partitioning = Partitioning::Rebalance;
    }
    if fault == "guest-source" {
        // No fault: a source in the guest, straight into a sink that hands its rows to the client.
        let code = GuestCode { component: None, function: String::new(), config: String::new() };
        graph.nodes = vec![
            node("polls", NodeKind::Source(code)),
            node("rows", NodeKind::NativeSink(native("collect", "{}".to_owned()))),
        ];
        graph.edges = vec![edge(0, 1)];
    }
    if fault == "cyclic" {
        graph.edges.push(Edge { target_port: 1, ..edge(1, 1) });
    }
    graph
}

impl program::Guest for Faulty {
    fn build(context: BuildContext) -> Result<StreamGraph, String> {
        match fault(&context.args) {
            "build-loops" => loop {
                std::hint::spin_loop();
            },
            "build-traps" => core::arch::wasm32::unreachable(),
            "build-emits" => host::emit(0, 0, &[]),
            "build-fails" => return Err("the builder has a reason".to_owned()),
            _ => (),
        }
        Ok(graph(FAULT.get()))
    }

    /// Three splits whatever the parallelism: `a`, `b` and `c`.
    fn splits(_: u32, _: u32) -> Result<Vec<Vec<u8>>, String> {
        Ok(vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()])
    }
}

/// Keeps a processor busy. A named function, so that a flame graph has something to show.
#[inline(never)]
fn work_for_ms(ms: i64) {
    let until = host::now_ms() + ms;
    while host::now_ms() < until {
        std::hint::spin_loop();
    }
}

/// Asks for ten gibibytes, sixteen mebibytes at a time.
fn ask_for_ten_gib() {
    let held: Vec<Vec<u8>> = (0..640).map(|_| vec![1; 16 << 20]).collect();
    host::log(host::Level::Info, &format!("{} pieces were had", held.len()));
}

#[allow(unconditional_recursion, reason = "the fault that is asked for")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(depth + 1)) + depth)
}

/// A named function, so that a backtrace has something to show.
#[inline(never)]
fn fail_at_record_1000(rows: u32) {
    let seen = ROWS_SEEN.get() + rows;
    ROWS_SEEN.set(seen);
    if seen >= 1_000 {
        host::report_panic("panicked at record 1000");
        core::arch::wasm32::unreachable();
    }
}

impl operator::Guest for Faulty {
    fn open(context: OpenContext) -> Result<Vec<StateDescriptor>, String> {
        match fault(&context.args) {
            "open-fails" => Err("the operator has a reason".to_owned()),
            _ => Ok(Vec::new()),
        }
    }

    fn process(node: u32, port: u32, batch: Vec<u8>) -> Result<(), String> {
        let rows = batch.get(ROW_COUNT).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        match FAULT.get() {
            "panic-at-1000" => fail_at_record_1000(rows),
            "never-returns" => loop {
                std::hint::spin_loop();
            },
            "slow" => work_for_ms(50),
            "ten-gib" => ask_for_ten_gib(),
            "recurses" => drop(recurse(0)),
            "returns-an-error" => return Err("record 17 is not to my liking".to_owned()),
            "malformed-batch" => host::emit(node, 0, b"MRB1 and then nothing that makes sense"),
            "truncated-batch" => host::emit(node, 0, &batch[..batch.len() - 1]),
            "unknown-port" => host::emit(node, 7, &batch),
            "unknown-node" => host::emit(99, 0, &batch),
            "unknown-state" => drop(host::get(3, &batch)),
            "floods-the-log" => (0..100_000).for_each(|line| host::log(host::Level::Info, &format!("line {line}"))),
            _ => (),
        }
        host::emit(node, port, &batch);
        Ok(())
    }

    /// Five rows of a split, one a call: the split's letter and the number, which is the offset's length.
    fn poll(node: u32, split: Vec<u8>, mut offset: Vec<u8>, _: u32) -> Result<Polled, String> {
        let mut batch = EMPTY_BATCH.to_vec();
        batch[8] = 1;
        batch.extend_from_slice(&[split[0], b'0' + offset.len() as u8]);
        batch[12] = 18;
        batch.extend_from_slice(&18u32.to_le_bytes());
        host::emit(node, 0, &batch);
        offset.push(0);
        let status = if offset.len() == 5 { PollStatus::Finished } else { PollStatus::More };
        Ok(Polled { offset, status })
    }

    fn turn(_: u32, _: u32, _: i64) -> Result<(), String> {
        Ok(())
    }

    fn watermark(_: u32, _: i64) -> Result<(), String> {
        Ok(())
    }

    fn timers(_: u32, _: Clock, _: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn pre_barrier() -> Result<(), String> {
        Ok(())
    }

    fn flush() -> Result<(), String> {
        if FAULT.get() == "emit-in-flush" {
            host::emit(1, 0, EMPTY_BATCH);
        }
        Ok(())
    }

    fn finish(_: u32) -> Result<(), String> {
        Ok(())
    }
}
