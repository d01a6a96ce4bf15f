//! Why a message is dropped, and how often that happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a message is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StaleReason {
    Epoch,
    OtherTaskManager,
    UnknownSlot,
    SlotOccupied,
    UnknownAllocation,
    AllocationOfAnotherJob,
    DuplicateAttempt,
    UnknownAttempt,
    OtherSource,
}

impl StaleReason {
    /// The reason's name in figures and logs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Epoch => "stale-epoch",
            Self::OtherTaskManager => "other-task-manager",
            Self::UnknownSlot => "unknown-slot",
            Self::SlotOccupied => "slot-occupied",
            Self::UnknownAllocation => "unknown-allocation",
            Self::AllocationOfAnotherJob => "allocation-of-another-job",
            Self::DuplicateAttempt => "duplicate-attempt",
            Self::UnknownAttempt => "unknown-attempt",
            Self::OtherSource => "other-source",
        }
    }
}

/// Counts what was dropped. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct StaleCounts(Arc<Mutex<BTreeMap<StaleReason, u64>>>);

impl StaleCounts {
    pub(crate) fn count(&self, reason: StaleReason) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    pub(crate) fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
    }
}
