//! The JobMaster's shell: feeds the core, carries out its commands, and checks what they promise.

use millrace_job_core::{Command, CompletedCheckpoint, Input};
use millrace_protocol::{TaskDeployment, ToTaskManager};
use millrace_resource_core::Input as ResourceInput;
use millrace_types::{
    AttemptId, CheckpointId, ExecutionState, Failure, FailureKind, JobId, LeaderEpoch, NodeId, SnapshotKind,
    TaskManagerId,
};

use super::job_manager::JobManager;
use super::metadata::{Change, Deletion, Proposal, What};
use super::{Event, World, tenant};
use crate::crashes::name_of;
use crate::graph;
use crate::rows::Split;
use crate::task_manager::TaskManager;

impl World {
    pub(crate) fn for_job(&mut self, life: u64, job: JobId, input: Input) {
        let now = self.clock();
        let leads = |manager: &JobManager| {
            manager.life == life && manager.master.as_ref().is_some_and(|master| master.job == job)
        };
        if !self.job_manager.as_ref().is_some_and(leads) || self.crashes_at(|| name_of(&input)) {
            return;
        }
        let present = |task: AttemptId| {
            let mut facts = self.task_managers.values().flat_map(TaskManager::facts);
            facts.any(|facts| facts.attempt == task)
        };
        self.oracle.hear(now, &input, present, |task| self.ledger.was_deployed(task));
        let Some(manager) = &mut self.job_manager else { return };
        let epoch = manager.epoch;
        let Some(master) = manager.master.as_mut().filter(|master| master.job == job) else { return };
        if let Input::CheckpointAcknowledged(ack) = &input {
            self.ledger.acknowledged(ack.checkpoint, ack.attempt);
        }
        if let Input::TaskReported(report) = &input
            && report.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::StateUnreadable)
        {
            let vertices = master.core.view().graph.vertices.iter().zip(&master.core.view().vertices);
            let of_vertex = vertices.filter(|(vertex, _)| vertex.id == report.attempt.vertex);
            let present = of_vertex.map(|(_, tasks)| tasks.subtasks[report.attempt.subtask as usize].attempt).next();
            let is_live = present == Some(report.attempt.attempt);
            assert!(self.ledger.damaged || !is_live, "{:?}", report.failure);
        }
        let mut commands = Vec::new();
        master.core.step(now, input, &mut commands);
        assert_eq!(master.core.check(), Ok(()));
        let decided = commands.iter().find_map(|command| match command {
            Command::RecordTakeover { takeover } => Some((takeover.adopted, &*takeover.reason)),
            _ => None,
        });
        master.adopted |= decided.is_some_and(|(adopted, _)| adopted);
        self.oracle.judge(decided);
        for command in commands {
            if self.crashes_at(|| name_of(&command)) {
                return;
            }
            let trace = &self.trace;
            trace.line(|| format!("{}   -> {}", now.0, super::shortened(&format!("{command:?}"))));
            self.execute(epoch, job, command);
        }
        self.wake_in_time();
    }

    fn execute(&mut self, epoch: LeaderEpoch, job: JobId, command: Command) {
        match command {
            Command::EnumerateSplits { node, enumeration, .. } => {
                let result = Ok(self.splits(node));
                let input = Input::SplitsEnumerated { node, enumeration, result };
                let Some(life) = self.job_manager.as_ref().map(|manager| manager.life) else { return };
                let slow = self.chance(50);
                let delay = self.rng.below(if slow { 300 } else { self.scenario.write_ms });
                self.schedule(delay, Event::ForJob { life, job, input });
            }
            Command::RequestSlots { count } => {
                let partly = self.scenario.options.adaptive.is_some();
                self.tell_resources(ResourceInput::SlotsRequested { job, tenant: tenant(), count, partly });
            }
            Command::AcceptSlot { slot, allocation } => {
                self.tell_resources(ResourceInput::SlotAccepted { job, slot, allocation });
            }
            Command::RejectSlot { slot, allocation } => {
                self.tell_resources(ResourceInput::SlotsReleased { slots: vec![(slot, allocation)] });
            }
            Command::ReleaseSlots { slots } => self.tell_resources(ResourceInput::SlotsReleased { slots }),
            Command::Deploy { task_manager, task } => self.deploy(epoch, &task_manager, task),
            Command::CancelTask { task_manager, attempt } => {
                self.tell_task_manager(&task_manager, ToTaskManager::Cancel { epoch, attempt });
            }
            Command::AssignSplits { task_manager, assignment } => {
                self.tell_task_manager(&task_manager, ToTaskManager::AssignSplits { epoch, assignment });
            }
            Command::DrainSource { task_manager, attempt } => {
                self.tell_task_manager(&task_manager, ToTaskManager::DrainSource { epoch, attempt });
            }
            Command::PersistAttempts { write, attempts } => self.propose(epoch, Change::Attempts { write, attempts }),
            Command::PersistStatus { write, status, .. } => {
                self.propose(epoch, Change::Status { write, status });
            }
            Command::AdoptTask { task_manager, attempt, completed, over } => {
                self.tell_task_manager(&task_manager, ToTaskManager::Adopt { epoch, attempt, completed, over });
            }
            Command::LimitWatermark { .. } | Command::RecordTakeover { .. } => {}
            Command::JobEnded { .. } => self.job_master_ended(),
            checkpoint => self.execute_checkpoint(epoch, job, checkpoint),
        }
    }

    fn execute_checkpoint(&mut self, epoch: LeaderEpoch, job: JobId, command: Command) {
        match command {
            Command::TriggerCheckpoint { task_manager, attempt, barrier } => {
                self.begin(job, barrier.checkpoint);
                self.tell_task_manager(&task_manager, ToTaskManager::TriggerCheckpoint { epoch, attempt, barrier });
            }
            Command::NotifyCheckpointCompleted { task_manager, attempt, checkpoint } => {
                assert!(self.has_pointer(job, checkpoint), "checkpoint {checkpoint} is announced without a pointer");
                self.tell_task_manager(
                    &task_manager,
                    ToTaskManager::CheckpointCompleted { epoch, attempt, checkpoint },
                );
            }
            Command::NotifyCheckpointAborted { task_manager, attempt, checkpoint } => {
                self.tell_task_manager(&task_manager, ToTaskManager::CheckpointAborted { epoch, attempt, checkpoint });
            }
            Command::StoreCheckpoint { checkpoint } => {
                self.check_complete(&checkpoint);
                self.store_description(checkpoint);
            }
            Command::PrepareUpgrade { task_manager, attempt, upgrade } => {
                self.tell_task_manager(&task_manager, ToTaskManager::PrepareUpgrade { epoch, attempt, upgrade });
            }
            Command::ForgetUpgrade { task_manager, attempt, upgrade } => {
                self.tell_task_manager(&task_manager, ToTaskManager::ForgetUpgrade { epoch, attempt, upgrade });
            }
            Command::UpgradeEnded { .. } | Command::SavepointEnded { .. } => {}
            Command::PersistCheckpoint { write, checkpoint, location, retained, upgrade } => {
                let description = self.store.description(&location);
                let (kind, completed_at) = description
                    .map_or((SnapshotKind::Checkpoint, self.clock()), |description| {
                        (description.kind, description.completed_at)
                    });
                self.propose(
                    epoch,
                    Change::Pointer { write, checkpoint, kind, location, completed_at, retained, upgrade },
                );
            }
            Command::ReadPointer { checkpoint } => self.propose(epoch, Change::Read { checkpoint }),
            Command::ReserveCheckpointIds { write, upto } => self.propose(epoch, Change::Ids { write, upto }),
            Command::DeleteFiles { paths } => self.delete_later(What::Files(paths)),
            Command::DeleteCheckpoint { location, .. } => self.delete_later(What::Folder(location)),
            Command::DeleteAllCheckpoints => self.delete_later(What::All(epoch)),
            other => panic!("{other:?} is not carried out"),
        }
    }

    pub(crate) fn master(&mut self) -> Option<&mut super::job_manager::Master> {
        self.job_manager.as_mut().and_then(|manager| manager.master.as_mut())
    }

    /// Answers the JobMaster some time later.
    pub(crate) fn answer(&mut self, job: JobId, input: Input) {
        let Some(life) = self.job_manager.as_ref().map(|manager| manager.life) else { return };
        let delay = self.rng.below(self.scenario.write_ms);
        self.schedule(delay, Event::ForJob { life, job, input });
    }

    fn propose(&mut self, epoch: LeaderEpoch, change: Change) {
        let Some(life) = self.job_manager.as_ref().map(|manager| manager.life) else { return };
        let delay = self.rng.below(self.scenario.write_ms);
        let proposal = Proposal { life, epoch, job: self.job.id, change, is_late: false };
        self.schedule(delay, Event::Proposed(proposal));
    }

    fn delete_later(&mut self, what: What) {
        let delay = self.rng.below(4 * self.scenario.write_ms);
        let deletion = Deletion { job_folder: self.job.folder.clone(), job: self.job.id, what };
        self.schedule(delay, Event::Delete(deletion));
    }

    fn splits(&self, node: NodeId) -> Vec<Vec<u8>> {
        let nodes = self.job.graph.vertices.iter().flat_map(|vertex| &vertex.nodes);
        let uid = nodes.filter(|(id, _)| *id == node).find_map(|(_, stream)| stream.uid.strip_prefix(graph::SOURCE));
        let source = uid.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("node {node} is no source"));
        (0..self.scenario.splits).map(|number| Split { source, number }.encode()).collect()
    }

    fn deploy(&mut self, epoch: LeaderEpoch, task_manager: &TaskManagerId, task: Box<TaskDeployment>) {
        let attempt = task.attempt;
        self.ledger.check_deployment(attempt, task.vertex.parallelism);
        self.check_one_attempt(attempt);
        self.check_nothing_runs(attempt);
        let code = self.metadata.job(&tenant(), attempt.job).map(|record| record.submission.graph_digest);
        assert_eq!(Some(task.graph_digest), code, "the code of {attempt:?} is not what was decided");
        if !self.tell_task_manager(task_manager, ToTaskManager::Deploy { epoch, task }) {
            let failure = Failure::new(FailureKind::TaskManagerLost, "it is not registered");
            self.answer(attempt.job, Input::DeployFailed { attempt, failure });
        }
    }

    /// No earlier attempt of the subtask runs, on the JobMaster's account.
    fn check_one_attempt(&mut self, attempt: AttemptId) {
        let Some(master) = self.master() else { return };
        let view = master.core.view();
        let at = view.graph.vertices.iter().position(|vertex| vertex.id == attempt.vertex);
        let Some(subtask) = at.map(|at| &view.vertices[at].subtasks[attempt.subtask as usize]) else { return };
        assert_eq!(subtask.attempt, attempt.attempt, "a deployment of another attempt than the present one");
        let running = subtask.earlier.iter().find(|earlier| !earlier.state.is_terminal());
        assert!(running.is_none(), "{attempt:?} is deployed beside {running:?}");
    }

    /// No earlier attempt of the subtask that this leader has deployed or adopted is left on a TaskManager that does not
    /// count as lost.
    fn check_nothing_runs(&self, attempt: AttemptId) {
        let Some(manager) = &self.job_manager else { return };
        let Some(master) = &manager.master else { return };
        let at = self.job.graph.vertices.iter().position(|vertex| vertex.id == attempt.vertex);
        let recorded = at.and_then(|at| master.recorded.get(at).copied()).filter(|_| master.adopted);
        let first = recorded.unwrap_or(master.first);
        for (number, task_manager) in &self.task_managers {
            let known = manager.resources.task_manager(&task_manager.id).is_some();
            let counts = known && manager.connected.contains_key(number);
            let left = task_manager.attempt_of(attempt).filter(|left| counts && left.attempt >= first);
            assert_eq!(left, None, "{attempt:?} is deployed while it runs on {}", task_manager.id);
        }
    }

    fn begin(&mut self, job: JobId, checkpoint: CheckpointId) {
        let begun = self.master().and_then(|master| master.begun);
        if begun != Some(checkpoint) {
            self.ledger.check_new_checkpoint(job, checkpoint);
            if let Some(master) = self.master() {
                master.begun = Some(checkpoint);
            }
        }
    }

    /// Every subtask that takes part has acknowledged, in its present attempt; the others have finished.
    fn check_complete(&mut self, checkpoint: &CompletedCheckpoint) {
        let Some(manager) = &self.job_manager else { return };
        let Some(master) = &manager.master else { return };
        let view = master.core.view();
        for (vertex, tasks) in view.graph.vertices.iter().zip(&view.vertices) {
            let states = || vertex.nodes.iter().filter_map(|(_, node)| checkpoint.operators.get(&node.uid));
            assert_eq!(states().count(), vertex.nodes.len(), "an operator is missing in checkpoint {}", checkpoint.id);
            for (subtask, task) in (0u32..).zip(&tasks.subtasks) {
                let attempt = AttemptId { job: master.job, vertex: vertex.id, subtask, attempt: task.attempt };
                let finished = states().all(|state| state.finished.contains(&subtask));
                if finished {
                    assert_eq!(task.state, ExecutionState::Finished, "{attempt:?} is part of it as finished");
                } else {
                    let acknowledged = self.ledger.has_acknowledged(checkpoint.id, &attempt);
                    assert!(acknowledged, "checkpoint {} lacks the word of {attempt:?}", checkpoint.id);
                }
            }
        }
    }
}
