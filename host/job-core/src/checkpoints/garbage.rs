//! Files of the job's folder that may have become useless.
//!
//! A file is deleted when checkpoint n completes if the last checkpoint that any task named it for is n or an earlier one,
//! and no retained checkpoint and no acknowledgement of a pending one names it. Nothing can refer to it later:
//! - Pending checkpoints below n end with n's completion; what is said of them afterwards changes nothing.
//! - A running attempt has acknowledged n (or n were not complete), or has finished and says no more. The files that it
//!   names for later checkpoints are those it named for n, which is retained, and newer ones: a task that has replaced a
//!   file by a merged one does not take it up again. Newer files are either not known here, and so not deleted, or were
//!   named for a checkpoint above n, and then they wait for the completion of such a one.
//! - An attempt that starts later begins with a retained checkpoint.
//!
//! Savepoints and what a job started from have folders of their own, which are not touched. n is never a savepoint: what
//! tasks acknowledge of it does not say which of the job's files they will name again.
//!
//! Invariant: bounded. Beyond the limit, and when a JobManager dies, files are forgotten and stay until the job's folder
//! goes.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::CheckpointId;

/// The most files that are remembered.
const CANDIDATES_MAX: usize = 200_000;

/// Files that may have become useless, with the last checkpoint that they were named for.
#[derive(Debug, Default)]
pub(crate) struct Garbage(BTreeMap<Box<str>, CheckpointId>);

impl Garbage {
    /// A checkpoint that is not retained, or will not be complete, named these files.
    pub fn note<'a>(&mut self, files: impl IntoIterator<Item = &'a str>, checkpoint: CheckpointId) {
        for file in files {
            if let Some(last) = self.0.get_mut(file) {
                *last = (*last).max(checkpoint);
            } else if self.0.len() < CANDIDATES_MAX {
                self.0.insert(file.into(), checkpoint);
            }
        }
    }

    /// A checkpoint is complete: the files that can be deleted. Those that are in use are noted again by whoever uses
    /// them.
    pub fn collect(&mut self, completed: CheckpointId, in_use: &BTreeSet<&str>) -> Vec<Box<str>> {
        let settled: Vec<_> = self.0.extract_if(.., |_, last| *last <= completed).map(|(file, _)| file).collect();
        settled.into_iter().filter(|file| !in_use.contains(&**file)).collect()
    }
}
