//! Checkpoint ids: they come in blocks that are recorded before one of them is used, so that no two leaders use one id.
//!
//! Invariant: what is used is recorded, and ids only grow.

use millrace_types::{CheckpointId, Timestamp};

use crate::core::JobCore;
use crate::event::{Command, WriteId};

/// How many ids are recorded at a time.
const BLOCK: u64 = 64;

/// The next id, what is recorded, and the write that is to record more.
#[derive(Debug)]
pub(crate) struct IdBlock {
    next: u64,
    recorded: u64,
    write: Option<(u64, Result<WriteId, Timestamp>)>,
}

impl IdBlock {
    /// Ids above those that may have been used.
    pub fn new(recorded: u64, used: u64) -> Self {
        Self { next: recorded.max(used).saturating_add(1), recorded, write: None }
    }

    /// The next id, unless it has to be recorded first.
    pub fn take(&mut self) -> Option<CheckpointId> {
        let id = Some(self.next).filter(|next| *next <= self.recorded)?;
        self.next += 1;
        Some(CheckpointId(id))
    }

    /// Whether [`Self::take`] has one.
    pub fn has_next(&self) -> bool {
        self.next <= self.recorded
    }

    /// The highest id that may have been used.
    pub fn last_before(&self) -> CheckpointId {
        CheckpointId(self.next.saturating_sub(1))
    }

    /// Whether an id may have been used.
    pub fn was_used(&self, id: CheckpointId) -> bool {
        id.0 < self.next
    }

    /// When a failed write is tried again.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.write.and_then(|(_, write)| write.err())
    }

    fn is_low(&self) -> bool {
        self.recorded < self.next.saturating_add(BLOCK / 2)
    }
}

impl JobCore {
    /// Has ids recorded before they are needed, unless enough are or a write is under way.
    pub(crate) fn reserve_ids(&mut self, out: &mut Vec<Command>) {
        let wanted = self.spec.checkpoints.interval_ms.is_some() || !self.coordinator.requests.is_empty();
        let wanted = wanted || self.upgrade_is_due();
        let due = self.coordinator.ids.write.is_none_or(|(_, write)| write.is_err_and(|at| at <= self.now));
        if wanted && due && self.goes_on() && self.coordinator.ids.is_low() {
            let write = self.next_write();
            let upto = self.coordinator.ids.next.saturating_add(BLOCK - 1);
            self.coordinator.ids.write = Some((upto, Ok(write)));
            out.push(Command::ReserveCheckpointIds { write, upto });
        }
    }

    /// A write is durable; whether it was one of these.
    pub(crate) fn ids_written(&mut self, written: WriteId) -> bool {
        let ids = &mut self.coordinator.ids;
        match ids.write {
            Some((upto, Ok(write))) if write == written => {
                ids.recorded = ids.recorded.max(upto);
                ids.write = None;
                true
            }
            _ => false,
        }
    }

    /// A write has failed; whether it was one of these.
    pub(crate) fn ids_write_failed(&mut self, failed: WriteId) -> bool {
        let retry_at = self.now.plus_ms(self.spec.options.persist_retry_ms);
        match &mut self.coordinator.ids.write {
            Some((_, write)) if *write == Ok(failed) => {
                *write = Err(retry_at);
                true
            }
            _ => false,
        }
    }
}
