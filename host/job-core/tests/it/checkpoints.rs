//! When checkpoints begin, and how they end.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_job_core::{
    CheckpointOptions, CheckpointStatus, Command, DropReason, Input, JobSpec, RestartStrategy, WriteId,
};
use millrace_protocol::{
    CheckpointAck, CheckpointDecline, OperatorSnapshot, ReaderSnapshot, SnapshotFigures, SplitPosition, SplitRequest,
    StateBlob, StateSegment, SubtaskSnapshot,
};
use millrace_types::{
    Alignment, AttemptId, CheckpointId, ExecutionState, FailureKind, JobStatus, KeyGroupRange, NodeId, Timestamp,
};

use crate::graphs::{spec, word_count};
use crate::harness::{Harness, cancelled, failure, kinds, offer};

pub const SECOND: CheckpointId = CheckpointId(2);
const FIRST: CheckpointId = CheckpointId(1);

/// Word count with a checkpoint each second.
pub fn checkpointed(change: impl FnOnce(&mut JobSpec)) -> Harness {
    let mut spec = spec(word_count());
    spec.checkpoints = CheckpointOptions { interval_ms: Some(1_000), ..CheckpointOptions::default() };
    spec.options.restart_strategy = RestartStrategy::FixedDelay { attempts: 9, delay_ms: 0 };
    change(&mut spec);
    let mut harness = Harness::of(spec);
    assert_eq!(kinds(&harness.step(Input::Start)), ["request", "enumerate", "reserve"]);
    harness.written(1);
    harness.splits(0, 3);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
    harness.all_running()
}

pub fn file(name: &str) -> StateBlob {
    StateBlob::File { path: name.to_owned(), bytes: 10, checksum: 1 }
}

pub fn segment(name: &str) -> StateSegment {
    StateSegment { key_groups: KeyGroupRange { start: 0, end: 127 }, blob: file(name) }
}

pub fn snapshot(uid: &str, operator: OperatorSnapshot) -> SubtaskSnapshot {
    SubtaskSnapshot { operators: BTreeMap::from([(uid.to_owned(), operator)]), in_flight: vec![], finished: false }
}

pub fn ack(attempt: AttemptId, checkpoint: CheckpointId, snapshot: SubtaskSnapshot) -> Input {
    let figures = SnapshotFigures { state_bytes: 10, checkpointed_bytes: 5, ..SnapshotFigures::default() };
    Input::CheckpointAcknowledged(Box::new(CheckpointAck { attempt, checkpoint, snapshot, figures }))
}

impl Harness {
    /// All tasks acknowledge with files of a name each, and the checkpoint is stored.
    pub fn take(&mut self, checkpoint: CheckpointId, files: &[&str]) -> Vec<Command> {
        for task in self.all_attempts() {
            let counts = task.vertex == self.attempt(1, 0).vertex;
            let keyed = files.iter().map(|name| segment(&format!("{name}-{}", task.subtask))).collect();
            let operator = OperatorSnapshot { keyed, ..OperatorSnapshot::default() };
            let snapshot = if counts { snapshot("count", operator) } else { SubtaskSnapshot::default() };
            self.step(ack(task, checkpoint, snapshot));
        }
        self.step(Input::CheckpointStored { checkpoint, result: Ok(format!("/job/chk-{checkpoint}").into()) })
    }

    /// As before, and its pointer is written.
    pub fn complete(&mut self, checkpoint: CheckpointId, files: &[&str]) -> Vec<Command> {
        let commands = self.take(checkpoint, files);
        let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
        self.step(Input::MetadataWritten { write })
    }

    /// The pointer's write is answered.
    fn pointer(&mut self, commands: &[Command], written: bool) -> Vec<Command> {
        let found = commands.iter().find_map(|command| match command {
            Command::PersistCheckpoint { write, .. } => Some(*write),
            _ => None,
        });
        let write: WriteId = found.unwrap();
        self.step(if written {
            Input::MetadataWritten { write }
        } else {
            Input::MetadataWriteFailed { write, reason: "timeout".into() }
        })
    }
}

#[test]
fn a_checkpoint_goes_from_the_sources_to_the_pointer_and_then_to_all_tasks() {
    let mut harness = checkpointed(|_| {});
    let deployed_at = harness.core.view().timestamps[&JobStatus::Running];
    let commands = harness.deadline();
    assert_eq!(harness.now, deployed_at.plus_ms(1_000));
    assert_eq!(kinds(&commands), ["trigger", "trigger"]);
    for (subtask, command) in commands.iter().enumerate() {
        let Command::TriggerCheckpoint { attempt, barrier, .. } = command else { panic!("{command:?}") };
        assert_eq!(*attempt, harness.attempt(0, subtask as u32));
        assert_eq!((barrier.checkpoint, barrier.alignment), (FIRST, Alignment::Aligned));
        assert_eq!(barrier.triggered_at, harness.now);
    }
    let tasks = harness.all_attempts();
    for task in &tasks[..3] {
        assert_eq!(harness.step(ack(*task, FIRST, SubtaskSnapshot::default())), []);
    }
    let stored = harness.step(ack(tasks[3], FIRST, SubtaskSnapshot::default()));
    assert_eq!(kinds(&stored), ["store"]);
    let commands = harness.step(Input::CheckpointStored { checkpoint: FIRST, result: Ok("/job/chk-1".into()) });
    let [Command::PersistCheckpoint { checkpoint: FIRST, retained, location, .. }] = &commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!((retained.as_slice(), &**location), (&[FIRST][..], "/job/chk-1"));
    let commands = harness.pointer(&commands, true);
    assert_eq!(kinds(&commands), ["completed"; 4]);
    let view = &harness.core.view().checkpoints;
    assert_eq!((view.counts.completed, view.counts.total, view.counts.in_progress), (1, 1, 0));
    let latest = view.latest_completed.as_ref().unwrap();
    assert_eq!((latest.status, latest.acknowledged, latest.subtasks), (CheckpointStatus::Completed, 4, 4));
    assert_eq!((latest.figures.state_bytes, view.summary.state_bytes.max()), (40, 40));
}

#[test]
fn the_next_one_waits_for_the_interval_the_pause_and_the_one_before() {
    let mut harness = checkpointed(|spec| spec.checkpoints.min_pause_ms = 5_000);
    harness.deadline();
    let triggered = harness.now;
    harness.now = triggered.plus_ms(3_000);
    assert_eq!(harness.step(Input::DeadlineReached), [], "one at a time");
    harness.complete(FIRST, &[]);
    let completed = harness.now;
    assert_eq!(harness.core.next_deadline(), Some(completed.plus_ms(5_000)));
    assert_eq!(kinds(&harness.deadline()), ["trigger", "trigger"]);
}

#[test]
fn stale_acknowledgements_are_dropped() {
    let mut harness = checkpointed(|_| {});
    harness.deadline();
    let task = harness.attempt(1, 0);
    let stale = AttemptId { attempt: 7, ..task };
    harness.step(ack(stale, FIRST, SubtaskSnapshot::default()));
    assert_eq!(harness.dropped(DropReason::StaleAttempt), 1);
    harness.step(ack(task, SECOND, SubtaskSnapshot::default()));
    harness.step(ack(task, FIRST, SubtaskSnapshot::default()));
    harness.step(ack(task, FIRST, SubtaskSnapshot::default()));
    assert_eq!(harness.dropped(DropReason::UnknownCheckpoint), 2);
}

#[test]
fn what_makes_no_sense_is_no_acknowledgement() {
    let reader = |received, held: &[u32]| {
        let held = held.iter().map(|id| SplitPosition { id: millrace_protocol::SplitId(*id), offset: Bytes::new() });
        snapshot(
            "lines",
            OperatorSnapshot {
                reader: Some(ReaderSnapshot { received, held: held.collect() }),
                ..OperatorSnapshot::default()
            },
        )
    };
    let keyed = |path| OperatorSnapshot { keyed: vec![segment(path)], ..OperatorSnapshot::default() };
    for nonsense in [
        reader(2, &[]),
        reader(1, &[1]),
        reader(1, &[0, 0]),
        snapshot("count", OperatorSnapshot::default()),
        snapshot("split", keyed("../other/file")),
        snapshot("split", keyed("/etc/passwd")),
    ] {
        let mut harness = checkpointed(|spec| spec.checkpoints.tolerable_failures = 1);
        let task = harness.attempt(0, 0);
        harness.step(Input::SplitRequested(SplitRequest { attempt: task, node: NodeId(0), finished: vec![] }));
        harness.deadline();
        let commands = harness.step(ack(task, FIRST, nonsense));
        assert_eq!(kinds(&commands), ["aborted"; 4]);
        let failed = harness.core.view().checkpoints.latest_failed.clone().unwrap();
        assert!(failed.failure.as_ref().is_some_and(|why| why.contains("no sense")), "{failed:?}");
    }
}

#[test]
fn too_many_failures_in_a_row_fail_the_job_over() {
    let mut harness = checkpointed(|spec| spec.checkpoints.tolerable_failures = 1);
    let decline = |harness: &mut Harness, checkpoint| {
        harness.deadline();
        let attempt = harness.attempt(1, 1);
        let failure = failure("no room on the disk");
        harness.step(Input::CheckpointDeclined(CheckpointDecline { attempt, checkpoint, subsumed: false, failure }))
    };
    assert_eq!(kinds(&decline(&mut harness, FIRST)), ["aborted"; 4]);
    harness.deadline();
    harness.complete(SECOND, &[]);
    // The count begins anew.
    assert_eq!(kinds(&decline(&mut harness, CheckpointId(3))), ["aborted"; 4]);
    let commands = decline(&mut harness, CheckpointId(4));
    assert_eq!(cancelled(&commands).len(), 4);
    let root = &harness.core.view().exceptions.entries[0];
    assert_eq!((root.failure.kind, &root.task_name), (FailureKind::Checkpoint, &None));
    assert!(root.failure.message.contains("no room on the disk"), "{}", root.failure.message);
    assert_eq!(harness.status(), JobStatus::Restarting);
}

#[test]
fn a_checkpoint_that_takes_too_long_is_given_up() {
    let mut harness = checkpointed(|spec| spec.checkpoints.timeout_ms = 700);
    harness.deadline();
    let triggered = harness.now;
    let commands = harness.deadline();
    assert_eq!(harness.now, triggered.plus_ms(700));
    assert_eq!(kinds(&commands)[..4], ["aborted"; 4]);
    assert_eq!(harness.status(), JobStatus::Restarting);
}

#[test]
fn a_pointer_whose_write_failed_is_read_before_anything_else_happens() {
    for (there, expected) in [(true, "completed"), (false, "aborted")] {
        let mut harness = checkpointed(|spec| spec.checkpoints.tolerable_failures = 9);
        harness.deadline();
        let commands = harness.take(FIRST, &["a"]);
        assert_eq!(kinds(&harness.pointer(&commands, false)), ["read-pointer"]);
        // Not even a failure gives the checkpoint up, and nothing restarts before the answer.
        let failed = harness.attempt(1, 0);
        let commands = harness.report_with(failed, ExecutionState::Failed, Some(failure("trap")));
        assert_eq!(kinds(&commands), ["cancel"; 3].into_iter().chain(["attempt"]).collect::<Vec<_>>());
        let stopped = cancelled(&commands);
        stopped.into_iter().for_each(|task| drop(harness.report(task, ExecutionState::Canceled)));
        let Some(Command::PersistAttempts { write, .. }) = commands.last() else { panic!("{commands:?}") };
        assert_eq!(harness.step(Input::MetadataWritten { write: *write }), []);
        let waiting = harness.core.view().waiting.clone().unwrap();
        assert_eq!(waiting.unsettled_checkpoint, Some(FIRST));
        assert_eq!(harness.step(Input::PointerRead { checkpoint: FIRST, result: Err("no leader".into()) }), []);
        assert_eq!(kinds(&harness.deadline()), ["read-pointer"]);
        let commands = harness.step(Input::PointerRead { checkpoint: FIRST, result: Ok(there) });
        let restored = |command: &Command| matches!(command, Command::Deploy { task, .. } if task.restore.is_some());
        assert_eq!(commands.iter().filter(|command| restored(command)).count(), if there { 4 } else { 0 });
        let counts = harness.core.view().checkpoints.counts;
        assert_eq!((counts.completed, counts.failed), if there { (1, 0) } else { (0, 1) }, "{expected}");
    }
}

#[test]
fn files_go_once_no_retained_checkpoint_names_them() {
    let mut harness = checkpointed(|spec| spec.checkpoints.retained_max = 2);
    harness.deadline();
    assert_eq!(kinds(&harness.complete(FIRST, &["base", "one"])), ["completed"; 4]);
    harness.deadline();
    assert_eq!(kinds(&harness.complete(SECOND, &["base", "one", "two"])), ["completed"; 4]);
    harness.deadline();
    let commands = harness.complete(CheckpointId(3), &["merged"]);
    assert_eq!(kinds(&commands)[4..], ["delete-checkpoint"], "2 names all that 1 does");
    harness.deadline();
    let commands = harness.complete(CheckpointId(4), &["merged", "four"]);
    let Some(Command::DeleteFiles { paths }) = commands.last() else { panic!("{commands:?}") };
    let paths: Vec<&str> = paths.iter().map(|path| &**path).collect();
    assert_eq!(paths, ["base-0", "base-1", "one-0", "one-1", "two-0", "two-1"]);
    let discarded = |id| harness.core.view().checkpoints.checkpoint(CheckpointId(id)).unwrap().discarded;
    assert_eq!([1, 2, 3, 4].map(discarded), [true, true, false, false]);
}

#[test]
fn files_of_a_checkpoint_that_was_given_up_go_with_the_next_complete_one() {
    let mut harness = checkpointed(|spec| {
        spec.checkpoints.timeout_ms = 500;
        spec.checkpoints.tolerable_failures = 9;
    });
    harness.deadline();
    let (task, other) = (harness.attempt(1, 0), harness.attempt(1, 1));
    let one = |names: &[&str]| {
        let keyed = names.iter().map(|name| segment(name)).collect();
        snapshot("count", OperatorSnapshot { keyed, ..OperatorSnapshot::default() })
    };
    harness.step(ack(task, FIRST, one(&["x", "kept-0"])));
    assert_eq!(kinds(&harness.deadline()), ["aborted"; 4], "a later checkpoint may name them");
    harness.step(ack(other, FIRST, one(&["late"])));
    harness.deadline();
    let commands = harness.complete(SECOND, &["kept"]);
    let Some(Command::DeleteFiles { paths }) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(paths.iter().map(|path| &**path).collect::<Vec<_>>(), ["late", "x"]);
}

#[test]
fn a_task_that_finishes_amid_a_checkpoint_costs_no_failure_and_begins_another_one() {
    let mut harness = checkpointed(|_| {});
    harness.deadline();
    let (first, second) = (harness.attempt(0, 0), harness.attempt(0, 1));
    let commands = harness.report(first, ExecutionState::Finished);
    assert_eq!(kinds(&commands), ["aborted", "aborted", "aborted", "trigger"]);
    // When all sources have finished, no barrier would come: the tasks behind them are told.
    let commands = harness.report(second, ExecutionState::Finished);
    assert_eq!(kinds(&commands), ["aborted", "aborted", "trigger", "trigger"]);
    let count = harness.attempt(1, 0);
    let Command::TriggerCheckpoint { attempt, barrier, .. } = &commands[2] else { panic!() };
    assert_eq!((*attempt, barrier.checkpoint), (count, CheckpointId(3)));
    assert_eq!(harness.status(), JobStatus::Running);
    // What finishes behind the last checkpoint waits for none.
    harness.report(count, ExecutionState::Finished);
    let commands = harness.report(harness.attempt(1, 1), ExecutionState::Finished);
    assert_eq!(kinds(&commands), ["request", "release", "persist"]);
    let written = harness.written(
        commands
            .iter()
            .find_map(|command| match command {
                Command::PersistStatus { write, .. } => Some(write.0),
                _ => None,
            })
            .unwrap(),
    );
    assert_eq!(kinds(&written), ["delete-all", "ended"]);
}

#[test]
fn ids_are_reserved_before_they_are_used_and_go_on_where_an_earlier_life_ended() {
    let mut spec = spec(word_count());
    spec.checkpoints.interval_ms = Some(1_000);
    spec.recorded_checkpoint = 64;
    let mut harness = Harness::of(spec);
    let commands = harness.step(Input::Start);
    assert!(commands.contains(&Command::ReserveCheckpointIds { write: WriteId(1), upto: 128 }), "{commands:?}");
    harness.splits(0, 3);
    harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
    let mut harness = harness.all_running();
    harness.now = Timestamp(9_000);
    assert_eq!(harness.step(Input::DeadlineReached), [], "not reserved");
    harness.step(Input::MetadataWriteFailed { write: WriteId(1), reason: "full".into() });
    assert_eq!(harness.deadline(), [Command::ReserveCheckpointIds { write: WriteId(2), upto: 128 }]);
    let commands = harness.written(2);
    let Command::TriggerCheckpoint { barrier, .. } = &commands[0] else { panic!("{commands:?}") };
    assert_eq!(barrier.checkpoint, CheckpointId(65));
}

#[test]
fn what_becomes_of_checkpoints_at_the_end_is_an_option() {
    use millrace_job_core::Retention::{DeleteOnCancellation, NoExternalized, RetainOnCancellation};
    for (retention, deleted) in [(NoExternalized, true), (DeleteOnCancellation, true), (RetainOnCancellation, false)] {
        let mut harness = checkpointed(|spec| spec.checkpoints.retention = retention);
        harness.deadline();
        harness.complete(FIRST, &[]);
        let commands = harness.step(Input::CancelRequested);
        let mut last = Vec::new();
        for task in cancelled(&commands) {
            last = harness.report(task, ExecutionState::Canceled);
        }
        let (write, status) = crate::harness::persisted(&last).unwrap();
        assert_eq!(status, JobStatus::Canceled);
        assert_eq!(harness.written(write).contains(&Command::DeleteAllCheckpoints), deleted);
    }
}
