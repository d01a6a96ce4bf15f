//! Native mode: TaskManagers are started when jobs lack slots, and stopped when nobody needs them.

use std::collections::BTreeSet;

use millrace_resource_core::{Command, Input, ResourceCore, ResourceOptions, WorkerId, WorkerOptions};
use millrace_types::{LeaderEpoch, Timestamp};

use crate::harness::{Harness, free, grant, job, registration, requests, slot, tm};

const WORKERS: WorkerOptions = WorkerOptions { slots_per_worker: 2, slots_max: 6, ..WorkerOptions::DEFAULT };

/// A ResourceManager whose driver has said that there are these workers.
fn native(workers: WorkerOptions, there: &[&str]) -> Harness {
    // No TaskManager of these tests says that it is alive.
    let options =
        ResourceOptions { workers: Some(workers), heartbeat_timeout_ms: 10_000_000, ..ResourceOptions::default() };
    let core = ResourceCore::new(options, LeaderEpoch(5), 7);
    let mut harness = Harness { core, now: Timestamp(1_000_000) };
    assert_eq!(harness.list(there), []);
    harness
}

impl Harness {
    fn list(&mut self, there: &[&str]) -> Vec<Command> {
        let workers: BTreeSet<_> = there.iter().map(|name| WorkerId((*name).to_owned())).collect();
        self.step(Input::WorkersListed { workers })
    }

    fn is_started(&mut self, worker: &str) -> Vec<Command> {
        self.step(Input::WorkerStarted { worker: WorkerId(worker.to_owned()) })
    }

    fn is_not_started(&mut self, worker: &str) -> Vec<Command> {
        self.step(Input::WorkerNotStarted { worker: WorkerId(worker.to_owned()) })
    }

    /// Lets so much time pass, deadline by deadline.
    fn wait_ms(&mut self, ms: u64) -> Vec<Command> {
        let until = self.now.plus_ms(ms);
        let mut commands = Vec::new();
        while let Some(deadline) = self.core.next_deadline().filter(|deadline| *deadline <= until) {
            assert!(deadline > self.now, "it does not stand still");
            self.now = deadline;
            commands.extend(self.step(Input::DeadlineReached));
        }
        self.now = until;
        commands
    }
}

fn starts(commands: &[Command]) -> Vec<&str> {
    let mut workers = Vec::new();
    for command in commands {
        if let Command::StartWorker { worker } = command {
            workers.push(worker.0.as_str());
        }
    }
    workers
}

fn stops(commands: &[Command]) -> Vec<&str> {
    let mut workers = Vec::new();
    for command in commands {
        if let Command::StopWorker { worker } = command {
            workers.push(worker.0.as_str());
        }
    }
    workers
}

#[test]
fn slots_that_a_job_lacks_are_started_and_given_to_it() {
    let mut harness = native(WORKERS, &[]);
    assert_eq!(starts(&harness.request(1, 3)), ["taskmanager-5-1", "taskmanager-5-2"]);
    // Whatever else happens, those are on their way.
    assert_eq!(starts(&harness.is_started("taskmanager-5-1")), [""; 0]);
    assert_eq!(starts(&harness.list(&["taskmanager-5-1"])), [""; 0]);
    let commands = harness.step(Input::Registered(registration("taskmanager-5-1-a", 2)));
    assert!(matches!(&commands[..], [Command::NotifyLacking { needed: 3, free: 2, .. }]), "{commands:?}");
    assert_eq!(starts(&harness.is_started("taskmanager-5-2")), [""; 0]);
    let commands = harness.step(Input::Registered(registration("taskmanager-5-2-b", 2)));
    assert_eq!(requests(&commands).len(), 3);
    assert_eq!(starts(&commands), [""; 0]);
}

#[test]
fn nothing_is_started_before_the_driver_has_said_what_there_is() {
    let options = ResourceOptions { workers: Some(WORKERS), ..ResourceOptions::default() };
    let mut harness = Harness { core: ResourceCore::new(options, LeaderEpoch(5), 7), now: Timestamp(1_000_000) };
    assert_eq!(starts(&harness.request(1, 2)), [""; 0]);
    assert_eq!(harness.core.next_deadline(), None);
    // What an earlier leader left serves on.
    assert_eq!(starts(&harness.list(&["taskmanager-4-1"])), [""; 0]);
    let commands = harness.step(Input::Registered(registration("taskmanager-4-1-a", 2)));
    assert_eq!(requests(&commands).len(), 2);
    assert_eq!(starts(&harness.request(2, 2)), ["taskmanager-5-1"]);
}

#[test]
fn what_an_earlier_leader_left_and_does_not_come_is_replaced_and_stopped() {
    let mut harness = native(WORKERS, &["taskmanager-4-1"]);
    assert_eq!(starts(&harness.request(1, 2)), [""; 0]);
    assert_eq!(starts(&harness.wait_ms(9_999)), [""; 0]);
    assert_eq!(starts(&harness.wait_ms(1)), ["taskmanager-5-1"]);
    harness.is_started("taskmanager-5-1");
    harness.step(Input::Registered(registration("taskmanager-5-1-a", 2)));
    assert_eq!(stops(&harness.wait_ms(289_999)), [""; 0]);
    assert_eq!(stops(&harness.wait_ms(1)), ["taskmanager-4-1"]);
}

#[test]
fn a_job_that_would_wait_all_the_same_starts_nothing() {
    let mut harness = native(WORKERS, &[]);
    assert_eq!(starts(&harness.request(1, 7)), [""; 0]);
    assert_eq!(starts(&harness.request(1, 6)).len(), 3);
}

#[test]
fn an_idle_worker_is_stopped_and_nobody_gets_its_slots() {
    let mut harness = native(WORKERS, &["taskmanager-4-1"]);
    harness.step(Input::Registered(registration("taskmanager-4-1-a", 2)));
    assert_eq!(harness.wait_ms(29_999), []);
    assert_eq!(harness.wait_ms(1), [Command::StopWorker { worker: WorkerId("taskmanager-4-1".into()) }]);
    assert_eq!(harness.core.slots_total(), 0);
    // A life that begins before the process hears of its end is not wanted.
    let commands = harness.step(Input::Registered(registration("taskmanager-4-1-b", 2)));
    assert!(matches!(&commands[..], [Command::RefuseTaskManager { reason, .. }] if reason.contains("told to stop")));
    assert_eq!(starts(&harness.request(1, 2)), ["taskmanager-5-1"]);
    // It is told so again until it has gone.
    assert_eq!(stops(&harness.wait_ms(15_000)), ["taskmanager-4-1"]);
    harness.is_started("taskmanager-5-1");
    harness.list(&["taskmanager-5-1"]);
    assert_eq!(stops(&harness.wait_ms(60_000)), [""; 0]);
}

#[test]
fn a_worker_that_is_used_now_and_then_stays() {
    let mut harness = native(WORKERS, &["taskmanager-4-1"]);
    harness.step(Input::Registered(registration("taskmanager-4-1-a", 2)));
    harness.wait_ms(20_000);
    assert_eq!(requests(&harness.request(1, 1)).len(), 1);
    harness.accept(slot("taskmanager-4-1-a", 0), grant(1));
    assert_eq!(harness.wait_ms(100_000), []);
    let released = vec![(slot("taskmanager-4-1-a", 0), grant(1))];
    harness.request(1, 0);
    assert_eq!(harness.step(Input::SlotsReleased { slots: released }), [free("taskmanager-4-1-a", 1)]);
    harness.step(Input::SlotFreed { slot: slot("taskmanager-4-1-a", 0), allocation: grant(1) });
    assert_eq!(harness.wait_ms(29_999), []);
    assert_eq!(stops(&harness.wait_ms(1)), ["taskmanager-4-1"]);
}

#[test]
fn the_least_is_kept_and_redundant_ones_only_beside_jobs() {
    let workers = WorkerOptions { slots_min: 2, redundant_workers: 1, ..WORKERS };
    let options =
        ResourceOptions { workers: Some(workers), heartbeat_timeout_ms: 10_000_000, ..ResourceOptions::default() };
    let core = ResourceCore::new(options, LeaderEpoch(6), 7);
    let mut harness = Harness { core, now: Timestamp(1_000_000) };
    assert_eq!(starts(&harness.list(&[])), ["taskmanager-6-1"]);
    harness.is_started("taskmanager-6-1");
    harness.step(Input::Registered(registration("taskmanager-6-1-a", 2)));
    assert_eq!(harness.wait_ms(100_000), []);
    let commands = harness.request(1, 2);
    assert_eq!((requests(&commands).len(), starts(&commands)), (2, vec!["taskmanager-6-2"]));
    harness.is_started("taskmanager-6-2");
    harness.step(Input::Registered(registration("taskmanager-6-2-a", 2)));
    harness.accept(slot("taskmanager-6-1-a", 0), grant(1));
    harness.accept(slot("taskmanager-6-1-a", 1), grant(2));
    assert_eq!(harness.wait_ms(100_000), []);
    let slots = vec![(slot("taskmanager-6-1-a", 0), grant(1)), (slot("taskmanager-6-1-a", 1), grant(2))];
    harness.request(1, 0);
    // The one that stood by has been idle for long.
    assert_eq!(stops(&harness.step(Input::SlotsReleased { slots: slots.clone() })), ["taskmanager-6-2"]);
    for (slot, allocation) in slots {
        harness.step(Input::SlotFreed { slot, allocation });
    }
    harness.list(&["taskmanager-6-1"]);
    assert_eq!(harness.wait_ms(100_000), []);
}

#[test]
fn a_lost_task_manager_is_replaced_at_once_and_its_frozen_process_stopped() {
    let mut harness = native(WORKERS, &["taskmanager-4-1"]);
    harness.step(Input::Registered(registration("taskmanager-4-1-a", 2)));
    harness.request(1, 2);
    harness.accept(slot("taskmanager-4-1-a", 0), grant(1));
    harness.accept(slot("taskmanager-4-1-a", 1), grant(2));
    let lost = Input::TaskManagerLost { task_manager: tm("taskmanager-4-1-a"), reason: "silence".into() };
    assert_eq!(starts(&harness.step(lost)), ["taskmanager-5-1"]);
    harness.is_started("taskmanager-5-1");
    harness.step(Input::Registered(registration("taskmanager-5-1-a", 2)));
    assert_eq!(stops(&harness.wait_ms(9_999)), [""; 0]);
    assert_eq!(stops(&harness.wait_ms(1)), ["taskmanager-4-1"]);
}

#[test]
fn a_worker_that_dies_before_it_registers_is_replaced_after_a_pause() {
    let mut harness = native(WORKERS, &[]);
    harness.request(1, 2);
    harness.is_started("taskmanager-5-1");
    assert_eq!(starts(&harness.list(&[])), [""; 0]);
    assert_eq!(starts(&harness.wait_ms(49)), [""; 0]);
    assert_eq!(starts(&harness.wait_ms(1)), ["taskmanager-5-2"]);
}

#[test]
fn pauses_grow_and_failed_starts_are_limited() {
    let workers = WorkerOptions { failures_per_minute_max: 4, ..WORKERS };
    let mut harness = native(workers, &[]);
    let mut started = starts(&harness.request(1, 1)).join("");
    for pause_ms in [50, 100, 200, 3_000, 3_000] {
        assert_eq!(starts(&harness.is_not_started(&started)), [""; 0]);
        assert_eq!(starts(&harness.wait_ms(pause_ms - 1)), [""; 0], "{pause_ms}");
        started = starts(&harness.wait_ms(1)).join("");
        assert!(!started.is_empty(), "{pause_ms}");
    }
    // One that registers ends the row.
    harness.is_started(&started);
    harness.wait_ms(60_000);
    harness.step(Input::Registered(registration(&format!("{started}-a"), 2)));
    let started = starts(&harness.request(2, 2)).join("");
    harness.is_not_started(&started);
    assert_eq!(starts(&harness.wait_ms(50)).len(), 1);
}

#[test]
fn one_that_never_registers_is_stopped_and_counts_as_failed() {
    let mut harness = native(WorkerOptions { registration_timeout_ms: 1_000, ..WORKERS }, &[]);
    assert_eq!(starts(&harness.request(1, 1)), ["taskmanager-5-1"]);
    harness.is_started("taskmanager-5-1");
    let commands = harness.wait_ms(1_000);
    assert_eq!((stops(&commands), starts(&commands)), (vec!["taskmanager-5-1"], vec![]));
    assert_eq!(starts(&harness.wait_ms(50)), ["taskmanager-5-2"]);
}

#[test]
fn task_managers_that_nobody_started_here_count_and_are_never_stopped() {
    let mut harness = native(WORKERS, &[]);
    harness.step(Input::Registered(registration("machine-17-0badcafe", 4)));
    assert_eq!(starts(&harness.request(1, 4)), [""; 0]);
    assert_eq!(starts(&harness.request(2, 2)), ["taskmanager-5-1"]);
    assert_eq!(starts(&harness.request(3, 2)), [""; 0]);
    harness.is_started("taskmanager-5-1");
    harness.step(Input::JobGone { job: job(1) });
    harness.step(Input::JobGone { job: job(2) });
    harness.step(Input::JobGone { job: job(3) });
    harness.step(Input::Registered(registration("taskmanager-5-1-a", 2)));
    assert_eq!(stops(&harness.wait_ms(30_000)), ["taskmanager-5-1"]);
}
