//! Attempt numbers: unique over the whole life of a job, lives of its JobManager included, so that a message of an
//! earlier attempt is always told from one of the present.
//!
//! Invariants:
//! - The number of each vertex's tasks is recorded before a task is deployed under it; the first numbers of a new job are
//!   recorded with the job itself. So a later leader knows which attempts are the present ones, and adopts no others.
//! - A number is given out for one parallelism of its vertex only.

use millrace_types::{ExecutionState, Timestamp};

use crate::core::JobCore;
use crate::event::{Command, WriteId};
use crate::tasks::Task;

/// What is recorded, and the write that is to change it.
#[derive(Debug)]
pub(crate) struct AttemptRecord {
    /// The numbers that are durably given out, by vertex.
    pub recorded: Vec<u32>,
    /// The numbers that are being written, with the write under way or the time of the next one.
    write: Option<(Vec<u32>, Result<WriteId, Timestamp>)>,
}

impl AttemptRecord {
    pub fn new(recorded: Vec<u32>) -> Self {
        Self { recorded, write: None }
    }

    /// When a failed write is tried again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.write.as_ref().and_then(|(_, write)| write.err())
    }
}

impl JobCore {
    /// For each vertex the attempt number of its tasks, once those that are to be deployed next are.
    fn attempts_wanted(&self) -> Vec<u32> {
        let wanted = |(vertex, subtasks): (usize, u32)| {
            let pending = self.pending.contains(&self.regions.of_vertex(vertex));
            let of_task = |subtask| {
                let subtask = self.subtask(Task { vertex, subtask });
                match subtask.state {
                    ExecutionState::Created | ExecutionState::Scheduled => subtask.attempt,
                    // It will run again.
                    _ if pending => subtask.attempt.saturating_add(1),
                    _ => subtask.attempt,
                }
            };
            (0..subtasks).map(of_task).max().unwrap_or(0)
        };
        let vertices = self.spec.graph.vertices.iter().map(|vertex| vertex.parallelism).enumerate();
        vertices.map(wanted).collect()
    }

    /// The highest number that has to be recorded before the tasks that wait are deployed.
    pub(crate) fn attempt_unrecorded(&self) -> Option<u32> {
        let wanted = self.attempts_wanted();
        if wanted == self.attempts.recorded { None } else { wanted.into_iter().max() }
    }

    /// Has the numbers recorded that are needed next, unless they are or a write is under way.
    pub(crate) fn record_attempts(&mut self, out: &mut Vec<Command>) {
        let attempts = self.attempts_wanted();
        if attempts != self.attempts.recorded && self.attempts.write.is_none() {
            let write = self.next_write();
            self.attempts.write = Some((attempts.clone(), Ok(write)));
            out.push(Command::PersistAttempts { write, attempts });
        }
    }

    /// A write is durable; whether it was one of these.
    pub(crate) fn attempts_written(&mut self, written: WriteId) -> bool {
        match self.attempts.write.take() {
            Some((attempts, Ok(write))) if write == written => {
                self.attempts.recorded = attempts;
                true
            }
            other => {
                self.attempts.write = other;
                false
            }
        }
    }

    /// A write has failed; whether it was one of these.
    pub(crate) fn attempts_write_failed(&mut self, failed: WriteId) -> bool {
        match &mut self.attempts.write {
            Some((_, write)) if *write == Ok(failed) => {
                *write = Err(self.now.plus_ms(self.spec.options.persist_retry_ms));
                true
            }
            _ => false,
        }
    }

    /// Tries a failed write again once it is time, if its numbers are still wanted.
    pub(crate) fn attempts_deadline(&mut self, out: &mut Vec<Command>) {
        if self.attempts.retry_at().is_some_and(|retry_at| retry_at <= self.now) {
            self.attempts.write = None;
            self.record_attempts(out);
        }
    }
}
