//! The figure of Flink's overview, with slots that are really allocated: A, B and D at parallelism 4, C and E at 2; A
//! and C are sources, E is the sink; two TaskManagers of two slots each.

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{Command, Input, RestartStrategy};
use millrace_types::JobStatus;

use crate::cluster::Cluster;
use crate::graphs::{edge, guest_source, job_graph, operator, sink};

fn five_operators() -> JobGraph {
    job_graph(
        vec![
            guest_source("A", 4),
            operator("B", 4, "main"),
            guest_source("C", 2),
            operator("D", 4, "main"),
            sink("E", 2),
        ],
        vec![
            edge(0, 1, Partitioning::Rebalance),
            edge(1, 3, Partitioning::Hash),
            edge(2, 3, Partitioning::Hash),
            edge(3, 4, Partitioning::Rescale),
        ],
    )
}

fn started(task_managers: &[&str]) -> Cluster {
    let mut cluster = Cluster::new(five_operators(), RestartStrategy::None, task_managers);
    cluster.tell_job(Input::Start);
    cluster
}

#[test]
fn two_task_managers_of_two_slots_run_the_five_operators() {
    let cluster = started(&["one", "two"]);
    assert_eq!(cluster.status(), JobStatus::Running);
    assert!(cluster.commands.contains(&Command::RequestSlots { count: 4 }));
    assert_eq!((cluster.manager.slots_total(), cluster.manager.slots_free()), (4, 0));
    assert_eq!(cluster.deployed.len(), 4, "exactly four slots are used");
    for operator in ["A", "B", "D"] {
        assert!(cluster.deployed.values().all(|operators| operators.contains(operator)), "{operator} is in each slot");
    }
    for operator in ["C", "E"] {
        let slots = cluster.deployed.values().filter(|operators| operators.contains(operator)).count();
        assert_eq!(slots, 2, "{operator} is in two slots");
    }
    let subtasks: u32 = cluster.job.view().task_counts().values().sum();
    assert_eq!(subtasks, 16);
}

#[test]
fn with_too_few_slots_the_job_waits_and_says_so() {
    let mut cluster = started(&["one"]);
    assert_eq!(cluster.status(), JobStatus::Created);
    let waiting = cluster.job.view().waiting.as_ref().unwrap();
    assert_eq!(waiting.to_string(), "needs 4 slots and has 0; 2 of the cluster's 2 are free");
    assert!(cluster.deployed.is_empty());
    cluster.register("two");
    assert_eq!(cluster.status(), JobStatus::Running);
}

#[test]
fn the_slots_are_free_again_when_the_job_has_finished() {
    let mut cluster = started(&["one", "two"]);
    cluster.finish();
    assert!(cluster.granted.is_empty());
    assert_eq!(cluster.manager.slots_free(), 4);
    assert_eq!(cluster.commands.last(), Some(&Command::JobEnded { status: JobStatus::Finished }));
}
