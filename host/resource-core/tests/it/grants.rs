//! The life of a grant, and everything that can go wrong on its way.

use millrace_resource_core::{Command, DropReason, Input};

use crate::harness::{Harness, free, grant, job, requests, slot, tm};

/// A job that holds the one slot of TaskManager a under grant 1.
fn allocated() -> Harness {
    let mut harness = Harness::with(&[("a", 1)]);
    assert_eq!(requests(&harness.request(1, 1)), [(slot("a", 0), grant(1), job(1))]);
    harness.accept(slot("a", 0), grant(1));
    harness
}

fn keep_alive(harness: &mut Harness, ms: u64, allocated: &[(u32, u64, u8)]) -> Vec<Command> {
    let mut commands = Vec::new();
    for _ in 0..ms / 1_000 {
        harness.pass_ms(1_000);
        commands.extend(harness.heartbeat("a", allocated));
        if harness.core.next_deadline().is_some_and(|deadline| deadline <= harness.now) {
            commands.extend(harness.step(Input::DeadlineReached));
        }
    }
    commands
}

#[test]
fn a_slot_is_free_again_once_it_is_released_and_freed() {
    let mut harness = allocated();
    assert_eq!(harness.request(1, 0), []);
    // The job keeps what it holds until it releases it.
    assert_eq!(harness.core.slots_free(), 0);
    let slots = vec![(slot("a", 0), grant(1))];
    assert_eq!(harness.step(Input::SlotsReleased { slots }), [free("a", 1)]);
    // Nobody gets it before its TaskManager has freed it.
    assert_eq!(requests(&harness.request(2, 1)), []);
    let commands = harness.step(Input::SlotFreed { slot: slot("a", 0), allocation: grant(1) });
    assert_eq!(requests(&commands), [(slot("a", 0), grant(2), job(2))]);
    assert_eq!(commands.len(), 1);
}

#[test]
fn a_heartbeat_without_the_grant_frees_as_well_and_so_may_it_be_repeated() {
    let mut harness = allocated();
    harness.request(1, 0);
    harness.step(Input::SlotsReleased { slots: vec![(slot("a", 0), grant(1))] });
    let repeated = keep_alive(&mut harness, 11_000, &[(0, 1, 1)]);
    assert_eq!(repeated, [free("a", 1)]);
    assert_eq!(harness.core.slots_free(), 0);
    assert_eq!(harness.heartbeat("a", &[]), []);
    assert_eq!(harness.core.slots_free(), 1);
}

#[test]
fn a_request_that_is_not_reacted_to_is_repeated_and_then_moves() {
    let mut harness = Harness::with(&[("a", 2)]);
    let first = harness.request(1, 1);
    let commands = keep_alive(&mut harness, 31_000, &[]);
    let again = [slot("a", 0), slot("a", 0), slot("a", 1)].map(|slot| slot);
    let requested: Vec<_> = requests(&commands).into_iter().map(|(slot, _, _)| slot).collect();
    assert_eq!(requested, again);
    assert_eq!(commands[..2], [first[0].clone(), first[0].clone()], "the same grant is asked for again");
    assert!(commands.contains(&free("a", 1)));
}

#[test]
fn a_request_that_fails_moves_at_once() {
    let mut harness = Harness::with(&[("a", 2)]);
    harness.request(1, 1);
    let commands = harness.step(Input::SlotRequestFailed { slot: slot("a", 0), allocation: grant(1) });
    assert_eq!(commands[0], free("a", 1));
    assert_eq!(requests(&commands), [(slot("a", 1), grant(2), job(1))]);
}

#[test]
fn a_withdrawn_request_takes_back_what_was_not_taken() {
    let mut harness = Harness::with(&[("a", 2)]);
    harness.request(1, 2);
    harness.accept(slot("a", 0), grant(1));
    assert_eq!(harness.request(1, 0), [free("a", 2)]);
}

#[test]
fn a_job_that_is_gone_leaves_nothing_behind() {
    let mut harness = Harness::with(&[("a", 2)]);
    harness.request(1, 2);
    harness.accept(slot("a", 0), grant(1));
    assert_eq!(harness.step(Input::JobGone { job: job(1) }), [free("a", 1), free("a", 2)]);
    // The one that was not taken may still be granted.
    assert_eq!(harness.heartbeat("a", &[(1, 2, 1)]), []);
    assert_eq!(harness.core.slots_free(), 1);
    assert_eq!(harness.heartbeat("a", &[]), []);
    assert_eq!(harness.core.slots_free(), 2);
    assert_eq!(harness.step(Input::JobGone { job: job(1) }), []);
}

#[test]
fn a_slot_that_its_task_manager_frees_by_itself_is_replaced_and_told() {
    let mut harness = allocated();
    let commands = harness.step(Input::SlotFreed { slot: slot("a", 0), allocation: grant(1) });
    assert_eq!(commands[0], Command::NotifySlotsLost { job: job(1), allocations: vec![grant(1)] });
    assert_eq!(requests(&commands), [(slot("a", 0), grant(2), job(1))]);
}

#[test]
fn a_slot_that_a_lost_task_manager_offered_is_lost_to_whoever_took_it() {
    let mut harness = allocated();
    harness.step(Input::TaskManagerLost { task_manager: tm("a"), reason: "it was silent".to_owned() });
    // It wakes, and its offer reaches the job before anybody tells it that it counts as lost.
    let commands = harness.step(Input::SlotAccepted { job: job(1), slot: slot("a", 0), allocation: grant(2) });
    assert_eq!(commands, [Command::NotifySlotsLost { job: job(1), allocations: vec![grant(2)] }]);
}

#[test]
fn messages_about_other_grants_change_nothing() {
    let mut harness = allocated();
    let stale = |slot| Input::SlotFreed { slot, allocation: grant(77) };
    assert_eq!(harness.step(stale(slot("a", 0))), []);
    let accepted = Input::SlotAccepted { job: job(1), slot: slot("a", 0), allocation: grant(77) };
    let lost = Command::NotifySlotsLost { job: job(1), allocations: vec![grant(77)] };
    assert_eq!(harness.step(accepted), [lost], "whoever took it has to learn that it is nobody's");
    assert_eq!(harness.step(Input::SlotRequestFailed { slot: slot("a", 0), allocation: grant(1) }), []);
    assert_eq!(harness.core.dropped().of(DropReason::StaleAllocation), 3);
    assert_eq!(harness.step(stale(slot("a", 9))), []);
    assert_eq!(harness.step(stale(slot("nosuch", 0))), []);
    assert_eq!(harness.core.dropped().of(DropReason::UnknownSlot), 2);
    assert_eq!(harness.core.slots_free(), 0);
    // A job that does not want a grant that is not known here still gets rid of it.
    let slots = vec![(slot("a", 0), grant(77))];
    assert_eq!(harness.step(Input::SlotsReleased { slots }), [free("a", 77)]);
    harness.accept(slot("a", 0), grant(1));
}
