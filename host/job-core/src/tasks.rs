//! Finding tasks and changing their states.
//!
//! Invariant: [`JobCore::enter`] is the only place where a task's state changes, so that the number of unfinished tasks
//! is right.

use std::sync::Arc;

use millrace_types::{AttemptId, ExecutionState, TaskManagerId};

use crate::core::JobCore;
use crate::dropped::DropReason;
use crate::vertex_view::SubtaskView;

/// A subtask, by the position of its vertex and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Task {
    pub vertex: usize,
    pub subtask: u32,
}

impl JobCore {
    /// All tasks, in the order of the vertices.
    pub(crate) fn all_tasks(&self) -> Vec<Task> {
        let vertices = self.spec.graph.vertices.iter().enumerate();
        vertices.flat_map(|(vertex, job)| (0..job.parallelism).map(move |subtask| Task { vertex, subtask })).collect()
    }

    /// The tasks that have not ended.
    pub(crate) fn unfinished_tasks(&self) -> Vec<Task> {
        self.all_tasks().into_iter().filter(|task| !self.subtask(*task).state.is_terminal()).collect()
    }

    pub(crate) fn subtask(&self, task: Task) -> &SubtaskView {
        &self.view.vertices[task.vertex].subtasks[task.subtask as usize]
    }

    pub(crate) fn subtask_mut(&mut self, task: Task) -> &mut SubtaskView {
        &mut Arc::make_mut(&mut self.view.vertices[task.vertex]).subtasks[task.subtask as usize]
    }

    /// Puts a task into a state.
    pub(crate) fn enter(&mut self, task: Task, state: ExecutionState) {
        let now = self.now;
        self.subtask_mut(task).enter(state, now);
        if state.is_terminal() {
            self.unfinished -= 1;
        }
    }

    pub(crate) fn attempt_id(&self, task: Task) -> AttemptId {
        AttemptId {
            job: self.spec.job,
            vertex: self.spec.graph.vertices[task.vertex].id,
            subtask: task.subtask,
            attempt: self.subtask(task).attempt,
        }
    }

    /// Flink's name of a task: `Source: lines -> split (1/2)`.
    pub(crate) fn task_name(&self, task: Task) -> String {
        let vertex = &self.spec.graph.vertices[task.vertex];
        format!("{} ({}/{})", vertex.name, task.subtask + 1, vertex.parallelism)
    }

    /// The deployed task that a message is about, if the message is of its present attempt and it has not ended.
    pub(crate) fn live_task(&self, attempt: &AttemptId) -> Result<Task, DropReason> {
        if attempt.job != self.spec.job {
            return Err(DropReason::UnknownTask);
        }
        let vertex = *self.vertex_positions.get(&attempt.vertex).ok_or(DropReason::UnknownTask)?;
        let subtasks = &self.view.vertices[vertex].subtasks;
        let subtask = subtasks.get(attempt.subtask as usize).ok_or(DropReason::UnknownTask)?;
        if subtask.attempt != attempt.attempt {
            return Err(DropReason::StaleAttempt);
        }
        if subtask.state.is_terminal() {
            return Err(DropReason::TaskEnded);
        }
        if subtask.task_manager.is_none() {
            return Err(DropReason::NotDeployed);
        }
        Ok(Task { vertex, subtask: attempt.subtask })
    }

    /// The unfinished tasks that were deployed to a TaskManager.
    pub(crate) fn unfinished_on(&self, task_manager: &TaskManagerId) -> Vec<Task> {
        let mut tasks = self.unfinished_tasks();
        tasks.retain(|task| self.subtask(*task).task_manager.as_ref() == Some(task_manager));
        tasks
    }
}
