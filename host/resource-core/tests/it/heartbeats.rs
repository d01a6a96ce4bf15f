//! What TaskManagers say of their slots, against what is believed of them.

use millrace_resource_core::{Command, DropReason};

use crate::harness::{Harness, free, grant, job, requests, slot};

fn lost(number: u8, grants: &[u64]) -> Command {
    Command::NotifySlotsLost { job: job(number), allocations: grants.iter().map(|n| grant(*n)).collect() }
}

#[test]
fn a_reported_grant_is_allocated() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    assert_eq!(harness.heartbeat("a", &[(0, 1, 1)]), []);
    // The request is not repeated any more: the only deadline is the next heartbeat's.
    assert_eq!(harness.core.next_deadline(), Some(harness.now.plus_ms(3_000)));
    harness.accept(slot("a", 0), grant(1));
}

#[test]
fn a_heartbeat_that_crossed_the_request_says_nothing() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    assert_eq!(harness.heartbeat("a", &[]), []);
    harness.accept(slot("a", 0), grant(1));
    assert_eq!(harness.heartbeat("a", &[]), []);
    assert_eq!(harness.core.slots_free(), 0);
}

#[test]
fn a_heartbeat_that_crossed_a_request_which_is_taken_back_says_nothing_either() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    assert_eq!(harness.request(1, 0), [free("a", 1)]);
    // It was sent before the TaskManager granted the slot, which it may still do.
    assert_eq!(harness.heartbeat("a", &[]), []);
    assert_eq!(requests(&harness.request(2, 1)), []);
    assert_eq!(harness.heartbeat("a", &[(0, 1, 1)]), []);
    // What it knows to have granted it knows to have freed.
    assert_eq!(requests(&harness.heartbeat("a", &[])), [(slot("a", 0), grant(2), job(2))]);
}

#[test]
fn a_request_that_never_arrived_and_is_taken_back_frees_its_slot_in_time() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    harness.request(1, 0);
    harness.pass_ms(9_999);
    harness.heartbeat("a", &[]);
    assert_eq!(harness.core.slots_free(), 0);
    harness.pass_ms(1);
    harness.heartbeat("a", &[]);
    assert_eq!(harness.core.slots_free(), 1);
}

#[test]
fn an_allocated_slot_that_is_not_reported_for_long_is_lost() {
    let mut harness = Harness::with(&[("a", 1)]);
    harness.request(1, 1);
    harness.accept(slot("a", 0), grant(1));
    harness.pass_ms(10_000);
    let commands = harness.heartbeat("a", &[]);
    assert_eq!(commands[0], lost(1, &[1]));
    assert_eq!(requests(&commands), [(slot("a", 0), grant(2), job(1))]);
}

#[test]
fn grants_that_nobody_knows_are_freed_before_the_slot_is_used() {
    let mut harness = Harness::with(&[("a", 1)]);
    assert_eq!(harness.heartbeat("a", &[(0, 99, 9)]), [free("a", 99)]);
    assert_eq!(requests(&harness.request(1, 1)), []);
    assert_eq!(requests(&harness.heartbeat("a", &[])), [(slot("a", 0), grant(1), job(1))]);
    // One that occupies a slot that is asked for has to go as well.
    assert_eq!(harness.heartbeat("a", &[(0, 98, 9)]), [free("a", 98)]);
    // And one in the place of a slot that a job holds.
    harness.accept(slot("a", 0), grant(1));
    assert_eq!(harness.heartbeat("a", &[(0, 97, 9)])[..2], [lost(1, &[1]), free("a", 97)]);
}

#[test]
fn reports_of_slots_that_are_not_there_are_dropped() {
    let mut harness = Harness::with(&[("a", 1)]);
    assert_eq!(harness.heartbeat("a", &[(7, 1, 1), (u32::MAX, 2, 1)]), []);
    assert_eq!(harness.core.dropped().of(DropReason::UnknownSlot), 2);
    let view = harness.core.task_managers().next().unwrap();
    assert_eq!((view.memory_free_bytes, view.slots, view.slots_free), (9, vec![None], 1));
}
