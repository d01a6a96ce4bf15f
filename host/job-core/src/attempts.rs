//! Attempt numbers: unique over the whole life of a job, lives of its JobManager included, so that a message of an
//! earlier attempt is always told from one of the present.
//!
//! Invariant: a number is recorded as given out before a task is deployed under it. What is recorded is the highest one
//! of the job; the first number of a new job is recorded with the job itself.

use millrace_types::{ExecutionState, Timestamp};

use crate::core::JobCore;
use crate::event::{Command, WriteId};
use crate::tasks::Task;

/// What is recorded, and the write that is to record more.
#[derive(Debug)]
pub(crate) struct AttemptRecord {
    /// The highest number that is durably given out.
    pub recorded: u32,
    /// The number that is being written, with the write under way or the time of the next one.
    write: Option<(u32, Result<WriteId, Timestamp>)>,
}

impl AttemptRecord {
    pub fn new(recorded: u32) -> Self {
        Self { recorded, write: None }
    }

    /// When a failed write is tried again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.write.and_then(|(_, write)| write.err())
    }
}

impl JobCore {
    /// The highest attempt number of the tasks that are to be deployed next.
    pub(crate) fn attempt_wanted(&self) -> u32 {
        let wanted = |task: Task| {
            let subtask = self.subtask(task);
            match subtask.state {
                ExecutionState::Created | ExecutionState::Scheduled => subtask.attempt,
                // It will run again.
                _ => subtask.attempt.saturating_add(1),
            }
        };
        self.pending_tasks().into_iter().map(wanted).max().unwrap_or(0)
    }

    /// Has the numbers recorded that are needed next, unless they are or a write is under way.
    pub(crate) fn record_attempt(&mut self, out: &mut Vec<Command>) {
        let attempt = self.attempt_wanted();
        if attempt > self.attempts.recorded && self.attempts.write.is_none() {
            self.write_attempt(attempt, out);
        }
    }

    fn write_attempt(&mut self, attempt: u32, out: &mut Vec<Command>) {
        let write = self.next_write();
        self.attempts.write = Some((attempt, Ok(write)));
        out.push(Command::PersistAttempt { write, attempt });
    }

    /// A write is durable; whether it was one of these.
    pub(crate) fn attempt_written(&mut self, written: WriteId) -> bool {
        match self.attempts.write {
            Some((attempt, Ok(write))) if write == written => {
                self.attempts = AttemptRecord { recorded: self.attempts.recorded.max(attempt), write: None };
                true
            }
            _ => false,
        }
    }

    /// A write has failed; whether it was one of these.
    pub(crate) fn attempt_write_failed(&mut self, failed: WriteId) -> bool {
        match &mut self.attempts.write {
            Some((_, write)) if *write == Ok(failed) => {
                *write = Err(self.now.plus_ms(self.spec.options.persist_retry_ms));
                true
            }
            _ => false,
        }
    }

    /// Tries a failed write again once it is time, if its number is still wanted.
    pub(crate) fn attempt_deadline(&mut self, out: &mut Vec<Command>) {
        if self.attempts.retry_at().is_some_and(|retry_at| retry_at <= self.now) {
            self.attempts.write = None;
            self.record_attempt(out);
        }
    }
}
