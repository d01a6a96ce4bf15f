//! FAILING and CANCELLING: every task is told to stop, told again if it does not confirm, and loses its slot if it
//! never does.

use millrace_types::{ExecutionState, Failure, FailureKind, JobStatus};

use crate::core::{JobCore, Patience, Phase};
use crate::dropped::DropReason;
use crate::event::Command;
use crate::rescales::RescaleEnd;
use crate::tasks::Task;

impl JobCore {
    pub(crate) fn cancel_requested(&mut self, out: &mut Vec<Command>) {
        match self.phase {
            Phase::Initializing | Phase::Adopting(_) | Phase::Waiting | Phase::Running | Phase::Restarting { .. } => {
                self.stop(JobStatus::Cancelling, out);
            }
            // As in Flink, a failing job that is cancelled ends as a cancelled one.
            Phase::Stopping(_) if self.view.status == JobStatus::Failing => {
                self.view.enter(JobStatus::Cancelling, self.now);
            }
            Phase::Stopping(_) => self.drop_message(DropReason::AlreadyAnswered),
            Phase::Persisting { .. } | Phase::Ended => self.drop_message(DropReason::TooLate),
        }
    }

    /// Stops all tasks; `status` is FAILING or CANCELLING.
    pub(crate) fn stop(&mut self, status: JobStatus, out: &mut Vec<Command>) {
        let cancelled = status == JobStatus::Cancelling;
        self.end_rescale(if cancelled { RescaleEnd::JobCanceled } else { RescaleEnd::JobFailed });
        self.view.enter(status, self.now);
        self.view.waiting = None;
        self.phase = Phase::Stopping(self.patience());
        self.abort_all("the job is being stopped", out);
        // Slots that are lost from now on are not to be replaced.
        out.push(Command::RequestSlots { count: 0 });
        for task in self.unfinished_tasks() {
            self.stop_task(task, out);
        }
        self.end_if_all_ended(out);
    }

    /// How long tasks that are told to stop now may take.
    pub(crate) fn patience(&self) -> Patience {
        let options = &self.spec.options;
        Patience {
            retry_at: self.now.plus_ms(options.cancel_retry_ms),
            give_up_at: self.now.plus_ms(options.cancel_timeout_ms),
        }
    }

    /// Tells a task to stop, unless it was told or has ended; one that was not deployed has stopped.
    pub(crate) fn stop_task(&mut self, task: Task, out: &mut Vec<Command>) {
        let subtask = self.subtask(task);
        if subtask.state.is_terminal() || subtask.state == ExecutionState::Canceling {
            return;
        }
        if subtask.task_manager.is_some() {
            self.enter(task, ExecutionState::Canceling);
            self.send_cancel(task, out);
        } else {
            self.enter(task, ExecutionState::Canceled);
        }
    }

    pub(crate) fn send_cancel(&self, task: Task, out: &mut Vec<Command>) {
        if let Some(task_manager) = self.subtask(task).task_manager.clone() {
            out.push(Command::CancelTask { task_manager, attempt: self.attempt_id(task) });
        }
    }

    pub(crate) fn task_canceled(&mut self, task: Task, out: &mut Vec<Command>) {
        self.enter(task, ExecutionState::Canceled);
        self.tasks_ended(out);
    }

    pub(crate) fn stopping_deadline(&mut self, out: &mut Vec<Command>) {
        let next = self.patience();
        let Phase::Stopping(patience) = &mut self.phase else { return };
        if self.now >= patience.give_up_at {
            return self.give_up(out);
        }
        if self.now >= patience.retry_at {
            patience.retry_at = next.retry_at;
            for task in self.unfinished_tasks() {
                self.send_cancel(task, out);
            }
        }
    }

    /// The tasks that did not stop lose their slots, which ends them; the job does not wait for that.
    fn give_up(&mut self, out: &mut Vec<Command>) {
        let failure = self.did_not_stop();
        for task in self.unfinished_tasks() {
            self.subtask_mut(task).fail(&failure);
            self.enter(task, ExecutionState::Failed);
            self.fail(&failure, self.region_of(task), Some(task), out);
        }
        self.end_if_all_ended(out);
    }

    pub(crate) fn did_not_stop(&self) -> Failure {
        let waited_s = self.spec.options.cancel_timeout_ms / 1_000;
        Failure::new(FailureKind::Deadline, format!("the task did not stop within {waited_s} s of being told to"))
            .with_remedy("its slot was taken away; look into the log of its TaskManager")
    }
}
