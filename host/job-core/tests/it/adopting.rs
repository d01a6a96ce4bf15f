//! A new leader takes tasks over, or does not.

use std::sync::Arc;

use millrace_job_core::{
    AdoptionOptions, Command, CompletedCheckpoint, Input, JobSpec, OperatorState, RestartStrategy, SourceState,
    SplitState, StoredCheckpoint,
};
use millrace_protocol::{Presence, ReaderPresence, SplitId, SplitRequest, TaskFigures, TaskPresence, split_digest};
use millrace_types::{
    AttemptId, CheckpointId, ExecutionState, JobStatus, LeaderEpoch, NodeId, SnapshotKind, Timestamp,
};

use crate::graphs::{JOB, spec, word_count};
use crate::harness::{Harness, allocation, failure, kinds, offer, tm};

const TIMEOUT_MS: u64 = 3_000;
const SPLITS: u8 = 5;

fn recovered() -> JobSpec {
    let mut spec = spec(word_count());
    (spec.first_attempt, spec.recorded_attempts) = (3, vec![2, 2]);
    spec.recorded_checkpoint = 64;
    spec.adoption = Some(AdoptionOptions { epoch: LeaderEpoch(7), timeout_ms: TIMEOUT_MS });
    spec
}

/// The job's newest checkpoint: split 0 was read, split 1 is held.
fn checkpoint(id: u64) -> StoredCheckpoint {
    let state = |number: u8, held| SplitState {
        id: SplitId(u32::from(number)),
        split: vec![number].into(),
        offset: if held { "there".into() } else { Default::default() },
        held,
    };
    let splits = (1..SPLITS).map(|number| state(number, number == 1)).collect();
    let graph = word_count();
    let operators = graph.vertices.iter().flat_map(|vertex| vertex.nodes.clone()).map(|(_, node)| {
        let source = node.kind.is_source().then(|| SourceState { finished: 1, splits: Clone::clone(&splits) });
        (node.uid, OperatorState { parallelism: 2, max_parallelism: 128, source, ..OperatorState::default() })
    });
    let checkpoint = CompletedCheckpoint {
        id: CheckpointId(id),
        kind: SnapshotKind::Checkpoint,
        triggered_at: Timestamp(500),
        completed_at: Timestamp(600),
        folder: None,
        operators: operators.collect(),
        in_flight: vec![],
        figures: Default::default(),
    };
    StoredCheckpoint { checkpoint: Arc::new(checkpoint), location: "/checkpoints/chk".into() }
}

fn with_checkpoint(id: u64) -> JobSpec {
    JobSpec { restored: vec![checkpoint(id)], ..recovered() }
}

fn reader(received: &[u8], finished: &[u8]) -> ReaderPresence {
    ReaderPresence {
        node: NodeId(0),
        received: received.iter().map(|number| (SplitId(u32::from(*number)), split_digest(&[*number]))).collect(),
        finished: finished.iter().map(|number| SplitId(u32::from(*number))).collect(),
        requested: false,
        no_more: false,
        drained: false,
    }
}

fn task(vertex: usize, subtask: u32) -> TaskPresence {
    let graph = word_count();
    let started = [(ExecutionState::Created, 100), (ExecutionState::Deploying, 110), (ExecutionState::Running, 120)];
    TaskPresence {
        attempt: AttemptId { job: JOB, vertex: graph.vertices[vertex].id, subtask, attempt: 2 },
        parallelism: 2,
        allocation: allocation(subtask as u8 + 1),
        state: ExecutionState::Running,
        timestamps: started.into_iter().map(|(state, at)| (state, Timestamp(at))).collect(),
        failure: None,
        figures: TaskFigures { records_in: 9, ..TaskFigures::default() },
        restored_from: None,
        acknowledged: (1..=5).map(CheckpointId).collect(),
        reader: (vertex == 0).then(|| if subtask == 0 { reader(&[0, 2], &[0]) } else { reader(&[1], &[]) }),
        awaits_checkpoint: false,
        code_in_doubt: false,
        collects: false,
    }
}

/// What TaskManager a (subtasks 0) or b (subtasks 1) has.
fn presence(subtask: u32) -> Presence {
    let name = if subtask == 0 { "a" } else { "b" };
    let slots = vec![offer(name, 0, subtask as u8 + 1)];
    Presence { task_manager: tm(name), job: JOB, slots, tasks: vec![task(0, subtask), task(1, subtask)] }
}

fn present(presence: Presence) -> Input {
    Input::Present(Box::new(presence))
}

/// A job of which everything but TaskManager b's tasks is known.
fn reconciling(spec: JobSpec) -> Harness {
    let mut harness = Harness::of(spec);
    harness.step(Input::Start);
    assert_eq!(harness.status(), JobStatus::Reconciling);
    assert_eq!(harness.step(present(presence(0))), []);
    harness
}

/// The one entry of the job's history, and that the job begins again.
fn refused(harness: &Harness, commands: &[Command]) -> String {
    let [takeover] = &harness.core.view().takeovers[..] else { panic!("{:?}", harness.core.view().takeovers) };
    assert!(!takeover.adopted);
    assert!(kinds(commands).contains(&"takeover"), "{commands:?}");
    assert_eq!(harness.status(), JobStatus::Created);
    assert_eq!(harness.attempt(0, 0).attempt, 3, "the next attempts are new ones");
    takeover.reason.to_string()
}

#[test]
fn all_tasks_are_adopted_as_they_are() {
    let mut harness = reconciling(with_checkpoint(5));
    let commands = harness.step(present(presence(1)));
    let expected = ["accept", "accept", "request", "takeover", "adopt", "adopt", "adopt", "adopt"];
    assert_eq!(kinds(&commands), expected);
    for command in &commands {
        if let Command::AdoptTask { completed, over, attempt, .. } = command {
            assert_eq!((*completed, *over), (Some(CheckpointId(5)), CheckpointId(64)));
            assert_eq!(attempt.attempt, 2);
        }
    }
    let view = harness.core.view();
    assert_eq!(view.status, JobStatus::Running);
    let subtask = &view.vertices[1].subtasks[1];
    assert_eq!((subtask.attempt, subtask.started_at()), (2, Some(Timestamp(110))));
    assert_eq!((subtask.figures.records_in, subtask.task_manager.clone()), (9, Some(tm("b"))));
    assert!(view.takeovers[0].adopted && view.takeovers[0].epoch == LeaderEpoch(7));
    assert_eq!(view.restarts, 0);
    // What is heard of them counts as ever.
    harness.report(harness.attempt(1, 1), ExecutionState::Finished);
    assert_eq!(harness.state(1, 1), ExecutionState::Finished);
}

#[test]
fn readers_go_on_with_what_they_have_and_get_what_nobody_has() {
    let mut harness = reconciling(with_checkpoint(5));
    let source = harness.attempt(0, 1);
    let source = AttemptId { attempt: 2, ..source };
    // It asks while the leader does not know it yet.
    let request = SplitRequest { attempt: source, node: NodeId(0), finished: vec![SplitId(1)] };
    harness.step(present(presence(1)));
    assert_eq!(harness.status(), JobStatus::Running);
    let mut handed = Vec::new();
    for _ in 0..3 {
        let commands = harness.step(Input::SplitRequested(SplitRequest { finished: vec![], ..request.clone() }));
        let [Command::AssignSplits { assignment, .. }] = &commands[..] else { panic!("{commands:?}") };
        handed.extend(assignment.splits.iter().map(|(id, split, offset)| (id.0, split.clone(), offset.clone())));
    }
    assert_eq!(handed, [(3, vec![3], "".into()), (4, vec![4], "".into())], "0, 1 and 2 are with readers, or read");
}

#[test]
fn an_open_request_is_answered_at_once() {
    let mut second = presence(1);
    second.tasks[0].reader.as_mut().unwrap().requested = true;
    let mut harness = reconciling(with_checkpoint(5));
    let commands = harness.step(present(second));
    assert_eq!(kinds(&commands).last(), Some(&"assign"));
    // And one that comes before all tasks are known.
    let mut harness = reconciling(with_checkpoint(5));
    let attempt = task(0, 0).attempt;
    assert_eq!(harness.step(Input::SplitRequested(SplitRequest { attempt, node: NodeId(0), finished: vec![] })), []);
    assert_eq!(kinds(&harness.step(present(presence(1)))).last(), Some(&"assign"));
}

#[test]
fn without_checkpoints_the_splits_are_listed_and_compared() {
    let told = |spec: JobSpec| {
        let mut harness = Harness::of(spec);
        assert_eq!(kinds(&harness.step(Input::Start)), ["enumerate"]);
        for subtask in 0..2 {
            let mut presence = presence(subtask);
            presence.tasks.iter_mut().for_each(|task| task.acknowledged.clear());
            assert_eq!(harness.step(present(presence)), []);
        }
        harness
    };
    let mut harness = told(recovered());
    harness.splits(0, SPLITS);
    assert_eq!(harness.status(), JobStatus::Running);

    let mut harness = told(recovered());
    let enumeration = harness.enumeration(0);
    let others = Ok(vec![vec![0], vec![9], vec![2]]);
    let commands = harness.step(Input::SplitsEnumerated { node: NodeId(0), enumeration, result: others });
    assert!(refused(&harness, &commands).contains("another split 1"));

    let mut harness = told(recovered());
    let commands = harness.splits(0, 2);
    assert!(refused(&harness, &commands).contains("split 2, which there is not"));

    let mut harness = told(recovered());
    let result = Err(failure("the folder is gone"));
    let enumeration = harness.enumeration(0);
    let commands = harness.step(Input::SplitsEnumerated { node: NodeId(0), enumeration, result });
    assert!(refused(&harness, &commands).contains("the folder is gone"));
}

/// What is wrong with the second TaskManager's tasks, and what the job's history says of it.
type Wrong = (&'static str, fn(&mut Presence));

const WRONGS: [Wrong; 16] = [
    ("has failed: boom", |presence| {
        presence.tasks[1].state = ExecutionState::Failed;
        presence.tasks[1].failure = Some(failure("boom"));
    }),
    ("being cancelled", |presence| presence.tasks[0].state = ExecutionState::Canceling),
    ("not recorded: 3", |presence| presence.tasks[0].attempt.attempt = 3),
    ("cannot have 4294967295 subtasks", |presence| presence.tasks[0].parallelism = u32::MAX),
    ("not recorded: 2", |presence| presence.tasks[0].attempt.subtask = u32::MAX),
    ("which the job does not have", |presence| {
        presence.tasks[0].attempt.job = millrace_types::JobId::from_bytes([9; 16])
    }),
    ("does not go on from checkpoint 5", |presence| presence.tasks[1].acknowledged = vec![CheckpointId(4)]),
    ("may run it", |presence| presence.tasks[1].code_in_doubt = true),
    ("collect sink", |presence| presence.tasks[1].collects = true),
    ("before the end of its input", |presence| presence.tasks[0].reader.as_mut().unwrap().drained = true),
    ("does not report its splits", |presence| presence.tasks[0].reader = None),
    ("two readers have split 2", |presence| presence.tasks[0].reader = Some(reader(&[1, 2], &[]))),
    ("do not agree on their number", |presence| presence.tasks[0].parallelism = 3),
    ("does not report", |presence| presence.slots.clear()),
    ("do not share slots", |presence| {
        presence.slots.push(offer("b", 1, 9));
        presence.tasks[1].allocation = allocation(9);
    }),
    ("different checkpoints", |presence| presence.tasks[1].restored_from = Some(CheckpointId(3))),
];

#[test]
fn one_doubt_is_enough_to_begin_again() {
    for (reason, spoil) in WRONGS {
        let mut harness = reconciling(with_checkpoint(5));
        let mut second = presence(1);
        spoil(&mut second);
        let slots = [vec![offer("a", 0, 1)], second.slots.clone()].concat();
        let commands = harness.step(present(second));
        let told = refused(&harness, &commands);
        assert!(told.contains(reason), "{told:?} instead of {reason:?}");
        let released = commands.iter().find_map(|command| match command {
            Command::ReleaseSlots { slots } => Some(slots.clone()),
            _ => None,
        });
        assert_eq!(released.unwrap(), slots, "{reason}: the old tasks are stopped");
    }
}

#[test]
fn tasks_that_are_told_that_nothing_is_left_get_nothing_more() {
    let mut harness = Harness::of(with_checkpoint(5));
    harness.step(Input::Start);
    let mut commands = vec![];
    for subtask in 0..2 {
        let mut presence = presence(subtask);
        presence.tasks[0].reader.as_mut().unwrap().no_more = true;
        commands = harness.step(present(presence));
    }
    assert!(refused(&harness, &commands).contains("2 splits are left"));
}

#[test]
fn tasks_that_do_not_report_in_time_and_those_that_end_meanwhile() {
    let mut harness = reconciling(with_checkpoint(5));
    assert_eq!(harness.core.next_deadline(), Some(Timestamp(1_001 + TIMEOUT_MS)));
    let commands = harness.deadline();
    assert_eq!(refused(&harness, &commands), "2 of its 4 tasks were reported in time");
    // One who comes later has nothing that is the job's.
    let commands = harness.step(present(presence(1)));
    assert_eq!(commands, [Command::ReleaseSlots { slots: vec![offer("b", 0, 2)] }]);

    let mut harness = reconciling(with_checkpoint(5));
    let mut attempt = harness.attempt(1, 0);
    attempt.attempt = 2;
    let commands = harness.report_with(attempt, ExecutionState::Failed, Some(failure("a connection broke")));
    assert!(refused(&harness, &commands).contains("a connection broke"));

    let mut harness = reconciling(with_checkpoint(5));
    let lost = |name| Input::TaskManagerLost { task_manager: tm(name), reason: "it left".to_owned() };
    assert_eq!(harness.step(lost("c")), [], "nothing of it runs there");
    let commands = harness.step(lost("a"));
    assert!(refused(&harness, &commands).contains("it left"));
    assert!(!kinds(&commands).contains(&"release"), "its slots went with it");
}

#[test]
fn an_attempt_before_the_last_one_is_nobodys() {
    let mut zombie = presence(0);
    zombie.task_manager = tm("z");
    zombie.slots = vec![offer("z", 0, 8)];
    for task in &mut zombie.tasks {
        (task.attempt.attempt, task.allocation) = (1, allocation(8));
    }
    let mut harness = reconciling(with_checkpoint(5));
    assert_eq!(harness.step(present(zombie)), []);
    let commands = harness.step(present(presence(1)));
    assert_eq!(harness.status(), JobStatus::Running);
    assert!(commands.contains(&Command::ReleaseSlots { slots: vec![offer("z", 0, 8)] }));
}

#[test]
fn tasks_that_have_finished_count_and_a_job_that_has_ends() {
    let mut harness = Harness::of(with_checkpoint(5));
    harness.step(Input::Start);
    let mut commands = vec![];
    for subtask in 0..2 {
        let mut presence = presence(subtask);
        presence.tasks[0].reader = Some(ReaderPresence {
            no_more: true,
            ..if subtask == 0 { reader(&[0, 2, 3], &[0, 2, 3]) } else { reader(&[1, 4], &[1, 4]) }
        });
        presence.tasks.iter_mut().for_each(|task| task.state = ExecutionState::Finished);
        commands = harness.step(present(presence));
    }
    assert_eq!(kinds(&commands).last(), Some(&"persist"));
    assert!(kinds(&commands).contains(&"release"));
    assert!(!kinds(&commands).contains(&"adopt"));
}

#[test]
fn a_task_that_has_finished_need_not_be_where_the_others_of_its_slot_are() {
    let mut harness = reconciling(with_checkpoint(5));
    let mut second = presence(1);
    // Its region ran on when another one, which shared its slot, was restarted elsewhere.
    second.slots.push(offer("b", 1, 9));
    second.tasks[0].allocation = allocation(9);
    second.tasks[0].state = ExecutionState::Finished;
    let commands = harness.step(present(second));
    assert_eq!(harness.status(), JobStatus::Running);
    assert!(commands.contains(&Command::ReleaseSlots { slots: vec![offer("b", 1, 9)] }));
    assert!(commands.contains(&Command::RequestSlots { count: 2 }));
}

#[test]
fn behind_a_checkpoint_that_cannot_be_read_another_one_is_taken_at_once() {
    let begun = |lost| {
        let mut spec = JobSpec { lost, ..with_checkpoint(5) };
        spec.checkpoints.interval_ms = Some(3_600_000);
        let mut harness = reconciling(spec);
        let mut commands = harness.step(present(presence(1)));
        if let Some(Command::ReserveCheckpointIds { write, .. }) = commands.last() {
            commands = harness.step(Input::MetadataWritten { write: *write });
        }
        assert_eq!(harness.status(), JobStatus::Running);
        kinds(&commands).contains(&"trigger")
    };
    assert!(!begun(None));
    assert!(begun(Some(failure("checkpoint 6 is damaged"))), "what the tasks have behind 5 is in no checkpoint");
}

#[test]
fn tasks_go_back_to_where_they_were_adopted() {
    let mut spec = with_checkpoint(5);
    spec.options.restart_strategy = RestartStrategy::FixedDelay { attempts: 1, delay_ms: 0 };
    let mut harness = reconciling(spec);
    harness.step(present(presence(1)));
    let commands = harness.step(Input::SlotsLost(vec![allocation(1), allocation(2)]));
    for command in &commands {
        if let Command::PersistAttempts { write, .. } = command {
            harness.step(Input::MetadataWritten { write: *write });
        }
    }
    // In order the first subtasks would come to TaskManager 0, and the second to a.
    harness.step(Input::SlotsOffered(vec![offer("0", 0, 3), offer("a", 1, 4)]));
    assert_eq!(harness.status(), JobStatus::Running);
    for vertex in &harness.core.view().vertices {
        let places: Vec<_> = vertex.subtasks.iter().map(|task| task.task_manager.clone()).collect();
        assert_eq!(places, [Some(tm("a")), Some(tm("0"))]);
    }
}

#[test]
fn a_job_that_is_cancelled_meanwhile_is_not_taken_over() {
    let mut harness = reconciling(with_checkpoint(5));
    let commands = harness.step(Input::CancelRequested);
    assert!(kinds(&commands).contains(&"release"));
    assert_eq!(kinds(&commands).last(), Some(&"persist"));
}
