//! Finding tasks and changing their states.
//!
//! Invariant: [`JobCore::enter`] and [`JobCore::renew`] are the only places where a task's state changes, so that the
//! number of unfinished tasks is right.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_types::{AllocationId, AttemptId, ExecutionState, Failure, TaskManagerId};

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

    /// The tasks of a region.
    pub(crate) fn tasks_of(&self, region: usize) -> Vec<Task> {
        let subtasks = |vertex: usize| (0..self.spec.graph.vertices[vertex].parallelism).map(move |n| (vertex, n));
        let vertices = self.regions.vertices(region).iter().copied();
        vertices.flat_map(subtasks).map(|(vertex, subtask)| Task { vertex, subtask }).collect()
    }

    /// The tasks that are to be deployed next, or first have to end for that.
    pub(crate) fn pending_tasks(&self) -> Vec<Task> {
        self.pending.iter().flat_map(|region| self.tasks_of(*region)).collect()
    }

    pub(crate) fn region_of(&self, task: Task) -> usize {
        self.regions.of_vertex(task.vertex)
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

    /// A task has ended for a reason that is not its own end: as a cancelled one if it was told to stop, else as a
    /// failed one.
    pub(crate) fn enter_failed(&mut self, task: Task, failure: &Failure) {
        let canceling = self.subtask(task).state == ExecutionState::Canceling;
        self.subtask_mut(task).fail(failure);
        self.enter(task, if canceling { ExecutionState::Canceled } else { ExecutionState::Failed });
    }

    /// Makes a task that has ended ready to run again, under the next attempt number.
    pub(crate) fn renew(&mut self, task: Task) {
        let (now, max) = (self.now, self.spec.options.attempts_max);
        self.subtask_mut(task).renew(now, max);
        self.unfinished += 1;
        self.enter(task, ExecutionState::Scheduled);
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

    /// The unfinished tasks that were deployed into slots.
    pub(crate) fn unfinished_under(&self, allocations: &BTreeSet<AllocationId>) -> Vec<Task> {
        let mut tasks = self.unfinished_tasks();
        tasks.retain(|task| {
            let slot = self.sharing.slot_of(task.vertex, task.subtask);
            let assigned = self.assigned_slots.get(&slot).is_some_and(|(_, held)| allocations.contains(held));
            assigned && self.subtask(*task).task_manager.is_some()
        });
        tasks
    }

    /// The unfinished tasks that were deployed to a TaskManager.
    pub(crate) fn unfinished_on(&self, task_manager: &TaskManagerId) -> Vec<Task> {
        let mut tasks = self.unfinished_tasks();
        tasks.retain(|task| self.subtask(*task).task_manager.as_ref() == Some(task_manager));
        tasks
    }
}
