//! What a new leader is told of the tasks that outlived the old one, gathered from the messages between the two: whatever
//! a leader may have to know of a task was said once. Pure.
//!
//! Invariants:
//! - What is told here was seen before it is told: messages to the JobManager are noted before they are sent, messages
//!   from it before the task gets them. So a new leader knows whatever the old one may have acted on.
//! - Bounded by the tasks and splits of the slots that are not free: a slot that is freed takes all of its along, and of a
//!   subtask no attempt is kept that ended before a later one was deployed.

use std::collections::BTreeMap;

use millrace_graph::NodeKind;
use millrace_protocol::{
    ACKNOWLEDGED_TOLD_MAX, PRESENCE_TASKS_MAX, Presence, ReaderPresence, SplitAssignment, SplitRequest, TaskDeployment,
    TaskManagerRegistration, TaskPresence, TaskReport, ToJobManager, ToTaskManager, split_digest,
};
use millrace_types::{AllocationId, AttemptId, CheckpointId, ExecutionState, JobId, SlotId};

/// The connector whose rows go to the client through the JobManager.
const COLLECT: &str = "collect";

/// Watches what is said.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    registration: Option<TaskManagerRegistration>,
    /// The slots that are not free.
    slots: BTreeMap<AllocationId, (SlotId, JobId)>,
    /// The tasks that were deployed into them, also those that have ended.
    tasks: BTreeMap<AttemptId, TaskPresence>,
}

impl Witness {
    /// A message is about to be sent to the JobManager.
    pub(crate) fn heard(&mut self, message: &ToJobManager) {
        match message {
            ToJobManager::Register(registration) => self.registration = Some(registration.clone()),
            ToJobManager::OfferSlots { job, slots } => {
                self.slots.extend(slots.iter().map(|(slot, allocation)| (*allocation, (slot.clone(), *job))));
            }
            ToJobManager::SlotFreed { allocation, .. } => {
                self.slots.remove(allocation);
                self.tasks.retain(|_, task| task.allocation != *allocation);
            }
            ToJobManager::TaskReport(report) => self.reported(report),
            ToJobManager::SplitRequest(request) => self.requested(request),
            ToJobManager::CheckpointAcknowledged(ack) => self.acknowledged(ack.attempt, ack.checkpoint),
            ToJobManager::AwaitingCheckpoint { attempt } => {
                if let Some(task) = self.tasks.get_mut(attempt) {
                    task.awaits_checkpoint = true;
                }
            }
            ToJobManager::Heartbeat(heartbeat) => {
                for (attempt, figures) in &heartbeat.figures {
                    if let Some(task) = self.tasks.get_mut(attempt) {
                        task.figures = *figures;
                    }
                }
            }
            // Of no use to another leader, or said again.
            ToJobManager::Collected(_)
            | ToJobManager::CheckpointDeclined(_)
            | ToJobManager::WatermarkReached { .. }
            | ToJobManager::UpgradeAnswered(_)
            | ToJobManager::Present(_) => {}
        }
    }

    /// A message has come from the JobManager.
    pub(crate) fn told(&mut self, message: &ToTaskManager) {
        match message {
            ToTaskManager::Deploy { task, .. } => self.deployed(task),
            ToTaskManager::Cancel { attempt, .. } => self.canceling(|task| task.attempt == *attempt),
            ToTaskManager::FreeSlot { allocation, .. } => self.canceling(|task| task.allocation == *allocation),
            ToTaskManager::AssignSplits { assignment, .. } => self.assigned(assignment),
            ToTaskManager::DrainSource { attempt, .. } => {
                if let Some(reader) = self.tasks.get_mut(attempt).and_then(|task| task.reader.as_mut()) {
                    reader.drained = true;
                }
            }
            // From here on the task alone knows which code it runs.
            ToTaskManager::PrepareUpgrade { attempt, .. } => {
                if let Some(task) = self.tasks.get_mut(attempt) {
                    task.code_in_doubt = true;
                }
            }
            ToTaskManager::ForgetUpgrade { .. }
            | ToTaskManager::RequestSlot(_)
            | ToTaskManager::CollectAcknowledged { .. }
            | ToTaskManager::TriggerCheckpoint { .. }
            | ToTaskManager::CheckpointCompleted { .. }
            | ToTaskManager::CheckpointAborted { .. }
            | ToTaskManager::LimitWatermark { .. }
            | ToTaskManager::Prefetch { .. }
            | ToTaskManager::Adopt { .. } => {}
        }
    }

    /// What a new leader is to hear first; none: this TaskManager has not registered with anybody yet.
    pub(crate) fn introduction(&self) -> Vec<ToJobManager> {
        let Some(registration) = &self.registration else { return Vec::new() };
        let allocated = self.slots.iter().map(|(allocation, (slot, job))| (slot.clone(), *allocation, *job)).collect();
        let mut messages = vec![ToJobManager::Register(TaskManagerRegistration { allocated, ..registration.clone() })];
        let mut slots: BTreeMap<JobId, Vec<(SlotId, AllocationId)>> = BTreeMap::new();
        for (allocation, (slot, job)) in &self.slots {
            slots.entry(*job).or_default().push((slot.clone(), *allocation));
        }
        for (job, slots) in slots {
            let tasks: Vec<_> = self.tasks.values().filter(|task| task.attempt.job == job).cloned().collect();
            let part = |tasks: &[TaskPresence]| {
                let task_manager = registration.id.clone();
                let (slots, tasks) = (slots.clone(), tasks.to_vec());
                ToJobManager::Present(Box::new(Presence { task_manager, job, slots, tasks }))
            };
            // A job without tasks has slots that its new leader is to learn of.
            if tasks.is_empty() {
                messages.push(part(&[]));
            }
            messages.extend(tasks.chunks(PRESENCE_TASKS_MAX).map(part));
        }
        messages
    }

    fn deployed(&mut self, task: &TaskDeployment) {
        // Whose slot is not granted is refused, and nothing frees that slot.
        if !self.slots.contains_key(&task.allocation) {
            return;
        }
        // A job that is restarted keeps its slots. A leader asks for the newest attempt of each subtask.
        let first = AttemptId { attempt: 0, ..task.attempt };
        self.tasks.extract_if(first..task.attempt, |_, earlier| earlier.state.is_terminal()).for_each(drop);
        self.tasks.entry(task.attempt).or_insert_with(|| presence(task));
    }

    fn reported(&mut self, report: &TaskReport) {
        let Some(task) = self.tasks.get_mut(&report.attempt) else { return };
        // A task that was told to stop may still say that it runs.
        if task.state != ExecutionState::Canceling || report.state.is_terminal() {
            task.state = report.state;
        }
        // The old leader stated when it deployed the task.
        task.timestamps.entry(report.state).or_insert(report.at);
        task.failure.clone_from(&report.failure);
        task.figures = report.figures;
    }

    fn requested(&mut self, request: &SplitRequest) {
        if let Some(reader) = self.tasks.get_mut(&request.attempt).and_then(|task| task.reader.as_mut()) {
            reader.requested = true;
            reader.finished.extend(&request.finished);
        }
    }

    fn assigned(&mut self, assignment: &SplitAssignment) {
        if let Some(reader) = self.tasks.get_mut(&assignment.attempt).and_then(|task| task.reader.as_mut()) {
            reader.requested = false;
            reader.no_more |= assignment.no_more;
            reader.received.extend(assignment.splits.iter().map(|(id, split, _)| (*id, split_digest(split))));
        }
    }

    fn acknowledged(&mut self, attempt: AttemptId, checkpoint: CheckpointId) {
        let Some(task) = self.tasks.get_mut(&attempt) else { return };
        task.acknowledged.push(checkpoint);
        let surplus = task.acknowledged.len().saturating_sub(ACKNOWLEDGED_TOLD_MAX);
        task.acknowledged.drain(..surplus);
    }

    fn canceling(&mut self, which: impl Fn(&TaskPresence) -> bool) {
        for task in self.tasks.values_mut().filter(|task| which(task) && !task.state.is_terminal()) {
            task.state = ExecutionState::Canceling;
        }
    }
}

/// A task that is about to be started.
fn presence(task: &TaskDeployment) -> TaskPresence {
    let nodes = || task.vertex.nodes.iter();
    let source = nodes().find(|(_, node)| node.kind.is_source()).map(|(node, _)| *node);
    let collects = |kind: &NodeKind| matches!(kind, NodeKind::NativeSink(sink) if sink.connector == COLLECT);
    TaskPresence {
        attempt: task.attempt,
        parallelism: task.vertex.parallelism,
        allocation: task.allocation,
        state: ExecutionState::Deploying,
        timestamps: task.timestamps.clone(),
        failure: None,
        figures: Default::default(),
        restored_from: task.restore.as_ref().map(|restore| restore.checkpoint),
        acknowledged: Vec::new(),
        reader: source.map(|node| ReaderPresence {
            node,
            received: Vec::new(),
            finished: Vec::new(),
            requested: false,
            no_more: false,
            drained: false,
        }),
        awaits_checkpoint: false,
        code_in_doubt: false,
        collects: nodes().any(|(_, node)| collects(&node.kind)),
    }
}

#[cfg(test)]
// Named, since the simulation takes this file from where it is.
#[path = "witness/tests.rs"]
mod tests;
