//! One task of a simulated TaskManager: an interpreter around the production parts of `task-core`, which does what
//! `millrace-taskmanager` does, in the same order, one small step at a time.

mod chain;
mod checkpoints;
mod counter;
mod input;
mod orders;
mod sink;
mod snapshot;
mod source;
mod uploads;

use millrace_protocol::{
    Rerouting, SplitAssignment, StateBlob, StateSegment, TaskDeployment, TaskFigures, TaskReport, TaskRestore,
    TaskUpgrade, ToJobManager, UpgradeId,
};
use millrace_types::{
    AllocationId, AttemptId, CheckpointId, ExecutionState, Failure, FailureKind, KeyGroupRange, Timestamp,
};

use crate::ledger::Ledger;
use crate::oracle::Facts;
use crate::output::Output;
use crate::plane::{End, Plane};
use crate::rng::Rng;
use crate::rows::{Entries, StateKey};
use crate::scenario::Scenario;
use crate::store::{Content, Store};
use chain::{Chain, Work};
use checkpoints::TaskCheckpoints;
use input::Inputs;
pub(crate) use orders::TaskOrder;
use sink::Sink;
use source::SourceDriver;
use uploads::{Segment, Uploads};

/// How long a task whose peer is gone waits to be cancelled, before it fails by itself, in milliseconds.
const PEER_GRACE_MS: u64 = 60;

/// What a task can reach.
pub(crate) struct Env<'a> {
    pub(crate) now: Timestamp,
    /// Whether things may still go wrong.
    pub(crate) faulty: bool,
    pub(crate) rng: &'a mut Rng,
    pub(crate) scenario: &'a Scenario,
    pub(crate) plane: &'a mut Plane,
    pub(crate) store: &'a mut Store,
    pub(crate) output: &'a mut Output,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) outbound: &'a mut Vec<ToJobManager>,
}

/// Why a task cannot go on.
#[derive(Debug)]
pub(crate) enum TaskError {
    Failed(Failure),
    /// The other end of a channel is gone: it is left to it to tell the cause.
    PeerGone,
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[derive(Debug)]
enum Phase {
    Deployed,
    Connecting,
    /// The task was finished when the checkpoint was taken: it ends once more.
    EndingAgain,
    Running,
    /// All input was processed; whether nothing has to be waited for any more.
    Concluding(bool),
    /// A peer is gone.
    Orphaned(Timestamp),
}

/// A task.
#[derive(Debug)]
pub(crate) struct Task {
    deployment: Box<TaskDeployment>,
    phase: Phase,
    chain: Chain,
    inputs: Inputs,
    source: Option<SourceDriver>,
    checkpoints: TaskCheckpoints,
    began_with: Option<CheckpointId>,
    drained: bool,
    told_other_code: bool,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It did something.
    Busy,
    /// There was nothing to do.
    Idle,
    Ended(ExecutionState, Option<Failure>),
}

impl Task {
    pub(crate) fn new(deployment: Box<TaskDeployment>) -> Self {
        let chain = Chain::new(&deployment);
        let source = chain.operators.iter().find(|operator| matches!(operator.work, Work::Source));
        let source = source.map(|source| SourceDriver::new(deployment.attempt, source.node, source.uid.clone()));
        let checkpoints = TaskCheckpoints::new(deployment.attempt, Uploads::new(&deployment));
        let inputs = Inputs::new(&deployment);
        let began_with = deployment.restore.as_ref().map(|restore| restore.checkpoint);
        let (phase, drained, told_other_code) = (Phase::Deployed, false, false);
        Self { deployment, phase, chain, inputs, source, checkpoints, began_with, drained, told_other_code }
    }

    /// What is true of it.
    pub(crate) fn facts(&self) -> Facts {
        Facts {
            attempt: self.attempt(),
            allocation: self.allocation(),
            began_with: self.began_with,
            acknowledged: self.checkpoints.uploads.acknowledged.clone(),
            drained: self.drained,
            told_other_code: self.told_other_code,
            ended: None,
        }
    }

    /// Makes ready to run other code.
    pub(crate) fn prepare(&mut self, upgrade: TaskUpgrade) {
        self.told_other_code = true;
        self.chain.prepare(upgrade.id, upgrade.code.map(|code| code.graph_digest));
    }

    pub(crate) fn forget(&mut self, upgrade: UpgradeId) {
        self.chain.forget(upgrade);
    }

    pub(crate) fn attempt(&self) -> AttemptId {
        self.deployment.attempt
    }

    pub(crate) fn allocation(&self) -> AllocationId {
        self.deployment.allocation
    }

    pub(crate) fn order(&mut self, order: TaskOrder) {
        self.drained |= self.source.is_some() && matches!(order, TaskOrder::Drain);
        self.checkpoints.orders.put(order);
    }

    pub(crate) fn assign(&mut self, assignment: SplitAssignment) {
        if let Some(source) = &mut self.source {
            source.assignments.push(assignment);
        }
    }

    /// One step.
    pub(crate) fn step(&mut self, env: &mut Env<'_>) -> Outcome {
        let wrote = self.checkpoints.uploads.work(env);
        match self.go_on(env) {
            Ok(Some(state)) => Outcome::Ended(state, None),
            Ok(None) if wrote => Outcome::Busy,
            Ok(None) => Outcome::Idle,
            Err(Went::On) => Outcome::Busy,
            Err(Went::Wrong(TaskError::Failed(failure))) => Outcome::Ended(ExecutionState::Failed, Some(failure)),
            Err(Went::Wrong(TaskError::PeerGone)) => {
                self.phase = Phase::Orphaned(env.now.plus_ms(PEER_GRACE_MS));
                Outcome::Idle
            }
        }
    }

    /// An error is that there was something to do, or that it went wrong.
    fn go_on(&mut self, env: &mut Env<'_>) -> Result<Option<ExecutionState>, Went> {
        match &self.phase {
            Phase::Deployed => {
                for channel in &self.inputs.channels {
                    env.plane.open(*channel, End::Consumer);
                }
                for channel in self.deployment.outputs.iter().flat_map(|output| &output.channels) {
                    env.plane.open(channel.id, End::Producer);
                }
                self.report(ExecutionState::Initializing, env);
                self.phase = Phase::Connecting;
                Err(Went::On)
            }
            Phase::Connecting => {
                let outputs = self.deployment.outputs.iter().flat_map(|output| &output.channels);
                let mut channels = self.inputs.channels.iter().chain(outputs.map(|channel| &channel.id));
                if !channels.all(|channel| env.plane.is_connected(channel)) {
                    return Ok(None);
                }
                self.open(env)?;
                Err(Went::On)
            }
            Phase::EndingAgain => {
                if !self.inputs.discard(env)? {
                    return Ok(None);
                }
                self.chain.publish();
                Ok(Some(ExecutionState::Finished))
            }
            Phase::Running if self.checkpoints.is_waiting() => {
                let busy = self.checkpoints.wait_for_savepoint(&mut self.chain, env)?;
                self.conclude_if_ended(env);
                if busy { Err(Went::On) } else { Ok(None) }
            }
            Phase::Running => {
                let busy = match &mut self.source {
                    Some(source) => source.run(&mut self.chain, &mut self.checkpoints, env)?,
                    None => self.inputs.run(&mut self.chain, &mut self.checkpoints, env)?,
                };
                self.conclude_if_ended(env);
                if busy { Err(Went::On) } else { Ok(None) }
            }
            Phase::Concluding(_) if self.checkpoints.is_waiting() => {
                self.checkpoints.wait_for_savepoint(&mut self.chain, env)?;
                Ok(None)
            }
            Phase::Concluding(false) if self.checkpoints.has_stopped() => {
                self.phase = Phase::Concluding(true);
                Err(Went::On)
            }
            Phase::Concluding(false) => {
                let reader = || self.source.as_ref().and_then(SourceDriver::reader);
                if let Some(committed) = self.checkpoints.conclude(reader, &mut self.chain, env)? {
                    self.phase = Phase::Concluding(committed);
                    return Err(Went::On);
                }
                Ok(None)
            }
            Phase::Concluding(true) => {
                self.chain.publish();
                // What was acknowledged has to be told before the end is.
                Ok(self.checkpoints.uploads.is_empty().then_some(ExecutionState::Finished))
            }
            Phase::Orphaned(until) if *until <= env.now => {
                let failure = Failure::new(FailureKind::TaskManagerLost, "the other end of a channel is gone");
                Err(Went::Wrong(failure.into()))
            }
            Phase::Orphaned(_) => Ok(None),
        }
    }

    fn conclude_if_ended(&mut self, env: &mut Env<'_>) {
        if self.chain.has_ended() && !self.checkpoints.is_waiting() {
            self.phase = Phase::Concluding(self.checkpoints.begin_conclusion(&self.chain, env));
        }
    }

    /// Opens the operators with what they begin with.
    fn open(&mut self, env: &mut Env<'_>) -> Result<(), TaskError> {
        let restore = self.deployment.restore.take();
        if restore.as_ref().is_some_and(|restore| restore.finished) {
            self.report(ExecutionState::Running, env);
            self.open_sinks(restore.as_ref(), env);
            self.chain.end_outputs(env)?;
            self.phase = Phase::EndingAgain;
            return Ok(());
        }
        if let Some(restore) = &restore {
            self.restore_state(restore, env)?;
        }
        for operator in &mut self.chain.operators {
            if let Work::Count(counter) = &mut operator.work {
                counter.restored();
            }
        }
        self.open_sinks(restore.as_ref(), env);
        let overtaken = restore.as_ref().map(|restore| self.overtaken(restore, env)).transpose()?;
        self.report(ExecutionState::Running, env);
        self.phase = Phase::Running;
        for (uid, row) in overtaken.unwrap_or_default() {
            let node = self.chain.operators.iter().find(|operator| operator.uid == uid).map(|operator| operator.node);
            self.chain.process(node.unwrap_or_else(|| panic!("no operator {uid}")), row, env)?;
        }
        Ok(())
    }

    fn open_sinks(&mut self, restore: Option<&TaskRestore>, env: &mut Env<'_>) {
        let (attempt, parallelism) = (self.deployment.attempt, self.deployment.vertex.parallelism);
        for operator in &mut self.chain.operators {
            if let Work::Sink(sink) = &mut operator.work {
                let restored = restore.map(|restore| {
                    let found = restore.operators.get(&operator.uid);
                    let committables = found.map_or(&[][..], |found| &found.committables);
                    (restore.checkpoint, committables, restore.folder.is_none())
                });
                *sink = Some(Sink::open(operator.node, attempt, parallelism, restored, env));
            }
        }
    }

    fn restore_state(&mut self, restore: &TaskRestore, env: &mut Env<'_>) -> Result<(), TaskError> {
        let folder = self.folder(restore);
        for operator in &mut self.chain.operators {
            let (Work::Count(counter), Some(found)) = (&mut operator.work, restore.operators.get(&operator.uid)) else {
                continue;
            };
            let mut chain = Vec::new();
            for subtask in &found.keyed {
                let mut entries = Entries::new();
                for segment in subtask {
                    let content = env.store.read(&folder, &segment.blob).map_err(unreadable)?;
                    let Content::State(changes) = &*content else { panic!("{segment:?} holds no state") };
                    entries.extend(within(changes, segment.key_groups));
                    let own = StateSegment { key_groups: counter.own(segment.key_groups), ..segment.clone() };
                    chain.push(Segment { segment: own, folder: restore.folder.clone() });
                }
                counter.restore(&entries);
            }
            self.checkpoints.uploads.restored(&operator.uid, chain);
        }
        Ok(())
    }

    fn folder(&self, restore: &TaskRestore) -> String {
        restore.folder.clone().unwrap_or_else(|| self.deployment.settings.checkpoints.folder.clone())
    }

    /// The rows that a barrier overtook, as far as they are this subtask's.
    fn overtaken(
        &self,
        restore: &TaskRestore,
        env: &mut Env<'_>,
    ) -> Result<Vec<(String, crate::rows::Row)>, TaskError> {
        let folder = self.folder(restore);
        let mut overtaken = Vec::new();
        for records in &restore.in_flight {
            let blob: &StateBlob = &records.batches;
            let content = env.store.read(&folder, blob).map_err(unreadable)?;
            let Content::Rows(rows) = &*content else { panic!("{records:?} holds no rows") };
            let counts = |row: &crate::rows::Row| {
                self.chain.operators.iter().all(|operator| match &operator.work {
                    Work::Count(counter) => counter.owns(row.key(env.scenario.keys)),
                    _ => true,
                })
            };
            let own = rows.iter().filter(|row| records.rerouting != Rerouting::ByKey || counts(row));
            overtaken.extend(own.map(|row| (records.target_uid.clone(), *row)));
        }
        Ok(overtaken)
    }

    fn report(&self, state: ExecutionState, env: &mut Env<'_>) {
        env.outbound.push(report(self.attempt(), state, None, env.now));
    }

    /// The task ends, in whatever way: its channels go.
    pub(crate) fn leave(&self, finished: bool, env: &mut Env<'_>) {
        if matches!(self.phase, Phase::Deployed) {
            return;
        }
        for channel in &self.inputs.channels {
            env.plane.leave(channel, End::Consumer, finished, 0);
        }
        for channel in self.deployment.outputs.iter().flat_map(|output| &output.channels) {
            let lost = env.rng.below(4) as usize;
            env.plane.leave(&channel.id, End::Producer, finished, lost);
        }
    }
}

/// Why a step returned before its end: it did something, or something went wrong.
enum Went {
    On,
    Wrong(TaskError),
}

impl From<TaskError> for Went {
    fn from(error: TaskError) -> Self {
        Self::Wrong(error)
    }
}

/// The entries of some key groups.
fn within(entries: &Entries, key_groups: KeyGroupRange) -> Entries {
    let max_parallelism = crate::graph::MAX_PARALLELISM;
    let inside = |key: &StateKey| key_groups.contains(crate::rows::key_group(key.key(), max_parallelism));
    entries.iter().filter(|(key, _)| inside(key)).map(|(key, value)| (key.clone(), *value)).collect()
}

fn unreadable(why: String) -> TaskError {
    Failure::new(FailureKind::StateUnreadable, why).into()
}

/// A report of a task's state.
pub(crate) fn report(
    attempt: AttemptId,
    state: ExecutionState,
    failure: Option<Failure>,
    at: Timestamp,
) -> ToJobManager {
    ToJobManager::TaskReport(TaskReport { attempt, state, at, failure, figures: TaskFigures::default() })
}
