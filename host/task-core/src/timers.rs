//! The timers of one subtask. Flink's `InternalTimerService`.
//!
//! A timer is identified by operator, clock, key, namespace and timestamp: setting it twice is setting it once. Timers
//! that are due are taken out in chunks; what a callback sets or deletes meanwhile counts for the next chunk, and
//! the SDK sees to it within the chunk that is being delivered.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{EventTime, NodeId};

use crate::error::TimerError;

/// What the keys and namespaces of one chunk of due timers come to at most, in bytes, unless a single timer exceeds it.
pub const TIMER_CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// Which clock a timer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clock {
    /// The operator's watermark.
    EventTime,
    /// The wall clock.
    ProcessingTime,
}

/// A timer of some operator and clock. They are ordered as they fire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    /// When it is due, in milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: EventTime,
    /// The key that it belongs to.
    pub key: Box<[u8]>,
    /// Tells timers of one key and timestamp apart.
    pub namespace: Box<[u8]>,
}

impl Timer {
    /// What a timer costs besides its key and namespace, in bytes: its place in the tree and the allocator's
    /// bookkeeping, roughly.
    const ENTRY_BYTES: usize = 80;

    fn bytes(&self) -> usize {
        self.key.len() + self.namespace.len()
    }

    fn cost(&self) -> u64 {
        (self.bytes() + Self::ENTRY_BYTES) as u64
    }
}

/// What the timers of one subtask may grow to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerLimits {
    /// The most timers.
    pub count_max: usize,
    /// Their keys and namespaces, and about 80 bytes for each, in bytes.
    pub bytes_max: u64,
}

impl Default for TimerLimits {
    fn default() -> Self {
        Self { count_max: 10_000_000, bytes_max: 1024 * 1024 * 1024 }
    }
}

/// A timer that was set or is no longer, since changes were taken last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerChange {
    /// The operator.
    pub node: NodeId,
    /// The clock that it follows.
    pub clock: Clock,
    /// The timer.
    pub timer: Timer,
    /// Whether it was set; if not, it has fired or was deleted.
    pub set: bool,
}

/// The timers of all operators of one subtask.
#[derive(Debug)]
pub struct TimerService {
    limits: TimerLimits,
    queues: BTreeMap<(NodeId, Clock), BTreeSet<Timer>>,
    /// Operators that have finished: their timers are void.
    closed: BTreeSet<NodeId>,
    count: usize,
    bytes: u64,
    /// Whether each timer that has changed is set now, if changes are tracked. At most one for each timer that is set,
    /// and one for each that was when changes were taken last.
    changes: Option<BTreeMap<(NodeId, Clock, Timer), bool>>,
}

impl TimerService {
    /// A service without timers.
    pub fn new(limits: TimerLimits) -> Self {
        Self { limits, queues: BTreeMap::new(), closed: BTreeSet::new(), count: 0, bytes: 0, changes: None }
    }

    /// The number of timers that are set.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets a timer. It may be due already: then it fires with the next watermark, or at once by the wall clock. Has no
    /// effect if it is set already or the operator has finished.
    pub fn set(
        &mut self,
        node: NodeId,
        clock: Clock,
        timestamp: EventTime,
        key: &[u8],
        namespace: &[u8],
    ) -> Result<(), TimerError> {
        if self.closed.contains(&node) {
            return Ok(());
        }
        let timer = Timer { timestamp, key: key.into(), namespace: namespace.into() };
        self.insert(node, clock, timer, true)
    }

    /// Sets a timer that a snapshot holds, as [`Self::set`] does, and does not count it as changed.
    pub fn restore(&mut self, node: NodeId, clock: Clock, timer: Timer) -> Result<(), TimerError> {
        self.insert(node, clock, timer, false)
    }

    fn insert(&mut self, node: NodeId, clock: Clock, timer: Timer, is_change: bool) -> Result<(), TimerError> {
        let cost = timer.cost();
        let queue = self.queues.entry((node, clock)).or_default();
        if is_change && self.changes.is_some() {
            if !queue.insert(timer.clone()) {
                return Ok(());
            }
            self.note(node, clock, timer, true);
        } else if !queue.insert(timer) {
            return Ok(());
        }
        self.count += 1;
        self.bytes += cost;
        if self.count > self.limits.count_max {
            return Err(TimerError::TooMany { node, max: self.limits.count_max });
        }
        if self.bytes > self.limits.bytes_max {
            return Err(TimerError::TooLarge { node, max: self.limits.bytes_max });
        }
        Ok(())
    }

    /// Deletes a timer. Has no effect if it is not set.
    pub fn delete(&mut self, node: NodeId, clock: Clock, timestamp: EventTime, key: &[u8], namespace: &[u8]) {
        let timer = Timer { timestamp, key: key.into(), namespace: namespace.into() };
        if self.queues.get_mut(&(node, clock)).is_some_and(|queue| queue.remove(&timer)) {
            self.count -= 1;
            self.bytes -= timer.cost();
            self.note(node, clock, timer, false);
        }
    }

    /// Takes out the operator's timers with a timestamp of `upto` or less, the earliest first and by key among those of
    /// one timestamp: at most `count_max` of them and about [`TIMER_CHUNK_BYTES_MAX`], and one if there is any.
    /// None: there are no more.
    pub fn due(&mut self, node: NodeId, clock: Clock, upto: EventTime, count_max: usize) -> Vec<Timer> {
        let mut chunk = Vec::new();
        let Some(queue) = self.queues.get_mut(&(node, clock)) else {
            return chunk;
        };
        let mut chunk_bytes = 0;
        while chunk.len() < count_max.max(1) && chunk_bytes < TIMER_CHUNK_BYTES_MAX {
            if queue.first().is_none_or(|timer| timer.timestamp > upto) {
                break;
            }
            let Some(timer) = queue.pop_first() else { break };
            chunk_bytes += timer.bytes();
            self.count -= 1;
            self.bytes -= timer.cost();
            chunk.push(timer);
        }
        if self.changes.is_some() {
            chunk.iter().for_each(|timer| self.note(node, clock, timer.clone(), false));
        }
        chunk
    }

    /// From now on notes what changes, or forgets what it has noted and notes nothing.
    pub fn set_tracking(&mut self, tracking: bool) {
        self.changes = tracking.then(BTreeMap::new);
    }

    /// What has changed since changes were taken last, or tracking began, in order: a timer that was set and has fired
    /// meanwhile has not changed.
    pub fn take_changes(&mut self) -> Vec<TimerChange> {
        let changes = self.changes.as_mut().map(std::mem::take).unwrap_or_default();
        let change = |((node, clock, timer), set)| TimerChange { node, clock, timer, set };
        changes.into_iter().map(change).collect()
    }

    /// All timers that are set, by operator and clock and as they fire.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Clock, &Timer)> {
        self.queues.iter().flat_map(|((node, clock), queue)| queue.iter().map(|timer| (*node, *clock, timer)))
    }

    fn note(&mut self, node: NodeId, clock: Clock, timer: Timer, set: bool) {
        if let Some(changes) = &mut self.changes {
            match changes.entry((node, clock, timer)) {
                Entry::Vacant(entry) => drop(entry.insert(set)),
                // There and back again.
                Entry::Occupied(entry) if *entry.get() != set => drop(entry.remove()),
                Entry::Occupied(_) => debug_assert!(false, "a timer is set and deleted in turns"),
            }
        }
    }

    /// The operator whose processing-time timer is due first, and when; of several at one time the first operator.
    pub fn next_processing_time(&self) -> Option<(NodeId, EventTime)> {
        let queues = self.queues.iter().filter(|((_, clock), _)| *clock == Clock::ProcessingTime);
        let firsts = queues.filter_map(|((node, _), queue)| Some((*node, queue.first()?.timestamp)));
        firsts.min_by_key(|(_, timestamp)| *timestamp)
    }

    /// Drops all timers of an operator that has finished, and those that it still sets.
    pub fn close(&mut self, node: NodeId) {
        self.closed.insert(node);
        for clock in [Clock::EventTime, Clock::ProcessingTime] {
            for timer in self.queues.remove(&(node, clock)).unwrap_or_default() {
                self.count -= 1;
                self.bytes -= timer.cost();
                self.note(node, clock, timer, false);
            }
        }
    }
}
