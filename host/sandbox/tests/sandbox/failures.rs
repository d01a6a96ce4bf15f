//! Operators that fail, and what is said about it.

use millrace_sandbox::{GuestError, GuestErrorKind, HostError};
use millrace_types::{Failure, FailureKind, SandboxLimits};

use crate::support::{Fixture, NODE, assert_works, fixture, host};
use crate::wat::Guest;

/// The error of a guest whose `process` has this body.
async fn process(fixture: &Fixture, body: &str, limits: SandboxLimits) -> GuestError {
    let guest = Guest::application().function("process", body).with(
        r#"(func $recurse (export "recurse") (call $recurse) (call $recurse))
           (func $_ZN4shop8checkout17h0123456789abcdefE unreachable)
           (func $middle (call $_ZN4shop8checkout17h0123456789abcdefE))
           (data (i32.const 200) "no more carts")"#,
    );
    let mut instance = fixture.open_with(&guest, limits).await.unwrap();
    let error = instance.process(NODE, 0, b"x").await.unwrap_err();
    assert_eq!((error.call, error.node), ("process", Some(NODE)));
    assert_eq!(error.operator.as_deref(), Some("the operator"));
    let again = instance.process(NODE, 0, b"x").await.unwrap_err();
    assert_eq!(again.kind, GuestErrorKind::Discarded);
    error
}

#[tokio::test]
async fn a_trap_shows_the_guests_own_functions() {
    let fixture = fixture(|_| {});
    let error = process(&fixture, "(call $middle) (i32.const 16)", SandboxLimits::default()).await;
    assert_eq!(error.kind, GuestErrorKind::Trap);
    let frames: Vec<_> = error.backtrace.iter().map(|frame| frame.rsplit('!').next().unwrap()).collect();
    assert_eq!(frames[..2], ["shop::checkout", "middle"], "{:?}", error.backtrace);
    let failure = Failure::from(error);
    assert_eq!((failure.kind, failure.operator.as_deref()), (FailureKind::Trap, Some("the operator")));
    assert!(failure.remedy.is_some() && failure.backtrace.len() >= 3);
    assert_works(&fixture).await;
}

#[tokio::test]
async fn a_panic_says_why() {
    let fixture = fixture(|_| {});
    let body = "(call $report-panic (i32.const 200) (i32.const 13)) unreachable";
    let error = process(&fixture, body, SandboxLimits::default()).await;
    assert_eq!(error.kind, GuestErrorKind::Panic);
    assert_eq!(error.message, "the guest panicked: no more carts");
    assert!(!error.backtrace.is_empty());
}

#[tokio::test]
async fn a_call_without_end_hits_its_deadline_and_its_neighbours_run_on() {
    let fixture = fixture(|_| {});
    let limits = SandboxLimits { call_deadline_ms: 50, ..SandboxLimits::default() };
    let neighbour = async {
        let mut instance = fixture.open(&Guest::operators()).await;
        for _ in 0..100 {
            instance.process(NODE, 0, b"x").await.unwrap();
        }
    };
    let (error, ()) = tokio::join!(process(&fixture, "(loop $l (br $l)) unreachable", limits), neighbour);
    assert_eq!(error.kind, GuestErrorKind::Deadline);
    assert!(error.message.contains("deadline exceeded") && error.message.contains("50 ms"), "{error}");
    assert!(!error.backtrace.is_empty(), "where it loops");
}

#[tokio::test]
async fn a_guest_that_never_begins_is_stopped() {
    let fixture = fixture(|options| options.builder.sandbox.call_deadline_ms = 50);
    let guest = Guest::operators().with("(func $forever (loop $l (br $l))) (start $forever)");
    let error = fixture.open_with(&guest, SandboxLimits::default()).await.unwrap_err();
    assert_eq!((error.kind, error.call), (GuestErrorKind::Deadline, "instantiate"));
    assert_eq!(fixture.sandbox.instances_in_use(), 0);
}

#[tokio::test]
async fn memory_has_a_limit_whose_message_says_what_was_asked_for() {
    let fixture = fixture(|_| {});
    // 10 GiB: a guest that notices and aborts, and one that copes.
    let abort = "(if (i32.eq (memory.grow (i32.const 163840)) (i32.const -1)) (then unreachable)) (i32.const 16)";
    let error = process(&fixture, abort, SandboxLimits::default()).await;
    assert_eq!(error.kind, GuestErrorKind::Memory);
    assert!(error.message.contains("asked for 10737680384 bytes"), "{error}");
    assert!(error.message.contains("limit 268435456 (256 MiB)"), "{error}");
    assert!(error.message.contains("taskmanager.sandbox.memory"), "{error}");
    let copes = Guest::application().function("process", "(drop (memory.grow (i32.const 163840))) (i32.const 16)");
    let mut instance = fixture.open(&copes).await;
    instance.process(NODE, 0, b"x").await.unwrap();
    // It may not even begin with more than its limit.
    let limits = SandboxLimits { memory_bytes_max: 65_536, ..SandboxLimits::default() };
    let error = fixture.open_with(&Guest::application(), limits).await.unwrap_err();
    assert_eq!((error.kind, error.call), (GuestErrorKind::Memory, "instantiate"));
}

#[tokio::test]
async fn other_limits_of_a_call() {
    let fixture = fixture(|_| {});
    let error = process(&fixture, "(call $recurse) (i32.const 16)", SandboxLimits::default()).await;
    assert_eq!(error.kind, GuestErrorKind::Stack, "{error}");
    assert!(error.backtrace[0].ends_with("recurse"));

    let limits = SandboxLimits { output_bytes_per_call_max: 100_000, ..SandboxLimits::default() };
    let flood =
        "(loop $l (call $emit (local.get $node) (i32.const 0) (i32.const 0) (i32.const 40000)) (br $l)) unreachable";
    let error = process(&fixture, flood, limits).await;
    assert_eq!(error.kind, GuestErrorKind::OutputLimit);
    assert!(error.message.contains("120000 bytes, limit 100000"), "{error}");
    assert_works(&fixture).await;
}

#[tokio::test]
async fn a_host_that_refuses_is_quoted() {
    let fixture = fixture(|_| {});
    for (refusal, kind) in [
        (HostError::Contract("the batch's magic is wrong".to_owned()), GuestErrorKind::Contract),
        (HostError::Failed("the disk is full".to_owned()), GuestErrorKind::Host),
        (HostError::Cancelled, GuestErrorKind::Cancelled),
    ] {
        let mut instance = fixture.open(&Guest::application()).await;
        host(&mut instance).refuse_emit = Some(refusal.clone());
        let error = instance.process(NODE, 0, b"not a batch").await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(error.message, format!("`emit`: {refusal}"));
    }
    let get = "(call $get (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 16)";
    let error = process(&fixture, get, SandboxLimits::default()).await;
    assert_eq!((error.kind, error.message.as_str()), (GuestErrorKind::Contract, "`get`: no state 9"));
}

#[tokio::test]
async fn nothing_is_emitted_in_a_flush() {
    let fixture = fixture(|_| {});
    let emit = "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 16)";
    let mut instance = fixture.open(&Guest::application().function("flush", emit)).await;
    let error = instance.flush().await.unwrap_err();
    assert_eq!((error.kind, error.call), (GuestErrorKind::Contract, "flush"));
    assert!(error.message.contains("pre-barrier"), "{error}");
}

#[tokio::test]
async fn a_guest_returns_an_error_or_nonsense() {
    let fixture = fixture(|_| {});
    let returned = "(i32.store8 (i32.const 24) (i32.const 1)) (i32.store (i32.const 28) (i32.const 200))
                    (i32.store (i32.const 32) (i32.const 13)) (i32.const 24)";
    let error = process(&fixture, returned, SandboxLimits::default()).await;
    assert_eq!((error.kind, error.message.as_str()), (GuestErrorKind::Returned, "no more carts"));
    assert_eq!(Failure::from(error).kind, FailureKind::GuestError);
    let error = process(&fixture, "(i32.const -1)", SandboxLimits::default()).await;
    assert_eq!(error.kind, GuestErrorKind::Contract, "{error}");
    // 64 MiB and more in one call: more than is ever copied.
    let limits = SandboxLimits { memory_bytes_max: 1 << 30, ..SandboxLimits::default() };
    let huge = "(drop (memory.grow (i32.const 2000)))
                (call $emit (local.get $node) (i32.const 0) (i32.const 0) (i32.const 120000000)) (i32.const 16)";
    let error = process(&fixture, huge, limits).await;
    assert_eq!(error.kind, GuestErrorKind::Contract, "{error}");
}

#[tokio::test]
async fn there_is_no_room_for_more_instances_than_configured() {
    let fixture = fixture(|options| options.instances_max = 2);
    let first = fixture.open(&Guest::application()).await;
    let second = fixture.open(&Guest::application()).await;
    let error = fixture.open_with(&Guest::application(), SandboxLimits::default()).await.unwrap_err();
    assert_eq!(error.kind, GuestErrorKind::Capacity, "{error}");
    drop((first, second));
    assert_works(&fixture).await;
}
