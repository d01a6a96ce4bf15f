//! Other code for a job that runs, at a barrier and without a restart.
//!
//! First all tasks are asked whether their state fits the new code, and to make ready to run it. Then comes a checkpoint of
//! its own kind, which nothing else is taken beside: behind its barrier each task runs the new code. Its pointer and the
//! code are written in one decision.
//!
//! Invariants:
//! - Until that decision is known to be made the job's code is the old one: whatever restarts, restarts with that.
//! - Once the barrier was sent, tasks may run the new code. Should the decision not be made, all tasks restart from the
//!   newest checkpoint, at no cost to the restart strategy. So there is one before the barrier is sent.
//! - Each request is answered once.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_protocol::{DeclaredStates, TaskCode, TaskUpgrade, UpgradeAnswer, UpgradeId};
use millrace_types::{CheckpointId, ExecutionState, Failure, FailureKind, SnapshotKind, Timestamp};

use super::restoring::fit_graph;
use crate::core::{JobCore, Phase};
use crate::dropped::DropReason;
use crate::event::{Command, JobCode, RequestId, UpgradeEnd};
use crate::scaling::Scaling;
use crate::tasks::Task;

/// How far an upgrade is.
#[derive(Debug)]
pub(crate) enum UpgradeStage {
    /// Tasks have yet to say that they are ready.
    Asking { awaited: BTreeSet<Task>, deadline: Timestamp },
    /// All are. The checkpoint that was taken first, if the job had none to go back to.
    Ready { first: Option<CheckpointId> },
    /// Its checkpoint is under way.
    Taking,
}

/// An upgrade under way.
#[derive(Debug)]
pub(crate) struct Upgrade {
    pub request: RequestId,
    id: UpgradeId,
    /// The new code, with the graph as the job runs it; `None`: it is only asked about.
    code: Option<Arc<JobCode>>,
    /// The graph at the parallelism that was asked for, if the adaptive scheduler may have changed that.
    desired: Option<Arc<JobGraph>>,
    pub stage: UpgradeStage,
}

/// The graphs that an upgrade leads to.
struct Graphs {
    running: JobGraph,
    desired: Option<JobGraph>,
}

impl JobCore {
    pub(crate) fn upgrade_requested(
        &mut self,
        request: RequestId,
        code: JobCode,
        in_place: bool,
        allow_non_restored_state: bool,
        out: &mut Vec<Command>,
    ) {
        let graphs = match self.check_upgrade(&code, in_place, allow_non_restored_state) {
            Ok(graphs) => graphs,
            Err(failure) => return out.push(Command::UpgradeEnded { request, result: Err(failure) }),
        };
        self.coordinator.upgrades += 1;
        let id = UpgradeId(self.coordinator.upgrades);
        let states = code.states.clone();
        let (code, desired) = match graphs {
            Some(Graphs { running, desired }) => {
                (Some(Arc::new(JobCode { graph: Arc::new(running), ..code })), desired.map(Arc::new))
            }
            None => (None, None),
        };
        let awaited: BTreeSet<Task> = self.unfinished_tasks().into_iter().collect();
        for task in &awaited {
            let Some(task_manager) = self.subtask(*task).task_manager.clone() else { continue };
            let upgrade = Box::new(self.task_upgrade(*task, id, &states, code.as_deref()));
            out.push(Command::PrepareUpgrade { task_manager, attempt: self.attempt_id(*task), upgrade });
        }
        let deadline = self.now.plus_ms(self.spec.checkpoints.timeout_ms);
        let stage = UpgradeStage::Asking { awaited, deadline };
        self.coordinator.upgrade = Some(Upgrade { request, id, code, desired, stage });
    }

    /// Whether an upgrade can begin; then the graphs that it leads to, if it is to be in place.
    fn check_upgrade(&self, code: &JobCode, in_place: bool, allow: bool) -> Result<Option<Graphs>, Failure> {
        let coordinator = &self.coordinator;
        let all_tasks = self.all_tasks();
        let why = if !matches!(self.phase, Phase::Running) || self.unfinished == 0 {
            Some(format!("the job is {}: its tasks have to run", self.view.status))
        } else if coordinator.upgrade.is_some() {
            Some("another upgrade is under way".to_owned())
        } else if coordinator.stop.is_some() {
            Some("the job is being stopped".to_owned())
        } else if !self.tasks_run() {
            Some("not all of the job's tasks run yet, or some are about to stop: ask again later".to_owned())
        } else if all_tasks.iter().any(|task| self.subtask(*task).attempt == u32::MAX) {
            Some("the job has used up its attempt numbers".to_owned())
        } else if in_place && self.unfinished < all_tasks.len() as u32 && !self.spec.checkpoints.after_tasks_finish {
            Some("tasks have finished, and the job takes no checkpoints after that".to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            return Err(untouched(&why));
        }
        if !in_place {
            if let Some(newest) = coordinator.ladder().next_back() {
                fit_graph(&code.graph, &newest.stored.checkpoint, allow)?;
            }
            return Ok(None);
        }
        let running = self.spec.graph.with_code_of(&code.graph, true).map_err(|what| untouched(&what))?;
        let desired = self.scaling.as_ref().map(|scaling| scaling.desired().with_code_of(&code.graph, true));
        Ok(Some(Graphs { running, desired: desired.transpose().map_err(|what| untouched(&what))? }))
    }

    fn task_upgrade(&self, task: Task, id: UpgradeId, states: &DeclaredStates, code: Option<&JobCode>) -> TaskUpgrade {
        let uids = self.spec.graph.vertices[task.vertex].nodes.iter().map(|(_, node)| &node.uid);
        let states = uids.filter_map(|uid| Some((uid.clone(), states.get(uid)?.clone()))).collect();
        let code = code.map(|code| {
            let vertex = code.graph.vertices[task.vertex].clone();
            let used = |name: &str| vertex.segments.iter().any(|segment| segment.component.as_deref() == Some(name));
            let components = code.components.iter().filter(|(name, _)| used(name));
            TaskCode {
                components: components.map(|(name, component)| (name.clone(), component.clone())).collect(),
                graph_digest: code.graph_digest,
                args: code.args.clone(),
                default_parallelism: code.default_parallelism,
                vertex,
            }
        });
        TaskUpgrade { id, states, code }
    }

    pub(crate) fn upgrade_answered(&mut self, answer: UpgradeAnswer, out: &mut Vec<Command>) {
        let task = match self.live_task(&answer.attempt) {
            Ok(task) => task,
            Err(reason) => return self.drop_message(reason),
        };
        let Some(Upgrade { id, stage: UpgradeStage::Asking { awaited, .. }, .. }) = &mut self.coordinator.upgrade
        else {
            return self.drop_message(DropReason::AlreadyAnswered);
        };
        if *id != answer.id || !awaited.remove(&task) {
            return self.drop_message(DropReason::AlreadyAnswered);
        }
        let all = awaited.is_empty();
        match answer.result {
            Err(failure) => self.refuse_upgrade(failure, out),
            Ok(()) if all => self.upgrade_ready(out),
            Ok(()) => {}
        }
    }

    fn upgrade_ready(&mut self, out: &mut Vec<Command>) {
        let Some(upgrade) = &mut self.coordinator.upgrade else { return };
        upgrade.stage = UpgradeStage::Ready { first: None };
        if upgrade.code.is_none() {
            let request = upgrade.request;
            self.coordinator.upgrade = None;
            out.push(Command::UpgradeEnded { request, result: Ok(UpgradeEnd::Fits) });
        }
    }

    /// A task that had yet to say that it is ready has finished: it will run nothing any more.
    pub(crate) fn finished_amid_upgrade(&mut self, task: Task, out: &mut Vec<Command>) {
        if let Some(Upgrade { stage: UpgradeStage::Asking { awaited, .. }, .. }) = &mut self.coordinator.upgrade
            && awaited.remove(&task)
            && awaited.is_empty()
        {
            self.upgrade_ready(out);
        }
    }

    /// Whether other checkpoints have to wait for an upgrade.
    pub(crate) fn upgrade_is_due(&self) -> bool {
        let stage = self.coordinator.upgrade.as_ref().map(|upgrade| &upgrade.stage);
        matches!(stage, Some(UpgradeStage::Ready { .. } | UpgradeStage::Taking))
    }

    /// Whether an upgrade's barrier was sent, and it is not decided.
    pub(crate) fn upgrade_is_taken(&self) -> bool {
        self.coordinator.upgrade.as_ref().is_some_and(|upgrade| matches!(upgrade.stage, UpgradeStage::Taking))
    }

    /// Whether tasks may run code that is not the job's.
    pub(crate) fn runs_other_code(&self) -> bool {
        self.upgrade_is_taken() || self.coordinator.undo.is_some()
    }

    /// Whether the tasks' failures are those of code that is given up, or is going to be.
    pub(crate) fn undoes_upgrade(&self) -> bool {
        self.runs_other_code() && self.coordinator.unsettled().is_none()
    }

    /// When all tasks are ready and nothing else is under way: sends the barrier.
    pub(crate) fn take_upgrade(&mut self, out: &mut Vec<Command>) {
        let Some(Upgrade { stage: UpgradeStage::Ready { first }, .. }) = &self.coordinator.upgrade else { return };
        let first = *first;
        let states = self.all_tasks().into_iter().map(|task| self.subtask(task).state);
        let settled =
            states.into_iter().all(|state| matches!(state, ExecutionState::Running | ExecutionState::Finished));
        let idle = matches!(self.phase, Phase::Running) && self.coordinator.pending.is_empty();
        if !settled || !idle || self.unfinished == 0 {
            return;
        }
        let has_way_back = self.coordinator.ladder().next().is_some();
        if !has_way_back && first.is_some() {
            let why = "the checkpoint that the job could go back to if it failed could not be taken";
            return self.refuse_upgrade(untouched(why), out);
        }
        let Some(id) = self.coordinator.ids.take() else { return };
        let (kind, stage) = if has_way_back {
            (SnapshotKind::Upgrade, UpgradeStage::Taking)
        } else {
            (SnapshotKind::Checkpoint, UpgradeStage::Ready { first: Some(id) })
        };
        if let Some(upgrade) = &mut self.coordinator.upgrade {
            upgrade.stage = stage;
        }
        self.trigger(id, kind, None, out);
    }

    /// The pointer of an upgrade's checkpoint is written, and the code with it: it is the job's from here on.
    pub(crate) fn upgraded(&mut self, checkpoint: CheckpointId, out: &mut Vec<Command>) {
        let Some(Upgrade { request, code: Some(code), desired, .. }) = self.coordinator.upgrade.take() else { return };
        self.spec.graph = Arc::clone(&code.graph);
        self.view.graph = Arc::clone(&code.graph);
        self.spec.components.clone_from(&code.components);
        self.spec.args.clone_from(&code.args);
        self.spec.graph_digest = code.graph_digest;
        self.spec.default_parallelism = code.default_parallelism;
        if let (Some(scaling), Some(desired)) = (&mut self.scaling, desired) {
            Scaling::set_desired(scaling, desired);
        }
        out.push(Command::UpgradeEnded { request, result: Ok(UpgradeEnd::Upgraded { checkpoint }) });
    }

    /// An upgrade's checkpoint will not be complete.
    pub(crate) fn upgrade_lost(&mut self, why: &str, out: &mut Vec<Command>) {
        let Some(Upgrade { request, .. }) = self.coordinator.upgrade.take() else { return };
        let message = format!(
            "the upgrade failed at its barrier, and the job goes back to its newest checkpoint with the code that it \
             had: {why}"
        );
        let failure = Failure::new(FailureKind::Checkpoint, message);
        self.coordinator.undo = Some(failure.clone());
        out.push(Command::UpgradeEnded { request, result: Err(failure) });
    }

    /// Restarts all tasks if some may run code that did not become the job's.
    pub(crate) fn undo_upgrade(&mut self, out: &mut Vec<Command>) {
        let Some(failure) = self.coordinator.undo.clone() else { return };
        let active: Vec<usize> = (0..self.regions.count()).filter(|region| self.is_active(*region)).collect();
        // Where a restart or the end of the job came first all regions go along already. Once they are deployed again all
        // is as it was.
        if let (Phase::Running, Some(first)) = (&self.phase, active.first()) {
            if active.iter().any(|region| self.coordinator.is_lost(*region)) {
                self.fail_for_good(failure, out);
            } else {
                self.note_exception(failure);
                self.view.restarts += 1;
                self.restart_region(*first, self.now, "the upgrade has failed", out);
            }
            self.tasks_ended(out);
        }
    }

    /// Gives up an upgrade whose barrier was not sent: the job runs on as it was.
    pub(crate) fn refuse_upgrade(&mut self, failure: Failure, out: &mut Vec<Command>) {
        let Some(Upgrade { request, id, .. }) = self.coordinator.upgrade.take() else { return };
        for task in self.unfinished_tasks() {
            let subtask = self.subtask(task);
            if let (ExecutionState::Running, Some(task_manager)) = (subtask.state, subtask.task_manager.clone()) {
                out.push(Command::ForgetUpgrade { task_manager, attempt: self.attempt_id(task), upgrade: id });
            }
        }
        out.push(Command::UpgradeEnded { request, result: Err(failure) });
    }

    /// Tasks are being stopped: an upgrade whose barrier was not sent is over.
    pub(crate) fn give_up_upgrade(&mut self, why: &str, out: &mut Vec<Command>) {
        let stage = self.coordinator.upgrade.as_ref().map(|upgrade| &upgrade.stage);
        if matches!(stage, Some(UpgradeStage::Asking { .. } | UpgradeStage::Ready { .. })) {
            self.refuse_upgrade(untouched(why), out);
        }
    }

    /// When tasks have taken too long to make ready.
    pub(crate) fn upgrade_deadline(&self) -> Option<Timestamp> {
        match self.coordinator.upgrade.as_ref()?.stage {
            UpgradeStage::Asking { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    pub(crate) fn upgrade_overdue(&mut self, out: &mut Vec<Command>) {
        if self.upgrade_deadline().is_some_and(|deadline| deadline <= self.now) {
            let why = format!("tasks were not ready for it after {} ms", self.spec.checkpoints.timeout_ms);
            self.refuse_upgrade(untouched(&why), out);
        }
    }
}

/// Why an upgrade was not begun.
fn untouched(why: &str) -> Failure {
    Failure::new(FailureKind::Checkpoint, format!("the job cannot be upgraded: {why}"))
}
