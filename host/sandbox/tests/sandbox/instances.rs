//! What a well-behaved instance does.

use std::time::Duration;

use bytes::Bytes;
use millrace_sandbox::{Clock, CompilerCommand, GuestErrorKind, LogLevel, LogSource, PollStatus, StateDescriptor};
use millrace_types::{NodeId, SandboxLimits, StateKind, TenantId};

use crate::support::{Host, NODE, digest, fixture, host, into_host, spec};
use crate::wat::Guest;

#[tokio::test]
async fn what_goes_in_comes_out() {
    let fixture = fixture(|_| {});
    let mut instance = fixture.open(&Guest::application()).await;
    let large = vec![7u8; 3 << 20];
    for batch in [b"".as_slice(), b"abc", &large] {
        instance.process(NODE, 5, batch).await.unwrap();
    }
    instance.watermark(NODE, i64::MAX).await.unwrap();
    instance.timers(NODE, Clock::EventTime, b"").await.unwrap();
    instance.pre_barrier().await.unwrap();
    instance.flush().await.unwrap();
    instance.finish(NODE).await.unwrap();
    assert!(instance.memory_bytes() >= 3 << 20, "{}", instance.memory_bytes());
    assert!(instance.cpu_time() > Duration::ZERO);
    let host = into_host(instance);
    let sizes: Vec<_> = host.emitted.iter().map(|(node, port, batch)| (node.0, *port, batch.len())).collect();
    assert_eq!(sizes, [(0, 5, 0), (0, 5, 3), (0, 5, 3 << 20)]);
    assert_eq!(host.emitted[2].2, large);
}

#[tokio::test]
async fn a_component_without_a_builder_runs_and_cannot_build() {
    let fixture = fixture(|_| {});
    let guest = Guest::operators();
    let mut instance = fixture.open(&guest).await;
    instance.process(NODE, 0, b"x").await.unwrap();
    let component = fixture.compile(&guest).await;
    assert!(!component.info().exports_program && component.info().exports_operator);
    let error = fixture.sandbox.build_graph(&component, &[], 1).await.unwrap_err();
    assert_eq!(error.kind, GuestErrorKind::Contract);
}

#[tokio::test]
async fn the_host_moves_to_the_next_instance() {
    let fixture = fixture(|_| {});
    let guest = Guest::application()
        .function("process", "(call $put (i32.const 3) (local.get $ptr) (local.get $len)) (i32.const 16)");
    let component = fixture.compile(&guest).await;
    let mut host: Box<dyn millrace_sandbox::OperatorHost> = Box::new(Host::default());
    // More instances than there may be at a time: each gives its room back.
    for _ in 0..20 {
        let mut instance = fixture.sandbox.open(&component, spec(SandboxLimits::default()), host).await.unwrap();
        assert_eq!(fixture.sandbox.instances_in_use(), 1);
        instance.process(NODE, 0, b"kept").await.unwrap();
        host = instance.into_host().unwrap();
    }
    assert_eq!(fixture.sandbox.instances_in_use(), 0);
    let host: Box<dyn std::any::Any> = host;
    let host: Box<Host> = host.downcast().unwrap();
    assert_eq!(host.put, vec![(3, b"kept".to_vec()); 20]);
}

#[tokio::test]
async fn poll_and_open_return_what_the_guest_says() {
    // At 100: ok, an offset of the two bytes at 200, idle(9). At 300: ok, the state at 320, of node 0, named by the
    // two bytes at 200.
    let guest = Guest::application().function("poll", "(i32.const 100)").function("open", "(i32.const 300)").with(
        r#"(data (i32.const 100) "\00\00\00\00\c8\00\00\00\02\00\00\00\01\00\00\00\09\00\00\00")
           (data (i32.const 200) "ab")
           (data (i32.const 300) "\00\00\00\00\40\01\00\00\01\00\00\00")
           (data (i32.const 320) "\00\00\00\00\c8\00\00\00\02\00\00\00\c8\00\00\00\01\00\00\00")"#,
    );
    let fixture = fixture(|_| {});
    let mut instance = fixture.open(&guest).await;
    let state = StateDescriptor {
        node: NODE,
        name: "ab".to_owned(),
        fingerprint: "a".to_owned(),
        kind: StateKind::Keyed,
        expires: false,
    };
    assert_eq!(instance.states(), [state]);
    let polled = instance.poll(NODE, b"split", b"", 100).await.unwrap();
    assert_eq!((polled.offset, polled.status), (Bytes::from_static(b"ab"), PollStatus::Idle(9)));
}

#[tokio::test]
async fn waiting_for_buffers_is_no_running_time() {
    let fixture = fixture(|options| options.blocked_time_max = Duration::from_millis(1));
    let limits = SandboxLimits { call_deadline_ms: 20, ..SandboxLimits::default() };
    let mut instance = fixture.open_with(&Guest::application(), limits).await.unwrap();
    host(&mut instance).emit_delay = Duration::from_millis(100);
    instance.process(NODE, 0, b"x").await.unwrap();
    assert!(instance.cpu_time() < Duration::from_millis(90), "{:?}", instance.cpu_time());
}

#[tokio::test]
async fn a_busy_guest_gives_way_to_its_neighbours() {
    // One thread: while the guest counts, a neighbour gets its turns only because slices end.
    let guest = Guest::application().function(
        "process",
        "(loop $l (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const 100000000)))) (i32.const 16)",
    );
    let fixture = fixture(|_| {});
    let (sandbox, component) = (fixture.sandbox.clone(), fixture.compile(&guest).await);
    let work = tokio::spawn(async move {
        sandbox.build_graph(&component, &[], 1).await?;
        let mut instance = sandbox.open(&component, spec(SandboxLimits::default()), Box::new(Host::default())).await?;
        instance.process(NODE, 0, b"").await
    });
    let mut turns = 0u32;
    while !work.is_finished() {
        tokio::task::yield_now().await;
        turns += 1;
    }
    work.await.unwrap().unwrap();
    assert!(turns > 5, "{turns}");
}

#[tokio::test]
async fn lines_reach_the_log_and_a_flood_does_not() {
    let guest = Guest::application()
        .function(
            "process",
            "(loop $l (call $log (i32.const 1) (i32.const 200) (i32.const 2))
               (local.set $i (i32.add (local.get $i) (i32.const 1)))
               (br_if $l (i32.lt_u (local.get $i) (i32.const 5000)))) (i32.const 16)",
        )
        .with(r#"(data (i32.const 200) "hi")"#);
    let fixture = fixture(|_| {});
    let limits = SandboxLimits { log_lines_per_second_max: 10, ..SandboxLimits::default() };
    let mut instance = fixture.open_with(&guest, limits).await.unwrap();
    instance.process(NODE, 0, b"").await.unwrap();
    let lines = into_host(instance).lines;
    let passed = lines.iter().filter(|line| line.2 == "hi").count();
    assert!((10..=40).contains(&passed), "{passed}");
    assert_eq!(lines[0], (LogLevel::Warn, LogSource::Log, "hi".to_owned()));
    let last = lines.last().unwrap();
    assert!(last.1 == LogSource::Host && last.2.contains("lines were dropped"), "{last:?}");
}

#[tokio::test]
async fn a_component_is_compiled_once_and_kept_within_bounds() {
    let fixture = fixture(|options| {
        options.cache.components_max = 1;
        // A compiler that counts how often it is started.
        let script = format!("echo >> {}/starts; exec \"$@\"", options.cache_dir.display());
        let mut args = vec!["-c".to_owned(), script, "sh".to_owned()];
        args.push(options.compiler.program.to_str().unwrap().to_owned());
        args.append(&mut options.compiler.args);
        options.compiler = CompilerCommand { program: "/bin/sh".into(), args };
    });
    let bytes = Guest::application().component();
    let (first, second) = tokio::join!(fixture.try_compile(&bytes), fixture.try_compile(&bytes));
    assert_eq!(first.unwrap().digest(), second.unwrap().digest());
    let files = |tenant: &str| {
        let entries = std::fs::read_dir(fixture.directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut processes = entries.filter(|path| path.is_dir());
        let tenant = processes.next().unwrap().join(tenant);
        std::fs::read_dir(tenant).map_or(0, Iterator::count)
    };
    assert_eq!(files("default"), 1);
    // Another tenant shares nothing, and takes the only place in memory: the first one's file is loaded again.
    let other = TenantId::new("other").unwrap();
    let compiled = fixture.sandbox.compile(&other, &digest(&bytes), Bytes::from(bytes.clone())).await.unwrap();
    assert_eq!((compiled.tenant(), files("other")), (&other, 1));
    fixture.try_compile(&bytes).await.unwrap();
    assert_eq!(files("default"), 1);
    let starts = std::fs::read(fixture.directory.path().join("starts")).unwrap();
    assert_eq!(starts, b"\n\n", "once for each tenant");
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_the_instance() {
    let fixture = fixture(|_| {});
    let mut instance = fixture.open(&Guest::application()).await;
    host(&mut instance).emit_delay = Duration::from_secs(3_600);
    let call = instance.process(NODE, 0, b"x");
    assert!(tokio::time::timeout(Duration::from_millis(10), call).await.is_err());
    let error = instance.process(NodeId(0), 0, b"x").await.unwrap_err();
    assert_eq!(error.kind, GuestErrorKind::Discarded);
    assert!(!instance.is_alive());
    into_host(instance);
}
