//! CANCELLING, in every status, and tasks that do not stop.

use millrace_job_core::{Command, DropReason, Input, JobOptions};
use millrace_types::{ExecutionState, JobStatus, Timestamp};

use crate::graphs::word_count;
use crate::harness::{Harness, cancelled, failure, kinds, offer, persisted, tm};

#[test]
fn a_running_job_is_cancelled_task_by_task() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    let commands = harness.step(Input::CancelRequested);
    assert_eq!(cancelled(&commands), attempts);
    assert_eq!(harness.status(), JobStatus::Cancelling);
    assert_eq!(harness.step(Input::CancelRequested), []);
    assert_eq!(harness.dropped(DropReason::AlreadyAnswered), 1);
    // The confirmation, the end by itself, and the failure of being torn down are all the same.
    harness.report(attempts[0], ExecutionState::Canceling);
    harness.report(attempts[0], ExecutionState::Canceled);
    harness.report(attempts[1], ExecutionState::Finished);
    harness.report_with(attempts[2], ExecutionState::Failed, Some(failure("channel closed")));
    let commands = harness.report(attempts[3], ExecutionState::Canceled);
    assert_eq!(kinds(&commands), ["release", "persist"]);
    assert_eq!(persisted(&commands), Some((1, JobStatus::Canceled)));
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Canceled }]);
    assert!(harness.core.view().exceptions.entries.is_empty());
    assert!(harness.core.view().vertices.iter().all(|vertex| vertex.aggregate_state() == ExecutionState::Canceled));
}

#[test]
fn a_job_that_has_not_begun_is_cancelled_at_once() {
    let mut harness = Harness::new(word_count());
    assert_eq!(kinds(&harness.step(Input::CancelRequested)), ["request", "persist"]);
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Canceled }]);
    assert_eq!(harness.step(Input::Start), []);
    assert_eq!(harness.status(), JobStatus::Canceled);
}

#[test]
fn a_job_that_waits_is_cancelled_at_once() {
    let mut harness = Harness::new(word_count());
    harness.step(Input::Start);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]));
    assert_eq!(kinds(&harness.step(Input::CancelRequested)), ["request", "release", "persist"]);
    assert_eq!(harness.core.view().waiting, None);
    // What was asked for comes too late.
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("b", 0, 2)]))), ["reject"]);
    assert_eq!(harness.splits(0, 1), []);
    assert_eq!(harness.dropped(DropReason::TooLate), 1);
}

#[test]
fn a_failing_job_that_is_cancelled_ends_as_cancelled() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    harness.report_with(attempts[0], ExecutionState::Failed, Some(failure("boom")));
    assert_eq!(harness.step(Input::CancelRequested), []);
    assert_eq!(harness.status(), JobStatus::Cancelling);
    harness.report(attempts[1], ExecutionState::Canceled);
    harness.report(attempts[2], ExecutionState::Canceled);
    assert_eq!(persisted(&harness.report(attempts[3], ExecutionState::Canceled)), Some((1, JobStatus::Canceled)));
    // What went wrong before stays known.
    assert_eq!(harness.core.view().exceptions.entries[0].failure.message, "boom");
}

#[test]
fn a_job_whose_end_is_decided_cannot_be_cancelled() {
    let mut harness = Harness::running();
    for attempt in harness.all_attempts() {
        harness.report(attempt, ExecutionState::Finished);
    }
    assert_eq!(harness.step(Input::CancelRequested), []);
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Finished }]);
    assert_eq!(harness.step(Input::CancelRequested), []);
    assert_eq!((harness.status(), harness.dropped(DropReason::TooLate)), (JobStatus::Finished, 2));
}

#[test]
fn a_lost_task_manager_ends_its_part_of_a_cancellation() {
    let mut harness = Harness::running();
    harness.step(Input::CancelRequested);
    harness.step(Input::TaskManagerLost { task_manager: tm("a"), reason: "x".into() });
    assert_eq!(harness.state(0, 0), ExecutionState::Canceled);
    harness.report(harness.attempt(0, 1), ExecutionState::Canceled);
    let commands = harness.report(harness.attempt(1, 1), ExecutionState::Canceled);
    assert_eq!(commands[0], Command::ReleaseSlots { slots: vec![offer("b", 0, 2)] });
    assert!(harness.core.view().exceptions.entries.is_empty());
}

#[test]
fn tasks_that_do_not_stop_are_told_again_and_lose_their_slots_in_the_end() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    assert_eq!(harness.core.next_deadline(), None);
    harness.step(Input::CancelRequested);
    let options = JobOptions::default();
    let start = harness.now;
    assert_eq!(harness.core.next_deadline(), Some(start.plus_ms(options.cancel_retry_ms)));
    assert_eq!(cancelled(&harness.deadline()), attempts);
    harness.report(attempts[0], ExecutionState::Canceled);
    assert_eq!(cancelled(&harness.deadline()), attempts[1..]);
    assert_eq!(harness.step(Input::DeadlineReached), [], "nothing is due");
    let mut rounds = 2;
    let commands = loop {
        let commands = harness.deadline();
        rounds += 1;
        if harness.now >= start.plus_ms(options.cancel_timeout_ms) {
            break commands;
        }
        assert_eq!(cancelled(&commands), attempts[1..]);
    };
    assert!(rounds >= 35, "{rounds}");
    assert_eq!(kinds(&commands), ["release", "persist"]);
    assert_eq!(persisted(&commands), Some((1, JobStatus::Canceled)));
    let exceptions = &harness.core.view().exceptions.entries;
    assert!(exceptions[0].failure.message.contains("did not stop within 180 s"));
    assert_eq!(harness.state(1, 1), ExecutionState::Failed);
    assert_eq!(harness.core.next_deadline(), None);
}

#[test]
fn a_clock_that_goes_backwards_stands_still() {
    let mut harness = Harness::running();
    let now = harness.now;
    harness.core.step(Timestamp(0), Input::CancelRequested, &mut Vec::new());
    assert_eq!(harness.core.view().timestamps[&JobStatus::Cancelling], now);
}
