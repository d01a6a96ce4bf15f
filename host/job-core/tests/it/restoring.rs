//! What tasks begin with after a failure, in a new life of the JobManager, and in another job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{
    Command, CompletedCheckpoint, InFlightState, Input, OperatorState, SourceState, SplitAssigner, SplitState,
    StartFrom, StoredCheckpoint, fit_graph,
};
use millrace_protocol::{
    InFlight, OperatorSnapshot, ReaderSnapshot, Rerouting, SplitId, SplitPosition, SplitRequest, StateBlob,
    TaskDeployment,
};
use millrace_types::{
    AttemptId, CheckpointId, ExecutionState, Failure, FailureKind, JobStatus, KeyGroupRange, NodeId, SnapshotKind,
    Timestamp,
};
use proptest::prelude::*;

use crate::checkpoints::{ack, checkpointed, segment, snapshot};
use crate::graphs::{edge, guest_source, job_graph, operator, sink, spec, word_count};
use crate::harness::{Harness, cancelled, failure, offer};

fn deployments(commands: Vec<Command>) -> Vec<TaskDeployment> {
    let deployed = commands.into_iter().filter_map(|command| match command {
        Command::Deploy { task, .. } => Some(*task),
        _ => None,
    });
    deployed.collect()
}

/// A task fails, the others stop, and all are deployed again.
fn restart(harness: &mut Harness, failed: AttemptId, why: Failure) -> Vec<TaskDeployment> {
    let mut commands = harness.report_with(failed, ExecutionState::Failed, Some(why));
    for task in cancelled(&commands) {
        commands.extend(harness.report(task, ExecutionState::Canceled));
    }
    let writes: Vec<_> = commands
        .iter()
        .filter_map(|command| match command {
            Command::PersistAttempts { write, .. } => Some(*write),
            _ => None,
        })
        .collect();
    commands.extend(writes.into_iter().flat_map(|write| harness.step(Input::MetadataWritten { write })));
    if harness.core.next_deadline().is_some_and(|at| at <= harness.now) {
        commands.extend(harness.deadline());
    }
    deployments(commands)
}

#[test]
fn tasks_restart_from_the_newest_checkpoint_and_sources_go_on_where_they_were() {
    let mut harness = checkpointed(|_| {});
    let (one, two) = (harness.attempt(0, 0), harness.attempt(0, 1));
    let asked = |attempt, finished: &[u32]| {
        let finished = finished.iter().map(|id| SplitId(*id)).collect();
        Input::SplitRequested(SplitRequest { attempt, node: NodeId(0), finished })
    };
    harness.step(asked(one, &[]));
    harness.step(asked(two, &[]));
    harness.deadline();
    let positions = |received, held: Vec<SplitPosition>| {
        let reader = Some(ReaderSnapshot { received, held });
        snapshot("lines", OperatorSnapshot { reader, committables: vec!["t".into()], ..OperatorSnapshot::default() })
    };
    // The first reader is amid its split; the second one has read its own, and 2 waits for it behind the barrier.
    let held = SplitPosition { id: SplitId(0), offset: "at 17".into() };
    harness.step(ack(one, CheckpointId(1), positions(1, vec![held])));
    harness.step(ack(two, CheckpointId(1), positions(1, vec![])));
    harness.step(asked(two, &[1]));
    for subtask in 0..2 {
        let task = harness.attempt(1, subtask);
        harness.step(ack(task, CheckpointId(1), Default::default()));
    }
    let commands = harness.step(Input::CheckpointStored { checkpoint: CheckpointId(1), result: Ok("/c".into()) });
    let [Command::PersistCheckpoint { write, .. }] = commands[..] else { panic!("{commands:?}") };
    harness.step(Input::MetadataWritten { write });
    let failed = harness.attempt(1, 1);
    let tasks = restart(&mut harness, failed, failure("trap"));
    assert_eq!(tasks.len(), 4);
    let restore = tasks[1].restore.as_ref().unwrap();
    assert_eq!((restore.checkpoint, restore.finished, &restore.folder), (CheckpointId(1), false, &None));
    assert_eq!(restore.operators["lines"].committables, [Bytes::from("t")]);
    assert!(tasks[0].settings.checkpoints.periodic);
    let mut harness = harness.all_running();
    let mut given = |subtask| {
        let attempt = harness.attempt(0, subtask);
        let commands = harness.step(asked(attempt, &[]));
        let [Command::AssignSplits { assignment, .. }] = &commands[..] else { panic!("{commands:?}") };
        (assignment.splits.clone(), assignment.no_more)
    };
    assert_eq!(given(0), (vec![(SplitId(0), vec![0], "at 17".into())], false));
    assert_eq!(given(1), (vec![(SplitId(2), vec![2], Bytes::new())], true));
}

#[test]
fn without_a_checkpoint_tasks_begin_from_the_beginning() {
    let mut harness = checkpointed(|_| {});
    let failed = harness.attempt(0, 0);
    let tasks = restart(&mut harness, failed, failure("trap"));
    assert_eq!(tasks, []);
    let tasks = deployments(harness.splits(0, 3));
    assert_eq!(tasks.iter().map(|task| task.restore.is_none()).collect::<Vec<_>>(), [true; 4]);
}

#[test]
fn what_cannot_be_read_is_passed_over_and_the_history_says_so() {
    let mut harness = checkpointed(|spec| spec.checkpoints.retained_max = 2);
    for checkpoint in [1, 2] {
        harness.deadline();
        harness.complete(CheckpointId(checkpoint), &["f"]);
    }
    let unreadable = || Failure::new(FailureKind::StateUnreadable, "file f-0 has another checksum");
    let restored = |tasks: &[TaskDeployment]| {
        let from: BTreeSet<_> = tasks.iter().map(|task| task.restore.as_ref().map(|from| from.checkpoint.0)).collect();
        (tasks.len(), from.into_iter().collect::<Vec<_>>())
    };
    let task = harness.attempt(1, 0);
    assert_eq!(restored(&restart(&mut harness, task, failure("trap"))), (4, vec![Some(2)]));
    let task = harness.attempt(1, 0);
    assert_eq!(restored(&restart(&mut harness, task, unreadable())), (4, vec![Some(1)]));
    let message = &harness.core.view().exceptions.entries[0].failure.message;
    assert!(message.ends_with("the job goes back from checkpoint 2 to 1"), "{message}");
    // The one before is read, and the next one replaces that which is damaged.
    let task = harness.attempt(1, 0);
    restart(&mut harness, task, unreadable());
    assert_eq!(harness.status(), JobStatus::Failing);
    let message = &harness.core.view().exceptions.entries[0].failure.message;
    assert!(message.contains("no checkpoint before 1 is left"), "{message}");
}

fn state(parallelism: u32, subtasks: &[(u32, &str)]) -> OperatorState {
    let snapshots = subtasks.iter().map(|(subtask, name)| {
        let range = KeyGroupRange::of_subtask(*subtask, parallelism, 128);
        let mut keyed = segment(name);
        keyed.key_groups = range;
        let blob = StateBlob::Inline(Bytes::from((*name).to_owned()));
        let operator_state = Some(blob);
        let committables = vec![Bytes::from((*name).to_owned())];
        (*subtask, OperatorSnapshot { keyed: vec![keyed], operator_state, committables, ..OperatorSnapshot::default() })
    });
    OperatorState { parallelism, max_parallelism: 128, subtasks: snapshots.collect(), ..OperatorState::default() }
}

fn saved(operators: Vec<(&str, OperatorState)>) -> CompletedCheckpoint {
    CompletedCheckpoint {
        id: CheckpointId(40),
        kind: SnapshotKind::Savepoint { stop: false },
        triggered_at: Timestamp(1),
        completed_at: Timestamp(2),
        folder: Some("/save".into()),
        operators: operators.into_iter().map(|(uid, state)| (uid.to_owned(), state)).collect(),
        in_flight: vec![],
        figures: BTreeMap::new(),
    }
}

/// `lines -> count -> out`, with the counting at a parallelism.
fn counting(parallelism: u32, max_parallelism: Option<u32>) -> JobGraph {
    let mut count = operator("count", parallelism, "main");
    count.max_parallelism = max_parallelism;
    job_graph(
        vec![guest_source("lines", 1), count, sink("out", 1)],
        vec![edge(0, 1, Partitioning::Hash), edge(1, 2, Partitioning::Rebalance)],
    )
}

#[test]
fn state_is_spread_anew_at_another_parallelism() {
    let checkpoint = saved(vec![("count", state(2, &[(0, "low"), (1, "high")]))]);
    let graph = fit_graph(&counting(3, None), &checkpoint, false).unwrap();
    let at = graph.vertices.iter().position(|vertex| vertex.nodes[0].1.uid == "count").unwrap();
    let parts = |subtask| {
        let restore = checkpoint.restore(&graph, at, subtask);
        let count = restore.operators["count"].clone();
        let names: Vec<_> = count.keyed.iter().map(|part| part[0].blob.path().unwrap().to_owned()).collect();
        assert_eq!((count.operator_state.len(), restore.folder.as_deref()), (2, Some("/save")));
        (names, count.committables)
    };
    let text = |names: &[&'static str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(parts(0), (text(&["low"]), vec!["low".into()]));
    assert_eq!(parts(1), (text(&["low", "high"]), vec!["high".into()]));
    assert_eq!(parts(2), (text(&["high"]), vec![]));
}

#[test]
fn the_number_of_key_groups_is_taken_over_or_refused() {
    let mut old = state(2, &[(0, "low"), (1, "high")]);
    old.max_parallelism = 64;
    let checkpoint = saved(vec![("count", old)]);
    let fitted = fit_graph(&counting(3, None), &checkpoint, false).unwrap();
    let adopted: Vec<_> = fitted.vertices.iter().map(|vertex| vertex.max_parallelism).collect();
    assert_eq!(adopted, [128, 64, 128]);
    for (graph, what) in [(counting(3, Some(128)), "max parallelism of 128"), (counting(65, None), "too few")] {
        let error = fit_graph(&graph, &checkpoint, true).unwrap_err();
        assert!(error.message.contains(what), "{error}");
    }
    assert!(fit_graph(&counting(3, Some(64)), &checkpoint, false).is_ok());
}

#[test]
fn state_that_the_job_has_no_operator_for_is_refused_unless_that_is_allowed() {
    let checkpoint = saved(vec![("count", state(1, &[(0, "x")])), ("gone", state(1, &[(0, "y")]))]);
    let error = fit_graph(&counting(1, None), &checkpoint, false).unwrap_err();
    assert!(error.message.contains("gone") && !error.message.contains("count"), "{error}");
    assert!(fit_graph(&counting(1, None), &checkpoint, true).is_ok());
    let stateless = saved(vec![("gone", OperatorState { parallelism: 1, ..OperatorState::default() })]);
    assert!(fit_graph(&counting(1, None), &stateless, false).is_ok());
}

#[test]
fn records_in_flight_find_their_subtasks() {
    let stored = |target_subtask, at_consumer, rerouting, name: &str| InFlightState {
        subtask: 0,
        at_consumer,
        records: InFlight {
            target_uid: "count".to_owned(),
            target_port: 0,
            target_subtask,
            rerouting,
            batches: StateBlob::Inline(Bytes::from(name.to_owned())),
        },
    };
    let in_flight = vec![
        stored(0, false, Rerouting::ByKey, "sent"),
        stored(0, true, Rerouting::ByKey, "taken"),
        stored(3, true, Rerouting::Any, "turn"),
        stored(0, true, Rerouting::All, "all"),
        stored(1, true, Rerouting::All, "all again"),
    ];
    let names = |old: u32, new: u32| {
        let mut checkpoint = saved(vec![("count", OperatorState { parallelism: old, ..OperatorState::default() })]);
        checkpoint.in_flight = in_flight.clone();
        let graph = counting(new, None);
        let inline = |records: InFlight| match records.batches {
            StateBlob::Inline(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            StateBlob::File { path, .. } => path,
        };
        let of_subtask = |subtask| -> Vec<String> {
            checkpoint.restore(&graph, 1, subtask).in_flight.into_iter().map(inline).collect()
        };
        (0..new).map(of_subtask).collect::<Vec<_>>()
    };
    // What the consumer had in front of it comes before what its producer had not sent.
    assert_eq!(names(4, 2), [vec!["taken", "all", "sent"], vec!["taken", "turn", "all", "sent"]]);
    assert_eq!(names(4, 4), [vec!["taken", "all", "sent"], vec!["all again"], vec![], vec!["turn"]]);
}

fn started(graph: JobGraph, checkpoint: CompletedCheckpoint, allow: bool) -> Harness {
    let mut spec = spec(graph);
    let from = StoredCheckpoint { checkpoint: Arc::new(checkpoint), location: "/save".into() };
    spec.start_from = Some(StartFrom { from, allow_non_restored_state: allow, claim: false });
    Harness::of(spec)
}

#[test]
fn a_job_starts_from_a_savepoint_or_says_why_it_cannot() {
    let split = SplitState { id: SplitId(3), split: "s".into(), offset: "o".into(), held: true };
    let lines = OperatorState {
        parallelism: 1,
        max_parallelism: 128,
        source: Some(SourceState { finished: 2, splits: vec![split] }),
        ..OperatorState::default()
    };
    let mut harness = started(word_count(), saved(vec![("lines", lines.clone())]), false);
    harness.step(Input::Start);
    assert!(harness.enumerations.is_empty(), "the splits are known");
    let tasks = deployments(harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)])));
    assert!(tasks.iter().all(|task| task.restore.as_ref().is_some_and(|from| from.checkpoint == CheckpointId(40))));
    let view = &harness.core.view().checkpoints;
    assert_eq!((view.counts.restored, view.latest_restored.as_ref().unwrap().id), (1, CheckpointId(40)));
    let mut harness = started(word_count(), saved(vec![("lines", lines), ("gone", state(1, &[(0, "x")]))]), false);
    harness.step(Input::Start);
    let root = &harness.core.view().exceptions.entries[0].failure;
    assert_eq!(root.kind, FailureKind::InvalidApplication);
    assert!(root.message.contains("gone"), "{root}");
}

#[test]
fn a_subtask_that_had_finished_does_nothing_again() {
    let mut lines = state(2, &[]);
    lines.finished = [1].into();
    let mut all = state(3, &[]);
    all.finished = [0, 1, 2].into();
    let checkpoint = saved(vec![("lines", lines.clone()), ("split", lines), ("count", all.clone()), ("out", all)]);
    let graph = word_count();
    let finished = |vertex, subtask| checkpoint.restore(&graph, vertex, subtask).finished;
    assert_eq!([finished(0, 0), finished(0, 1), finished(1, 0), finished(1, 1)], [false, true, true, true]);
}

proptest! {
    /// Readers take splits, seal, take more, and are lost: what the checkpoint does not call finished is read again.
    #[test]
    fn each_split_is_finished_held_or_waits(
        count in 0..12u8, readers in 1..4u32, before in proptest::collection::vec((0..4u32, any::<bool>()), 0..20),
        after in proptest::collection::vec(0..4u32, 0..9), next in 1..4u32,
    ) {
        let mut assigner = SplitAssigner::new((0..count).map(|number| vec![number]).collect()).unwrap();
        let template = Harness::running().attempt(0, 0);
        let attempt = |subtask: u32| AttemptId { subtask: subtask % readers, ..template };
        let mut positions: BTreeMap<u32, ReaderSnapshot> = BTreeMap::new();
        for (reader, reads) in before {
            let position = positions.entry(reader % readers).or_default();
            for (id, _, _) in assigner.request(attempt(reader), &[]).splits {
                position.received += 1;
                if !reads {
                    position.held.push(SplitPosition { id, offset: Bytes::from(vec![id.0 as u8]) });
                }
            }
        }
        for (reader, position) in &positions {
            prop_assert_eq!(assigner.check(attempt(*reader), position), Ok(()));
        }
        after.iter().for_each(|reader| drop(assigner.request(attempt(*reader), &[])));
        let state = assigner.state(&positions, &BTreeSet::new());
        let held: BTreeSet<_> = positions.values().flat_map(|position| &position.held).map(|split| split.id).collect();
        prop_assert_eq!(state.finished as usize + state.splits.len(), usize::from(count));
        let mut restored = SplitAssigner::restore(&state, &(0..next).collect::<Vec<_>>());
        let mut again = BTreeMap::new();
        for round in 0..20 {
            let reader = AttemptId { subtask: round % next, attempt: 9, ..template };
            for (id, bytes, offset) in restored.request(reader, &[]).splits {
                prop_assert_eq!(&bytes, &vec![id.0 as u8]);
                prop_assert_eq!(!offset.is_empty(), held.contains(&id));
                prop_assert!(again.insert(id, ()).is_none(), "a split goes to one reader");
            }
        }
        prop_assert_eq!(again.len(), state.splits.len());
        prop_assert!(held.iter().all(|id| again.contains_key(id)));
    }
}
