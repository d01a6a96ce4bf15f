//! The timers of windows.

use std::collections::BTreeMap;

use crate::batch::BatchWriter;
use crate::host::{Clock, Host};
use crate::state::table::KeyBytes;

/// What a batch of timers aims at, in bytes.
const BATCH_BYTES: usize = 64 * 1024;
/// The most timers that are held back from the host: about four bytes each.
const HELD_MAX: usize = 1 << 18;

/// A timer: timestamp, the slot of its key, its window as bytes.
type Timer = (i64, u32, Box<[u8]>);

/// Timers of windows, set and deleted during a call. They go to the host in one batch when the call ends.
#[derive(Default)]
pub(crate) struct WindowTimers {
    /// Whether a timer is to be set, by clock: event time first.
    changes: [BTreeMap<Timer, bool>; 2],
}

impl WindowTimers {
    fn of(&mut self, clock: Clock) -> &mut BTreeMap<Timer, bool> {
        match clock {
            Clock::EventTime => &mut self.changes[0],
            Clock::ProcessingTime => &mut self.changes[1],
        }
    }

    pub fn change(&mut self, clock: Clock, timestamp: i64, slot: u32, namespace: &[u8], is_set: bool) {
        self.of(clock).insert((timestamp, slot, namespace.into()), is_set);
    }

    /// Whether a due timer that the host has delivered is still to fire: deleted during this call, it is not.
    pub fn fire(&mut self, clock: Clock, timestamp: i64, slot: u32, namespace: &[u8]) -> bool {
        // The host has forgotten the timer by delivering it, so nothing of it need be sent.
        self.of(clock).remove(&(timestamp, slot, namespace.into())) != Some(false)
    }

    /// The first timer before a timestamp that was set during this call. If a timer of that timestamp is due, so is it.
    pub fn take_before(&mut self, clock: Clock, timestamp: i64) -> Option<Timer> {
        let changes = self.of(clock);
        let before = changes.range(..(timestamp, 0, Box::from([]))).find(|(_, is_set)| **is_set)?.0.clone();
        // The host may have it from before.
        changes.insert(before.clone(), false);
        Some(before)
    }

    /// Hands all changes to the host.
    pub fn send(&mut self, host: &dyn Host, node: u32, keys: &dyn KeyBytes, batch: &mut BatchWriter) {
        for clock in [Clock::EventTime, Clock::ProcessingTime] {
            let changes = self.of(clock);
            if changes.is_empty() {
                continue;
            }
            batch.reset(true, true);
            for ((timestamp, slot, namespace), is_set) in changes.iter() {
                batch.begin_row(*timestamp);
                batch.key(|out| out.extend_from_slice(keys.key_bytes(*slot)));
                batch.payload().push(u8::from(*is_set));
                batch.payload().extend_from_slice(namespace);
                batch.end_row();
                send_full(host, node, clock, batch, BATCH_BYTES);
            }
            send_full(host, node, clock, batch, 0);
            changes.clear();
        }
    }
}

/// Hands over a batch of at least so many bytes.
fn send_full(host: &dyn Host, node: u32, clock: Clock, batch: &mut BatchWriter, bytes_min: usize) {
    if !batch.is_empty() && batch.size_bytes() >= bytes_min {
        host.set_timers(node, clock, batch.finish());
        batch.clear();
    }
}

/// Event-time timers without namespaces that the host gets to know only with a flush: most have fired by then. Setting
/// one twice may fire it twice.
#[derive(Default)]
pub(crate) struct HeldTimers {
    slots: BTreeMap<i64, Vec<u32>>,
    count: usize,
}

impl HeldTimers {
    pub fn set(&mut self, timestamp: i64, slot: u32) {
        self.slots.entry(timestamp).or_default().push(slot);
        self.count += 1;
    }

    /// Takes the earliest timers, if they are at or before a timestamp.
    pub fn take_first(&mut self, up_to: i64) -> Option<(i64, Vec<u32>)> {
        let first = self.slots.first_entry().filter(|first| *first.key() <= up_to)?;
        let (timestamp, mut slots) = first.remove_entry();
        self.count -= slots.len();
        slots.sort_unstable();
        slots.dedup();
        Some((timestamp, slots))
    }

    /// Whether the host has to take over.
    pub fn is_full(&self) -> bool {
        self.count > HELD_MAX
    }

    /// Hands all timers to the host and forgets them.
    pub fn send(&mut self, host: &dyn Host, node: u32, keys: &dyn KeyBytes, batch: &mut BatchWriter) {
        batch.reset(true, true);
        while let Some((timestamp, slots)) = self.take_first(i64::MAX) {
            for slot in slots {
                batch.row(timestamp, keys.key_bytes(slot), &[1]);
                send_full(host, node, Clock::EventTime, batch, BATCH_BYTES);
            }
        }
        send_full(host, node, Clock::EventTime, batch, 0);
    }
}
