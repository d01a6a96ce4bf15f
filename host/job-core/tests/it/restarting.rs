//! RESTARTING: a failure that the restart strategy answers.

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{Command, DropReason, EnumerationId, Input, JobOptions, RestartStrategy};
use millrace_types::{AttemptId, ExecutionState, Failure, FailureKind, JobStatus, NodeId};

use crate::graphs::{edge, guest_source, job_graph, sink, spec, word_count};
use crate::harness::{Harness, cancelled, failure, kinds, offer, persisted, tm};

const THRICE: RestartStrategy = RestartStrategy::FixedDelay { attempts: 3, delay_ms: 700 };

/// The attempts that are deployed.
fn deployed(commands: &[Command]) -> Vec<AttemptId> {
    let deployed = |command: &Command| match command {
        Command::Deploy { task, .. } => Some(task.attempt),
        _ => None,
    };
    commands.iter().filter_map(deployed).collect()
}

/// A task fails and the others confirm their cancellation: the commands of the last one.
fn fail_and_stop(harness: &mut Harness) -> Vec<Command> {
    let attempts = harness.all_attempts();
    let mut commands = harness.report_with(attempts[1], ExecutionState::Failed, Some(failure("boom")));
    for attempt in cancelled(&commands) {
        commands = harness.report(attempt, ExecutionState::Canceled);
    }
    commands
}

#[test]
fn a_failed_job_stops_and_runs_again_under_the_next_attempt() {
    let mut harness = Harness::running_under(THRICE);
    let attempts = harness.all_attempts();
    let commands = harness.report_with(attempts[1], ExecutionState::Failed, Some(failure("boom")));
    assert_eq!(kinds(&commands), ["cancel", "cancel", "cancel", "attempt"], "no slot is given back");
    assert_eq!(harness.status(), JobStatus::Restarting);
    assert!(matches!(&commands[3], Command::PersistAttempts { attempts, .. } if attempts[..] == [1, 1]));
    assert_eq!(harness.report(attempts[0], ExecutionState::Canceled), []);
    assert_eq!(harness.report(attempts[2], ExecutionState::Finished), []);
    let waiting = |harness: &Harness| harness.core.view().waiting.as_ref().unwrap().to_string();
    assert_eq!(waiting(&harness), "waits until 1 tasks have stopped");
    // The first restart after a quiet time is immediate.
    let commands = harness.report(attempts[3], ExecutionState::Canceled);
    let listing = Command::EnumerateSplits { node: NodeId(0), parallelism: 2, enumeration: EnumerationId(2) };
    assert_eq!(commands, [listing]);
    assert_eq!(harness.state(0, 0), ExecutionState::Scheduled);
    assert_eq!(waiting(&harness), "lists the splits of 1 sources");
    assert_eq!(harness.splits(0, 3), []);
    assert_eq!(waiting(&harness), "records its attempt 1");
    let again = deployed(&harness.written(1));
    assert_eq!(again, attempts.iter().map(|attempt| AttemptId { attempt: 1, ..*attempt }).collect::<Vec<_>>());
    assert_eq!((harness.status(), harness.core.view().restarts), (JobStatus::Running, 1));
    assert_eq!(harness.core.view().waiting, None);
    for attempt in again {
        harness.report(attempt, ExecutionState::Finished);
    }
    assert_eq!(harness.written(2), [Command::JobEnded { status: JobStatus::Finished }]);
    assert_eq!(harness.core.view().exceptions.entries.len(), 1);
}

#[test]
fn earlier_attempts_stay_visible_and_late_messages_of_theirs_are_dropped() {
    let mut harness = Harness::running_under(THRICE);
    let attempts = harness.all_attempts();
    fail_and_stop(&mut harness);
    harness.splits(0, 1);
    harness.written(1);
    let subtask = &harness.core.view().vertices[0].subtasks[1];
    assert_eq!((subtask.attempt, subtask.state), (1, ExecutionState::Deploying));
    let earlier = subtask.attempt(0).unwrap();
    assert_eq!((earlier.state, earlier.task_manager.clone()), (ExecutionState::Failed, Some(tm("b"))));
    assert_eq!(earlier.failure.as_ref().unwrap().message, "boom");
    assert!(earlier.ended_at().is_some() && earlier.earlier.is_empty());
    assert_eq!(harness.core.view().vertices[0].subtasks[0].attempt(0).unwrap().failure, None, "it was only cancelled");
    assert_eq!(subtask.attempt(2), None);
    harness.report(attempts[1], ExecutionState::Failed);
    assert_eq!(harness.dropped(DropReason::StaleAttempt), 1);
    assert_eq!(harness.status(), JobStatus::Running);
    assert!(harness.core.view().without_earlier_attempts().vertices[0].subtasks[1].attempt(0).is_none());
}

#[test]
fn the_delay_passes_before_the_next_restart_and_then_attempts_run_out() {
    let mut harness = Harness::running_under(THRICE);
    fail_and_stop(&mut harness);
    for round in 1..3 {
        harness.splits(0, 1);
        harness.written(round);
        let failed_at = harness.now.plus_ms(1);
        assert_eq!(fail_and_stop(&mut harness), []);
        assert_eq!(harness.core.view().waiting.as_ref().unwrap().restart_at, Some(failed_at.plus_ms(700)));
        assert_eq!(harness.core.next_deadline(), Some(failed_at.plus_ms(700)));
        assert_eq!(harness.step(Input::DeadlineReached), [], "not yet");
        assert_eq!(kinds(&harness.deadline()), ["enumerate"]);
    }
    harness.splits(0, 1);
    harness.written(3);
    assert_eq!(harness.attempt(0, 0).attempt, 3);
    let commands = fail_and_stop(&mut harness);
    assert_eq!(persisted(&commands), Some((4, JobStatus::Failed)));
    assert_eq!((harness.core.view().restarts, harness.core.view().exceptions.entries.len()), (3, 2));
    assert!(harness.core.view().exceptions.truncated, "four failures, of which two are kept");
}

#[test]
fn a_wrong_application_is_not_run_again() {
    for kind in [FailureKind::InvalidApplication, FailureKind::NonDeterministicGraph, FailureKind::Compile] {
        let mut harness = Harness::running_under(THRICE);
        let wrong = Failure::new(kind, "wrong");
        harness.report_with(harness.attempt(0, 0), ExecutionState::Failed, Some(wrong));
        assert_eq!((harness.status(), harness.core.view().restarts), (JobStatus::Failing, 0));
    }
    // So it is when that shows while the job restarts for another reason.
    let mut harness = Harness::running_under(THRICE);
    harness.report_with(harness.attempt(0, 0), ExecutionState::Failed, Some(failure("boom")));
    let wrong = Failure::new(FailureKind::InvalidApplication, "two states of one name");
    harness.report_with(harness.attempt(0, 1), ExecutionState::Failed, Some(wrong));
    assert_eq!(harness.status(), JobStatus::Failing);
    assert_eq!(harness.core.view().exceptions.entries[0].failure.message, "two states of one name");
}

#[test]
fn an_attempt_number_is_recorded_before_it_is_used() {
    let mut harness = Harness::running_under(THRICE);
    fail_and_stop(&mut harness);
    harness.splits(0, 1);
    let failed = Input::MetadataWriteFailed { write: millrace_job_core::WriteId(1), reason: "disk full".into() };
    assert_eq!(harness.step(failed), []);
    assert_eq!(harness.core.next_deadline(), Some(harness.now.plus_ms(1_000)));
    let commands = harness.deadline();
    let [Command::PersistAttempts { write, .. }] = commands[..] else { panic!("{commands:?}") };
    assert_eq!(harness.written(1), []);
    assert_eq!(deployed(&harness.written(write.0)).len(), 4);
}

#[test]
fn a_job_of_an_earlier_life_records_its_attempt_while_slots_come() {
    let mut recovered = spec(word_count());
    (recovered.first_attempt, recovered.recorded_attempts) = (5, vec![4, 4]);
    let mut harness = Harness::of(recovered);
    let commands = harness.step(Input::Start);
    assert_eq!(kinds(&commands), ["request", "enumerate", "attempt"]);
    harness.splits(0, 1);
    assert_eq!(kinds(&harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]))), ["accept"; 2]);
    assert_eq!(kinds(&harness.written(1)), ["deploy"; 4]);
    assert_eq!(harness.attempt(0, 0).attempt, 5);
}

#[test]
fn a_source_that_cannot_list_its_splits_costs_a_restart_each_time() {
    let mut delayed = spec(word_count());
    delayed.options.restart_strategy = RestartStrategy::FixedDelay { attempts: 2, delay_ms: 700 };
    let mut harness = Harness::of(delayed);
    harness.step(Input::Start);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
    let missing = |harness: &mut Harness| {
        let (node, enumeration) = (NodeId(0), harness.enumeration(0));
        let result = Err(Failure::new(FailureKind::Connector, "no such file"));
        harness.step(Input::SplitsEnumerated { node, enumeration, result })
    };
    assert_eq!(kinds(&missing(&mut harness)), ["attempt", "enumerate"]);
    assert_eq!(harness.status(), JobStatus::Restarting);
    // An answer to the first question comes late.
    harness.step(Input::SplitsEnumerated { node: NodeId(0), enumeration: EnumerationId(1), result: Ok(vec![]) });
    assert_eq!(harness.dropped(DropReason::AlreadyAnswered), 1);
    assert_eq!(missing(&mut harness), []);
    harness.written(1);
    assert_eq!(kinds(&harness.deadline()), ["enumerate"]);
    assert_eq!(harness.core.view().restarts, 2);
    assert_eq!(kinds(&missing(&mut harness)), ["request", "release", "persist"]);
}

#[test]
fn cancelling_while_the_delay_passes_ends_the_job_at_once() {
    let mut harness = Harness::running_under(THRICE);
    fail_and_stop(&mut harness);
    harness.splits(0, 1);
    harness.written(1);
    fail_and_stop(&mut harness);
    assert_eq!(harness.status(), JobStatus::Restarting);
    let commands = harness.step(Input::CancelRequested);
    assert_eq!(kinds(&commands), ["request", "release", "persist"]);
    let (write, status) = persisted(&commands).unwrap();
    assert_eq!(status, JobStatus::Canceled);
    assert_eq!(harness.written(write), [Command::JobEnded { status }]);
}

#[test]
fn cancelling_while_tasks_stop_waits_for_them_and_tells_none_twice() {
    let mut harness = Harness::running_under(THRICE);
    let attempts = harness.all_attempts();
    harness.report(attempts[0], ExecutionState::Failed);
    assert_eq!(kinds(&harness.step(Input::CancelRequested)), ["request"]);
    assert_eq!(harness.status(), JobStatus::Cancelling);
    harness.report(attempts[1], ExecutionState::Canceled);
    harness.report(attempts[2], ExecutionState::Canceled);
    assert_eq!(kinds(&harness.report(attempts[3], ExecutionState::Canceled)), ["release", "persist"]);
}

#[test]
fn a_task_that_never_stops_loses_its_slot_and_the_job_runs_elsewhere() {
    let mut harness = Harness::running_under(THRICE);
    let attempts = harness.all_attempts();
    harness.report(attempts[0], ExecutionState::Failed);
    harness.report(attempts[2], ExecutionState::Canceled);
    harness.report(attempts[3], ExecutionState::Canceled);
    harness.written(1);
    let give_up_at = harness.now.plus_ms(JobOptions::default().cancel_timeout_ms);
    let commands = loop {
        let commands = harness.deadline();
        if cancelled(&commands).is_empty() {
            break commands;
        }
        assert_eq!(cancelled(&commands), [attempts[1]]);
    };
    assert!(harness.now <= give_up_at);
    assert_eq!(kinds(&commands), ["release", "request", "enumerate"]);
    assert_eq!(
        commands[..2],
        [Command::ReleaseSlots { slots: vec![offer("b", 0, 2)] }, Command::RequestSlots { count: 2 }]
    );
    harness.splits(0, 1);
    let deployed = deployed(&harness.step(Input::SlotsOffered(vec![offer("c", 0, 3)])));
    assert_eq!((deployed.len(), harness.core.view().restarts), (4, 1));
    let exception = &harness.core.view().exceptions.entries[0];
    assert!(exception.concurrent[0].failure.message.contains("did not stop within 180 s"));
    assert_eq!(harness.core.view().vertices[0].subtasks[1].task_manager, Some(tm("c")));
}

/// Two regions of a source and a sink, chained, that share two slots.
fn two_regions() -> JobGraph {
    let forward = Partitioning::Forward;
    job_graph(
        vec![guest_source("a", 2), sink("a-out", 2), guest_source("b", 2), sink("b-out", 2)],
        vec![edge(0, 1, forward), edge(2, 3, forward)],
    )
}

fn two_regions_running() -> Harness {
    let mut regions = spec(two_regions());
    regions.options.restart_strategy = THRICE;
    let mut harness = Harness::of(regions);
    harness.step(Input::Start);
    harness.splits(0, 1);
    harness.splits(2, 1);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
    harness.all_running()
}

#[test]
fn only_the_region_that_failed_restarts() {
    let mut harness = two_regions_running();
    let (mine, other) = (harness.attempt(0, 0), harness.attempt(0, 1));
    let reader = harness.attempt(1, 0);
    assert_eq!(cancelled(&harness.report(mine, ExecutionState::Failed)), [other]);
    assert_eq!(harness.status(), JobStatus::Restarting);
    // The other region reads on and finishes.
    let ask = millrace_protocol::SplitRequest { attempt: reader, node: NodeId(2), finished: vec![] };
    assert_eq!(kinds(&harness.step(Input::SplitRequested(ask))), ["assign"]);
    harness.report(reader, ExecutionState::Finished);
    harness.report(harness.attempt(1, 1), ExecutionState::Finished);
    assert_eq!(harness.status(), JobStatus::Restarting);
    assert_eq!(kinds(&harness.report(other, ExecutionState::Canceled)), ["enumerate"]);
    harness.splits(0, 1);
    let again = deployed(&harness.written(1));
    assert_eq!(again, [AttemptId { attempt: 1, ..mine }, AttemptId { attempt: 1, ..other }]);
    assert_eq!(harness.state(1, 0), ExecutionState::Finished, "it does not run again");
    harness.report(again[0], ExecutionState::Finished);
    assert_eq!(persisted(&harness.report(again[1], ExecutionState::Finished)), Some((2, JobStatus::Finished)));
}

#[test]
fn a_region_that_fails_meanwhile_joins_the_restart() {
    let mut harness = two_regions_running();
    harness.report(harness.attempt(0, 0), ExecutionState::Failed);
    harness.report(harness.attempt(0, 1), ExecutionState::Canceled);
    harness.splits(0, 1);
    let listed = harness.enumeration(0);
    // The first region is ready and waits for its record when the second one fails.
    let commands = harness.report_with(harness.attempt(1, 0), ExecutionState::Failed, Some(failure("second")));
    assert_eq!(cancelled(&commands), [harness.attempt(1, 1)]);
    // Its number is not recorded yet.
    assert_eq!(kinds(&harness.written(1)), ["attempt"]);
    assert_eq!(harness.written(2), []);
    assert_eq!(kinds(&harness.report(harness.attempt(1, 1), ExecutionState::Canceled)), ["enumerate"]);
    assert_eq!(harness.enumeration(0), listed, "what is listed is not listed again");
    assert_eq!(deployed(&harness.splits(2, 1)).len(), 4);
    let view = harness.core.view();
    assert_eq!((view.restarts, view.exceptions.entries.len()), (1, 1));
    assert_eq!(view.exceptions.entries[0].concurrent[0].failure.message, "second");
    assert!(harness.all_attempts().iter().all(|attempt| attempt.attempt == 1));
}

#[test]
fn a_region_that_is_ready_and_fails_while_another_one_stops_is_made_ready_again() {
    let mut harness = two_regions_running();
    harness.report(harness.attempt(0, 0), ExecutionState::Failed);
    harness.report(harness.attempt(0, 1), ExecutionState::Canceled);
    harness.report(harness.attempt(1, 0), ExecutionState::Failed);
    let (node, enumeration) = (NodeId(0), harness.enumeration(0));
    harness.step(Input::SplitsEnumerated { node, enumeration, result: Err(failure("no such file")) });
    let commands = harness.report(harness.attempt(1, 1), ExecutionState::Canceled);
    assert_eq!(kinds(&commands), ["enumerate", "enumerate"]);
    assert_eq!((harness.core.view().restarts, harness.attempt(0, 0).attempt), (1, 2));
}

#[test]
fn a_lost_task_manager_takes_all_its_regions_along() {
    let mut harness = two_regions_running();
    let on_b = [harness.attempt(0, 1), harness.attempt(1, 1)];
    let commands = harness.step(Input::TaskManagerLost { task_manager: tm("a"), reason: "x".into() });
    assert_eq!(cancelled(&commands), on_b);
    assert!(commands.contains(&Command::RequestSlots { count: 2 }));
    harness.written(1);
    harness.written(2);
    for attempt in on_b {
        harness.report(attempt, ExecutionState::Canceled);
    }
    harness.splits(0, 1);
    harness.splits(2, 1);
    assert_eq!(deployed(&harness.step(Input::SlotsOffered(vec![offer("c", 0, 3)]))).len(), 4);
    assert_eq!(harness.core.view().restarts, 1);
    // The slots that were kept have the same subtasks as before.
    let places: Vec<_> =
        harness.core.view().vertices[0].subtasks.iter().map(|task| task.task_manager.clone()).collect();
    assert_eq!(places, [Some(tm("c")), Some(tm("b"))]);
}

#[test]
fn regions_that_lose_all_their_tasks_at_once_are_one_restart() {
    let mut harness = two_regions_running();
    let lost: Vec<_> = [1, 2].into_iter().map(crate::harness::allocation).collect();
    assert_eq!(kinds(&harness.step(Input::SlotsLost(lost))), ["attempt", "request", "enumerate", "enumerate"]);
    assert_eq!((harness.core.view().restarts, harness.core.view().exceptions.entries[0].concurrent.len()), (1, 1));
    assert!(harness.all_attempts().iter().all(|attempt| attempt.attempt == 1));
}

#[test]
fn tasks_whose_slots_were_all_lost_go_back_to_where_they_were() {
    let mut harness = two_regions_running();
    let lost: Vec<_> = [1, 2].into_iter().map(crate::harness::allocation).collect();
    harness.step(Input::SlotsLost(lost));
    harness.written(1);
    harness.written(2);
    harness.splits(0, 1);
    harness.splits(2, 1);
    // In order the first subtasks would come to TaskManager 0, and the second to a.
    harness.step(Input::SlotsOffered(vec![offer("0", 0, 3), offer("a", 1, 4)]));
    assert_eq!(harness.status(), JobStatus::Running);
    for vertex in &harness.core.view().vertices {
        let places: Vec<_> = vertex.subtasks.iter().map(|task| task.task_manager.clone()).collect();
        assert_eq!(places, [Some(tm("a")), Some(tm("0"))]);
    }
}
