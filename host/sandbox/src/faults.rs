//! How often guests failed in a process.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::GuestErrorKind;

/// How often guests failed, since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestFaults {
    /// Traps, panics, stacks that overflowed and memory that was refused.
    pub traps: u64,
    /// Calls that ran or were blocked longer than they may.
    pub deadlines_exceeded: u64,
}

/// Counts them.
#[derive(Debug, Default)]
pub(crate) struct FaultCounts {
    traps: AtomicU64,
    deadlines_exceeded: AtomicU64,
}

impl FaultCounts {
    pub(crate) fn count(&self, kind: GuestErrorKind) {
        let counter = match kind {
            GuestErrorKind::Trap | GuestErrorKind::Panic | GuestErrorKind::Stack | GuestErrorKind::Memory => {
                &self.traps
            }
            GuestErrorKind::Deadline | GuestErrorKind::Blocked => &self.deadlines_exceeded,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn current(&self) -> GuestFaults {
        GuestFaults {
            traps: self.traps.load(Ordering::Relaxed),
            deadlines_exceeded: self.deadlines_exceeded.load(Ordering::Relaxed),
        }
    }
}
