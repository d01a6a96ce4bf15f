//! The timers of windows that share panes.

use std::collections::BTreeMap;

use crate::host::Clock;
use crate::state::backing::Backing;

/// What a batch of timers aims at, in bytes.
const BATCH_BYTES: usize = 64 * 1024;
/// The most timers that are held back from the host: about four bytes each.
const HELD_MAX: usize = 1 << 18;

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
    pub fn send(&mut self, backing: &Backing, node: u32) {
        let mut batch = backing.batch(true);
        while let Some((timestamp, slots)) = self.take_first(i64::MAX) {
            for slot in slots {
                backing.with_key(slot, |key| batch.row(timestamp, key, &[1]));
                if batch.size_bytes() >= BATCH_BYTES {
                    backing.host.set_timers(node, Clock::EventTime, batch.finish());
                    batch.clear();
                }
            }
        }
        if !batch.is_empty() {
            backing.host.set_timers(node, Clock::EventTime, batch.finish());
        }
    }
}
