//! Hands the splits of a source to its readers, one at a time, in order.
//!
//! Invariant: a split is handed out once, and the assigner knows to which attempt and whether it was read to its end.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use millrace_protocol::SplitId;
use millrace_types::{AttemptId, Failure, FailureKind};
use serde::{Deserialize, Serialize};

/// The most splits of a source.
pub const SPLITS_MAX: usize = 1_000_000;

/// The longest split, in bytes.
pub const SPLIT_BYTES_MAX: usize = 64 * 1024;

/// The splits of a source together, in bytes.
pub const SPLITS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a reader gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handout {
    /// The splits, at most one.
    pub splits: Vec<(SplitId, Vec<u8>, Bytes)>,
    /// Whether there are no more for anybody.
    pub no_more: bool,
    /// How many of the splits that the reader says it finished were not its own.
    pub unknown: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Assigned {
    to: AttemptId,
    finished: bool,
}

/// How far the splits of a source are. Readers report the end of a split when they ask for the next one, so the last
/// ones may never count as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SplitProgress {
    /// Splits that wait for a reader.
    pub waiting: u32,
    /// Splits that were given to a reader.
    pub assigned: u32,
    /// Those of them that were read to their end.
    pub finished: u32,
}

/// The splits of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitAssigner {
    waiting: VecDeque<(SplitId, Vec<u8>)>,
    assigned: BTreeMap<SplitId, Assigned>,
    finished: u32,
}

impl SplitAssigner {
    /// An assigner of these splits, in this order.
    ///
    /// # Errors
    /// There are more or longer splits than the limits allow.
    pub fn new(splits: Vec<Vec<u8>>) -> Result<Self, Failure> {
        let too_much = |message: String| {
            let failure = Failure::new(FailureKind::InvalidApplication, message);
            Err(failure.with_remedy("let the source make fewer or smaller splits, or read fewer files"))
        };
        if splits.len() > SPLITS_MAX {
            return too_much(format!("the source has {} splits and may have {SPLITS_MAX}", splits.len()));
        }
        if let Some(long) = splits.iter().map(Vec::len).find(|&length| length > SPLIT_BYTES_MAX) {
            return too_much(format!("a split has {long} bytes and may have {SPLIT_BYTES_MAX}"));
        }
        let bytes: usize = splits.iter().map(Vec::len).sum();
        if bytes > SPLITS_BYTES_MAX {
            return too_much(format!("the source's splits have {bytes} bytes and may have {SPLITS_BYTES_MAX}"));
        }
        let waiting = splits.into_iter().enumerate().map(|(number, split)| (SplitId(number as u32), split)).collect();
        Ok(Self { waiting, assigned: BTreeMap::new(), finished: 0 })
    }

    /// Notes what a reader has finished and gives it the next split.
    pub fn request(&mut self, attempt: AttemptId, finished: &[SplitId]) -> Handout {
        let mut unknown = 0;
        for split in finished {
            match self.assigned.get_mut(split) {
                Some(assigned) if assigned.to != attempt => unknown += 1,
                Some(assigned) if assigned.finished => {}
                Some(assigned) => {
                    assigned.finished = true;
                    self.finished += 1;
                }
                None => unknown += 1,
            }
        }
        let splits: Vec<_> =
            self.waiting.pop_front().into_iter().map(|(id, split)| (id, split, Bytes::new())).collect();
        for (split, _, _) in &splits {
            self.assigned.insert(*split, Assigned { to: attempt, finished: false });
        }
        Handout { splits, no_more: self.waiting.is_empty(), unknown }
    }

    /// How far the splits are.
    pub fn progress(&self) -> SplitProgress {
        SplitProgress {
            waiting: self.waiting.len() as u32,
            assigned: self.assigned.len() as u32,
            finished: self.finished,
        }
    }
}
