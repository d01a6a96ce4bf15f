//! RUNNING, and what tasks say in any status: reports, requests for splits, figures.

use millrace_protocol::{SplitAssignment, SplitRequest, TaskFigures, TaskReport};
use millrace_types::{AttemptId, ExecutionState, Failure, FailureKind};

use crate::core::{JobCore, Splits};
use crate::dropped::DropReason;
use crate::event::Command;
use crate::tasks::Task;
use crate::vertex_view::combine;

impl JobCore {
    pub(crate) fn task_reported(&mut self, report: TaskReport, out: &mut Vec<Command>) {
        let task = match self.live_task(&report.attempt) {
            Ok(task) => task,
            Err(reason) => return self.drop_message(reason),
        };
        self.merge_figures(task, &report.figures);
        let canceling = self.subtask(task).state == ExecutionState::Canceling;
        match report.state {
            ExecutionState::Initializing | ExecutionState::Running => self.task_advanced(task, report.state),
            // The task stopped before it heard of the cancellation: it ends as a cancelled one, as in Flink.
            ExecutionState::Finished if canceling => self.task_canceled(task, out),
            ExecutionState::Finished => {
                self.enter(task, ExecutionState::Finished);
                self.finished_amid_checkpoints(task, out);
                self.tasks_ended(out);
            }
            ExecutionState::Canceled if canceling => self.task_canceled(task, out),
            ExecutionState::Canceled => {
                let failure =
                    Failure::new(FailureKind::Internal, "the task was cancelled without the JobMaster's order");
                self.task_failed(task, &failure, out);
            }
            ExecutionState::Failed => {
                let unexplained = || Failure::new(FailureKind::Internal, "the task failed without saying why");
                self.task_failed(task, &report.failure.unwrap_or_else(unexplained), out);
            }
            ExecutionState::Canceling if canceling => {}
            _ => self.drop_message(DropReason::OutOfOrder),
        }
    }

    /// A task only moves forwards: a report that was overtaken by a later one changes nothing.
    fn task_advanced(&mut self, task: Task, state: ExecutionState) {
        let present = self.subtask(task).state;
        let forwards = match state {
            ExecutionState::Initializing => present == ExecutionState::Deploying,
            _ => matches!(present, ExecutionState::Deploying | ExecutionState::Initializing),
        };
        if forwards {
            self.enter(task, state);
        } else {
            self.drop_message(DropReason::OutOfOrder);
        }
    }

    pub(crate) fn split_requested(&mut self, request: &SplitRequest, out: &mut Vec<Command>) {
        let task = match self.live_task(&request.attempt) {
            Ok(task) => task,
            Err(reason) => return self.drop_message(reason),
        };
        if self.subtask(task).state == ExecutionState::Canceling {
            return self.drop_message(DropReason::TooLate);
        }
        let runs_here = self.spec.graph.vertices[task.vertex].nodes.iter().any(|(node, _)| *node == request.node);
        let Some(Splits::Listed(assigner)) = self.splits.get_mut(&request.node).filter(|_| runs_here) else {
            return self.drop_message(DropReason::UnknownSplits);
        };
        let handout = assigner.request(request.attempt, &request.finished);
        self.view.splits.insert(request.node, assigner.progress());
        for _ in 0..handout.unknown {
            self.drop_message(DropReason::UnknownSplits);
        }
        let Some(task_manager) = self.subtask(task).task_manager.clone() else { return };
        let assignment = SplitAssignment {
            attempt: request.attempt,
            node: request.node,
            splits: handout.splits,
            no_more: handout.no_more,
        };
        out.push(Command::AssignSplits { task_manager, assignment });
    }

    pub(crate) fn figures_updated(&mut self, figures: &[(AttemptId, TaskFigures)]) {
        for (attempt, figures) in figures {
            match self.live_task(attempt) {
                Ok(task) => self.merge_figures(task, figures),
                // The task ended while the heartbeat was on its way.
                Err(reason) => self.drop_message(reason),
            }
        }
    }

    /// Figures only grow, so the larger number is the later one, whichever message came first.
    fn merge_figures(&mut self, task: Task, figures: &TaskFigures) {
        let merged = combine(&self.subtask(task).figures, figures, u64::max);
        if merged != self.subtask(task).figures {
            self.subtask_mut(task).figures = merged;
        }
    }
}
