//! Savepoints, and the stop of a job behind one.

use std::collections::VecDeque;

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{CheckpointOptions, Command, Input, RequestId, RestartStrategy, SnapshotLocation, StopMode};
use millrace_protocol::SubtaskSnapshot;
use millrace_types::{Alignment, CheckpointId, ExecutionState, JobStatus, SnapshotKind};

use crate::checkpoints::{ack, checkpointed};
use crate::graphs::{edge, guest_source, job_graph, sink, spec};
use crate::harness::{Harness, failure, kinds, offer, persisted};

const REQUEST: RequestId = RequestId(7);

/// `first -> out` and `second -> rows`, one subtask each, that share nothing.
fn two_pipelines() -> JobGraph {
    let nodes = vec![guest_source("first", 1), sink("out", 1), guest_source("second", 1), sink("rows", 1)];
    job_graph(nodes, vec![edge(0, 1, Partitioning::Rebalance), edge(2, 3, Partitioning::Rebalance)])
}

fn ask(harness: &mut Harness, stop: Option<StopMode>) -> Vec<Command> {
    harness.step(Input::SavepointRequested { request: REQUEST, folder: "/save".into(), stop })
}

fn taken(harness: &mut Harness, checkpoint: CheckpointId) -> Vec<Command> {
    for task in harness.all_attempts() {
        harness.step(ack(task, checkpoint, SubtaskSnapshot::default()));
    }
    harness.step(Input::CheckpointStored { checkpoint, result: Ok("/save".into()) })
}

fn at(checkpoint: u64) -> SnapshotLocation {
    SnapshotLocation { checkpoint: CheckpointId(checkpoint), location: "/save".into() }
}

fn answer(commands: &[Command]) -> Result<SnapshotLocation, String> {
    let found = commands.iter().find_map(|command| match command {
        Command::SavepointEnded { request: REQUEST, result } => Some(result.clone()),
        _ => None,
    });
    found.expect("an answer").map_err(|failure| failure.to_string())
}

#[test]
fn a_savepoint_is_stored_and_answered_and_nothing_is_committed_for_it() {
    let mut harness = checkpointed(|spec| spec.checkpoints.unaligned = true);
    let commands = ask(&mut harness, None);
    assert_eq!(kinds(&commands), ["trigger", "trigger"]);
    let Command::TriggerCheckpoint { barrier, .. } = &commands[0] else { panic!() };
    assert_eq!((barrier.kind, barrier.alignment), (SnapshotKind::Savepoint { stop: false }, Alignment::Aligned));
    assert!(!barrier.drain);
    assert_eq!(barrier.folder.as_deref(), Some("/save"));
    let commands = taken(&mut harness, CheckpointId(1));
    assert_eq!(kinds(&commands), ["answer"]);
    assert_eq!(answer(&commands), Ok(at(1)));
    assert!(harness.core.view().checkpoints.latest_savepoint.is_some());
}

#[test]
fn a_job_stops_behind_its_savepoint_and_then_the_request_is_answered() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, Some(StopMode { drain: false }));
    let commands = taken(&mut harness, CheckpointId(1));
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    assert_eq!(kinds(&harness.step(Input::MetadataWritten { write })), ["completed"; 4]);
    harness.now = harness.now.plus_ms(60_000);
    assert_eq!(harness.step(Input::DeadlineReached), [], "no checkpoint follows");
    let mut last = Vec::new();
    for task in harness.all_attempts() {
        last = harness.report(task, ExecutionState::Finished);
    }
    let (write, status) = persisted(&last).unwrap();
    let commands = harness.written(write);
    assert_eq!((status, kinds(&commands)), (JobStatus::Finished, vec!["delete-all", "answer", "ended"]));
    assert_eq!(answer(&commands), Ok(at(1)));
}

#[test]
fn a_stop_that_fails_leaves_the_job_running() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, Some(StopMode { drain: false }));
    for task in harness.all_attempts() {
        harness.step(ack(task, CheckpointId(1), SubtaskSnapshot::default()));
    }
    let commands = harness.step(Input::CheckpointStored { checkpoint: CheckpointId(1), result: Err("full".into()) });
    assert_eq!(kinds(&commands), ["aborted", "aborted", "aborted", "aborted", "answer"]);
    assert!(answer(&commands).is_err_and(|why| why.contains("full")));
    assert_eq!(harness.status(), JobStatus::Running);
    assert_eq!(kinds(&harness.deadline()), ["trigger", "trigger"], "checkpoints go on");
}

#[test]
fn a_task_that_fails_behind_the_savepoint_restarts_from_it_and_the_request_says_where_it_is() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, Some(StopMode { drain: false }));
    let commands = taken(&mut harness, CheckpointId(1));
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    harness.step(Input::MetadataWritten { write });
    let task = harness.attempt(1, 0);
    let commands = harness.report_with(task, ExecutionState::Failed, Some(failure("trap")));
    assert!(answer(&commands).is_err_and(|why| why.contains("/save") && why.contains("did not stop")));
    assert_eq!(harness.status(), JobStatus::Restarting);
}

#[test]
fn a_drained_job_takes_its_savepoint_when_its_sources_have_ended() {
    let mut harness = checkpointed(|_| {});
    let commands = ask(&mut harness, Some(StopMode { drain: true }));
    assert_eq!(kinds(&commands), ["drain", "drain", "trigger", "trigger"]);
    assert!(matches!(&commands[3], Command::TriggerCheckpoint { barrier, .. } if barrier.drain));
    let mut last = Vec::new();
    for task in harness.all_attempts() {
        last = harness.report(task, ExecutionState::Finished);
    }
    // No task is left to acknowledge anything: the savepoint says that all have finished.
    let Some(Command::StoreCheckpoint { checkpoint }) = last.last() else { panic!("{last:?}") };
    assert!(checkpoint.operators.values().all(millrace_job_core::OperatorState::is_finished));
    assert_eq!(harness.status(), JobStatus::Running);
    let id = checkpoint.id;
    let commands = harness.step(Input::CheckpointStored { checkpoint: id, result: Ok("/save".into()) });
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    let commands = harness.step(Input::MetadataWritten { write });
    let (write, _) = persisted(&commands).unwrap();
    assert_eq!(answer(&harness.written(write)), Ok(at(id.0)));
}

/// Does what a job orders, and what follows from it.
fn settle(harness: &mut Harness, commands: Vec<Command>) -> Vec<Command> {
    let (mut orders, mut done) = (VecDeque::from(commands), Vec::new());
    loop {
        let Some(order) = orders.pop_front() else {
            if harness.status() != JobStatus::Restarting || harness.core.next_deadline().is_none() {
                return done;
            }
            orders.extend(harness.deadline());
            continue;
        };
        orders.extend(match &order {
            Command::CancelTask { attempt, .. } => harness.report(*attempt, ExecutionState::Canceled),
            Command::PersistAttempts { write, .. } | Command::ReserveCheckpointIds { write, .. } => {
                harness.step(Input::MetadataWritten { write: *write })
            }
            Command::EnumerateSplits { node, .. } => harness.splits(node.0, 3),
            _ => Vec::new(),
        });
        done.push(order);
    }
}

/// Two pipelines beside each other, which have a checkpoint and are then drained.
fn draining() -> Harness {
    let mut spec = spec(two_pipelines());
    spec.checkpoints = CheckpointOptions { interval_ms: Some(1_000), ..CheckpointOptions::default() };
    spec.options.restart_strategy = RestartStrategy::FixedDelay { attempts: 9, delay_ms: 0 };
    let mut harness = Harness::of(spec);
    let commands = harness.step(Input::Start);
    settle(&mut harness, commands);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1)]));
    let mut harness = harness.all_running();
    assert_eq!(kinds(&harness.deadline()), ["trigger"; 2]);
    let commands = taken(&mut harness, CheckpointId(1));
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    harness.step(Input::MetadataWritten { write });
    assert_eq!(kinds(&ask(&mut harness, Some(StopMode { drain: true }))), ["drain", "drain", "trigger", "trigger"]);
    harness
}

/// What each task begins with that is deployed when all has been done.
fn restored(harness: &mut Harness, commands: Vec<Command>) -> Vec<Option<CheckpointId>> {
    let deployed = |command: &Command| match command {
        Command::Deploy { task, .. } => Some(task.restore.as_ref().map(|restore| restore.checkpoint)),
        _ => None,
    };
    settle(harness, commands).iter().filter_map(deployed).collect()
}

#[test]
fn a_drain_whose_savepoint_fails_takes_all_of_the_job_back_to_its_last_checkpoint() {
    let mut harness = draining();
    for task in harness.all_attempts() {
        harness.step(ack(task, CheckpointId(2), SubtaskSnapshot::default()));
    }
    let commands = harness.step(Input::CheckpointStored { checkpoint: CheckpointId(2), result: Err("full".into()) });
    assert!(answer(&commands).is_err_and(|why| why.contains("full")));
    assert_eq!(harness.status(), JobStatus::Restarting);
    let view = harness.core.view();
    assert!(view.exceptions.entries[0].failure.to_string().contains("full"));
    assert_eq!(restored(&mut harness, commands), [Some(CheckpointId(1)); 4]);
    assert_eq!(harness.status(), JobStatus::Running);
}

/// One of the pipelines has ended already, with a part of its input.
#[test]
fn what_has_finished_early_for_a_drain_that_fails_runs_again_too() {
    let mut harness = draining();
    for subtask in [(0, 0), (1, 0)] {
        let task = harness.attempt(subtask.0, subtask.1);
        harness.report(task, ExecutionState::Finished);
    }
    // The savepoint was begun anew, since they ended before they took part.
    let waiting: Vec<_> = [(2, 0), (3, 0)].map(|(vertex, subtask)| harness.attempt(vertex, subtask)).into();
    let begun = harness.core.view().checkpoints.counts.total;
    let mut commands = Vec::new();
    for task in waiting {
        commands = harness.step(ack(task, CheckpointId(begun), SubtaskSnapshot::default()));
    }
    assert_eq!(kinds(&commands), ["store"], "{commands:?}");
    let checkpoint = CheckpointId(begun);
    let commands = harness.step(Input::CheckpointStored { checkpoint, result: Err("full".into()) });
    assert!(answer(&commands).is_err());
    assert_eq!(restored(&mut harness, commands), [Some(CheckpointId(1)); 4]);
}

/// A failure that has nothing to do with the savepoint: the other pipeline has been told to end, too.
#[test]
fn a_task_that_fails_during_a_drain_takes_all_of_the_job_with_it() {
    let mut harness = draining();
    let task = harness.attempt(1, 0);
    let commands = harness.report_with(task, ExecutionState::Failed, Some(failure("trap")));
    assert!(answer(&commands).is_err());
    assert_eq!(restored(&mut harness, commands), [Some(CheckpointId(1)); 4]);
}

#[test]
fn a_drain_that_was_not_begun_leaves_the_sources_where_they_are() {
    let mut harness = checkpointed(|_| {});
    assert_eq!(kinds(&harness.deadline()), ["trigger", "trigger"]);
    // One is under way, and one at a time is allowed.
    assert_eq!(ask(&mut harness, Some(StopMode { drain: true })), []);
    let commands = harness.complete(CheckpointId(1), &[]);
    assert_eq!(kinds(&commands)[4..], ["drain", "drain", "trigger", "trigger"]);
}

#[test]
fn requests_that_cannot_be_met_say_why() {
    let mut harness = checkpointed(|_| {});
    for folder in ["save", "", "gs://bucket/save"] {
        let asked = Input::SavepointRequested { request: REQUEST, folder: folder.into(), stop: None };
        assert!(answer(&harness.step(asked)).is_err_and(|why| why.contains("absolute path")), "{folder}");
    }
    let task = harness.attempt(1, 0);
    harness.report_with(task, ExecutionState::Failed, Some(failure("trap")));
    assert!(answer(&ask(&mut harness, None)).is_err_and(|why| why.contains("RESTARTING")));
}

#[test]
fn a_savepoint_may_lie_in_a_bucket() {
    let mut harness = checkpointed(|spec| spec.checkpoints.interval_ms = Some(3_600_000));
    let folder = "s3://bucket/savepoints/savepoint-1";
    let commands = harness.step(Input::SavepointRequested { request: REQUEST, folder: folder.into(), stop: None });
    let barriers = commands.iter().filter_map(|command| match command {
        Command::TriggerCheckpoint { barrier, .. } => Some(barrier.folder.as_deref()),
        _ => None,
    });
    assert_eq!(barriers.collect::<Vec<_>>(), [Some(folder); 2]);
}

#[test]
fn a_checkpoint_can_be_asked_for() {
    let mut harness = checkpointed(|spec| spec.checkpoints.interval_ms = Some(3_600_000));
    assert_eq!(kinds(&harness.step(Input::CheckpointRequested { request: REQUEST })), ["trigger", "trigger"]);
    let commands = harness.complete(CheckpointId(1), &[]);
    let location = SnapshotLocation { checkpoint: CheckpointId(1), location: "/job/chk-1".into() };
    assert_eq!(answer(&commands), Ok(location));
    assert_eq!(kinds(&commands)[..4], ["completed"; 4]);
}

#[test]
fn a_savepoint_that_waits_in_front_of_the_stop_does_not_hold_up_a_job_whose_tasks_have_finished() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, None);
    let (request, stop) = (RequestId(8), Some(StopMode { drain: false }));
    harness.step(Input::SavepointRequested { request, folder: "/stop".into(), stop });
    // Each end takes the savepoint back to the front, and in the end nobody is left to take part.
    let mut last = Vec::new();
    for task in harness.all_attempts() {
        last = harness.report(task, ExecutionState::Finished);
    }
    assert_eq!(kinds(&last), ["store"], "of what has finished");
    let Command::StoreCheckpoint { checkpoint } = &last[0] else { panic!("{last:?}") };
    let commands = harness.step(Input::CheckpointStored { checkpoint: checkpoint.id, result: Ok("/save".into()) });
    assert!(answer(&commands).is_ok());
    assert!(kinds(&commands).contains(&"store"), "the one that stops the job follows: {commands:?}");
}
