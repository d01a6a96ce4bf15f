//! Jobs with a guest between a native source and a native sink.

use millrace_graph::Partitioning;
use millrace_protocol::ToTaskManager;
use millrace_types::{Digest, ExecutionState, Failure, FailureKind, TenantId};
use sha2::Digest as _;

use crate::graphs::{Pipeline, Relay};
use crate::relay::{self, FLUSH_MARK, TIMER_ROW};
use crate::support::{Cluster, EPOCH, allocation, job};

const ROWS: u64 = 20_000;

fn pipeline(component: &[u8], partitioning: Partitioning, sources: u32, seed: Option<u64>) -> Pipeline {
    let component = Digest::from_bytes(sha2::Sha256::digest(component).into());
    Pipeline {
        source: ("datagen", format!("{{\"rows\": {ROWS}}}"), sources),
        partitioning,
        relay: Some(Relay { component, discard_instances_seed: seed, generates_watermarks: false }),
        sink: ("collect", String::from("{}"), 1),
    }
}

/// Runs the relay, and takes the rows of its input, its timer and its last word apart.
async fn relay(partitioning: Partitioning, sources: u32, seed: Option<u64>) -> Vec<u8> {
    let component = relay::Relay::new().component();
    let pipeline = pipeline(&component, partitioning, sources, seed);
    let mut cluster = Cluster::start_with(Some(component), |_| ());
    let (tasks, outcome) = cluster.run(&pipeline).await;
    assert_eq!(tasks.len(), if sources == 1 { 1 } else { 1 + sources as usize }, "chained where it can be");
    for report in outcome.last.values() {
        assert_eq!(report.state, ExecutionState::Finished, "{:?}", report.failure);
    }
    let (mut numbers, mut timers, mut last) = (Vec::new(), 0, Vec::new());
    for row in outcome.rows {
        match std::str::from_utf8(&row).ok().and_then(|text| text.parse::<u64>().ok()) {
            Some(number) => numbers.push(number),
            None if row == TIMER_ROW => {
                timers += 1;
                assert!(last.is_empty(), "timers fire before the operator finishes");
            }
            None => last.push(row),
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..ROWS).collect::<Vec<_>>());
    assert_eq!(timers, 1, "a timer that is set again and again is one timer");
    assert_eq!(last.len(), 1);
    cluster.assert_clean();
    last.remove(0)
}

#[tokio::test]
async fn records_timers_and_state_pass_through_a_guest() {
    assert_eq!(relay(Partitioning::Forward, 1, None).await, [0], "nothing was flushed");
    assert_eq!(relay(Partitioning::Rebalance, 2, None).await, [0]);
}

#[tokio::test]
async fn nothing_is_lost_when_instances_are_thrown_away() {
    for seed in 0..3 {
        for (partitioning, sources) in [(Partitioning::Forward, 1), (Partitioning::Rebalance, 2)] {
            let answer = relay(partitioning, sources, Some(seed)).await;
            let (present, marks) = answer.split_first().unwrap();
            // Each flush left its mark, and each new instance found those of the ones before.
            assert!(*present == 1 && !marks.is_empty() && marks.iter().all(|mark| *mark == FLUSH_MARK), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_component_is_compiled_before_its_first_task_and_not_again() {
    let component = relay::Relay::new().component();
    let pipeline = pipeline(&component, Partitioning::Rebalance, 1, None);
    let mut cluster = Cluster::start_with(Some(component.clone()), |_| ());
    let digest = pipeline.relay.as_ref().unwrap().component;
    let unknown = Digest::from_bytes([7; 32]);
    let (tenant, components) = (TenantId::default_tenant(), vec![unknown, digest, digest]);
    cluster.send(ToTaskManager::Prefetch { epoch: EPOCH, tenant, components }).await;
    while cluster.handle.figures().components == 0 {
        // Heartbeats come all the time.
        cluster.next_of_any_kind().await;
    }
    assert_eq!(cluster.handle.figures().compilations, 1, "what has other bytes than its digest says is left out");
    let (_, outcome) = cluster.run(&pipeline).await;
    assert!(outcome.last.values().all(|report| report.state == ExecutionState::Finished));
    assert_eq!(cluster.handle.figures().compilations, 1);
}

async fn failure_of(relay: relay::Relay) -> Failure {
    let component = relay.component();
    let mut cluster = Cluster::start_with(Some(component.clone()), |_| ());
    let (tasks, outcome) = cluster.run(&pipeline(&component, Partitioning::Rebalance, 2, None)).await;
    cluster.assert_clean();
    let guest = tasks.last().unwrap().attempt;
    let failure = outcome.last[&guest].failure.clone().expect("the guest's task failed");
    assert_eq!(failure.operator.as_deref(), Some("relay"), "{failure}");
    failure
}

#[tokio::test]
async fn what_breaks_the_contract_fails_the_task_and_says_why() {
    let failing = |process: &str| relay::Relay { process: process.to_owned(), ..relay::Relay::new() };
    let emit = |port: u32, ptr: &str, len: &str| {
        failing(&format!("(call $emit (local.get $node) (i32.const {port}) {ptr} {len})"))
    };
    let failure = failure_of(emit(7, "(local.get $ptr)", "(local.get $len)")).await;
    assert_eq!(failure.kind, FailureKind::Contract);
    assert!(failure.message.contains("port 7"), "{failure}");

    let failure = failure_of(emit(0, "(local.get $ptr)", "(i32.const 9)")).await;
    assert_eq!(failure.kind, FailureKind::Contract);
    assert!(failure.message.contains("malformed batch") && failure.remedy.is_some(), "{failure}");

    let failure = failure_of(failing(&relay::put_to(3))).await;
    assert_eq!(failure.kind, FailureKind::Contract);
    assert!(failure.message.contains("no state 3"), "{failure}");

    let failure = failure_of(failing("unreachable")).await;
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(!failure.backtrace.is_empty(), "{failure}");
}

#[tokio::test]
async fn a_guest_that_never_returns_can_be_cancelled() {
    let component = relay::Relay { process: "(loop $ever (br $ever))".to_owned(), ..relay::Relay::new() }.component();
    let pipeline = pipeline(&component, Partitioning::Forward, 1, None);
    let mut cluster = Cluster::start_with(Some(component), |options| options.cores = 1);
    cluster.grant(0, allocation(1), job(1)).await;
    let tasks = pipeline.deployments(job(1), cluster.handle.id(), allocation(1));
    cluster.deploy(&tasks[0]).await;
    cluster.answer_split_request(&pipeline).await;
    cluster.wait_until_busy(tasks[0].attempt).await;
    cluster.cancel(tasks[0].attempt).await;
    cluster.wait_for(tasks[0].attempt, ExecutionState::Canceled).await;
    cluster.assert_clean();
}
