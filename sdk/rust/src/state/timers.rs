//! Timers set and deleted during a call. They go to the host in one batch when the call ends.

use std::collections::BTreeMap;

use super::table::KeyBytes;
use crate::batch::BatchWriter;
use crate::host::{Clock, Host};

/// The changes of one clock's timers: by (timestamp, slot), whether the timer is to be set.
#[derive(Default)]
pub(crate) struct PendingTimers {
    changes: BTreeMap<(i64, u32), bool>,
}

impl PendingTimers {
    /// Sets or deletes a timer.
    pub fn change(&mut self, timestamp: i64, slot: u32, is_set: bool) {
        self.changes.insert((timestamp, slot), is_set);
    }

    /// Whether a due timer is still to fire. Deleted during this call, it is not; set again during this call, it
    /// fires this once.
    pub fn fire(&mut self, timestamp: i64, slot: u32) -> bool {
        match self.changes.get(&(timestamp, slot)) {
            None => true,
            // The host has forgotten the timer by delivering it, so its deletion need not be sent.
            Some(_) => self.changes.remove(&(timestamp, slot)) == Some(true),
        }
    }

    /// Hands all changes to the host.
    pub fn send(&mut self, host: &dyn Host, node: u32, clock: Clock, keys: &dyn KeyBytes, batch: &mut BatchWriter) {
        if self.changes.is_empty() {
            return;
        }
        batch.reset(true, true);
        for ((timestamp, slot), is_set) in &self.changes {
            batch.row(*timestamp, keys.key_bytes(*slot), &[u8::from(*is_set)]);
        }
        host.set_timers(node, clock, batch.finish());
        batch.clear();
        self.changes.clear();
    }
}
