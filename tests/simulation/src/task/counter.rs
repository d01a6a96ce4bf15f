//! The keyed operator: counts the records of each key, and those of each window of event time.
//!
//! Invariant, checked at every record where channels keep the order of a split: a key sees each of its records once, in
//! the order of the input. So what is lost or doubled on the way is found where it happens.

use std::collections::BTreeMap;

use millrace_task_core::{Clock, Timer, TimerLimits, TimerService};
use millrace_types::{EventTime, KeyGroupRange, MIN_EVENT_TIME, NodeId};

use crate::rows::{Entries, Record, Row, StateKey, WINDOW_MS, key_group};
use crate::scenario::Scenario;

/// Timers that are taken out at once: few, so that several calls are needed.
const TIMERS_PER_CALL: usize = 3;

/// The operator's state, and its clock.
#[derive(Debug)]
pub(crate) struct Counter {
    node: NodeId,
    key_groups: KeyGroupRange,
    max_parallelism: u32,
    state: BTreeMap<StateKey, u32>,
    /// What has changed since the last barrier.
    changes: Entries,
    timers: TimerService,
    watermark: EventTime,
}

fn window_end(window: i64) -> EventTime {
    (window + 1) * WINDOW_MS - 1
}

impl Counter {
    pub(crate) fn new(node: NodeId, key_groups: KeyGroupRange, max_parallelism: u32) -> Self {
        Self {
            node,
            key_groups,
            max_parallelism,
            state: BTreeMap::new(),
            changes: Entries::new(),
            timers: TimerService::new(TimerLimits::default()),
            watermark: MIN_EVENT_TIME,
        }
    }

    /// Takes over the entries of its key groups.
    pub(crate) fn restore(&mut self, entries: &Entries) {
        for (key, value) in entries {
            let Some(value) = value else { continue };
            if !self.owns(key.key()) {
                continue;
            }
            if let StateKey::Timer { key, window } = key {
                let (timestamp, key) = (window_end(*window), key.to_be_bytes());
                let timer = Timer { timestamp, key: key.into(), namespace: window.to_be_bytes().into() };
                let set = self.timers.restore(self.node, Clock::EventTime, timer);
                assert!(set.is_ok(), "{set:?}");
            } else {
                let before = self.state.insert(key.clone(), *value);
                assert_eq!(before, None, "two subtasks had {key:?}");
            }
        }
    }

    /// All is restored: from now on changes are noted.
    pub(crate) fn restored(&mut self) {
        self.timers.set_tracking(true);
    }

    /// What is its own of some key groups.
    pub(crate) fn own(&self, of: KeyGroupRange) -> KeyGroupRange {
        let (start, end) = (of.start.max(self.key_groups.start), of.end.min(self.key_groups.end));
        KeyGroupRange { start, end }
    }

    pub(crate) fn owns(&self, key: u16) -> bool {
        self.key_groups.contains(key_group(key, self.max_parallelism))
    }

    fn set(&mut self, key: StateKey, value: Option<u32>) {
        match value {
            Some(value) => drop(self.state.insert(key.clone(), value)),
            None => drop(self.state.remove(&key)),
        }
        self.changes.insert(key, value);
    }

    fn get(&self, key: &StateKey) -> u32 {
        self.state.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn process(&mut self, record: Record, scenario: &Scenario, out: &mut Vec<Row>) {
        let key = record.key(scenario.keys);
        assert!(self.owns(key), "{record:?} came to a subtask that does not have its key");
        if scenario.ordered {
            self.check_order(record, scenario);
        }
        let count = self.get(&StateKey::Count(key)) + 1;
        self.set(StateKey::Count(key), Some(count));
        out.push(Row::Counted { record, key, count });
        let window = record.window(scenario.split_rows);
        if window_end(window) <= self.watermark {
            return out.push(Row::Window { key, window, count: 1 });
        }
        let so_far = self.get(&StateKey::Window { key, window });
        self.set(StateKey::Window { key, window }, Some(so_far + 1));
        let (end, key) = (window_end(window), key.to_be_bytes());
        let set = self.timers.set(self.node, Clock::EventTime, end, &key, &window.to_be_bytes());
        assert!(set.is_ok(), "{set:?}");
    }

    fn check_order(&mut self, record: Record, scenario: &Scenario) {
        let key = record.key(scenario.keys);
        let next = StateKey::Next { key, source: record.source, split: record.split };
        let mut sequences = u32::from(record.sequence)..;
        let (from, sequence) = (self.get(&next), u32::from(record.sequence));
        let expected = (from..).find(|at| Record { sequence: *at as u16, ..record }.key(scenario.keys) == key);
        assert_eq!(expected, sequences.next(), "{record:?} of key {key} is not the next one of its split");
        self.set(next, Some(sequence + 1));
    }

    /// The watermark makes these windows end.
    pub(crate) fn fire(&mut self, upto: EventTime, out: &mut Vec<Row>) {
        loop {
            let due = self.timers.due(self.node, Clock::EventTime, upto, TIMERS_PER_CALL);
            if due.is_empty() {
                return;
            }
            for timer in due {
                let (key, window) = decode(&timer.key, &timer.namespace);
                let counted = StateKey::Window { key, window };
                let count = self.get(&counted);
                assert!(count > 0, "a timer without a window");
                self.set(counted, None);
                out.push(Row::Window { key, window, count });
            }
        }
    }

    pub(crate) fn watermark(&mut self, watermark: EventTime) {
        assert!(watermark > self.watermark, "the watermark falls from {} to {watermark}", self.watermark);
        self.watermark = watermark;
    }

    /// What has changed since the last time.
    pub(crate) fn seal(&mut self) -> Entries {
        let mut changes = std::mem::take(&mut self.changes);
        for change in self.timers.take_changes() {
            let (key, window) = decode(&change.timer.key, &change.timer.namespace);
            changes.insert(StateKey::Timer { key, window }, change.set.then_some(1));
        }
        changes
    }
}

fn decode(key: &[u8], namespace: &[u8]) -> (u16, i64) {
    let key = key.try_into().map(u16::from_be_bytes);
    let window = namespace.try_into().map(i64::from_be_bytes);
    key.ok().zip(window.ok()).unwrap_or_else(|| panic!("a timer came back with another key"))
}
