//! A job with a clock, and shorthand for what goes in and comes out.

use std::collections::BTreeMap;

use millrace_graph::JobGraph;
use millrace_job_core::{Command, DropReason, EnumerationId, Input, JobCore, JobSpec, RestartStrategy, WriteId};
use millrace_protocol::{TaskFigures, TaskReport};
use millrace_types::{
    AllocationId, AttemptId, ExecutionState, Failure, FailureKind, JobStatus, NodeId, SlotId, TaskManagerId, Timestamp,
};

use crate::graphs::{JOB, spec, word_count};

pub struct Harness {
    pub core: JobCore,
    pub now: Timestamp,
    /// The last question for the splits of each source.
    pub enumerations: BTreeMap<NodeId, EnumerationId>,
}

pub fn allocation(number: u8) -> AllocationId {
    AllocationId::from_bytes([number; 16])
}

pub fn tm(name: &str) -> TaskManagerId {
    TaskManagerId(name.to_owned())
}

/// Slot `index` of a TaskManager under a grant.
pub fn offer(task_manager: &str, index: u32, number: u8) -> (SlotId, AllocationId) {
    (SlotId { task_manager: tm(task_manager), index }, allocation(number))
}

pub fn failure(message: &str) -> Failure {
    Failure::new(FailureKind::Trap, message)
}

impl Harness {
    pub fn of(spec: JobSpec) -> Self {
        let now = Timestamp(1_000);
        Self { core: JobCore::new(spec, now), now, enumerations: BTreeMap::new() }
    }

    pub fn new(graph: JobGraph) -> Self {
        Self::of(spec(graph))
    }

    /// Word count, running: its two shared slots are slot 0 of TaskManager a and of b, under grants 1 and 2.
    pub fn running() -> Self {
        Self::deployed().all_running()
    }

    /// Word count as in [`Harness::running`], under a restart strategy.
    pub fn running_under(strategy: RestartStrategy) -> Self {
        let mut spec = spec(word_count());
        spec.options.restart_strategy = strategy;
        Self::of(spec).deploy().all_running()
    }

    /// All tasks report that they run.
    pub fn all_running(self) -> Self {
        let mut harness = self;
        for task in harness.all_attempts() {
            assert_eq!(harness.report(task, ExecutionState::Initializing), []);
            assert_eq!(harness.report(task, ExecutionState::Running), []);
        }
        harness
    }

    /// Word count, deployed.
    pub fn deployed() -> Self {
        Self::new(word_count()).deploy()
    }

    fn deploy(self) -> Self {
        let mut harness = self;
        harness.step(Input::Start);
        harness.splits(0, 3);
        harness.step(Input::SlotsOffered(vec![offer("a", 0, 1), offer("b", 0, 2)]));
        assert_eq!(harness.status(), JobStatus::Running);
        harness
    }

    pub fn step(&mut self, input: Input) -> Vec<Command> {
        self.now = self.now.plus_ms(1);
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut out);
        self.note(&out);
        out
    }

    fn note(&mut self, commands: &[Command]) {
        for command in commands {
            if let Command::EnumerateSplits { node, enumeration, .. } = command {
                self.enumerations.insert(*node, *enumeration);
            }
        }
    }

    /// The listing of a source's splits that was asked for last.
    pub fn enumeration(&self, node: u32) -> EnumerationId {
        self.enumerations.get(&NodeId(node)).copied().unwrap_or(EnumerationId(0))
    }

    /// Word count's source has so many splits.
    pub fn splits(&mut self, node: u32, count: u8) -> Vec<Command> {
        let result = Ok((0..count).map(|number| vec![number]).collect());
        let enumeration = self.enumeration(node);
        self.step(Input::SplitsEnumerated { node: NodeId(node), enumeration, result })
    }

    pub fn attempt(&self, vertex: usize, subtask: u32) -> AttemptId {
        let view = self.core.view();
        let attempt = view.vertices[vertex].subtasks[subtask as usize].attempt;
        AttemptId { job: JOB, vertex: view.graph.vertices[vertex].id, subtask, attempt }
    }

    pub fn all_attempts(&self) -> Vec<AttemptId> {
        let vertices = self.core.view().graph.vertices.iter().enumerate();
        vertices
            .flat_map(|(at, vertex)| (0..vertex.parallelism).map(move |n| (at, n)))
            .map(|(v, n)| self.attempt(v, n))
            .collect()
    }

    pub fn report(&mut self, attempt: AttemptId, state: ExecutionState) -> Vec<Command> {
        self.report_with(attempt, state, None)
    }

    pub fn report_with(&mut self, attempt: AttemptId, state: ExecutionState, failure: Option<Failure>) -> Vec<Command> {
        let figures = TaskFigures::default();
        self.step(Input::TaskReported(TaskReport { attempt, state, at: self.now, failure, figures }))
    }

    pub fn status(&self) -> JobStatus {
        self.core.view().status
    }

    pub fn state(&self, vertex: usize, subtask: usize) -> ExecutionState {
        self.core.view().vertices[vertex].subtasks[subtask].state
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.core.view().dropped.of(reason)
    }

    pub fn written(&mut self, write: u64) -> Vec<Command> {
        self.step(Input::MetadataWritten { write: WriteId(write) })
    }

    /// Moves the clock to the next deadline and lets it pass.
    pub fn deadline(&mut self) -> Vec<Command> {
        self.now = self.core.next_deadline().expect("there is a deadline");
        let mut out = Vec::new();
        self.core.step(self.now, Input::DeadlineReached, &mut out);
        self.note(&out);
        out
    }
}

/// Commands without their contents, for comparing sequences.
pub fn kinds(commands: &[Command]) -> Vec<&'static str> {
    commands
        .iter()
        .map(|command| match command {
            Command::EnumerateSplits { .. } => "enumerate",
            Command::RequestSlots { .. } => "request",
            Command::AcceptSlot { .. } => "accept",
            Command::RejectSlot { .. } => "reject",
            Command::ReleaseSlots { .. } => "release",
            Command::Deploy { .. } => "deploy",
            Command::CancelTask { .. } => "cancel",
            Command::AssignSplits { .. } => "assign",
            Command::PersistAttempts { .. } => "attempt",
            Command::PersistStatus { .. } => "persist",
            Command::AdoptTask { .. } => "adopt",
            Command::RecordTakeover { .. } => "takeover",
            Command::TriggerCheckpoint { .. } => "trigger",
            Command::NotifyCheckpointCompleted { .. } => "completed",
            Command::NotifyCheckpointAborted { .. } => "aborted",
            Command::StoreCheckpoint { .. } => "store",
            Command::PersistCheckpoint { .. } => "pointer",
            Command::ReadPointer { .. } => "read-pointer",
            Command::ReserveCheckpointIds { .. } => "reserve",
            Command::DeleteFiles { .. } => "delete-files",
            Command::DeleteCheckpoint { .. } => "delete-checkpoint",
            Command::DeleteAllCheckpoints => "delete-all",
            Command::SavepointEnded { .. } => "answer",
            Command::PrepareUpgrade { .. } => "prepare",
            Command::ForgetUpgrade { .. } => "forget",
            Command::UpgradeEnded { .. } => "upgraded",
            Command::DrainSource { .. } => "drain",
            Command::LimitWatermark { .. } => "limit",
            Command::JobEnded { .. } => "ended",
        })
        .collect()
}

/// The attempts that are told to stop.
pub fn cancelled(commands: &[Command]) -> Vec<AttemptId> {
    let cancelled = |command: &Command| match command {
        Command::CancelTask { attempt, .. } => Some(*attempt),
        _ => None,
    };
    commands.iter().filter_map(cancelled).collect()
}

/// The status that is to be written, with its write.
pub fn persisted(commands: &[Command]) -> Option<(u64, JobStatus)> {
    commands.iter().find_map(|command| match command {
        Command::PersistStatus { write, status, view } => {
            assert_eq!(view.status, *status);
            Some((write.0, *status))
        }
        _ => None,
    })
}
