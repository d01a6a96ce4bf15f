//! Where the sinks write: parts that become visible by a commit, as those of the file sink do, and what holds of all that
//! is visible.
//!
//! Invariants, checked at every change where the job is exactly-once:
//! - No record is visible twice, and no count of a key is.
//! - A window shows no more records than the input has of it.
//! - What is visible stays visible, unless a damaged checkpoint makes the job go back.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_types::{AttemptId, CheckpointId, JobId, NodeId};

use crate::rows::{Record, Row};
use crate::scenario::Scenario;

/// The name of a part: no two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartName {
    pub(crate) job: JobId,
    pub(crate) node: NodeId,
    pub(crate) subtask: u32,
    pub(crate) checkpoint: CheckpointId,
    pub(crate) attempt: u32,
}

impl PartName {
    pub(crate) fn to_committable(self) -> Bytes {
        let mut bytes = self.job.as_bytes().to_vec();
        bytes.extend(self.node.0.to_be_bytes());
        bytes.extend(self.subtask.to_be_bytes());
        bytes.extend(self.checkpoint.0.to_be_bytes());
        bytes.extend(self.attempt.to_be_bytes());
        bytes.into()
    }

    pub(crate) fn from_committable(bytes: &Bytes) -> Self {
        let number = |from: usize| u32::from_be_bytes(std::array::from_fn(|at| bytes[from + at]));
        Self {
            job: JobId::from_bytes(std::array::from_fn(|at| bytes[at])),
            node: NodeId(number(16)),
            subtask: number(20),
            checkpoint: CheckpointId(u64::from(number(24)) << 32 | u64::from(number(28))),
            attempt: number(32),
        }
    }
}

#[derive(Debug)]
struct Part {
    rows: Vec<Row>,
    visible: bool,
}

/// All parts, and what is visible of them.
#[derive(Debug, Default)]
pub(crate) struct Output {
    parts: BTreeMap<PartName, Part>,
    records: BTreeMap<Record, u32>,
    counts: BTreeMap<(u16, u32), u32>,
    windows: BTreeMap<(u16, i64), u32>,
}

impl Output {
    pub(crate) fn prepare(&mut self, name: PartName, rows: Vec<Row>) {
        let before = self.parts.insert(name, Part { rows, visible: false });
        assert!(before.is_none(), "{name:?} is prepared twice");
    }

    /// Makes parts visible. Returns whether all of them are; what is not there was removed by a later attempt.
    pub(crate) fn commit(&mut self, names: &[PartName], scenario: &Scenario) -> bool {
        let mut all = true;
        for name in names {
            match self.parts.get_mut(name) {
                None => all = false,
                Some(part) if part.visible => {}
                Some(part) => {
                    part.visible = true;
                    let rows = part.rows.clone();
                    self.show(&rows, scenario);
                }
            }
        }
        all
    }

    /// An attempt of a sink's subtask begins: it removes what earlier ones left behind that the restored checkpoint does
    /// not cover, and the first one also what subtasks left that there are no longer.
    pub(crate) fn clean(
        &mut self,
        (node, attempt): (NodeId, AttemptId),
        parallelism: u32,
        restored: Option<CheckpointId>,
        damaged: bool,
    ) {
        let is_leftover = |name: &PartName| {
            let beyond = restored.is_none_or(|restored| name.checkpoint > restored) && name.attempt <= attempt.attempt;
            let mine = name.subtask == attempt.subtask || (attempt.subtask == 0 && name.subtask >= parallelism);
            name.job == attempt.job && name.node == node && beyond && mine
        };
        let leftover: Vec<_> = self.parts.extract_if(.., |name, _| is_leftover(name)).collect();
        for (name, part) in leftover.into_iter().filter(|(_, part)| part.visible) {
            assert!(damaged, "{name:?} is visible, and an attempt goes on from {restored:?}, which does not cover it");
            part.rows.iter().for_each(|row| self.hide(row));
        }
    }

    fn show(&mut self, rows: &[Row], scenario: &Scenario) {
        for row in rows {
            match *row {
                Row::Read(record) => {
                    let seen = self.records.entry(record).or_default();
                    *seen += 1;
                    assert!(*seen == 1 || !scenario.exactly_once, "{record:?} is visible twice");
                }
                Row::Counted { record, key, count } => {
                    let seen = self.records.entry(record).or_default();
                    *seen += 1;
                    assert!(*seen == 1 || !scenario.exactly_once, "{record:?} is visible twice");
                    let seen = self.counts.entry((key, count)).or_default();
                    *seen += 1;
                    assert!(*seen == 1 || !scenario.exactly_once, "key {key} has its {count}th record twice");
                }
                Row::Window { key, window, count } => {
                    let seen = self.windows.entry((key, window)).or_default();
                    *seen += count;
                    let expected = scenario.window_size(key, window);
                    assert!(
                        *seen <= expected || !scenario.exactly_once,
                        "window {window} of key {key} shows {seen} records and has {expected}"
                    );
                }
            }
        }
    }

    fn hide(&mut self, row: &Row) {
        let seen = match *row {
            Row::Read(record) => self.records.get_mut(&record),
            Row::Counted { record, key, count } => {
                self.counts.entry((key, count)).and_modify(|seen| *seen -= 1);
                self.records.get_mut(&record)
            }
            Row::Window { key, window, count } => {
                self.windows.entry((key, window)).and_modify(|seen| *seen -= count);
                None
            }
        };
        if let Some(seen) = seen {
            *seen -= 1;
        }
    }

    /// The job has finished: all of the input is visible, unless its sources were told to end early.
    pub(crate) fn check_end(&self, scenario: &Scenario, drained: bool) {
        for record in scenario.records() {
            let seen = self.records.get(&record).copied().unwrap_or(0);
            assert!(seen > 0 || drained, "{record:?} is lost");
            assert!(seen <= 1 || !scenario.exactly_once, "{record:?} is visible {seen} times");
        }
        if drained && !scenario.exactly_once {
            // What was to be read again behind the barrier is not, and what a sink saw of it stays.
            return;
        }
        let mut windows: BTreeMap<(u16, i64), u32> = BTreeMap::new();
        let mut keys: BTreeMap<u16, u32> = BTreeMap::new();
        for (record, seen) in self.records.iter().filter(|(record, _)| record.source < scenario.counted_sources()) {
            let key = record.key(scenario.keys);
            *windows.entry((key, record.window(scenario.split_rows))).or_default() += (*seen).min(1);
            *keys.entry(key).or_default() += (*seen).min(1);
        }
        for (&(key, window), &records) in &windows {
            let shown = self.windows.get(&(key, window)).copied().unwrap_or(0);
            assert!(
                shown == records || (!scenario.exactly_once && shown > records),
                "window {window} of key {key} shows {shown} records and {records} are visible"
            );
        }
        for (&key, &records) in &keys {
            let counted = self.counts.range((key, 1)..=(key, records)).filter(|(_, seen)| **seen > 0).count();
            assert!(
                counted == records as usize || !scenario.exactly_once,
                "{counted} of {records} counts of key {key} are visible"
            );
        }
    }
}
