//! Why messages are dropped: each reason has a name and is counted, since a dropped message is normal in small numbers
//! and a symptom in large ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// It names a task that the job does not have.
    UnknownTask,
    /// It is of another attempt than the present one.
    StaleAttempt,
    /// Its task was never deployed.
    NotDeployed,
    /// Its task has ended.
    TaskEnded,
    /// It reports a state that the task has left behind.
    OutOfOrder,
    /// It names a source that its task does not run, or splits that its reader does not have.
    UnknownSplits,
    /// It names a grant that the job does not hold.
    UnknownAllocation,
    /// It offers a slot that the job does not need.
    SurplusSlot,
    /// It is the answer to a question that is settled.
    AlreadyAnswered,
    /// It is about a checkpoint that has ended, or that its task has acknowledged.
    UnknownCheckpoint,
    /// It asks for something that the job's state no longer allows.
    TooLate,
}

/// How many messages were dropped for each reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dropped(BTreeMap<DropReason, u64>);

impl Dropped {
    pub(crate) fn count(&mut self, reason: DropReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// How many were dropped for a reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or(0)
    }

    /// All reasons that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> {
        self.0.iter().map(|(reason, count)| (*reason, *count))
    }
}
