//! RUNNING: what tasks report.

use millrace_job_core::{Command, DropReason, Input};
use millrace_protocol::TaskFigures;
use millrace_types::{AttemptId, ExecutionState, JobId, JobStatus, VertexId};

use crate::graphs::{spec, word_count};
use crate::harness::{Harness, kinds, offer, persisted};

#[test]
fn a_job_whose_tasks_have_finished_has_finished() {
    let mut harness = Harness::running();
    let attempts = harness.all_attempts();
    for attempt in &attempts[..3] {
        assert_eq!(harness.report(*attempt, ExecutionState::Finished), []);
    }
    let commands = harness.report(attempts[3], ExecutionState::Finished);
    assert_eq!(kinds(&commands), ["request", "release", "persist"]);
    assert_eq!(commands[0], Command::RequestSlots { count: 0 });
    assert_eq!(commands[1], Command::ReleaseSlots { slots: vec![offer("a", 0, 1), offer("b", 0, 2)] });
    assert_eq!(persisted(&commands), Some((1, JobStatus::Finished)));
    assert_eq!(harness.status(), JobStatus::Running, "not before it is written");
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Finished }]);
    assert_eq!(harness.status(), JobStatus::Finished);
}

#[test]
fn states_only_move_forwards() {
    let mut harness = Harness::deployed();
    let attempt = harness.attempt(0, 0);
    harness.report(attempt, ExecutionState::Running);
    harness.report(attempt, ExecutionState::Initializing);
    harness.report(attempt, ExecutionState::Running);
    for state in
        [ExecutionState::Created, ExecutionState::Scheduled, ExecutionState::Deploying, ExecutionState::Canceling]
    {
        harness.report(attempt, state);
    }
    assert_eq!(harness.state(0, 0), ExecutionState::Running);
    assert_eq!(harness.dropped(DropReason::OutOfOrder), 6);
    harness.report(attempt, ExecutionState::Finished);
    harness.report(attempt, ExecutionState::Running);
    harness.report(attempt, ExecutionState::Failed);
    assert_eq!(harness.state(0, 0), ExecutionState::Finished);
    assert_eq!(harness.dropped(DropReason::TaskEnded), 2);
    assert_eq!(harness.status(), JobStatus::Running);
}

#[test]
fn a_task_may_finish_without_having_said_anything_before() {
    let mut harness = Harness::deployed();
    for attempt in harness.all_attempts() {
        harness.report(attempt, ExecutionState::Finished);
    }
    assert_eq!(harness.written(1), [Command::JobEnded { status: JobStatus::Finished }]);
}

#[test]
fn messages_of_other_attempts_and_other_jobs_are_dropped_by_name() {
    let mut recovered = spec(word_count());
    recovered.first_attempt = 3;
    recovered.recorded_attempts = vec![3, 3];
    let mut harness = Harness::of(recovered);
    let attempt = harness.attempt(0, 0);
    assert_eq!(attempt.attempt, 3);
    harness.report(attempt, ExecutionState::Running);
    assert_eq!(harness.dropped(DropReason::NotDeployed), 1);
    harness.step(Input::Start);
    harness.splits(0, 0);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("a", 1, 2)]));
    for number in [2, 4] {
        harness.report(AttemptId { attempt: number, ..attempt }, ExecutionState::Failed);
    }
    assert_eq!(harness.dropped(DropReason::StaleAttempt), 2);
    for stranger in [
        AttemptId { job: JobId::from_bytes([9; 16]), ..attempt },
        AttemptId { vertex: VertexId::from_bytes([9; 16]), ..attempt },
        AttemptId { subtask: 2, ..attempt },
    ] {
        harness.report(stranger, ExecutionState::Failed);
    }
    assert_eq!(harness.dropped(DropReason::UnknownTask), 3);
    assert_eq!(harness.status(), JobStatus::Running);
    assert_eq!(harness.state(0, 0), ExecutionState::Deploying);
}

#[test]
fn figures_only_grow() {
    let mut harness = Harness::running();
    let attempt = harness.attempt(0, 1);
    let figures = |records_in, busy_ms| TaskFigures { records_in, busy_ms, ..TaskFigures::default() };
    let shown = |harness: &Harness| harness.core.view().vertices[0].subtasks[1].figures;
    harness.step(Input::FiguresUpdated(vec![(attempt, figures(10, 5))]));
    harness.step(Input::FiguresUpdated(vec![(attempt, figures(7, 6))]));
    assert_eq!(shown(&harness), figures(10, 6));
    assert_eq!(harness.core.view().vertices[0].figures(), figures(10, 6));
    harness.report(attempt, ExecutionState::Finished);
    harness.step(Input::FiguresUpdated(vec![(attempt, figures(99, 99))]));
    assert_eq!(shown(&harness), figures(10, 6));
    assert_eq!(harness.dropped(DropReason::TaskEnded), 1);
}

#[test]
fn the_slots_in_use_may_be_offered_again() {
    let mut harness = Harness::running();
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]))), ["accept"]);
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("c", 0, 3)]))), ["reject"]);
    harness.step(Input::CancelRequested);
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]))), ["accept"]);
}
