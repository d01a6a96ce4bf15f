//! A simulated TaskManager: the production slot table, fence and witness, and tasks. One value is one life, under one id,
//! with one leader after another.

use std::collections::{BTreeMap, BTreeSet};

use millrace_protocol::{
    TaskDeployment, TaskManagerHeartbeat, TaskManagerRegistration, ToJobManager, ToTaskManager, UpgradeAnswer,
};
use millrace_types::{AttemptId, ExecutionState, Failure, FailureKind, LeaderEpoch, TaskManagerId, Timestamp};

use crate::oracle::Facts;
use crate::slots::{EpochFence, SlotTable};
use crate::task::{Env, Outcome, Task, TaskOrder, report};
use crate::witness::Witness;

/// A life of a TaskManager.
#[derive(Debug)]
pub(crate) struct TaskManager {
    pub(crate) id: TaskManagerId,
    /// Until when it stands still.
    pub(crate) stopped_until: u64,
    /// The connection to its leader; `None`: it looks for one.
    pub(crate) connection: Option<u64>,
    /// The newest leader that it was connected to.
    pub(crate) newest: LeaderEpoch,
    /// When it lost its leader last.
    pub(crate) orphaned_at: u64,
    pub(crate) witness: Witness,
    slot_count: u32,
    slots: SlotTable,
    fence: EpochFence,
    tasks: BTreeMap<AttemptId, Task>,
    /// Tasks that were told to stop, which they do with their next step.
    canceling: BTreeSet<AttemptId>,
    /// What is true of tasks that have ended in slots that are not free.
    ended: BTreeMap<AttemptId, Facts>,
}

impl TaskManager {
    pub(crate) fn new(number: u32, slots: u32) -> Self {
        let id = TaskManagerId(format!("tm-{number}"));
        let table = SlotTable::new(id.clone(), slots);
        Self {
            id,
            stopped_until: 0,
            connection: None,
            newest: LeaderEpoch(0),
            orphaned_at: 0,
            witness: Witness::default(),
            slot_count: slots,
            slots: table,
            fence: EpochFence::default(),
            tasks: BTreeMap::new(),
            canceling: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    pub(crate) fn registration(&self) -> ToJobManager {
        ToJobManager::Register(TaskManagerRegistration {
            id: self.id.clone(),
            slots: self.slot_count,
            data_address: None,
            cpu_cores: 1,
            memory_bytes: 0,
            allocated: Vec::new(),
        })
    }

    pub(crate) fn heartbeat(&self) -> ToJobManager {
        ToJobManager::Heartbeat(TaskManagerHeartbeat {
            id: self.id.clone(),
            memory_free_bytes: 0,
            allocated: self.slots.granted().map(|(slot, grant)| (slot, grant.allocation, grant.job)).collect(),
            figures: Vec::new(),
            metrics: BTreeMap::new(),
        })
    }

    /// What is true of its tasks.
    pub(crate) fn facts(&self) -> Vec<Facts> {
        let canceling = |facts: Facts| match self.canceling.contains(&facts.attempt) {
            true => Facts { ended: Some(ExecutionState::Canceled), ..facts },
            false => facts,
        };
        self.tasks.values().map(Task::facts).map(canceling).chain(self.ended.values().cloned()).collect()
    }

    /// The attempt of a subtask that runs here.
    pub(crate) fn attempt_of(&self, subtask: AttemptId) -> Option<AttemptId> {
        let same = |other: &&AttemptId| AttemptId { attempt: subtask.attempt, ..**other } == subtask;
        self.tasks.keys().find(same).copied()
    }

    /// Takes a message. Returns the task that it started. Stale ones are dropped.
    pub(crate) fn handle(&mut self, message: ToTaskManager, env: &mut Env<'_>) -> Option<AttemptId> {
        if self.fence.check(epoch(&message)).is_err() {
            return None;
        }
        match message {
            ToTaskManager::RequestSlot(request) => {
                if self.slots.request(&request).is_ok() {
                    let slots = vec![(request.slot, request.allocation)];
                    env.outbound.push(ToJobManager::OfferSlots { job: request.job, slots });
                }
            }
            ToTaskManager::FreeSlot { allocation, .. } => {
                if self.slots.release(allocation).is_ok() {
                    let under = |task: &&Task| task.allocation() == allocation;
                    let cancelled: Vec<_> = self.tasks.values().filter(under).map(Task::attempt).collect();
                    self.canceling.extend(cancelled);
                    self.free_if_unused(allocation, env);
                }
            }
            ToTaskManager::Deploy { task, .. } => return self.deploy(task, env),
            ToTaskManager::Cancel { attempt, .. } => {
                self.canceling.extend(self.tasks.contains_key(&attempt).then_some(attempt));
            }
            ToTaskManager::AssignSplits { assignment, .. } => {
                if let Some(task) = self.tasks.get_mut(&assignment.attempt) {
                    task.assign(assignment);
                }
            }
            ToTaskManager::TriggerCheckpoint { attempt, barrier, .. } => {
                self.order(attempt, TaskOrder::Trigger(barrier));
            }
            ToTaskManager::CheckpointCompleted { attempt, checkpoint, .. } => {
                self.order(attempt, TaskOrder::Completed(checkpoint));
            }
            ToTaskManager::CheckpointAborted { attempt, checkpoint, .. } => {
                self.order(attempt, TaskOrder::Aborted(checkpoint));
            }
            ToTaskManager::DrainSource { attempt, .. } => {
                if let Some(ended) = self.ended.get_mut(&attempt) {
                    ended.drained = true;
                }
                self.order(attempt, TaskOrder::Drain);
            }
            ToTaskManager::Adopt { attempt, completed, over, .. } => {
                completed.into_iter().for_each(|completed| self.order(attempt, TaskOrder::Completed(completed)));
                self.order(attempt, TaskOrder::AbortedUpto(over));
            }
            ToTaskManager::CollectAcknowledged { .. }
            | ToTaskManager::LimitWatermark { .. }
            | ToTaskManager::Prefetch { .. } => {}
            ToTaskManager::PrepareUpgrade { attempt, upgrade, .. } => {
                if let Some(ended) = self.ended.get_mut(&attempt) {
                    ended.told_other_code = true;
                }
                if let Some(task) = self.tasks.get_mut(&attempt) {
                    let answer = UpgradeAnswer { attempt, id: upgrade.id, result: Ok(()) };
                    task.prepare(*upgrade);
                    env.outbound.push(ToJobManager::UpgradeAnswered(answer));
                }
            }
            ToTaskManager::ForgetUpgrade { attempt, upgrade, .. } => {
                if let Some(task) = self.tasks.get_mut(&attempt) {
                    task.forget(upgrade);
                }
            }
        }
        None
    }

    fn order(&mut self, attempt: AttemptId, order: TaskOrder) {
        if let Some(task) = self.tasks.get_mut(&attempt) {
            task.order(order);
        }
    }

    fn deploy(&mut self, deployment: Box<TaskDeployment>, env: &mut Env<'_>) -> Option<AttemptId> {
        let attempt = deployment.attempt;
        if self.tasks.contains_key(&attempt) {
            return None;
        }
        if self.slots.admit(deployment.allocation, attempt.job, &deployment.tenant).is_err() {
            let failure = Failure::new(FailureKind::NoResources, "the slot is not granted to the job");
            if self.slots.granted().any(|(_, grant)| grant.allocation == deployment.allocation) {
                let facts = Task::new(deployment).facts();
                self.ended.insert(attempt, Facts { ended: Some(ExecutionState::Failed), ..facts });
            }
            env.outbound.push(report(attempt, ExecutionState::Failed, Some(failure), env.now));
            return None;
        }
        self.tasks.insert(attempt, Task::new(deployment));
        Some(attempt)
    }

    fn end(&mut self, attempt: AttemptId, state: ExecutionState, failure: Option<Failure>, env: &mut Env<'_>) {
        let Some(task) = self.tasks.remove(&attempt) else { return };
        self.canceling.remove(&attempt);
        task.leave(state == ExecutionState::Finished, env);
        self.ended.insert(attempt, Facts { ended: Some(state), ..task.facts() });
        env.outbound.push(report(attempt, state, failure, env.now));
        self.free_if_unused(task.allocation(), env);
    }

    fn free_if_unused(&mut self, allocation: millrace_types::AllocationId, env: &mut Env<'_>) {
        if !self.tasks.values().any(|task| task.allocation() == allocation)
            && let Some(slot) = self.slots.free(allocation)
        {
            self.ended.retain(|_, facts| facts.allocation != allocation);
            env.outbound.push(ToJobManager::SlotFreed { slot, allocation });
        }
    }

    /// A task does one thing. Returns whether it did; `None`: it is no more.
    pub(crate) fn step(&mut self, attempt: AttemptId, env: &mut Env<'_>) -> Option<bool> {
        if self.canceling.contains(&attempt) {
            self.end(attempt, ExecutionState::Canceled, None, env);
            return None;
        }
        match self.tasks.get_mut(&attempt)?.step(env) {
            Outcome::Busy => Some(true),
            Outcome::Idle => Some(false),
            Outcome::Ended(state, failure) => {
                self.end(attempt, state, failure, env);
                None
            }
        }
    }

    /// The process ends, or gives up all that it runs: nobody is told.
    pub(crate) fn abandon(self, env: &mut Env<'_>) {
        self.tasks.values().for_each(|task| task.leave(false, env));
    }

    /// When it takes part in what happens at a time.
    pub(crate) fn awake_at(&self, now: Timestamp) -> u64 {
        self.stopped_until.max(now.0)
    }
}

/// The leader that a message comes from.
fn epoch(message: &ToTaskManager) -> LeaderEpoch {
    match message {
        ToTaskManager::RequestSlot(request) => request.epoch,
        ToTaskManager::FreeSlot { epoch, .. }
        | ToTaskManager::Deploy { epoch, .. }
        | ToTaskManager::Cancel { epoch, .. }
        | ToTaskManager::AssignSplits { epoch, .. }
        | ToTaskManager::CollectAcknowledged { epoch, .. }
        | ToTaskManager::TriggerCheckpoint { epoch, .. }
        | ToTaskManager::CheckpointCompleted { epoch, .. }
        | ToTaskManager::CheckpointAborted { epoch, .. }
        | ToTaskManager::DrainSource { epoch, .. }
        | ToTaskManager::LimitWatermark { epoch, .. }
        | ToTaskManager::Adopt { epoch, .. }
        | ToTaskManager::Prefetch { epoch, .. }
        | ToTaskManager::PrepareUpgrade { epoch, .. }
        | ToTaskManager::ForgetUpgrade { epoch, .. } => *epoch,
    }
}
