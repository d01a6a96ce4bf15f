//! TaskManagers die and others join, with slots that are really allocated: four TaskManagers of two slots, a job at
//! parallelism 8.

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{Command, Input, RestartStrategy};
use millrace_types::{ExecutionState, FailureKind, JobStatus};

use crate::cluster::Cluster;
use crate::graphs::{edge, guest_source, job_graph, operator};
use crate::harness::tm;

const ONCE: RestartStrategy = RestartStrategy::FixedDelay { attempts: 1, delay_ms: 1_000 };

fn eight_wide() -> JobGraph {
    job_graph(vec![guest_source("lines", 8), operator("count", 8, "main")], vec![edge(0, 1, Partitioning::Hash)])
}

fn running(strategy: RestartStrategy) -> Cluster {
    let mut cluster = Cluster::new(eight_wide(), strategy, &["tm1", "tm2", "tm3", "tm4"]);
    cluster.tell_job(Input::Start);
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 16));
    cluster
}

fn waiting(cluster: &Cluster) -> String {
    cluster.job.view().waiting.as_ref().unwrap().to_string()
}

#[test]
fn one_of_four_dies_the_job_waits_without_using_up_attempts_and_a_spare_joins() {
    let mut cluster = running(ONCE);
    let kept: Vec<_> = cluster.granted.iter().filter(|(_, slot)| slot.task_manager != tm("tm2")).collect();
    let kept: Vec<_> = kept.into_iter().map(|(allocation, slot)| (*allocation, slot.clone())).collect();
    cluster.kill("tm2");
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Restarting, 0));
    assert_eq!(waiting(&cluster), "needs 8 slots and has 6; 0 of the cluster's 6 are free");
    // Hours pass, and with them whatever deadline there is.
    for _ in 0..100 {
        cluster.now = cluster.now.plus_ms(3_600_000);
        cluster.tell_job(Input::DeadlineReached);
    }
    assert_eq!((cluster.status(), cluster.job.view().restarts), (JobStatus::Restarting, 1));
    assert_eq!(cluster.job.next_deadline(), None);
    assert!(kept.iter().all(|(allocation, slot)| cluster.granted.get(allocation) == Some(slot)), "slots are kept");

    cluster.register("tm5");
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 16));
    assert!(cluster.running.keys().all(|attempt| attempt.attempt == 1));
    assert_eq!(cluster.running.values().filter(|slot| slot.task_manager == tm("tm5")).count(), 4);
    let exceptions = &cluster.job.view().exceptions.entries;
    assert_eq!((exceptions.len(), exceptions[0].failure.kind), (1, FailureKind::TaskManagerLost));
    cluster.finish();
    assert_eq!(cluster.status(), JobStatus::Finished);
    assert_eq!((cluster.manager.slots_free(), cluster.granted.len()), (8, 0));
}

#[test]
fn with_a_spare_at_hand_the_job_runs_again_at_once() {
    let mut cluster = running(ONCE);
    cluster.register("tm5");
    cluster.kill("tm4");
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 16));
    // The one restart is used up; the second failure is not quiet, and final.
    cluster.kill("tm5");
    assert_eq!(cluster.status(), JobStatus::Failed);
    assert_eq!(cluster.manager.slots_free(), 6);
}

#[test]
fn two_that_die_one_after_the_other_are_one_restart() {
    let mut cluster = running(ONCE);
    cluster.kill("tm2");
    cluster.kill("tm3");
    assert_eq!(waiting(&cluster), "needs 8 slots and has 4; 0 of the cluster's 4 are free");
    cluster.register("tm5");
    // Half of what is lacking is no use: the slots stay free for others.
    assert_eq!(waiting(&cluster), "needs 8 slots and has 4; 2 of the cluster's 6 are free");
    cluster.register("tm6");
    assert_eq!((cluster.status(), cluster.job.view().restarts), (JobStatus::Running, 1));
}

#[test]
fn a_dead_task_manager_is_not_deployed_to_before_its_death_is_known() {
    let mut cluster = running(ONCE);
    cluster.register("tm5");
    // The process has died; others notice first, since their channels close.
    let victim = cluster.running.iter().find(|(_, slot)| slot.task_manager == tm("tm1")).map(|(attempt, _)| *attempt);
    let neighbour =
        cluster.running.iter().find(|(_, slot)| slot.task_manager == tm("tm2")).map(|(attempt, _)| *attempt);
    cluster.die("tm1");
    cluster.report(neighbour.unwrap(), ExecutionState::Failed);
    assert_eq!(cluster.status(), JobStatus::Restarting);
    assert_eq!(waiting(&cluster), "waits until 4 tasks have stopped");
    cluster.deadline();
    assert!(matches!(cluster.commands.last(), Some(Command::CancelTask { .. })), "they are told again");
    // The connection's end is known: the failure is still the same one.
    cluster.kill("tm1");
    assert_eq!((cluster.status(), cluster.job.view().restarts), (JobStatus::Running, 1));
    assert!(cluster.running.values().all(|slot| slot.task_manager != tm("tm1")));
    let exceptions = &cluster.job.view().exceptions.entries;
    assert_eq!((exceptions.len(), exceptions[0].concurrent.len()), (1, 1));
    assert_eq!(exceptions[0].concurrent[0].failure.kind, FailureKind::TaskManagerLost);
    cluster.report(victim.unwrap(), ExecutionState::Finished);
    assert_eq!(cluster.status(), JobStatus::Running, "what wakes late is fenced by its attempt");
}

#[test]
fn a_task_manager_that_comes_back_under_a_new_id_replaces_its_former_life() {
    let mut cluster = Cluster::new(eight_wide(), ONCE, &["tm1", "tm2", "tm3"]);
    cluster.register_at("tm4", Some("10.0.0.4:6122"));
    cluster.tell_job(Input::Start);
    assert_eq!(cluster.running.len(), 16);
    // It died and was started again, before anybody noticed.
    cluster.die("tm4");
    cluster.register_at("tm4-again", Some("10.0.0.4:6122"));
    assert_eq!((cluster.status(), cluster.running.len()), (JobStatus::Running, 16));
    assert_eq!(cluster.running.values().filter(|slot| slot.task_manager == tm("tm4-again")).count(), 4);
    assert_eq!((cluster.manager.slots_total(), cluster.manager.slots_free()), (8, 0));
    let failure = &cluster.job.view().exceptions.entries[0].failure;
    assert!(failure.message.contains("10.0.0.4:6122"), "{}", failure.message);
}

#[test]
fn a_job_that_waits_in_restarting_is_cancelled_at_once() {
    let mut cluster = running(ONCE);
    cluster.kill("tm1");
    cluster.tell_job(Input::CancelRequested);
    assert_eq!(cluster.commands.last(), Some(&Command::JobEnded { status: JobStatus::Canceled }));
    assert_eq!((cluster.manager.slots_free(), cluster.granted.len()), (6, 0));
    cluster.register("tm5");
    assert_eq!(cluster.manager.slots_free(), 8, "nothing is asked for any more");
}

#[test]
fn a_lost_slot_whose_tasks_have_finished_is_not_asked_for_again() {
    let mut cluster = running(ONCE);
    let done: Vec<_> = cluster.running.iter().filter(|(_, slot)| slot.task_manager == tm("tm1")).collect();
    for attempt in done.into_iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>() {
        cluster.report(attempt, ExecutionState::Finished);
    }
    cluster.register("tm5");
    cluster.kill("tm1");
    assert_eq!((cluster.status(), cluster.job.view().restarts), (JobStatus::Running, 0));
    assert_eq!((cluster.manager.slots_free(), cluster.granted.len()), (2, 6), "the spare stays free");
    // A failure makes the finished tasks run again, and their slots are needed again; the spare fills two of the gaps.
    cluster.kill("tm2");
    assert_eq!(waiting(&cluster), "needs 8 slots and has 6; 0 of the cluster's 6 are free");
}
