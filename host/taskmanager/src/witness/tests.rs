//! What a new leader is told, message by message.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use bytes::Bytes;
use millrace_graph::{GuestCode, JobVertex, NativeConnector, StreamNode};
use millrace_protocol::{
    CheckpointAck, SnapshotFigures, SplitId, SubtaskSnapshot, TaskFigures, TaskRestore, TaskSettings,
};
use millrace_types::{
    Barrier, Digest, Failure, FailureKind, LeaderEpoch, NodeId, TaskManagerId, TenantId, Timestamp, VertexId,
};

const EPOCH: LeaderEpoch = LeaderEpoch(1);

fn job(number: u8) -> JobId {
    JobId::from_bytes([number; 16])
}

fn allocation(number: u8) -> AllocationId {
    AllocationId::from_bytes([number; 16])
}

fn slot(index: u32) -> SlotId {
    SlotId { task_manager: TaskManagerId("tm".to_owned()), index }
}

fn attempt(of: u8, subtask: u32) -> AttemptId {
    AttemptId { job: job(of), vertex: VertexId::from_bytes([1; 16]), subtask, attempt: 4 }
}

fn deployment(attempt: AttemptId, granted: AllocationId, sink: &str) -> TaskDeployment {
    let code = GuestCode::default();
    let sink = NativeConnector { connector: sink.to_owned(), options: String::new() };
    let nodes = vec![
        (NodeId(0), StreamNode::new("node", NodeKind::Source(code))),
        (NodeId(1), StreamNode::new("node", NodeKind::NativeSink(sink))),
    ];
    TaskDeployment {
        attempt,
        allocation: granted,
        tenant: TenantId::default_tenant(),
        job_name: "job".to_owned(),
        components: BTreeMap::new(),
        graph_digest: Digest::from_bytes([0; 32]),
        args: vec![],
        default_parallelism: 1,
        vertex: JobVertex {
            id: attempt.vertex,
            name: "vertex".to_owned(),
            description: String::new(),
            chained_edges: vec![],
            nodes,
            segments: vec![],
            parallelism: 3,
            max_parallelism: 128,
            slot_sharing_group: "default".to_owned(),
        },
        inputs: vec![],
        outputs: vec![],
        settings: TaskSettings::default(),
        restore: Some(TaskRestore {
            checkpoint: CheckpointId(7),
            folder: None,
            finished: false,
            operators: BTreeMap::new(),
            in_flight: vec![],
        }),
        timestamps: [(ExecutionState::Deploying, Timestamp(10))].into(),
    }
}

/// A TaskManager with a slot of each of two jobs, and a task in each.
fn witness() -> Witness {
    let mut witness = Witness::default();
    witness.heard(&ToJobManager::Register(TaskManagerRegistration {
        id: TaskManagerId("tm".to_owned()),
        slots: 2,
        data_address: None,
        cpu_cores: 2,
        memory_bytes: 1,
        allocated: vec![],
    }));
    for number in 1..=2 {
        let slots = vec![(slot(u32::from(number)), allocation(number))];
        witness.heard(&ToJobManager::OfferSlots { job: job(number), slots });
        let task = Box::new(deployment(attempt(number, 0), allocation(number), "discard"));
        witness.told(&ToTaskManager::Deploy { epoch: EPOCH, task });
    }
    witness
}

/// What is told of a job: its slots and its tasks.
fn told(witness: &Witness, of: u8) -> Presence {
    let presence = witness.introduction().into_iter().find_map(|message| match message {
        ToJobManager::Present(presence) if presence.job == job(of) => Some(*presence),
        _ => None,
    });
    presence.unwrap()
}

fn task(witness: &Witness) -> TaskPresence {
    told(witness, 1).tasks.remove(0)
}

fn reports(witness: &mut Witness, state: ExecutionState, at: u64) {
    reports_of(witness, attempt(1, 0), state, at);
}

fn reports_of(witness: &mut Witness, attempt: AttemptId, state: ExecutionState, at: u64) {
    let failure = (state == ExecutionState::Failed).then(|| Failure::new(FailureKind::Trap, "boom"));
    let figures = TaskFigures { records_in: at, ..TaskFigures::default() };
    let report = TaskReport { attempt, state, at: Timestamp(at), failure, figures };
    witness.heard(&ToJobManager::TaskReport(report));
}

#[test]
fn nothing_is_told_before_the_first_registration() {
    assert_eq!(Witness::default().introduction(), []);
}

#[test]
fn slots_and_tasks_are_told_by_job_behind_the_registration() {
    let witness = witness();
    let messages = witness.introduction();
    let ToJobManager::Register(registration) = &messages[0] else { panic!("{messages:?}") };
    let expected = [(slot(1), allocation(1), job(1)), (slot(2), allocation(2), job(2))];
    assert_eq!((messages.len(), &registration.allocated[..]), (3, &expected[..]));
    let presence = told(&witness, 2);
    assert_eq!((presence.slots, presence.tasks.len()), (vec![(slot(2), allocation(2))], 1));
    let task = task(&witness);
    assert_eq!((task.parallelism, task.restored_from), (3, Some(CheckpointId(7))));
    assert_eq!(task.timestamps, [(ExecutionState::Deploying, Timestamp(10))].into());
    assert!(!task.collects);
}

#[test]
fn many_tasks_come_in_parts_and_a_slot_without_any_is_told_too() {
    let mut witness = witness();
    for subtask in 1..=PRESENCE_TASKS_MAX as u32 {
        let task = Box::new(deployment(attempt(1, subtask), allocation(1), "collect"));
        witness.told(&ToTaskManager::Deploy { epoch: EPOCH, task });
    }
    witness.heard(&ToJobManager::OfferSlots { job: job(3), slots: vec![(slot(3), allocation(3))] });
    let parts: Vec<_> = witness
        .introduction()
        .into_iter()
        .filter_map(|message| match message {
            ToJobManager::Present(presence) => Some((presence.job, presence.tasks.len())),
            _ => None,
        })
        .collect();
    assert_eq!(parts, [(job(1), PRESENCE_TASKS_MAX), (job(1), 1), (job(2), 1), (job(3), 0)]);
    assert!(told(&witness, 1).tasks[1].collects);
}

#[test]
fn states_follow_the_reports_and_the_orders_to_stop() {
    let mut witness = witness();
    reports(&mut witness, ExecutionState::Deploying, 11);
    reports(&mut witness, ExecutionState::Running, 12);
    let running = task(&witness);
    assert_eq!((running.state, running.figures.records_in), (ExecutionState::Running, 12));
    assert_eq!(running.timestamps[&ExecutionState::Deploying], Timestamp(10), "as the leader stated it");
    witness.told(&ToTaskManager::Cancel { epoch: EPOCH, attempt: attempt(1, 0) });
    assert_eq!(task(&witness).state, ExecutionState::Canceling);
    // A word that crossed the order.
    reports(&mut witness, ExecutionState::Running, 13);
    assert_eq!(task(&witness).state, ExecutionState::Canceling);
    reports(&mut witness, ExecutionState::Failed, 14);
    assert_eq!(
        (task(&witness).state, task(&witness).failure.unwrap().message.as_str()),
        (ExecutionState::Failed, "boom")
    );
    // The end is told as long as the slot is not free.
    witness.told(&ToTaskManager::FreeSlot { epoch: EPOCH, allocation: allocation(1) });
    assert_eq!(task(&witness).state, ExecutionState::Failed);
    witness.heard(&ToJobManager::SlotFreed { slot: slot(1), allocation: allocation(1) });
    assert_eq!(witness.introduction().len(), 2, "nothing of the job is left");
}

#[test]
fn of_a_subtask_that_is_restarted_again_and_again_the_last_attempt_is_told() {
    let mut witness = witness();
    for number in 5..50 {
        reports_of(&mut witness, AttemptId { attempt: number - 1, ..attempt(1, 0) }, ExecutionState::Failed, 11);
        let task = Box::new(deployment(AttemptId { attempt: number, ..attempt(1, 0) }, allocation(1), "discard"));
        witness.told(&ToTaskManager::Deploy { epoch: EPOCH, task });
    }
    let tasks = told(&witness, 1).tasks;
    assert_eq!(tasks.iter().map(|task| task.attempt.attempt).collect::<Vec<_>>(), [49]);
    // One that has not ended is told: the new leader is to know that it is there.
    let task = Box::new(deployment(AttemptId { attempt: 50, ..attempt(1, 0) }, allocation(1), "discard"));
    witness.told(&ToTaskManager::Deploy { epoch: EPOCH, task });
    assert_eq!(told(&witness, 1).tasks.len(), 2);
}

#[test]
fn a_task_whose_slot_is_not_granted_is_not_told() {
    let mut witness = witness();
    witness.heard(&ToJobManager::SlotFreed { slot: slot(1), allocation: allocation(1) });
    let task = Box::new(deployment(attempt(1, 0), allocation(1), "discard"));
    witness.told(&ToTaskManager::Deploy { epoch: EPOCH, task });
    reports(&mut witness, ExecutionState::Failed, 11);
    let slots = vec![(slot(1), allocation(3))];
    witness.heard(&ToJobManager::OfferSlots { job: job(1), slots });
    assert_eq!(told(&witness, 1).tasks, []);
}

#[test]
fn readers_are_told_with_what_has_reached_them() {
    let mut witness = witness();
    let (attempt, node) = (attempt(1, 0), NodeId(0));
    let request = |finished: Vec<SplitId>| ToJobManager::SplitRequest(SplitRequest { attempt, node, finished });
    witness.heard(&request(vec![]));
    assert!(task(&witness).reader.unwrap().requested);
    let splits = vec![(SplitId(3), b"split".to_vec(), Bytes::new())];
    let assignment = SplitAssignment { attempt, node, splits, no_more: true };
    witness.told(&ToTaskManager::AssignSplits { epoch: EPOCH, assignment });
    let reader = task(&witness).reader.unwrap();
    assert_eq!(reader.received, [(SplitId(3), split_digest(b"split"))]);
    assert!(!reader.requested && reader.no_more && !reader.drained);
    witness.heard(&request(vec![SplitId(3)]));
    witness.told(&ToTaskManager::DrainSource { epoch: EPOCH, attempt });
    let reader = task(&witness).reader.unwrap();
    assert_eq!((reader.finished, reader.requested, reader.drained), (vec![SplitId(3)], true, true));
}

#[test]
fn the_newest_acknowledgements_are_told() {
    let mut witness = witness();
    let begin = Barrier {
        checkpoint: CheckpointId(1),
        triggered_at: Timestamp(0),
        kind: millrace_types::SnapshotKind::Checkpoint,
        drain: false,
        alignment: millrace_types::Alignment::Aligned,
        folder: None,
    };
    witness.told(&ToTaskManager::TriggerCheckpoint { epoch: EPOCH, attempt: attempt(1, 0), barrier: begin });
    assert_eq!(task(&witness).acknowledged, [], "what is begun is not acknowledged");
    for id in 1..=100 {
        let (snapshot, figures) = (SubtaskSnapshot::default(), SnapshotFigures::default());
        let ack = CheckpointAck { attempt: attempt(1, 0), checkpoint: CheckpointId(id), snapshot, figures };
        witness.heard(&ToJobManager::CheckpointAcknowledged(Box::new(ack)));
    }
    let told = task(&witness).acknowledged;
    assert_eq!((told.len(), told[0], told[63]), (ACKNOWLEDGED_TOLD_MAX, CheckpointId(37), CheckpointId(100)));
    witness.heard(&ToJobManager::AwaitingCheckpoint { attempt: attempt(1, 0) });
    assert!(task(&witness).awaits_checkpoint);
}
