//! Rows of a job's `collect` sinks on their way to the client.
//!
//! Invariants: rows have consecutive positions; asking for position n lets go of the rows before n, so that a client
//! that lost an answer asks again and misses nothing. At most `bytes_max` plus what the sinks have under way are
//! held; the sinks are told to go on when there is room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_protocol::CollectedRows;
use millrace_types::{AttemptId, NodeId};
use tokio::sync::Notify;

/// The most rows of one answer.
const ROWS_PER_ANSWER_MAX: usize = 10_000;

/// A part of a job's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRows {
    /// The rows from the position that was asked for.
    pub rows: Vec<Vec<u8>>,
    /// The position behind them.
    pub next: u64,
    /// No row will follow.
    pub end: bool,
}

/// Why there are no results at a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {from} is gone: rows before {first} were fetched already, and row {next} is the next to come")]
pub struct ResultsError {
    from: u64,
    first: u64,
    next: u64,
}

/// An acknowledgement that a sink waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) attempt: AttemptId,
    pub(crate) node: NodeId,
    pub(crate) received: u64,
}

#[derive(Debug, Default)]
struct State {
    /// The position of the first row that is held.
    first: u64,
    rows: VecDeque<Vec<u8>>,
    bytes: usize,
    /// By sink: how many of its rows arrived, and how many of them it has been told of.
    sinks: BTreeMap<(AttemptId, NodeId), (u64, u64)>,
    ended: bool,
}

/// The results of one job; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    bytes_max: usize,
}

impl Results {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { state: Arc::default(), changed: Arc::new(Notify::new()), bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes rows of a sink. Rows that arrived before are dropped; a gap means a sink that breaks the protocol, and its
    /// rows are dropped too, so that it is never told of them.
    pub(crate) fn arrived(&self, collected: CollectedRows) {
        let mut state = self.lock();
        let (arrived, _) = *state.sinks.entry((collected.attempt, collected.node)).or_default();
        let Some(known) = arrived.checked_sub(collected.sequence) else { return };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let mut count = 0;
        for row in collected.rows.into_iter().skip(known) {
            state.bytes += row.len();
            state.rows.push_back(row);
            count += 1;
        }
        if let Some((arrived, _)) = state.sinks.get_mut(&(collected.attempt, collected.node)) {
            *arrived += count;
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// What the sinks are to be told, if there is room for more rows.
    pub(crate) fn acknowledgements(&self) -> Vec<Acknowledgement> {
        let mut state = self.lock();
        if state.bytes >= self.bytes_max {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (&(attempt, node), (arrived, told)) in &mut state.sinks {
            if *told < *arrived {
                *told = *arrived;
                due.push(Acknowledgement { attempt, node, received: *arrived });
            }
        }
        due
    }

    /// No row will follow.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_waiters();
    }

    /// The rows from a position on; waits until there are any or until the end, but not beyond the deadline.
    pub(crate) async fn fetch(&self, from: u64, deadline: tokio::time::Instant) -> Result<ResultRows, ResultsError> {
        loop {
            // Registered before the look, so that a change between look and wait is not missed.
            let changed = self.changed.notified();
            let found = self.look(from)?;
            if !found.rows.is_empty() || found.end {
                return Ok(found);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.look(from);
            }
        }
    }

    fn look(&self, from: u64) -> Result<ResultRows, ResultsError> {
        let mut state = self.lock();
        let next = state.first + state.rows.len() as u64;
        if from < state.first || from > next {
            return Err(ResultsError { from, first: state.first, next });
        }
        while state.first < from {
            if let Some(row) = state.rows.pop_front() {
                state.bytes -= row.len();
            }
            state.first += 1;
        }
        let rows: Vec<_> = state.rows.iter().take(ROWS_PER_ANSWER_MAX).cloned().collect();
        let end = state.ended && rows.len() == state.rows.len();
        Ok(ResultRows { next: from + rows.len() as u64, rows, end })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_types::{JobId, VertexId};

    fn rows(sequence: u64, rows: &[&str]) -> CollectedRows {
        let (job, vertex) = (JobId::from_bytes([1; 16]), VertexId::from_bytes([2; 16]));
        let attempt = AttemptId { job, vertex, subtask: 0, attempt: 0 };
        let rows = rows.iter().map(|row| row.as_bytes().to_vec()).collect();
        CollectedRows { attempt, node: NodeId(3), sequence, rows }
    }

    #[tokio::test]
    async fn a_lost_answer_loses_no_row_and_repeated_rows_are_dropped() {
        let results = Results::new(1_000);
        let soon = tokio::time::Instant::now();
        results.arrived(rows(0, &["a", "b"]));
        results.arrived(rows(1, &["b", "c"]));
        results.arrived(rows(7, &["gap"]));
        let first = results.fetch(0, soon).await.unwrap();
        assert_eq!(first.rows, [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]);
        assert_eq!(results.fetch(0, soon).await.unwrap(), first);
        results.end();
        let rest = results.fetch(first.next, soon).await.unwrap();
        assert_eq!((rest.rows.len(), rest.end), (0, true));
        assert!(results.fetch(0, soon).await.is_err(), "fetched rows are gone");
    }

    #[tokio::test]
    async fn sinks_wait_while_there_is_no_room() {
        let results = Results::new(2);
        results.arrived(rows(0, &["abc"]));
        assert_eq!(results.acknowledgements(), []);
        results.fetch(1, tokio::time::Instant::now()).await.unwrap();
        assert_eq!(results.acknowledgements().first().map(|told| told.received), Some(1));
        assert_eq!(results.acknowledgements(), [], "told once");
    }
}
