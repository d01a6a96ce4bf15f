//! Random inputs in random order, repeated and out of order, against TaskManagers that react or do not.

use std::collections::{BTreeMap, BTreeSet};

use millrace_job_core::{Command, Input, JobCore, WriteId};
use millrace_protocol::{SplitId, SplitRequest, TaskFigures, TaskReport};
use millrace_types::{AllocationId, AttemptId, ExecutionState, JobStatus, NodeId, SlotId, Timestamp};
use proptest::prelude::*;

use crate::graphs::{spec, word_count};
use crate::harness::{Harness, failure, offer, tm};

#[derive(Debug, Clone)]
enum Event {
    Start,
    Offer(u8),
    LoseSlot(u8),
    LoseTaskManager(u8),
    Splits(u32, bool),
    Report(usize, u32, ExecutionState),
    AskForSplits(usize, u32),
    Figures(usize, u64),
    DeployFailed(usize),
    Cancel,
    Written(u64),
    WriteFailed(u64),
    Wait(u64),
    /// One of the inputs before comes once more.
    Repeat(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let state = prop::sample::select(ExecutionState::ALL.to_vec());
    let event = prop_oneof![
        4 => Just(Event::Start),
        8 => (0..6u8).prop_map(Event::Offer),
        1 => (0..6u8).prop_map(Event::LoseSlot),
        1 => (0..3u8).prop_map(Event::LoseTaskManager),
        6 => (0..2u32, prop::bool::weighted(0.95)).prop_map(|(node, ok)| Event::Splits(node, ok)),
        // Attempt 1 is the present one.
        20 => (0..4usize, prop_oneof![8 => Just(1), 1 => 0..4u32], state)
            .prop_map(|(task, attempt, state)| Event::Report(task, attempt, state)),
        12 => (0..4usize).prop_map(|task| Event::Report(task, 1, ExecutionState::Finished)),
        3 => (0..4usize, 0..3u32).prop_map(|(task, attempt)| Event::AskForSplits(task, attempt)),
        2 => (0..4usize, 0..9u64).prop_map(|(task, number)| Event::Figures(task, number)),
        1 => (0..4usize).prop_map(Event::DeployFailed),
        1 => Just(Event::Cancel),
        2 => (0..4u64).prop_map(Event::Written),
        1 => (0..4u64).prop_map(Event::WriteFailed),
        2 => (0..100_000u64).prop_map(Event::Wait),
        6 => (0..1_000usize).prop_map(Event::Repeat),
    ];
    proptest::collection::vec(event, 0..150)
}

/// The job, and what the world around it knows from its commands alone.
struct World {
    core: JobCore,
    now: Timestamp,
    attempts: Vec<AttemptId>,
    history: Vec<Input>,
    deployed: BTreeMap<AttemptId, AllocationId>,
    cancelled: BTreeSet<AttemptId>,
    accepted: BTreeMap<AllocationId, SlotId>,
    lost: BTreeSet<AllocationId>,
    released: BTreeSet<AllocationId>,
    last_write: Option<u64>,
    ended: Option<JobStatus>,
    requested: u32,
}

impl World {
    fn new() -> Self {
        let mut spec = spec(word_count());
        spec.first_attempt = 1;
        let harness = Harness::of(spec);
        Self {
            attempts: harness.all_attempts(),
            core: harness.core,
            now: harness.now,
            history: Vec::new(),
            deployed: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            accepted: BTreeMap::new(),
            lost: BTreeSet::new(),
            released: BTreeSet::new(),
            last_write: None,
            ended: None,
            requested: 0,
        }
    }

    fn input(&self, event: &Event) -> Input {
        let attempt = |task: usize, number: u32| AttemptId { attempt: number, ..self.attempts[task] };
        // Two TaskManagers of two slots, each slot under a grant of its own; then one grant that contradicts another.
        let offers = [("a", 0, 1), ("a", 1, 2), ("b", 0, 3), ("b", 1, 4), ("c", 0, 5), ("a", 1, 1)];
        let offered = |which: &u8| {
            let (name, index, number) = offers[usize::from(*which)];
            offer(name, index, number)
        };
        match event {
            Event::Start => Input::Start,
            Event::Offer(which) => Input::SlotsOffered(vec![offered(which)]),
            Event::LoseSlot(which) => Input::SlotsLost(vec![offered(which).1]),
            Event::LoseTaskManager(which) => {
                let task_manager = tm(["a", "b", "c"][usize::from(*which)]);
                Input::TaskManagerLost { task_manager, reason: "gone".into() }
            }
            Event::Splits(node, ok) => {
                let result = if *ok { Ok(vec![vec![1], vec![2]]) } else { Err(failure("no such file")) };
                Input::SplitsEnumerated { node: NodeId(*node), result }
            }
            Event::Report(task, number, state) => Input::TaskReported(TaskReport {
                attempt: attempt(*task, *number),
                state: *state,
                at: Timestamp(0),
                failure: None,
                figures: TaskFigures::default(),
            }),
            Event::AskForSplits(task, number) => Input::SplitRequested(SplitRequest {
                attempt: attempt(*task, *number),
                node: NodeId(0),
                finished: vec![SplitId(0)],
            }),
            Event::Figures(task, number) => {
                let figures = TaskFigures { records_in: *number, ..TaskFigures::default() };
                Input::FiguresUpdated(vec![(attempt(*task, 1), figures)])
            }
            Event::DeployFailed(task) => {
                Input::DeployFailed { attempt: attempt(*task, 1), failure: failure("refused") }
            }
            Event::Cancel => Input::CancelRequested,
            Event::Written(write) => Input::MetadataWritten { write: WriteId(*write) },
            Event::WriteFailed(write) => Input::MetadataWriteFailed { write: WriteId(*write), reason: "full".into() },
            Event::Wait(_) => Input::DeadlineReached,
            Event::Repeat(which) if self.history.is_empty() => self.input(&Event::Written(*which as u64)),
            Event::Repeat(which) => self.history[which % self.history.len()].clone(),
        }
    }

    fn apply(&mut self, event: &Event) {
        if let Event::Wait(ms) = event {
            self.now = self.now.plus_ms(*ms);
        }
        let input = self.input(event);
        self.step(input);
    }

    fn step(&mut self, input: Input) {
        self.history.push(input.clone());
        // What the world knows is gone, the job is not expected to release.
        match &input {
            Input::SlotsLost(allocations) => self.lost.extend(allocations),
            Input::TaskManagerLost { task_manager, .. } => {
                let gone = self.accepted.iter().filter(|(_, slot)| slot.task_manager == *task_manager);
                self.lost.extend(gone.map(|(allocation, _)| *allocation));
            }
            _ => {}
        }
        let before = self.core.view().clone();
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut out);
        for command in out {
            self.observe(command);
        }
        let after = self.core.view();
        if before.status.is_terminal() {
            assert_eq!(after.status, before.status, "a terminal status is final");
        }
        assert_eq!(after.status.is_terminal(), self.ended.is_some(), "a terminal status is shown once it is durable");
        for (old, new) in before.vertices.iter().zip(&after.vertices) {
            for (old, new) in old.subtasks.iter().zip(&new.subtasks) {
                assert!(!old.state.is_terminal() || old == new, "a terminal state is final");
                assert!(new.attempt == 1, "one attempt per subtask");
            }
        }
    }

    fn observe(&mut self, command: Command) {
        assert!(self.ended.is_none() || matches!(command, Command::RejectSlot { .. }), "{command:?} after the end");
        match command {
            Command::AcceptSlot { slot, allocation } => {
                assert!(self.requested > 0 || self.accepted.contains_key(&allocation), "no slot is taken without need");
                self.lost.remove(&allocation);
                self.accepted.insert(allocation, slot);
                let held = self.accepted.iter().filter(|(id, _)| !self.lost.contains(id));
                let slots: Vec<_> = held.map(|(_, slot)| slot).collect();
                assert!(slots.len() <= 2 && slots.iter().collect::<BTreeSet<_>>().len() == slots.len());
            }
            Command::RejectSlot { allocation, .. } => {
                let held = self.accepted.contains_key(&allocation) && !self.lost.contains(&allocation);
                assert!(!held || self.released.contains(&allocation));
            }
            Command::RequestSlots { count } => self.requested = count,
            Command::ReleaseSlots { slots } => self.released.extend(slots.into_iter().map(|(_, id)| id)),
            Command::Deploy { task, task_manager } => {
                assert_eq!(self.accepted[&task.allocation].task_manager, task_manager);
                assert!(self.deployed.insert(task.attempt, task.allocation).is_none(), "deployed twice");
            }
            Command::CancelTask { attempt, .. } => {
                assert!(self.deployed.contains_key(&attempt), "only what runs is told to stop");
                self.cancelled.insert(attempt);
            }
            Command::AssignSplits { assignment, .. } => assert!(self.deployed.contains_key(&assignment.attempt)),
            Command::PersistStatus { write, status, .. } => {
                assert!(status.is_terminal());
                self.last_write = Some(write.0);
            }
            Command::EnumerateSplits { .. } => {}
            Command::JobEnded { status } => {
                assert!(self.ended.replace(status).is_none(), "the end is told once");
                self.check_end(status);
            }
        }
    }

    fn check_end(&self, status: JobStatus) {
        assert_eq!(self.core.view().status, status);
        let states = self.core.view().vertices.iter().flat_map(|vertex| vertex.subtasks.iter().map(|task| task.state));
        let states: Vec<_> = states.collect();
        assert!(states.iter().all(|state| state.is_terminal()));
        if status == JobStatus::Finished {
            assert!(states.iter().all(|state| *state == ExecutionState::Finished));
        }
        assert_eq!(
            status == JobStatus::Failed,
            status == JobStatus::Failed && !self.core.view().exceptions.entries.is_empty()
        );
        assert_eq!(self.requested, 0, "the request is withdrawn");
        for allocation in self.accepted.keys() {
            assert!(self.released.contains(allocation) || self.lost.contains(allocation), "{allocation} is kept");
        }
    }

    /// The world behaves from now on: tasks confirm cancellations, writes succeed, deadlines pass.
    fn settle(&mut self) {
        self.step(Input::CancelRequested);
        for _ in 0..200 {
            if self.ended.is_some() {
                return;
            }
            if let Some(write) = self.last_write {
                self.step(Input::MetadataWritten { write: WriteId(write) });
            }
            self.now = self.now.plus_ms(1_000);
            self.step(Input::DeadlineReached);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_promises_hold_and_the_job_can_end(events in events()) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        world.settle();
        prop_assert!(world.ended.is_some(), "the job ends: {:?}", world.core.view().status);
    }

    #[test]
    fn the_same_inputs_give_the_same_job(events in events()) {
        let run = || {
            let mut world = World::new();
            events.iter().for_each(|event| world.apply(event));
            world.core.view().clone()
        };
        prop_assert_eq!(run(), run());
    }
}
