//! TaskManagers come, fall silent and come back.

use millrace_protocol::TaskManagerRegistration;
use millrace_resource_core::{Command, DropReason, Input};

use crate::harness::{Harness, grant, job, registration, requests, slot, tm};

#[track_caller]
fn refused(commands: &[Command], name: &str, part: &str) {
    let [Command::RefuseTaskManager { task_manager, reason }] = commands else { panic!("{commands:?}") };
    assert_eq!(*task_manager, tm(name));
    assert!(reason.contains(part), "{reason}");
}

#[test]
fn a_silent_task_manager_is_lost_and_its_jobs_hear_of_it() {
    let mut harness = Harness::with(&[("a", 2), ("b", 1)]);
    harness.request(1, 1);
    harness.request(2, 1);
    harness.accept(slot("a", 0), grant(1));
    harness.accept(slot("a", 1), grant(2));
    harness.pass_ms(2_999);
    harness.heartbeat("b", &[]);
    harness.pass_ms(1);
    let commands = harness.step(Input::DeadlineReached);
    let told: Vec<_> = commands
        .iter()
        .filter_map(|command| match command {
            Command::NotifyTaskManagerLost { job, task_manager, reason } => Some((*job, task_manager, reason.as_str())),
            _ => None,
        })
        .collect();
    let reason = "it was not heard of for 3000 ms";
    assert_eq!(told, [(job(1), &tm("a"), reason), (job(2), &tm("a"), reason)]);
    // The first job gets the slot that is left.
    assert_eq!(requests(&commands), [(slot("b", 0), grant(3), job(1))]);
    assert_eq!(harness.core.slots_total(), 1);
}

#[test]
fn the_deadline_is_the_first_silence() {
    let mut harness = Harness::with(&[("a", 1)]);
    let start = harness.now;
    assert_eq!(harness.core.next_deadline(), Some(start.plus_ms(3_000)));
    harness.pass_ms(1_000);
    harness.heartbeat("a", &[]);
    assert_eq!(harness.core.next_deadline(), Some(start.plus_ms(4_000)));
    assert_eq!(harness.deadline(), []);
    assert_eq!(harness.core.next_deadline(), None);
}

#[test]
fn a_closed_connection_is_a_loss_at_once() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    let gone = || Input::TaskManagerLost { task_manager: tm("a"), reason: "its connection was closed".into() };
    let commands = harness.step(gone());
    assert!(matches!(&commands[0], Command::NotifyTaskManagerLost { reason, .. } if reason.contains("connection")));
    assert_eq!(commands[1], Command::NotifyLacking { job: job(1), needed: 1, free: 0, total: 0 });
    assert_eq!(harness.step(gone()), []);
    assert_eq!(harness.core.dropped().of(DropReason::UnknownTaskManager), 1);
}

#[test]
fn one_that_wakes_has_to_come_back_under_a_new_id() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.pass_ms(3_000);
    harness.step(Input::DeadlineReached);
    refused(&harness.heartbeat("a", &[(0, 1, 1)]), "a", "new one");
    refused(&harness.step(Input::Registered(registration("a", 1))), "a", "new one");
    assert_eq!(harness.step(Input::Registered(registration("a2", 1))), []);
    assert_eq!(harness.core.slots_total(), 1);
}

#[test]
fn slots_that_an_earlier_leader_granted_stay_with_their_jobs() {
    let mut harness = Harness::new();
    let allocated =
        vec![(slot("a", 1), grant(91), job(1)), (slot("a", 7), grant(92), job(1)), (slot("b", 0), grant(93), job(1))];
    harness.step(Input::Registered(TaskManagerRegistration { allocated, ..registration("a", 2) }));
    assert_eq!(harness.core.dropped().of(DropReason::UnknownSlot), 2, "slots that it does not have");
    // The job takes it over and gets the other one too; another job gets none.
    harness.accept(slot("a", 1), grant(91));
    assert_eq!(requests(&harness.request(1, 2)), [(slot("a", 0), grant(1), job(1))]);
    let commands = harness.request(2, 1);
    assert!(matches!(&commands[..], [Command::NotifyLacking { free: 0, total: 2, .. }]), "{commands:?}");
    // What is given back is free once its TaskManager has freed it.
    let commands = harness.step(Input::SlotsReleased { slots: vec![(slot("a", 1), grant(91))] });
    assert!(matches!(&commands[0], Command::FreeSlot { allocation, .. } if *allocation == grant(91)), "{commands:?}");
    let commands = harness.step(Input::SlotFreed { slot: slot("a", 1), allocation: grant(91) });
    assert_eq!(requests(&commands).len(), 1);
}

#[test]
fn the_address_of_records_is_one_task_managers() {
    let at = |name: &str, slots, address: Option<&str>| {
        let data_address = address.map(str::to_owned);
        Input::Registered(TaskManagerRegistration { data_address, ..registration(name, slots) })
    };
    let mut harness = Harness::new();
    for (name, address) in [("a", "host1:1"), ("b", "host2:1"), ("c", "host3:1")] {
        assert_eq!(harness.step(at(name, 1, Some(address))), []);
    }
    harness.request(1, 1);
    harness.accept(slot("a", 0), grant(1));
    refused(&harness.step(at("a2", 99, Some("host1:1"))), "a2", "99 slots");
    assert!(harness.core.task_manager(&tm("a")).is_some(), "one that is refused replaces nobody");
    // There may be three, and there are: the new one takes the place of the old one.
    let commands = harness.step(at("a2", 2, Some("host1:1")));
    let Command::NotifyTaskManagerLost { job: told, task_manager, reason } = &commands[0] else {
        panic!("{commands:?}")
    };
    assert_eq!((*told, task_manager), (job(1), &tm("a")));
    assert!(reason.contains("a2") && reason.contains("host1:1"), "{reason}");
    assert_eq!(requests(&commands), [(slot("a2", 0), grant(2), job(1))]);
    refused(&harness.heartbeat("a", &[]), "a", "new one");
    assert_eq!(harness.core.slots_total(), 4);
    // In one process nobody has an address.
    let mut local = Harness::with(&[("a", 1), ("b", 1)]);
    assert_eq!(local.step(at("c", 1, None)), []);
    assert_eq!(local.core.slots_total(), 3);
}

#[test]
fn heartbeats_of_strangers_are_refused() {
    refused(&Harness::new().heartbeat("x", &[]), "x", "register first");
}

#[test]
fn registering_twice_is_registering_once() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    harness.accept(slot("a", 0), grant(1));
    assert_eq!(harness.step(Input::Registered(registration("a", 1))), []);
    assert_eq!(harness.core.slots_free(), 0);
    refused(&harness.step(Input::Registered(registration("a", 2))), "a", "another TaskManager");
}

#[test]
fn registrations_have_limits() {
    let mut harness = Harness::with(&[("a", 1), ("b", 1)]);
    refused(&harness.step(Input::Registered(registration("c", 0))), "c", "0 slots");
    refused(&harness.step(Input::Registered(registration("c", 9))), "c", "1 to 8");
    refused(&harness.step(Input::Registered(registration("", 1))), "", "0 bytes");
    let long = "x".repeat(257);
    refused(&harness.step(Input::Registered(registration(&long, 1))), &long, "257 bytes");
    assert_eq!(harness.step(Input::Registered(registration("c", 8))), []);
    refused(&harness.step(Input::Registered(registration("d", 1))), "d", "3 TaskManagers");
    assert_eq!(harness.core.task_manager(&tm("c")).unwrap().slots.len(), 8);
    assert_eq!(harness.core.task_manager(&tm("d")), None);
}
