//! Guests in WAT: a core module with every export of the contract, each of which a test may replace.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the graph that `build` returns lies, and where the others return theirs.
const GRAPH: usize = 1024;
/// Behind all data: what `cabi_realloc` hands out, anew for every call.
const HEAP: usize = 65_536;

/// What these tests use of WASI, as its own WIT has it, and of `wasi:http` something that nobody implements.
const WASI: [&str; 6] = [
    "package wasi:io@0.2.6;
     interface error { resource error { to-debug-string: func() -> string; } }
     interface poll { resource pollable { ready: func() -> bool; block: func(); } }
     interface streams {
       use error.{error};
       variant stream-error { last-operation-failed(error), closed }
       resource output-stream { blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>; }
     }",
    "package wasi:clocks@0.2.6;
     interface monotonic-clock {
       use wasi:io/poll@0.2.6.{pollable};
       now: func() -> u64;
       subscribe-duration: func(when: u64) -> pollable;
     }
     interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }",
    "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; }",
    "package wasi:cli@0.2.6;
     interface exit { exit: func(status: result); }
     interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }",
    "package wasi:http@0.2.6; interface outgoing-handler { handle: func() -> u32; }",
    "package test:worlds;
     world wasi {
       include millrace:app/application@0.3.0;
       import wasi:io/poll@0.2.6; import wasi:io/streams@0.2.6;
       import wasi:clocks/monotonic-clock@0.2.6; import wasi:clocks/wall-clock@0.2.6;
       import wasi:random/random@0.2.6; import wasi:cli/exit@0.2.6; import wasi:cli/stdout@0.2.6;
       import wasi:http/outgoing-handler@0.2.6;
     }",
];

/// A guest to be.
pub struct Guest {
    world: &'static str,
    imports: String,
    functions: Vec<(&'static str, String)>,
    extra: String,
    nodes: usize,
}

const SIGNATURES: [(&str, &str); 11] = [
    ("build", "(param $args i32) (param $args_len i32) (param $parallelism i32) (result i32)"),
    ("splits", "(param $node i32) (param $parallelism i32) (result i32)"),
    (
        "open",
        "(param $operators i32) (param $operators_len i32) (param $args i32) (param $args_len i32) (param $subtask i32)
         (param $parallelism i32) (param $max_parallelism i32) (param $batch i32) (param $record i32) (param $cache i32)
         (result i32)",
    ),
    ("process", "(param $node i32) (param $port i32) (param $ptr i32) (param $len i32) (result i32)"),
    (
        "poll",
        "(param $node i32) (param $split i32) (param $split_len i32) (param $ptr i32) (param $len i32)
         (param $max i32) (result i32)",
    ),
    ("turn", "(param $node i32) (param $split i32) (param $watermark i64) (result i32)"),
    ("watermark", "(param $node i32) (param $timestamp i64) (result i32)"),
    ("timers", "(param $node i32) (param $clock i32) (param $ptr i32) (param $len i32) (result i32)"),
    ("pre-barrier", "(result i32)"),
    ("flush", "(result i32)"),
    ("finish", "(param $node i32) (result i32)"),
];

/// What the functions do unless a test says otherwise: everything that comes in goes out, by the same port.
const EMIT: &str = "(call $emit (local.get $node) (local.get $port) (local.get $ptr) (local.get $len)) (i32.const 16)";

impl Guest {
    /// A guest with a builder, whose graph has one operator.
    pub fn application() -> Self {
        Self { world: "application", imports: String::new(), functions: Vec::new(), extra: String::new(), nodes: 1 }
    }

    /// A guest without a builder.
    pub fn operators() -> Self {
        Self { world: "operators", ..Self::application() }
    }

    /// Replaces the body of an exported function. `(i32.const 16)` at its end returns success with nothing.
    pub fn function(mut self, name: &'static str, body: &str) -> Self {
        self.functions.push((name, body.to_owned()));
        self
    }

    /// Adds to the module.
    pub fn with(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self
    }

    /// Imports a function of WASI.
    pub fn import(mut self, interface: &str, name: &str, id: &str, signature: &str) -> Self {
        self.world = "wasi";
        let _ = writeln!(self.imports, "(import \"wasi:{interface}@0.2.6\" \"{name}\" (func ${id} {signature}))");
        self
    }

    /// Says how many operators the graph has.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    fn body(&self, name: &str) -> String {
        let replaced = self.functions.iter().find(|(other, _)| *other == name).map(|(_, body)| body.clone());
        let default = match name {
            "build" => format!("(i32.const {GRAPH})"),
            "process" => EMIT.to_owned(),
            _ => "(i32.const 16)".to_owned(),
        };
        replaced.unwrap_or(default)
    }

    fn wat(&self) -> String {
        let mut wat = String::from("(module\n");
        for (name, signature) in [
            ("emit", "(param i32 i32 i32 i32)"),
            ("emit-watermark", "(param i32 i64)"),
            ("get", "(param i32 i32 i32 i32)"),
            ("put", "(param i32 i32 i32)"),
            ("now-ms", "(result i64)"),
            ("log", "(param i32 i32 i32)"),
            ("report-panic", "(param i32 i32)"),
        ] {
            let _ = writeln!(wat, "(import \"millrace:app/host@0.3.0\" \"{name}\" (func ${name} {signature}))");
        }
        wat.push_str(&self.imports);
        let _ = writeln!(
            wat,
            "(memory (export \"memory\") 4)
             (global $free (mut i32) (i32.const {HEAP}))
             (func (export \"cabi_realloc\") (param $old i32) (param i32) (param i32) (param $size i32) (result i32)
               (local $at i32) (local $end i32)
               (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
               (local.set $end (i32.add (local.get $at) (local.get $size)))
               (block $fits (loop $more
                 (br_if $fits (i32.le_u (local.get $end) (i32.mul (memory.size) (i32.const 65536))))
                 (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
                 (br $more)))
               (global.set $free (local.get $end))
               (local.get $at))
             {}",
            self.extra
        );
        for (name, signature) in SIGNATURES {
            let interface = if matches!(name, "build" | "splits") { "program" } else { "operator" };
            if self.world == "operators" && interface == "program" {
                continue;
            }
            let _ = writeln!(
                wat,
                "(func $f-{name} (export \"millrace:app/{interface}@0.3.0#{name}\") {signature} (local $i i32)
                   (global.set $free (i32.const {HEAP})) {})",
                self.body(name)
            );
        }
        let _ = writeln!(wat, "(data (i32.const {GRAPH}) \"{}\"))", escape(&graph(self.nodes)));
        wat
    }

    /// The core module.
    pub fn module(&self) -> Vec<u8> {
        wat::parse_str(self.wat()).expect("the test's WAT parses")
    }

    /// The component.
    pub fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit");
        let (package, _) = resolve.push_path(wit).expect("the contract parses");
        let world = if self.world == "wasi" {
            let packages = WASI.map(|text| resolve.push_str("wasi.wit", text).expect("WASI parses"));
            resolve.select_world(&packages[WASI.len() - 1..], Some("wasi"))
        } else {
            resolve.select_world(&[package], Some(self.world))
        }
        .expect("the world exists");
        let mut module = self.module();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("a module of the world");
        encoder.encode().expect("a component")
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    })
}

/// A graph as the canonical ABI lays it out at [`GRAPH`]: `ok`, the record, then the nodes, each named `n`.
fn graph(nodes: usize) -> Vec<u8> {
    const NODE_BYTES: usize = 128;
    let text = GRAPH + 28;
    let list = text + 4;
    let mut bytes = Vec::new();
    let mut words = |words: &[usize]| {
        for word in words {
            bytes.extend_from_slice(&u32::try_from(*word).unwrap().to_le_bytes());
        }
    };
    words(&[0, text, 1, list, nodes, 0, 0]);
    words(&[usize::from(b'n')]);
    for _ in 0..nodes {
        // uid and name; kind 1, an operator, whose code is all empty; three options that are none; two flags; two more
        // options, of eight-byte alignment.
        words(&[text, 1, text, 1, 1, 0, 0, 0, text, 0, text, 0]);
        words(&[0; 20]);
    }
    assert_eq!(bytes.len(), 32 + nodes * NODE_BYTES);
    bytes
}
