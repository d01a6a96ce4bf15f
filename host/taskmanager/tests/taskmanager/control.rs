//! Slots, fencing, and messages that come too late.

use millrace_graph::Partitioning;
use millrace_protocol::{ToJobManager, ToTaskManager};
use millrace_types::{ExecutionState, FailureKind, LeaderEpoch};

use crate::graphs::Pipeline;
use crate::support::{Cluster, EPOCH, allocation, job};

fn pipeline() -> Pipeline {
    Pipeline {
        source: ("datagen", String::from("{}"), 1),
        partitioning: Partitioning::Rebalance,
        relay: None,
        sink: ("discard", String::from("{}"), 2),
    }
}

#[tokio::test]
async fn it_registers_and_says_that_it_is_alive() {
    let mut cluster = Cluster::start();
    let ToJobManager::Register(registration) = cluster.next_of_any_kind().await else { panic!("a registration") };
    assert_eq!((registration.slots, registration.cpu_cores), (2, 2));
    cluster.grant(1, allocation(1), job(1)).await;
    loop {
        if let ToJobManager::Heartbeat(heartbeat) = cluster.next_of_any_kind().await {
            let allocated: Vec<_> = heartbeat.allocated.iter().map(|(slot, by, of)| (slot.index, *by, *of)).collect();
            assert_eq!(allocated, [(1, allocation(1), job(1))]);
            break;
        }
    }
}

#[tokio::test]
async fn freeing_a_slot_cancels_its_tasks_first() {
    let mut cluster = Cluster::start();
    cluster.grant(0, allocation(1), job(1)).await;
    cluster.grant(1, allocation(2), job(1)).await;
    let tasks = pipeline().deployments(job(1), cluster.handle.id(), allocation(1));
    for task in &tasks {
        cluster.deploy(task).await;
    }
    cluster.wait_for(tasks[0].attempt, ExecutionState::Running).await;
    cluster.send(ToTaskManager::FreeSlot { epoch: EPOCH, allocation: allocation(1) }).await;
    let mut canceled = 0;
    loop {
        match cluster.next().await {
            ToJobManager::TaskReport(report) => {
                canceled += usize::from(report.state == ExecutionState::Canceled);
            }
            ToJobManager::SlotFreed { slot, allocation: freed } => {
                assert_eq!((slot.index, freed, canceled), (0, allocation(1), tasks.len()));
                break;
            }
            ToJobManager::SplitRequest(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    cluster.assert_clean();
    // The other slot is unused and free at once.
    cluster.send(ToTaskManager::FreeSlot { epoch: EPOCH, allocation: allocation(2) }).await;
    assert!(matches!(cluster.next().await, ToJobManager::SlotFreed { slot, .. } if slot.index == 1));
}

#[tokio::test]
async fn a_task_without_a_slot_is_refused_aloud_and_stale_messages_are_counted() {
    let mut cluster = Cluster::start();
    cluster.grant(0, allocation(1), job(1)).await;
    let tasks = pipeline().deployments(job(1), cluster.handle.id(), allocation(1));

    let mut homeless = tasks[0].clone();
    homeless.allocation = allocation(9);
    cluster.deploy(&homeless).await;
    let ToJobManager::TaskReport(report) = cluster.next().await else { panic!("a report") };
    assert_eq!((report.state, report.failure.unwrap().kind), (ExecutionState::Failed, FailureKind::NoResources));

    cluster.deploy(&tasks[0]).await;
    cluster.deploy(&tasks[0]).await;
    let old = LeaderEpoch(EPOCH.0 - 1);
    cluster.send(ToTaskManager::Cancel { epoch: old, attempt: tasks[0].attempt }).await;
    cluster.send(ToTaskManager::Cancel { epoch: EPOCH, attempt: tasks[1].attempt }).await;
    cluster.send(ToTaskManager::FreeSlot { epoch: EPOCH, allocation: allocation(7) }).await;
    // Its peers never come: it waits for them and can be cancelled.
    cluster.wait_for(tasks[0].attempt, ExecutionState::Initializing).await;
    cluster.cancel(tasks[0].attempt).await;
    cluster.wait_for(tasks[0].attempt, ExecutionState::Canceled).await;
    cluster.assert_clean();

    let stale = cluster.handle.figures().stale;
    let expected = [("duplicate-attempt", 1), ("stale-epoch", 1), ("unknown-allocation", 2), ("unknown-attempt", 1)];
    assert_eq!(stale.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_task_whose_peers_do_not_come_fails_by_itself() {
    let mut cluster =
        Cluster::start_with(None, |options| options.connect_timeout = std::time::Duration::from_millis(50));
    cluster.grant(0, allocation(1), job(1)).await;
    let tasks = pipeline().deployments(job(1), cluster.handle.id(), allocation(1));
    cluster.deploy(&tasks[1]).await;
    let report = cluster.wait_for(tasks[1].attempt, ExecutionState::Failed).await;
    let failure = report.failure.unwrap();
    assert!(failure.message.contains("was not connected"), "{failure}");
    cluster.assert_clean();
}
