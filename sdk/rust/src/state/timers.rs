//! Timers set and deleted during a call. They go to the host in one batch when the call ends.

use std::collections::BTreeMap;

use super::backing::Backing;
use crate::host::Clock;

/// What a timer belongs to within its key, as bytes: a window, for example. Empty for the timers of functions.
pub(crate) type Namespace = Vec<u8>;

/// The changes of one clock's timers: by (timestamp, slot, namespace), whether the timer is to be set.
#[derive(Default)]
pub(crate) struct PendingTimers {
    changes: BTreeMap<(i64, u32, Namespace), bool>,
}

impl PendingTimers {
    /// Sets or deletes a timer.
    pub fn change(&mut self, timestamp: i64, slot: u32, namespace: Namespace, is_set: bool) {
        self.changes.insert((timestamp, slot, namespace), is_set);
    }

    /// Whether a due timer is still to fire. Deleted during this call, it is not; set again during this call, it
    /// fires this once.
    pub fn fire(&mut self, timestamp: i64, slot: u32, namespace: &[u8]) -> bool {
        if self.changes.is_empty() {
            return true;
        }
        // The host has forgotten the timer by delivering it, so its deletion need not be sent.
        self.changes.remove(&(timestamp, slot, namespace.to_vec())).unwrap_or(true)
    }

    /// The first timer before a timestamp that was set during this call: if a timer of that timestamp is due, so is it.
    pub fn take_before(&mut self, timestamp: i64) -> Option<(i64, u32, Namespace)> {
        let before = self.changes.range(..(timestamp, 0, Namespace::new())).find(|(_, is_set)| **is_set);
        let before = before.map(|(timer, _)| timer.clone())?;
        // The host may have it from before.
        self.changes.insert(before.clone(), false);
        Some(before)
    }

    /// Hands all changes to the host.
    pub fn send(&mut self, backing: &Backing, node: u32, clock: Clock) {
        if self.changes.is_empty() {
            return;
        }
        let mut batch = backing.batch(true);
        for ((timestamp, slot, namespace), is_set) in &self.changes {
            batch.begin_row(*timestamp);
            backing.with_key(*slot, |key| batch.key(|out| out.extend_from_slice(key)));
            batch.payload().push(u8::from(*is_set));
            batch.payload().extend_from_slice(namespace);
            batch.end_row();
        }
        backing.host.set_timers(node, clock, batch.finish());
        self.changes.clear();
    }
}
