//! What guests see of WASI.

use std::time::Duration;

use millrace_sandbox::{GuestErrorKind, LogLevel, LogSource};
use millrace_types::NodeId;

use crate::support::{NODE, assert_works, fixture, host, into_host};
use crate::wat::Guest;

#[tokio::test]
async fn nobody_sleeps_forever() {
    let guest = Guest::application()
        .import("clocks/monotonic-clock", "subscribe-duration", "after", "(param i64) (result i32)")
        .import("io/poll", "[method]pollable.block", "block", "(param i32)")
        .function("process", "(call $block (call $after (i64.const 1000000000000000000))) (i32.const 16)")
        .function("flush", "(call $block (call $after (i64.const 1000000))) (i32.const 16)");
    let fixture = fixture(|options| options.blocked_time_max = Duration::from_millis(50));
    let mut instance = fixture.open(&guest).await;
    instance.flush().await.unwrap();
    let error = instance.process(NODE, 0, b"").await.unwrap_err();
    assert_eq!(error.kind, GuestErrorKind::Blocked);
    assert!(error.message.contains("more than 50 ms"), "{error}");
    drop(instance);
    assert_works(&fixture).await;
}

/// Stores a random number, the running clock and the clock on the wall at 32, 40 and 48.
const OBSERVE: &str = "(i64.store (i32.const 32) (call $random)) (i64.store (i32.const 40) (call $monotonic))
                       (call $wall (i32.const 48))";

fn observer() -> Guest {
    Guest::application()
        .import("random/random", "get-random-u64", "random", "(result i64)")
        .import("clocks/monotonic-clock", "now", "monotonic", "(result i64)")
        .import("clocks/wall-clock", "now", "wall", "(param i32)")
        .function("splits", &format!("{OBSERVE} (i32.const 100)"))
        .function(
            "process",
            &format!("{OBSERVE} (call $emit (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 24)) (i32.const 16)"),
        )
        // One split, the 24 bytes at 32.
        .with(
            r#"(data (i32.const 100) "\00\00\00\00\80\00\00\00\01\00\00\00")
               (data (i32.const 128) "\20\00\00\00\18\00\00\00")"#,
        )
}

fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

#[tokio::test]
async fn time_and_chance_stand_still_for_the_builder_alone() {
    let fixture = fixture(|_| {});
    let component = fixture.compile(&observer()).await;
    let mut built = Vec::new();
    for _ in 0..2 {
        let splits = fixture.sandbox.enumerate_splits(&component, &[], 1, NodeId(0), 1).await.unwrap();
        built.push(numbers(&splits[0]));
    }
    assert_eq!(built[0], built[1]);
    assert_eq!(built[0][1..], [0, 946_684_800]);

    let mut instance = fixture.open(&observer()).await;
    instance.process(NODE, 0, b"").await.unwrap();
    instance.process(NODE, 0, b"").await.unwrap();
    let emitted: Vec<_> = host(&mut instance).emitted.iter().map(|(_, _, batch)| numbers(batch)).collect();
    assert_ne!(emitted[0][0], emitted[1][0]);
    assert_ne!(emitted[0][0], built[0][0]);
    assert!(emitted[1][1] > emitted[0][1] && emitted[0][2] > 1_700_000_000, "{emitted:?}");
}

#[tokio::test]
async fn standard_output_is_lines_of_the_log() {
    let write = "(call $write (call $stdout) (i32.const 200) (i32.const 7) (i32.const 24)) (i32.const 16)";
    let guest = Guest::application()
        .import("cli/stdout", "get-stdout", "stdout", "(result i32)")
        .import("io/streams", "[method]output-stream.blocking-write-and-flush", "write", "(param i32 i32 i32 i32)")
        .function("process", write)
        .with(r#"(data (i32.const 200) "one\ntwo")"#);
    let fixture = fixture(|_| {});
    let mut instance = fixture.open(&guest).await;
    instance.process(NODE, 0, b"").await.unwrap();
    instance.process(NODE, 0, b"").await.unwrap();
    let line = |text: &str| (LogLevel::Info, LogSource::Stdout, text.to_owned());
    assert_eq!(into_host(instance).lines, [line("one"), line("twoone"), line("two")]);
}

#[tokio::test]
async fn what_is_not_granted_fails_at_the_call() {
    let fixture = fixture(|_| {});
    let http = Guest::application()
        .import("http/outgoing-handler", "handle", "handle", "(result i32)")
        .function("process", "(drop (call $handle)) (i32.const 16)");
    let mut instance = fixture.open(&http).await;
    instance.flush().await.unwrap();
    let error = instance.process(NODE, 0, b"").await.unwrap_err();
    assert!(error.message.contains("wasi:http/outgoing-handler@0.2.6#handle"), "{error}");

    let exit = Guest::application()
        .import("cli/exit", "exit", "exit", "(param i32)")
        .function("process", "(call $exit (i32.const 1)) (i32.const 16)");
    let error = fixture.open(&exit).await.process(NODE, 0, b"").await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (GuestErrorKind::Trap, "the guest exited with code 1"));
}
