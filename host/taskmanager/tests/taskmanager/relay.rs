//! A guest made by hand: hands on what it gets, sets a timer, and counts its flushes in its state.

use std::fmt::Write as _;

use millrace_wire::{BatchBuilder, BatchFlags, Change, TimerChange};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The namespace of the timer that every call of `process` sets, and so the row that it becomes.
pub const TIMER_ROW: &[u8] = b"timer";
/// What every flush appends to the one value that there is.
pub const FLUSH_MARK: u8 = b'x';

/// Where results lie: all zeros, which is success with nothing.
const NOTHING: u32 = 16;
const OPEN_RESULT: u32 = 64;
const GET_RESULT: u32 = 96;
const STATES: u32 = 128;
const NAME: u32 = 256;
const TIMER: u32 = 512;
const CHANGE: u32 = 1024;
const KEYS: u32 = 1536;
const HEAP: u32 = 65_536;
/// The key `k`, as states have it: behind its length, with an empty sub-key.
const STATE_KEY: [u8; 5] = *b"\x01\0\0\0k";

fn timer() -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchFlags { timestamped: true, keyed: true });
    batch.push_timer_change(TimerChange { set: true, timestamp: 5, key: b"k", namespace: TIMER_ROW });
    batch.finish().to_vec()
}

fn change() -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
    batch.push_change(&STATE_KEY, Change::Append(&[FLUSH_MARK]));
    batch.finish().to_vec()
}

fn keys() -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
    batch.push(None, Some(&STATE_KEY), &[]);
    batch.finish().to_vec()
}

/// Appends the mark to the value of a state.
pub fn put_to(state: u32) -> String {
    format!("(call $put (i32.const {state}) (i32.const {CHANGE}) (i32.const {}))", change().len())
}

/// What functions of the guest do.
pub struct Relay {
    pub process: String,
    pub flush: String,
    pub turn: String,
}

impl Relay {
    pub fn new() -> Self {
        let process = format!(
            "(call $emit (local.get $node) (local.get $port) (local.get $ptr) (local.get $len))
             (call $set-timers (local.get $node) (i32.const 0) (i32.const {TIMER}) (i32.const {}))",
            timer().len()
        );
        Self { process, flush: put_to(0), turn: String::new() }
    }

    /// One that hands on what it gets and emits a watermark of 10 behind records of split 0, and of a million behind those
    /// of any other. Traps if it gets a record before it knows the split, or is told a watermark that the split never had.
    pub fn of_splits() -> Self {
        let of_split = "(select (i64.const 10) (i64.const 1000000) (i32.eqz (global.get $split)))";
        let process = format!(
            "(call $emit (local.get $node) (local.get $port) (local.get $ptr) (local.get $len))
             (if (i32.lt_s (global.get $split) (i32.const 0)) (then unreachable))
             (call $emit-watermark (local.get $node) {of_split})"
        );
        let turn = format!(
            "(global.set $split (local.get $split))
             (if (i32.eqz (i32.or
               (i64.eq (local.get $watermark) (i64.const {}))
               (i64.eq (local.get $watermark) {of_split}))) (then unreachable))",
            i64::MIN
        );
        Self { process, turn, ..Self::new() }
    }

    fn wat(&self) -> String {
        let Self { process, flush, turn } = self;
        let export = |name: &str, signature: &str, body: &str| {
            format!(
                "(func (export \"millrace:app/operator@0.3.0#{name}\") {signature} (result i32)
                   (global.set $free (i32.const {HEAP})) {body})\n"
            )
        };
        let ok = |body: &str| format!("{body} (i32.const {NOTHING})");
        // The answer to `get` is a batch: its one row says whether there is a value, and which.
        let finish = format!(
            "(call $get (i32.const 0) (i32.const {KEYS}) (i32.const {}) (i32.const {GET_RESULT}))
             (call $emit (local.get $node) (i32.const 0)
               (i32.load (i32.const {GET_RESULT})) (i32.load (i32.const {})))",
            keys().len(),
            GET_RESULT + 4
        );
        let timers = "(call $emit (local.get $node) (i32.const 0) (local.get $ptr) (local.get $len))";
        let mut wat = String::from("(module\n");
        for (name, signature) in [
            ("emit", "(param i32 i32 i32 i32)"),
            ("emit-watermark", "(param i32 i64)"),
            ("get", "(param i32 i32 i32 i32)"),
            ("put", "(param i32 i32 i32)"),
            ("set-timers", "(param i32 i32 i32 i32)"),
        ] {
            let _ = writeln!(wat, "(import \"millrace:app/host@0.3.0\" \"{name}\" (func ${name} {signature}))");
        }
        let _ = write!(
            wat,
            "(memory (export \"memory\") 16)
             (global $free (mut i32) (i32.const {HEAP}))
             (global $split (mut i32) (i32.const -1))
             (func (export \"cabi_realloc\") (param i32 i32 i32) (param $size i32) (result i32)
               (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
               (global.get $free)
               (global.set $free (i32.add (global.get $free) (local.get $size))))\n"
        );
        let ten = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";
        let batch = "(param $node i32) (param $port i32) (param $ptr i32) (param $len i32)";
        wat.push_str(&export("open", ten, &format!("(i32.const {OPEN_RESULT})")));
        wat.push_str(&export("process", batch, &ok(process)));
        wat.push_str(&export("poll", "(param i32 i32 i32 i32 i32 i32)", "unreachable"));
        wat.push_str(&export("turn", "(param $node i32) (param $split i32) (param $watermark i64)", &ok(turn)));
        wat.push_str(&export("watermark", "(param i32 i64)", &ok("")));
        wat.push_str(&export("timers", batch, &ok(timers)));
        wat.push_str(&export("pre-barrier", "", &ok("")));
        wat.push_str(&export("flush", "", &ok(flush)));
        wat.push_str(&export("finish", "(param $node i32)", &ok(&finish)));
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for (at, bytes) in [
            (OPEN_RESULT, words(&[0, STATES, 1])),
            // A descriptor: node 1, its name, its fingerprint.
            (STATES, words(&[1, NAME, 5, NAME, 5])),
            (NAME, b"marks".to_vec()),
            (TIMER, timer()),
            (CHANGE, change()),
            (KEYS, keys()),
        ] {
            let escaped = bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "\\{byte:02x}");
                text
            });
            let _ = writeln!(wat, "(data (i32.const {at}) \"{escaped}\")");
        }
        wat.push(')');
        wat
    }

    pub fn component(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/wit");
        let (package, _) = resolve.push_path(wit).expect("the contract parses");
        let world = resolve.select_world(&[package], Some("operators")).expect("the world exists");
        let mut module = wat::parse_str(self.wat()).expect("the WAT parses");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("a module of the world");
        encoder.encode().expect("a component")
    }
}
