//! A job amid TaskManagers, a ResourceManager and a metadata store of which only the job's own commands are known. What
//! the job promises is checked at every step.

use std::collections::{BTreeMap, BTreeSet};

use millrace_graph::JobGraph;
use millrace_job_core::{
    AdaptiveOptions, CheckpointOptions, Command, EnumerationId, Input, JobCore, JobView, RequestId, RestartStrategy,
    WriteId,
};
use millrace_protocol::{TaskFigures, TaskReport};
use millrace_types::{
    AllocationId, AttemptId, ExecutionState, JobStatus, NodeId, SlotId, TaskManagerId, Timestamp, VertexId,
};

use crate::graphs::{JOB, spec};
use crate::harness::{allocation, tm};
use crate::snapshots::Snapshots;

/// Attempts of a subtask that stay visible here.
const ATTEMPTS_MAX: usize = 2;

pub struct World {
    pub core: JobCore,
    pub now: Timestamp,
    pub history: Vec<Input>,
    pub ended: Option<JobStatus>,
    pub last_write: Option<u64>,
    /// The last question for the splits of each source.
    pub enumerations: BTreeMap<NodeId, EnumerationId>,
    /// Tasks that were deployed and, for all that is known, run.
    running: BTreeMap<AttemptId, (TaskManagerId, AllocationId)>,
    deployed: BTreeSet<AttemptId>,
    accepted: BTreeMap<AllocationId, SlotId>,
    lost: BTreeSet<AllocationId>,
    released: BTreeSet<AllocationId>,
    requested: u32,
    slots_max: u32,
    /// Attempt numbers that are being written, and the highest that is.
    attempt_writes: BTreeMap<WriteId, Vec<u32>>,
    /// By vertex.
    recorded: Vec<u32>,
    spares: u32,
    pub snapshots: Snapshots,
}

impl World {
    pub fn checkpointed(
        graph: JobGraph,
        strategy: RestartStrategy,
        checkpoints: CheckpointOptions,
        adaptive: Option<AdaptiveOptions>,
    ) -> Self {
        let mut spec = spec(graph);
        spec.checkpoints = checkpoints;
        spec.options.adaptive = adaptive;
        spec.first_attempt = 1;
        spec.options.restart_strategy = strategy;
        spec.options.attempts_max = ATTEMPTS_MAX;
        let slots_max = millrace_graph::required_slots(&spec.graph);
        let now = Timestamp(1_000);
        Self {
            core: JobCore::new(spec, now),
            now,
            history: Vec::new(),
            ended: None,
            last_write: None,
            enumerations: BTreeMap::new(),
            running: BTreeMap::new(),
            deployed: BTreeSet::new(),
            accepted: BTreeMap::new(),
            lost: BTreeSet::new(),
            released: BTreeSet::new(),
            requested: 0,
            slots_max,
            attempt_writes: BTreeMap::new(),
            recorded: Vec::new(),
            spares: 0,
            snapshots: Snapshots::default(),
        }
    }

    /// The present attempts of all tasks.
    pub fn attempts(&self) -> Vec<(AttemptId, ExecutionState)> {
        let view = self.core.view();
        let tasks = view.graph.vertices.iter().zip(&view.vertices);
        tasks.flat_map(|(vertex, tasks)| present(vertex.id, &tasks.subtasks).collect::<Vec<_>>()).collect()
    }

    pub fn report(&mut self, attempt: AttemptId, state: ExecutionState) {
        let (failure, figures) = (None, TaskFigures::default());
        self.step(Input::TaskReported(TaskReport { attempt, state, at: Timestamp(0), failure, figures }));
    }

    pub fn step(&mut self, input: Input) {
        self.learn(&input);
        let before = self.core.view().clone();
        let mut out = Vec::new();
        self.snapshots.told(&input);
        self.core.step(self.now, input.clone(), &mut out);
        assert_eq!(self.core.check(), Ok(()));
        out.into_iter().for_each(|command| self.observe(command));
        self.check_views(&before, &input);
        self.history.push(input);
    }

    /// What an input says of the world.
    fn learn(&mut self, input: &Input) {
        self.snapshots.learn(input);
        let held = |accepted: &BTreeMap<AllocationId, SlotId>, name: &TaskManagerId| {
            accepted.iter().filter(|(_, slot)| slot.task_manager == *name).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        match input {
            // What the world knows is gone, the job is not expected to release.
            Input::SlotsLost(allocations) => {
                self.lost.extend(allocations);
                self.running.retain(|_, (_, allocation)| !allocations.contains(allocation));
            }
            Input::TaskManagerLost { task_manager, .. } => {
                self.lost.extend(held(&self.accepted, task_manager));
                self.running.retain(|_, (name, _)| name != task_manager);
            }
            Input::TaskReported(report) if report.state.is_terminal() => drop(self.running.remove(&report.attempt)),
            Input::DeployFailed { attempt, .. } => drop(self.running.remove(attempt)),
            Input::MetadataWritten { write } => {
                if let Some(written) = self.attempt_writes.remove(write) {
                    self.recorded = written;
                }
            }
            // The first answer counts.
            Input::MetadataWriteFailed { write, .. } => drop(self.attempt_writes.remove(write)),
            _ => {}
        }
        let running = &self.running;
        self.snapshots.keep(|attempt| running.contains_key(attempt));
    }

    fn check_views(&self, before: &JobView, input: &Input) {
        let after = self.core.view();
        if before.status.is_terminal() {
            assert_eq!(after.status, before.status, "a terminal status is final");
        }
        assert_eq!(after.status.is_terminal(), self.ended.is_some(), "a terminal status is shown once it is durable");
        let fails = match input {
            Input::TaskReported(_) | Input::DeployFailed { .. } | Input::SlotsLost(_) => true,
            Input::TaskManagerLost { .. } => true,
            Input::SplitsEnumerated { result, .. } => result.is_err(),
            // The pointer may have been written, and time may be over.
            Input::CheckpointDeclined(_) | Input::PointerRead { .. } | Input::DeadlineReached => true,
            Input::CheckpointAcknowledged(_) | Input::CheckpointStored { .. } => true,
            _ => false,
        };
        assert!(after.restarts <= before.restarts + u32::from(fails), "waiting uses up no attempts: {input:?}");
        for (old, new) in before.vertices.iter().zip(&after.vertices) {
            for (old, new) in old.subtasks.iter().zip(&new.subtasks) {
                assert!(new.earlier.len() <= ATTEMPTS_MAX);
                if new.attempt == old.attempt {
                    assert!(!old.state.is_terminal() || old == new, "a terminal state is final");
                } else {
                    assert_eq!(new.attempt, old.attempt + 1, "attempt numbers grow one by one");
                    let ended = new.attempt(old.attempt).map(|ended| ended.state);
                    assert!(ended.is_some_and(ExecutionState::is_terminal), "one attempt at a time");
                }
            }
        }
        let waits = matches!(after.status, JobStatus::Created | JobStatus::Restarting);
        // A job that finishes still shows what it was.
        assert!(waits == after.waiting.is_some(), "{} {:?}", after.status, after.waiting);
    }

    fn observe(&mut self, command: Command) {
        let may_follow = matches!(command, Command::RejectSlot { .. } | Command::SavepointEnded { .. });
        assert!(self.ended.is_none() || may_follow, "{command:?} after the end");
        let unfinished = self.attempts().into_iter().filter(|(_, state)| !state.is_terminal());
        let unfinished = unfinished.map(|(attempt, _)| attempt).collect();
        self.snapshots.observe(&self.core, &unfinished, &command);
        match command {
            Command::AcceptSlot { slot, allocation } => {
                assert!(self.requested > 0 || self.accepted.contains_key(&allocation), "no slot is taken without need");
                self.lost.remove(&allocation);
                self.released.remove(&allocation);
                self.accepted.insert(allocation, slot);
                let held = self.accepted.keys().filter(|id| self.holds(**id));
                let slots: Vec<_> = held.map(|id| &self.accepted[id]).collect();
                assert!(slots.len() <= self.slots_max as usize, "more slots than the job needs");
                assert_eq!(slots.iter().collect::<BTreeSet<_>>().len(), slots.len(), "two grants of a slot");
            }
            Command::RejectSlot { allocation, .. } => assert!(!self.holds(allocation)),
            Command::RequestSlots { count } => self.requested = count,
            Command::ReleaseSlots { slots } => {
                for (_, allocation) in slots {
                    assert!(self.holds(allocation), "only what is held is released");
                    self.released.insert(allocation);
                    // Its TaskManager ends what still runs there.
                    self.running.retain(|_, (_, used)| *used != allocation);
                }
            }
            Command::Deploy { task, task_manager } => {
                self.observe_deployment(task.attempt, task_manager, task.allocation);
                self.snapshots.deployed(&self.core, &task);
            }
            Command::CancelTask { attempt, .. } => {
                assert!(self.deployed.contains(&attempt), "only what was deployed is told to stop");
            }
            Command::AssignSplits { assignment, .. } => assert!(self.deployed.contains(&assignment.attempt)),
            Command::PersistAttempts { write, attempts } => {
                assert_ne!(attempts, self.recorded, "what is recorded is not written again");
                assert!(self.recorded.iter().zip(&attempts).all(|(old, new)| old <= new), "{attempts:?}");
                self.attempt_writes.insert(write, attempts);
                self.last_write = Some(write.0);
            }
            Command::PersistStatus { write, status, .. } => {
                assert!(status.is_terminal());
                self.last_write = Some(write.0);
            }
            Command::EnumerateSplits { node, enumeration, .. } => {
                assert!(self.enumerations.insert(node, enumeration) < Some(enumeration), "a question is asked once");
            }
            Command::JobEnded { status } => {
                assert!(self.ended.replace(status).is_none(), "the end is told once");
                self.check_end(status);
            }
            Command::TriggerCheckpoint { attempt, .. } | Command::DrainSource { attempt, .. } => {
                assert!(self.running.contains_key(&attempt), "only what runs is told");
            }
            _ => {}
        }
    }

    fn observe_deployment(&mut self, attempt: AttemptId, task_manager: TaskManagerId, allocation: AllocationId) {
        assert!(self.holds(allocation), "no deployment into a slot that is lost or given back");
        assert_eq!(self.accepted[&allocation].task_manager, task_manager);
        let vertex = self.core.view().graph.vertex_index(attempt.vertex).unwrap();
        assert_eq!(
            self.recorded.get(vertex),
            Some(&attempt.attempt),
            "{attempt:?} is not recorded: {:?}",
            self.recorded
        );
        let same = |other: &&AttemptId| (other.vertex, other.subtask) == (attempt.vertex, attempt.subtask);
        assert_eq!(self.running.keys().find(same), None, "one live attempt per subtask");
        let used = |other: &&AttemptId| same(other) && other.attempt >= attempt.attempt;
        assert_eq!(self.deployed.iter().find(used), None, "attempt numbers grow");
        self.deployed.insert(attempt);
        self.running.insert(attempt, (task_manager, allocation));
    }

    fn holds(&self, allocation: AllocationId) -> bool {
        let gone = self.lost.contains(&allocation) || self.released.contains(&allocation);
        self.accepted.contains_key(&allocation) && !gone
    }

    fn check_end(&self, status: JobStatus) {
        let view = self.core.view();
        assert_eq!(view.status, status);
        let states: Vec<_> = self.attempts().into_iter().map(|(_, state)| state).collect();
        assert!(states.iter().all(|state| state.is_terminal()));
        if status == JobStatus::Finished {
            assert!(states.iter().all(|state| *state == ExecutionState::Finished));
        }
        if status == JobStatus::Failed {
            assert!(!view.exceptions.entries.is_empty());
        }
        assert_eq!(self.requested, 0, "the request is withdrawn");
        let kept = self.accepted.keys().find(|allocation| self.holds(**allocation));
        assert_eq!(kept, None, "a slot is kept");
    }

    /// The world behaves from now on: slots come, sources list their splits, tasks do what they are told and else finish,
    /// writes succeed, deadlines pass. Until the job has ended, or for so many rounds.
    pub fn behave(&mut self, rounds: u32) {
        for _ in 0..rounds {
            if self.ended.is_some() {
                return;
            }
            self.offer_what_is_lacking();
            for (node, enumeration) in self.enumerations.clone() {
                self.step(Input::SplitsEnumerated { node, enumeration, result: Ok(vec![vec![1]]) });
            }
            if let Some(write) = self.last_write {
                self.step(Input::MetadataWritten { write: WriteId(write) });
            }
            self.keep_snapshots();
            for (attempt, state) in self.attempts() {
                if self.running.contains_key(&attempt) {
                    let canceling = state == ExecutionState::Canceling;
                    self.report(attempt, if canceling { ExecutionState::Canceled } else { ExecutionState::Finished });
                }
            }
            self.now = self.now.plus_ms(1_000);
            self.step(Input::DeadlineReached);
        }
    }

    /// Slots come, splits are listed, attempts are recorded, and tasks that are told to stop do.
    pub fn settle(&mut self) {
        self.offer_what_is_lacking();
        self.answer();
    }

    /// The attempts that run, for all that is known.
    pub fn running(&self) -> Vec<AttemptId> {
        self.running.keys().copied().collect()
    }

    pub fn next_request(&self) -> RequestId {
        RequestId(self.history.len() as u128)
    }

    /// Files and the metadata store behave.
    fn keep_snapshots(&mut self) {
        while self.snapshots.has_sealed()
            && let Some(ack) = self.snapshots.acknowledgement(0)
        {
            self.step(ack);
        }
        for checkpoint in self.snapshots.storing.clone() {
            self.step(Input::CheckpointStored { checkpoint, result: Ok("/folder".into()) });
        }
        for checkpoint in self.snapshots.reading.clone() {
            self.step(Input::PointerRead { checkpoint, result: Ok(self.snapshots.pointers.contains(&checkpoint)) });
        }
        let writes: Vec<_> =
            self.snapshots.id_writes.keys().chain(self.snapshots.pointer_writes.keys()).copied().collect();
        writes.into_iter().for_each(|write| self.step(Input::MetadataWritten { write }));
    }

    /// A slot that the job holds is lost, and what runs there.
    pub fn lose_slot(&mut self, which: usize) {
        let held: Vec<_> = self.accepted.keys().copied().filter(|id| self.holds(*id)).collect();
        if let Some(lost) = held.get(which % held.len().max(1)) {
            self.step(Input::SlotsLost(vec![*lost]));
        }
    }

    /// A spare offers a slot, if the job lacks one.
    pub fn offer_one(&mut self) {
        let held = self.accepted.keys().filter(|id| self.holds(**id)).count() as u32;
        if held < self.requested {
            self.spares += 1;
            let slot = SlotId { task_manager: tm("spare"), index: self.spares };
            // Numbers that no other grant has.
            self.step(Input::SlotsOffered(vec![(slot, allocation(100 + self.spares as u8))]));
        }
    }

    /// Splits are listed, attempts are recorded, and tasks that are told to stop do; slots come from elsewhere.
    pub fn answer(&mut self) {
        for (node, enumeration) in self.enumerations.clone() {
            self.step(Input::SplitsEnumerated { node, enumeration, result: Ok(vec![vec![1]]) });
        }
        if let Some(write) = self.last_write {
            self.step(Input::MetadataWritten { write: WriteId(write) });
        }
        for (attempt, state) in self.attempts() {
            if state == ExecutionState::Canceling && self.running.contains_key(&attempt) {
                self.report(attempt, ExecutionState::Canceled);
            }
        }
    }

    /// Spares offer slots until the job has as many as it asked for.
    fn offer_what_is_lacking(&mut self) {
        let held = self.accepted.keys().filter(|id| self.holds(**id)).count() as u32;
        for _ in held..self.requested {
            self.offer_one();
        }
    }
}

fn present(
    vertex: VertexId,
    subtasks: &[millrace_job_core::SubtaskView],
) -> impl Iterator<Item = (AttemptId, ExecutionState)> {
    let attempts = subtasks.iter().zip(0..);
    attempts.map(move |(task, subtask)| (AttemptId { job: JOB, vertex, subtask, attempt: task.attempt }, task.state))
}
