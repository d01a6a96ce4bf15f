//! The exception history of a job: what REST shows under `/jobs/:id/exceptions`.
//!
//! Invariant: bounded, both in entries and in concurrent exceptions of each; the newest entry comes first.

use millrace_types::{AttemptId, Failure, TaskManagerId, Timestamp};
use serde::{Deserialize, Serialize};

/// A failure, and where and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExceptionEntry {
    /// What went wrong.
    pub failure: Failure,
    /// When the JobMaster learnt of it.
    pub at: Timestamp,
    /// The task, such as `Source: lines -> split (1/2)`; `None`: the job as a whole.
    pub task_name: Option<String>,
    /// The task's attempt.
    pub attempt: Option<AttemptId>,
    /// Where it ran.
    pub task_manager: Option<TaskManagerId>,
    /// Failures of other tasks before the job had come to rest.
    pub concurrent: Vec<ExceptionEntry>,
}

impl ExceptionEntry {
    /// Flink's name of the attempt: `Source: lines -> split (1/2) - execution #0`.
    pub fn execution_name(&self) -> Option<String> {
        let attempt = self.attempt.as_ref()?.attempt;
        self.task_name.as_ref().map(|name| format!("{name} - execution #{attempt}"))
    }
}

/// The failures of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExceptionHistory {
    /// The failures, newest first.
    pub entries: Vec<ExceptionEntry>,
    /// Whether older ones, or concurrent ones, were left out.
    pub truncated: bool,
}

impl ExceptionHistory {
    /// A history that begins with what went wrong before the job did.
    pub(crate) fn beginning(failure: Option<Failure>, at: Timestamp) -> Self {
        let entry = |failure| ExceptionEntry {
            failure,
            at,
            task_name: None,
            attempt: None,
            task_manager: None,
            concurrent: Vec::new(),
        };
        Self { entries: failure.into_iter().map(entry).collect(), truncated: false }
    }

    /// Adds what made the job fail.
    pub(crate) fn add_root(&mut self, entry: ExceptionEntry, max: usize) {
        self.entries.insert(0, entry);
        self.truncated |= self.entries.len() > max;
        self.entries.truncate(max);
    }

    /// Adds a failure that came while the job was already failing.
    pub(crate) fn add_concurrent(&mut self, entry: ExceptionEntry, max: usize) {
        match self.entries.first_mut() {
            Some(root) if root.concurrent.len() < max => root.concurrent.push(entry),
            Some(_) => self.truncated = true,
            None => self.add_root(entry, max),
        }
    }
}
