//! Failures: of tasks, of deployments, of slots, of whole TaskManagers. Without a restart strategy the first one fails
//! the job; those that follow are kept with it.

use std::sync::Arc;

use millrace_types::{AllocationId, AttemptId, ExecutionState, Failure, FailureKind, JobStatus, TaskManagerId};

use crate::core::{JobCore, Phase};
use crate::dropped::DropReason;
use crate::event::Command;
use crate::exceptions::ExceptionEntry;
use crate::tasks::Task;

impl JobCore {
    /// The job fails, for the reason of a task or as a whole.
    pub(crate) fn fail(&mut self, failure: Failure, task: Option<Task>, out: &mut Vec<Command>) {
        let entry = self.exception(failure, task);
        let max = self.spec.options.exceptions_max;
        let history = Arc::make_mut(&mut self.view.exceptions);
        match self.phase {
            Phase::Initializing | Phase::Waiting | Phase::Running => {
                history.add_root(entry, max);
                self.stop(JobStatus::Failing, out);
            }
            Phase::Stopping { .. } => history.add_concurrent(entry, max),
            // The job's end is decided.
            Phase::Persisting { .. } | Phase::Ended => self.drop_message(DropReason::TooLate),
        }
    }

    /// A task has failed, or is as good as failed.
    pub(crate) fn task_failed(&mut self, task: Task, failure: Failure, out: &mut Vec<Command>) {
        let canceling = self.subtask(task).state == ExecutionState::Canceling;
        self.enter(task, if canceling { ExecutionState::Canceled } else { ExecutionState::Failed });
        // What a task says while the user's cancellation tears it down is no failure of the job.
        if self.view.status != JobStatus::Cancelling {
            self.fail(failure, Some(task), out);
        }
        self.end_if_all_ended(out);
    }

    pub(crate) fn deploy_failed(&mut self, attempt: &AttemptId, failure: Failure, out: &mut Vec<Command>) {
        match self.live_task(attempt) {
            Ok(task) => self.task_failed(task, failure, out),
            Err(reason) => self.drop_message(reason),
        }
    }

    pub(crate) fn slots_lost(&mut self, allocations: &[AllocationId], out: &mut Vec<Command>) {
        let mut lost = Vec::new();
        for allocation in allocations {
            if self.slots.remove(*allocation) {
                lost.push(*allocation);
            } else {
                self.drop_message(DropReason::UnknownAllocation);
            }
        }
        if lost.is_empty() {
            return;
        }
        if matches!(self.phase, Phase::Waiting) {
            return self.replace_lost_slots(out);
        }
        let mut tasks = self.unfinished_tasks();
        tasks.retain(|task| {
            let slot = self.sharing.slot_of(task.vertex, task.subtask) as usize;
            self.assigned_slots.get(slot).is_some_and(|(_, allocation)| lost.contains(allocation))
        });
        let failure = Failure::new(FailureKind::TaskManagerLost, "the TaskManager took the task's slot away")
            .with_remedy("look into the TaskManager's log for the reason");
        self.tasks_lost(&tasks, &failure, out);
    }

    pub(crate) fn task_manager_lost(&mut self, task_manager: &TaskManagerId, reason: &str, out: &mut Vec<Command>) {
        let lost = self.slots.remove_task_manager(task_manager);
        if matches!(self.phase, Phase::Waiting) {
            if !lost.is_empty() {
                self.replace_lost_slots(out);
            }
            return;
        }
        let failure =
            Failure::new(FailureKind::TaskManagerLost, format!("TaskManager {task_manager} was lost: {reason}"))
                .with_remedy("look into that TaskManager's log; start it again if its process has ended");
        self.tasks_lost(&self.unfinished_on(task_manager), &failure, out);
    }

    /// Tasks are gone: all of them end before the job reacts, so that none of them is told to stop.
    fn tasks_lost(&mut self, tasks: &[Task], failure: &Failure, out: &mut Vec<Command>) {
        let Some(first) = tasks.first() else { return };
        for task in tasks {
            let canceling = self.subtask(*task).state == ExecutionState::Canceling;
            self.enter(*task, if canceling { ExecutionState::Canceled } else { ExecutionState::Failed });
        }
        if self.view.status != JobStatus::Cancelling {
            self.fail(failure.clone(), Some(*first), out);
        }
        self.end_if_all_ended(out);
    }

    fn exception(&self, failure: Failure, task: Option<Task>) -> ExceptionEntry {
        ExceptionEntry {
            failure,
            at: self.now,
            task_name: task.map(|task| self.task_name(task)),
            attempt: task.map(|task| self.attempt_id(task)),
            task_manager: task.and_then(|task| self.subtask(task).task_manager.clone()),
            concurrent: Vec::new(),
        }
    }
}
