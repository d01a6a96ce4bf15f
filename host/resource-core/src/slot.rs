//! The states of a slot.

use millrace_types::{AllocationId, JobId, Timestamp};

/// A grant of a slot to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub allocation: AllocationId,
    pub job: JobId,
}

/// What a slot is used for, as far as the ResourceManager knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotState {
    /// Nobody has it.
    Free,
    /// Its TaskManager was asked to offer it.
    Pending { grant: Grant, attempts: u32, retry_at: Timestamp },
    /// The job has it.
    Allocated { grant: Grant, since: Timestamp },
    /// Its TaskManager was told to free it.
    Freeing {
        grant: Grant,
        /// From when on a heartbeat without the grant means that the slot is free: at once if the TaskManager is known to
        /// have granted it, else not before a heartbeat that was sent ahead of the grant must have arrived.
        silence_counts_from: Timestamp,
        retry_at: Timestamp,
    },
}

impl SlotState {
    pub fn grant(&self) -> Option<Grant> {
        match self {
            Self::Free => None,
            Self::Pending { grant, .. } | Self::Allocated { grant, .. } | Self::Freeing { grant, .. } => Some(*grant),
        }
    }

    /// The job that has the slot, or is to get it.
    pub fn holder(&self) -> Option<JobId> {
        match self {
            Self::Pending { grant, .. } | Self::Allocated { grant, .. } => Some(grant.job),
            Self::Free | Self::Freeing { .. } => None,
        }
    }

    pub fn is_under(&self, allocation: AllocationId) -> bool {
        self.grant().is_some_and(|grant| grant.allocation == allocation)
    }

    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Pending { retry_at, .. } | Self::Freeing { retry_at, .. } => Some(*retry_at),
            Self::Free | Self::Allocated { .. } => None,
        }
    }
}
