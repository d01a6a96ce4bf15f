//! Other code for a job that runs: at a barrier, or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_graph::{JobGraph, NodeKind};
use millrace_job_core::{Command, DropReason, Input, JobCode, RequestId, RestartStrategy, StopMode, UpgradeEnd};
use millrace_protocol::{CheckpointDecline, ComponentRef, StateDeclaration, SubtaskSnapshot, UpgradeAnswer, UpgradeId};
use millrace_types::{
    Alignment, AttemptId, CheckpointId, Digest, ExecutionState, FailureKind, JobStatus, SandboxLimits, SnapshotKind,
    StateKind,
};

use crate::checkpoints::{SECOND, ack, checkpointed};
use crate::graphs::word_count;
use crate::harness::{Harness, cancelled, failure, kinds};

const REQUEST: RequestId = RequestId(7);
const FIRST: CheckpointId = CheckpointId(1);
const NEW: Digest = Digest::from_bytes([9; 32]);

/// Word count with other code: names and components are others.
fn new_graph() -> JobGraph {
    let mut graph = word_count();
    for vertex in &mut graph.vertices {
        vertex.name = format!("new {}", vertex.name);
        for (_, node) in &mut vertex.nodes {
            if let NodeKind::Source(code) | NodeKind::Operator(code) = &mut node.kind {
                code.config = "new".to_owned();
            }
        }
    }
    graph
}

fn code(graph: JobGraph) -> JobCode {
    let component = ComponentRef { digest: NEW, has_builder: true, limits: SandboxLimits::default() };
    let state = StateDeclaration {
        name: "counts".to_owned(),
        fingerprint: "u64".to_owned(),
        kind: StateKind::Keyed,
        expires: false,
    };
    JobCode {
        graph: Arc::new(graph),
        components: BTreeMap::from([("main".to_owned(), component.clone()), ("other".to_owned(), component)]),
        graph_digest: NEW,
        args: vec!["--new".to_owned()],
        default_parallelism: 1,
        states: BTreeMap::from([("count".to_owned(), vec![state])]),
    }
}

fn ask(harness: &mut Harness, request: RequestId, graph: JobGraph, in_place: bool) -> Vec<Command> {
    let code = Box::new(code(graph));
    harness.step(Input::UpgradeRequested { request, code, in_place, allow_non_restored_state: false })
}

fn ready(attempt: AttemptId) -> Input {
    Input::UpgradeAnswered(UpgradeAnswer { attempt, id: UpgradeId(1), result: Ok(()) })
}

/// All tasks are ready: what follows from the last one's word.
fn all_ready(harness: &mut Harness) -> Vec<Command> {
    let attempts = harness.all_attempts();
    attempts.into_iter().map(|attempt| harness.step(ready(attempt))).last().unwrap()
}

fn answer(commands: &[Command]) -> Result<UpgradeEnd, String> {
    let found = commands.iter().find_map(|command| match command {
        Command::UpgradeEnded { request: REQUEST, result } => Some(result.clone()),
        _ => None,
    });
    found.expect("an answer").map_err(|failure| failure.to_string())
}

/// A job with a checkpoint, whose upgrade's barrier was sent.
fn taking() -> Harness {
    let mut harness = checkpointed(|spec| spec.options.restart_strategy = RestartStrategy::None);
    harness.deadline();
    harness.complete(FIRST, &["old"]);
    ask(&mut harness, REQUEST, new_graph(), true);
    assert_eq!(kinds(&all_ready(&mut harness)), ["trigger", "trigger"]);
    harness
}

/// All tasks stop, and run again: their deployments.
fn redeployed(harness: &mut Harness, commands: &[Command]) -> Vec<Command> {
    let mut last = Vec::new();
    let persist = commands.iter().find_map(|command| match command {
        Command::PersistAttempts { write, .. } => Some(*write),
        _ => None,
    });
    if let Some(write) = persist {
        last.extend(harness.step(Input::MetadataWritten { write }));
    }
    for task in cancelled(commands) {
        last.extend(harness.report(task, ExecutionState::Canceled));
    }
    if harness.status() == JobStatus::Restarting && last.is_empty() {
        last.extend(harness.deadline());
    }
    last.retain(|command| matches!(command, Command::Deploy { .. }));
    last
}

/// The digests of the graphs that tasks are deployed with, and the checkpoints that they begin with.
fn deployed(commands: &[Command]) -> Vec<(Digest, Option<CheckpointId>)> {
    let deployment = |command: &Command| match command {
        Command::Deploy { task, .. } => {
            Some((task.graph_digest, task.restore.as_ref().map(|restore| restore.checkpoint)))
        }
        _ => None,
    };
    commands.iter().filter_map(deployment).collect()
}

const OLD: Digest = Digest::from_bytes([3; 32]);

#[test]
fn code_is_replaced_behind_a_checkpoint_and_written_with_its_pointer() {
    let mut harness = checkpointed(|spec| spec.checkpoints.unaligned = true);
    harness.deadline();
    harness.complete(FIRST, &["old"]);
    let commands = ask(&mut harness, REQUEST, new_graph(), true);
    assert_eq!(kinds(&commands), ["prepare"; 4]);
    let Command::PrepareUpgrade { upgrade, .. } = &commands[2] else { panic!() };
    let asked = upgrade.code.as_ref().unwrap();
    assert_eq!((asked.graph_digest, asked.vertex.id), (NEW, harness.attempt(1, 0).vertex));
    assert_eq!(asked.components.keys().collect::<Vec<_>>(), ["other"]);
    assert_eq!(upgrade.states.keys().collect::<Vec<_>>(), ["count"]);
    let commands = all_ready(&mut harness);
    let Command::TriggerCheckpoint { barrier, .. } = &commands[0] else { panic!("{commands:?}") };
    assert_eq!((barrier.kind, barrier.alignment), (SnapshotKind::Upgrade, Alignment::Aligned));
    let commands = harness.take(SECOND, &["new"]);
    let [Command::PersistCheckpoint { write, upgrade: Some(REQUEST), .. }] = commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!(*harness.core.view().graph, word_count(), "nothing is decided");
    let commands = harness.step(Input::MetadataWritten { write });
    assert_eq!(kinds(&commands)[..4], ["completed"; 4]);
    assert_eq!(kinds(&commands)[4..], ["delete-checkpoint", "delete-files", "upgraded"]);
    assert_eq!(answer(&commands), Ok(UpgradeEnd::Upgraded { checkpoint: SECOND }));
    assert_eq!(*harness.core.view().graph, new_graph());
    assert_eq!(harness.core.view().restarts, 0);
    let commands = harness.report_with(harness.attempt(1, 0), ExecutionState::Failed, Some(failure("trap")));
    let commands = redeployed(&mut harness, &commands);
    assert_eq!(deployed(&commands), [(NEW, Some(SECOND)); 4], "recovery uses the new code");
    let Command::Deploy { task, .. } = &commands[0] else { panic!() };
    assert_eq!((task.args.as_slice(), task.components["main"].digest), (&["--new".to_owned()][..], NEW));
}

#[test]
fn a_job_without_a_way_back_takes_a_checkpoint_first() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, REQUEST, new_graph(), true);
    let commands = all_ready(&mut harness);
    let Command::TriggerCheckpoint { barrier, .. } = &commands[0] else { panic!("{commands:?}") };
    assert_eq!(barrier.kind, SnapshotKind::Checkpoint);
    let commands = harness.complete(FIRST, &[]);
    assert_eq!(kinds(&commands), ["completed", "completed", "completed", "completed", "trigger", "trigger"]);
    harness.complete(SECOND, &[]);
    assert_eq!(*harness.core.view().graph, new_graph());
}

#[test]
fn a_job_that_cannot_take_a_checkpoint_first_runs_on() {
    let mut harness = checkpointed(|spec| spec.checkpoints.tolerable_failures = 9);
    ask(&mut harness, REQUEST, new_graph(), true);
    all_ready(&mut harness);
    let (attempt, failure) = (harness.attempt(1, 1), failure("full"));
    let decline = CheckpointDecline { attempt, checkpoint: FIRST, subsumed: false, failure };
    let commands = harness.step(Input::CheckpointDeclined(decline));
    let expected = ["aborted"; 4].into_iter().chain(["forget"; 4]).chain(["upgraded"]);
    assert_eq!(kinds(&commands), expected.collect::<Vec<_>>());
    assert!(answer(&commands).is_err_and(|why| why.contains("go back to")));
    assert_eq!(harness.status(), JobStatus::Running);
}

#[test]
fn a_declined_checkpoint_restarts_all_tasks_with_the_old_code_whatever_the_strategy() {
    let mut harness = taking();
    harness.step(ack(harness.attempt(0, 0), SECOND, SubtaskSnapshot::default()));
    let (attempt, failure) = (harness.attempt(1, 1), failure("full"));
    let decline = CheckpointDecline { attempt, checkpoint: SECOND, subsumed: false, failure };
    let commands = harness.step(Input::CheckpointDeclined(decline));
    assert!(answer(&commands).is_err_and(|why| why.contains("full") && why.contains("goes back")));
    assert_eq!(cancelled(&commands).len(), 4);
    let commands = redeployed(&mut harness, &commands);
    assert_eq!(deployed(&commands), [(OLD, Some(FIRST)); 4]);
    assert_eq!(harness.status(), JobStatus::Running);
    let view = harness.core.view();
    assert_eq!((view.restarts, &*view.graph), (1, &word_count()));
    assert!(view.exceptions.entries[0].failure.message.contains("full"));
}

#[test]
fn a_task_that_fails_behind_the_barrier_takes_the_upgrade_back_at_no_cost() {
    let mut harness = taking();
    let mut trap = failure("the new code is broken");
    trap.kind = FailureKind::InvalidApplication;
    let commands = harness.report_with(harness.attempt(0, 0), ExecutionState::Failed, Some(trap.clone()));
    assert!(answer(&commands).is_err());
    assert_eq!(cancelled(&commands).len(), 3);
    // Another one that fails for the same reason while it is being stopped changes nothing.
    let commands = [commands, harness.report_with(harness.attempt(1, 0), ExecutionState::Failed, Some(trap))].concat();
    assert_eq!(harness.status(), JobStatus::Restarting);
    let commands = redeployed(&mut harness, &commands);
    assert_eq!(deployed(&commands), [(OLD, Some(FIRST)); 4]);
    let mut harness = harness.all_running();
    let commands = harness.report_with(harness.attempt(0, 0), ExecutionState::Failed, Some(failure("trap")));
    assert_eq!(harness.status(), JobStatus::Failing, "the next failure is none of the upgrade: {commands:?}");
}

#[test]
fn an_upgrade_that_takes_too_long_is_taken_back() {
    let mut harness = taking();
    let commands = harness.deadline();
    assert!(answer(&commands).is_err_and(|why| why.contains("not complete after")));
    assert_eq!(cancelled(&commands).len(), 4);
}

#[test]
fn where_the_outcome_of_the_write_is_unknown_the_pointer_decides() {
    for (there, digest, checkpoint) in [(true, NEW, SECOND), (false, OLD, FIRST)] {
        let mut harness = taking();
        let commands = harness.take(SECOND, &["new"]);
        let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
        let commands = harness.step(Input::MetadataWriteFailed { write, reason: "timeout".into() });
        assert_eq!(kinds(&commands), ["read-pointer"]);
        let commands = harness.step(Input::PointerRead { checkpoint: SECOND, result: Ok(there) });
        assert_eq!(answer(&commands).is_ok(), there);
        let deployments = if there {
            let failed =
                harness.step(Input::TaskManagerLost { task_manager: crate::harness::tm("a"), reason: "x".into() });
            assert_eq!(harness.status(), JobStatus::Failing, "the strategy is asked again: {failed:?}");
            continue;
        } else {
            redeployed(&mut harness, &commands)
        };
        assert_eq!(deployed(&deployments), [(digest, Some(checkpoint)); 4]);
    }
}

#[test]
fn a_refusal_leaves_the_job_as_it_is() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, REQUEST, new_graph(), true);
    harness.step(ready(harness.attempt(0, 0)));
    let (attempt, result) = (harness.attempt(1, 0), Err(failure("the type of \"counts\" is another one")));
    let commands = harness.step(Input::UpgradeAnswered(UpgradeAnswer { attempt, id: UpgradeId(1), result }));
    assert_eq!(kinds(&commands), ["forget", "forget", "forget", "forget", "upgraded"]);
    assert!(answer(&commands).is_err_and(|why| why.contains("counts")));
    assert_eq!((harness.status(), harness.core.view().restarts), (JobStatus::Running, 0));
    harness.step(ready(harness.attempt(1, 1)));
    assert_eq!(harness.dropped(DropReason::AlreadyAnswered), 1);
    assert_eq!(kinds(&harness.deadline()), ["trigger", "trigger"], "checkpoints go on");
}

#[test]
fn tasks_that_are_not_ready_in_time_end_the_upgrade_and_nothing_else() {
    let mut harness = checkpointed(|spec| {
        spec.checkpoints.interval_ms = Some(3_600_000);
        spec.checkpoints.timeout_ms = 700;
    });
    ask(&mut harness, REQUEST, new_graph(), true);
    let commands = harness.deadline();
    assert!(answer(&commands).is_err_and(|why| why.contains("700 ms")));
    assert_eq!(harness.status(), JobStatus::Running);
}

#[test]
fn a_failure_before_the_barrier_ends_the_upgrade_and_is_a_failure_like_any_other() {
    let mut harness = checkpointed(|_| {});
    ask(&mut harness, REQUEST, new_graph(), true);
    let commands = harness.report_with(harness.attempt(1, 0), ExecutionState::Failed, Some(failure("trap")));
    assert!(answer(&commands).is_err_and(|why| why.contains("tasks have failed")));
    assert_eq!(harness.status(), JobStatus::Restarting);
}

#[test]
fn a_graph_of_another_shape_is_refused_and_one_that_is_only_asked_about_changes_nothing() {
    let mut harness = checkpointed(|_| {});
    let mut other = new_graph();
    other.vertices[1].nodes[1].1.kind = NodeKind::NativeSink(millrace_graph::NativeConnector {
        connector: "discard".to_owned(),
        options: "{}".to_owned(),
    });
    let commands = ask(&mut harness, REQUEST, other.clone(), true);
    assert!(answer(&commands).is_err_and(|why| why.contains("connector")));
    let commands = ask(&mut harness, REQUEST, other, false);
    assert_eq!(kinds(&commands), ["prepare"; 4]);
    assert!(
        commands
            .iter()
            .all(|command| matches!(command, Command::PrepareUpgrade { upgrade, .. } if upgrade.code.is_none()))
    );
    let commands = all_ready(&mut harness);
    assert_eq!((answer(&commands), kinds(&commands)), (Ok(UpgradeEnd::Fits), vec!["upgraded"]));
    assert_eq!(*harness.core.view().graph, word_count());
}

#[test]
fn a_second_upgrade_and_a_stop_are_refused_and_a_savepoint_waits() {
    let mut harness = taking();
    let commands = ask(&mut harness, RequestId(8), new_graph(), true);
    let refused = |commands: &[Command]| match commands {
        [Command::UpgradeEnded { result: Err(why), .. }] => why.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(refused(&commands).contains("another upgrade"));
    let stop = Some(StopMode { drain: true });
    let commands = harness.step(Input::SavepointRequested { request: RequestId(9), folder: "/save".into(), stop });
    let [Command::SavepointEnded { result: Err(why), .. }] = &commands[..] else { panic!("{commands:?}") };
    assert!(why.message.contains("upgraded"), "{why}");
    let asked = Input::SavepointRequested { request: RequestId(9), folder: "/save".into(), stop: None };
    assert_eq!(harness.step(asked), [], "nothing is taken beside an upgrade");
    let commands = harness.complete(SECOND, &["new"]);
    let triggered = commands.iter().filter_map(|command| match command {
        Command::TriggerCheckpoint { barrier, .. } => Some(barrier.kind),
        _ => None,
    });
    assert_eq!(triggered.collect::<Vec<_>>(), [SnapshotKind::Savepoint { stop: false }; 2]);
}

#[test]
fn a_checkpoint_under_way_is_waited_for() {
    let mut harness = checkpointed(|_| {});
    harness.deadline();
    ask(&mut harness, REQUEST, new_graph(), true);
    assert_eq!(all_ready(&mut harness), []);
    let commands = harness.complete(FIRST, &[]);
    let Some(Command::TriggerCheckpoint { barrier, .. }) = commands.last() else { panic!("{commands:?}") };
    assert_eq!((barrier.checkpoint, barrier.kind), (SECOND, SnapshotKind::Upgrade));
}

#[test]
fn a_job_that_is_cancelled_amid_an_upgrade_ends_and_answers() {
    let mut harness = taking();
    let commands = harness.step(Input::CancelRequested);
    assert!(answer(&commands).is_err());
    for task in cancelled(&commands) {
        harness.report(task, ExecutionState::Canceled);
    }
    assert_eq!(harness.status(), JobStatus::Cancelling);
}
