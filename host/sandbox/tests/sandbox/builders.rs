//! What builders may and may not do.

use millrace_sandbox::{GuestErrorKind, LogSource};
use millrace_types::{Digest, NodeId, SandboxLimits};

use crate::support::{Host, assert_works, fixture, into_host, spec};
use crate::wat::Guest;

#[tokio::test]
async fn a_graph_comes_back_as_it_was_built() {
    let fixture = fixture(|_| {});
    let component = fixture.compile(&Guest::application().nodes(2)).await;
    let graph = fixture.sandbox.build_graph(&component, &["a".to_owned()], 4).await.unwrap();
    assert_eq!((graph.name.as_str(), graph.nodes.len(), graph.edges.len()), ("n", 2, 0));
    assert_eq!(graph.nodes[1].uid, "n");
    assert_eq!(graph, fixture.sandbox.build_graph(&component, &[], 4).await.unwrap());
}

#[tokio::test]
async fn another_graph_than_before_is_refused() {
    let fixture = fixture(|_| {});
    let component = fixture.compile(&Guest::application()).await;
    let digest = fixture.sandbox.build_graph(&component, &[], 4).await.unwrap().digest();
    for (expected, error) in
        [(digest, None), (Digest::from_bytes([7; 32]), Some(GuestErrorKind::NonDeterministicGraph))]
    {
        let mut spec = spec(SandboxLimits::default());
        spec.graph_digest = Some(expected);
        let opened = fixture.sandbox.open(&component, spec, Box::new(Host::default())).await;
        assert_eq!(opened.err().map(|error| error.kind), error);
    }
}

#[tokio::test]
async fn an_instance_sees_nothing_of_an_earlier_one() {
    // The number of nodes is what an earlier builder left behind in memory.
    let guest = Guest::application().function(
        "build",
        "(i32.store (i32.const 1040) (i32.load (i32.const 131072)))
         (i32.store (i32.const 131072) (i32.const 1)) (i32.const 1024)",
    );
    let fixture = fixture(|_| {});
    let component = fixture.compile(&guest).await;
    for _ in 0..3 {
        let graph = fixture.sandbox.build_graph(&component, &[], 1).await.unwrap();
        assert_eq!(graph.nodes.len(), 0);
    }
}

#[tokio::test]
async fn a_builder_that_misbehaves_is_stopped_and_explained() {
    let fixture = fixture(|options| options.builder.sandbox.call_deadline_ms = 50);
    let emit = "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 1024)";
    let cases = [
        ("(loop $l (br $l)) (i32.const 0)", GuestErrorKind::Deadline, "deadline exceeded"),
        ("unreachable", GuestErrorKind::Trap, "unreachable"),
        (emit, GuestErrorKind::Contract, "`emit` was called while the graph was being built"),
        ("(drop (call $now-ms)) (i32.const 1024)", GuestErrorKind::Contract, "`now-ms` was called while"),
        // A list of 2^28 nodes, a pointer behind the memory, a discriminant that there is not.
        ("(i32.store (i32.const 1040) (i32.const 268435456)) (i32.const 1024)", GuestErrorKind::Contract, ""),
        ("(i32.const -4)", GuestErrorKind::Contract, ""),
        ("(i32.store8 (i32.const 1024) (i32.const 9)) (i32.const 1024)", GuestErrorKind::Contract, ""),
        (
            "(i32.store8 (i32.const 24) (i32.const 1)) (i32.store (i32.const 28) (i32.const 1052))
             (i32.store (i32.const 32) (i32.const 1)) (i32.const 24)",
            GuestErrorKind::Returned,
            "n",
        ),
    ];
    for (body, kind, message) in cases {
        let component = fixture.compile(&Guest::application().function("build", body)).await;
        let error = fixture.sandbox.build_graph(&component, &[], 1).await.unwrap_err();
        assert_eq!((error.kind, error.call), (kind, "build"), "{body}: {error}");
        assert!(error.message.contains(message), "{body}: {error}");
    }
    assert_works(&fixture).await;
}

#[tokio::test]
async fn a_graph_is_held_to_its_limits() {
    let fixture = fixture(|options| {
        options.builder.nodes_max = 3;
        options.builder.text_bytes_max = 6;
    });
    for (nodes, fits) in [(2, true), (3, false), (4, false)] {
        let component = fixture.compile(&Guest::application().nodes(nodes)).await;
        let built = fixture.sandbox.build_graph(&component, &[], 1).await;
        assert_eq!(built.is_ok(), fits, "{nodes}: {built:?}");
    }
}

#[tokio::test]
async fn a_builder_may_log() {
    let guest = Guest::application()
        .function("build", "(call $log (i32.const 2) (i32.const 1052) (i32.const 1)) (i32.const 1024)");
    let fixture = fixture(|_| {});
    let instance = fixture.open(&guest).await;
    let lines = into_host(instance).lines;
    assert!(matches!(&lines[..], [(_, LogSource::Log, text)] if text == "n"), "{lines:?}");
}

#[tokio::test]
async fn splits_are_enumerated_and_bounded() {
    // At 100: ok, two splits, both the byte at 1052.
    let guest = Guest::application().function("splits", "(i32.const 100)").with(
        r#"(data (i32.const 100) "\00\00\00\00\80\00\00\00\02\00\00\00")
           (data (i32.const 128) "\1c\04\00\00\01\00\00\00\1c\04\00\00\01\00\00\00")"#,
    );
    let sandbox = fixture(|options| options.builder.splits_max = 2);
    let component = sandbox.compile(&guest).await;
    let splits = sandbox.sandbox.enumerate_splits(&component, &[], 1, NodeId(0), 2).await.unwrap();
    assert_eq!(splits, [b"n".as_slice(), b"n"]);
    let sandbox = fixture(|options| options.builder.splits_max = 1);
    let component = sandbox.compile(&guest).await;
    let error = sandbox.sandbox.enumerate_splits(&component, &[], 1, NodeId(0), 2).await.unwrap_err();
    assert_eq!((error.kind, error.call), (GuestErrorKind::TooMuch, "splits"));
}
