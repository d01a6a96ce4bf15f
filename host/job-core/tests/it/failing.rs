//! FAILING: whatever fails first fails the job.

use millrace_job_core::{Command, DropReason, Input};
use millrace_types::{ExecutionState, Failure, FailureKind, JobStatus};

use crate::harness::{Harness, allocation, cancelled, failure, kinds, offer, persisted, tm};

#[test]
fn a_failed_task_fails_the_job_and_the_others_are_cancelled() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    let boom = failure("boom").in_operator("split").with_backtrace(vec!["main.rs:7".into()]);
    let commands = harness.report_with(attempts[1], ExecutionState::Failed, Some(boom.clone()));
    assert_eq!(kinds(&commands), ["request", "cancel", "cancel", "cancel"]);
    assert_eq!(commands[0], Command::RequestSlots { count: 0 });
    assert_eq!(cancelled(&commands), [attempts[0], attempts[2], attempts[3]]);
    assert_eq!(harness.status(), JobStatus::Failing);
    assert_eq!(harness.state(0, 1), ExecutionState::Failed);
    assert_eq!(harness.state(0, 0), ExecutionState::Canceling);

    assert_eq!(harness.report(attempts[0], ExecutionState::Canceled), []);
    assert_eq!(harness.report(attempts[2], ExecutionState::Canceled), []);
    let commands = harness.report(attempts[3], ExecutionState::Canceled);
    assert_eq!(kinds(&commands), ["release", "persist"]);
    assert_eq!(persisted(&commands), Some((1, JobStatus::Failed)));
    assert_eq!(harness.status(), JobStatus::Failing);
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Failed }]);

    let exceptions = &harness.core.view().exceptions;
    assert_eq!(exceptions.entries.len(), 1);
    let entry = &exceptions.entries[0];
    assert_eq!(entry.failure, boom);
    assert_eq!(entry.task_name.as_deref(), Some("Source: lines -> split (2/2)"));
    assert_eq!(entry.execution_name().as_deref(), Some("Source: lines -> split (2/2) - execution #0"));
    assert_eq!((entry.attempt, entry.task_manager.clone()), (Some(attempts[1]), Some(tm("b"))));
    assert!(entry.concurrent.is_empty() && !exceptions.truncated);
}

#[test]
fn failures_that_follow_are_kept_with_the_first_up_to_a_limit() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    for (position, attempt) in attempts.iter().enumerate() {
        harness.report_with(*attempt, ExecutionState::Failed, Some(failure(&format!("failure {position}"))));
    }
    let exceptions = &harness.core.view().exceptions;
    assert_eq!(exceptions.entries.len(), 1);
    assert_eq!(exceptions.entries[0].failure.message, "failure 0");
    let concurrent: Vec<_> = exceptions.entries[0].concurrent.iter().map(|entry| &entry.failure.message[..]).collect();
    assert_eq!(concurrent, ["failure 1", "failure 2"]);
    assert!(exceptions.truncated);
    // They were being cancelled when they failed.
    assert_eq!(harness.state(1, 1), ExecutionState::Canceled);
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Failed }]);
}

#[test]
fn tasks_that_finish_while_they_are_cancelled_end_as_cancelled_ones() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    harness.report(attempts[0], ExecutionState::Finished);
    harness.report(attempts[1], ExecutionState::Failed);
    harness.report(attempts[2], ExecutionState::Finished);
    assert_eq!(harness.state(0, 0), ExecutionState::Finished);
    assert_eq!(harness.state(1, 0), ExecutionState::Canceled);
    assert_eq!(persisted(&harness.report(attempts[3], ExecutionState::Canceled)), Some((1, JobStatus::Failed)));
}

#[test]
fn a_failure_without_a_reason_still_has_one() {
    let mut harness = Harness::running();
    harness.report(harness.attempt(0, 0), ExecutionState::Failed);
    assert_eq!(harness.core.view().exceptions.entries[0].failure.kind, FailureKind::Internal);
}

#[test]
fn a_task_that_was_cancelled_without_order_has_failed() {
    let mut harness = Harness::running();
    harness.report(harness.attempt(0, 0), ExecutionState::Canceled);
    assert_eq!(harness.status(), JobStatus::Failing);
    assert_eq!(harness.state(0, 0), ExecutionState::Failed);
}

#[test]
fn a_deployment_that_fails_is_a_failed_task() {
    let mut harness = Harness::deployed();
    let attempts = harness.all_attempts();
    let refused = || Failure::new(FailureKind::Internal, "the TaskManager refused it");
    let commands = harness.step(Input::DeployFailed { attempt: attempts[3], failure: refused() });
    assert_eq!(cancelled(&commands), attempts[..3]);
    assert_eq!(harness.step(Input::DeployFailed { attempt: attempts[3], failure: refused() }), []);
    assert_eq!(harness.dropped(DropReason::TaskEnded), 1);
}

#[test]
fn tasks_on_a_lost_task_manager_have_failed_and_are_not_told_to_stop() {
    let mut harness = Harness::running();
    let commands = harness.step(Input::TaskManagerLost { task_manager: tm("a"), reason: "it was silent".into() });
    let on_b = [harness.attempt(0, 1), harness.attempt(1, 1)];
    assert_eq!(cancelled(&commands), on_b);
    assert_eq!(harness.state(0, 0), ExecutionState::Failed);
    let entry = &harness.core.view().exceptions.entries[0];
    assert_eq!(entry.failure.kind, FailureKind::TaskManagerLost);
    assert!(entry.failure.message.contains("it was silent"), "{}", entry.failure.message);
    assert_eq!(entry.task_manager, Some(tm("a")));
    let commands = harness.step(Input::TaskManagerLost { task_manager: tm("b"), reason: "it was silent".into() });
    // No slot is left to release.
    assert_eq!(kinds(&commands), ["persist"]);
    assert_eq!(harness.state(0, 1), ExecutionState::Canceled);
}

#[test]
fn a_lost_slot_takes_its_tasks_along() {
    let mut harness = Harness::running();
    let commands = harness.step(Input::SlotsLost(vec![allocation(2), allocation(77)]));
    assert_eq!(cancelled(&commands), [harness.attempt(0, 0), harness.attempt(1, 0)]);
    assert_eq!(harness.dropped(DropReason::UnknownAllocation), 1);
    harness.report(harness.attempt(0, 0), ExecutionState::Canceled);
    let commands = harness.report(harness.attempt(1, 0), ExecutionState::Canceled);
    assert_eq!(commands[0], Command::ReleaseSlots { slots: vec![offer("a", 0, 1)] });
}

#[test]
fn a_lost_task_manager_whose_tasks_have_finished_is_no_failure() {
    let mut harness = Harness::running();
    for vertex in 0..2 {
        harness.report(harness.attempt(vertex, 0), ExecutionState::Finished);
    }
    let commands = harness.step(Input::TaskManagerLost { task_manager: tm("a"), reason: "x".into() });
    assert_eq!(commands, [Command::RequestSlots { count: 1 }], "its slot needs no replacement");
    assert_eq!(harness.status(), JobStatus::Running);
    for vertex in 0..2 {
        harness.report(harness.attempt(vertex, 1), ExecutionState::Finished);
    }
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Finished }]);
}
