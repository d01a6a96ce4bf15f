//! The end is written before it is told.

use millrace_job_core::{Command, DropReason, Input, JobView, WriteId};
use millrace_types::{ExecutionState, JobStatus};

use crate::harness::{Harness, kinds, offer, persisted};

fn finishing() -> (Harness, Box<JobView>) {
    let mut harness = Harness::running();
    let mut commands = Vec::new();
    for attempt in harness.all_attempts() {
        commands = harness.report(attempt, ExecutionState::Finished);
    }
    let Some(Command::PersistStatus { view, .. }) = commands.pop() else { panic!("the end is written") };
    (harness, view)
}

#[test]
fn what_is_written_is_what_is_shown_afterwards() {
    let (mut harness, written) = finishing();
    assert_eq!(written.status, JobStatus::Finished);
    assert!(written.ended_at().is_some() && harness.core.view().ended_at().is_none());
    harness.written(1);
    assert_eq!(*harness.core.view(), *written);
}

#[test]
fn a_write_that_fails_is_tried_again() {
    let (mut harness, written) = finishing();
    let failed = |write| Input::MetadataWriteFailed { write: WriteId(write), reason: "disk full".into() };
    assert_eq!(harness.core.next_deadline(), None);
    assert_eq!(harness.step(failed(1)), []);
    assert_eq!(harness.core.next_deadline(), Some(harness.now.plus_ms(1_000)));
    assert_eq!(harness.step(Input::DeadlineReached), [], "not yet due");
    let commands = harness.deadline();
    assert_eq!(persisted(&commands), Some((2, JobStatus::Finished)));
    let [Command::PersistStatus { view, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(*view, written);
    // The late answers of the first write say nothing of the second.
    assert_eq!(harness.written(1), []);
    assert_eq!(harness.step(failed(1)), []);
    assert_eq!(harness.status(), JobStatus::Running);
    assert_eq!(harness.written(2), [Command::JobEnded { status: JobStatus::Finished }]);
    assert_eq!(harness.dropped(DropReason::AlreadyAnswered), 2);
}

#[test]
fn nothing_happens_after_the_end() {
    let (mut harness, _) = finishing();
    harness.written(1);
    let before = harness.core.view().clone();
    let attempt = harness.attempt(0, 0);
    assert_eq!(harness.written(1), []);
    assert_eq!(harness.report(attempt, ExecutionState::Failed), []);
    assert_eq!(harness.step(Input::CancelRequested), []);
    assert_eq!(harness.step(Input::DeadlineReached), []);
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]))), ["reject"]);
    let after = harness.core.view().clone();
    assert_ne!(after.dropped, before.dropped);
    assert_eq!(JobView { dropped: before.dropped.clone(), ..after }, before);
}
