//! Rows of a job's `collect` sinks on their way to the client.
//!
//! Invariants: rows have consecutive positions; asking for position n lets go of the rows before n, so that a client
//! that lost an answer asks again and misses nothing. At most `bytes_max` plus what the sinks have under way are
//! held; the sinks are told to go on when there is room.
//!
//! A sink that restarts sends its rows from the first one on, so those of its earlier attempts are void. As long as no
//! client has read any of them they are dropped, and nobody notices. A client that has is told so, once and clearly,
//! since rows cannot be taken back: it reads from position 0 again, or gives up, as in Flink, where reading the results
//! of a job without checkpoints fails when the job restarts. Rows of sinks that have not restarted are not sent again.
//! One that goes on from a checkpoint does not send again what it sent before that: its rows stay, and those behind the
//! checkpoint may come twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_protocol::CollectedRows;
use millrace_types::{AttemptId, NodeId, VertexId};
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
pub enum ResultsError {
    /// The position is before the rows that are held, or behind them.
    #[error("row {from} is gone: rows before {first} were fetched already, and row {next} is the next to come")]
    Gone {
        /// The position.
        from: u64,
        /// The first row that is held.
        first: u64,
        /// The row that comes next.
        next: u64,
    },
    /// Rows that were read are void.
    #[error(
        "the job has restarted and sends its results again: the rows that were read so far are void; discard them and \
         read from row 0"
    )]
    Restarted,
}

/// An acknowledgement that a sink waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) attempt: AttemptId,
    pub(crate) node: NodeId,
    pub(crate) received: u64,
}

/// A row, and whose it is.
#[derive(Debug)]
struct Row {
    vertex: VertexId,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    /// The position of the first row that is held.
    first: u64,
    rows: VecDeque<Row>,
    bytes: usize,
    /// The vertices whose rows a client was given.
    given_of: BTreeSet<VertexId>,
    /// A client was given rows that are void, and has not begun again.
    void: bool,
    /// The present attempt of vertices that have restarted.
    attempts: BTreeMap<VertexId, u32>,
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

    /// The tasks of a vertex run under this attempt from now on: rows of earlier ones are void.
    pub(crate) fn restarted(&self, vertex: VertexId, attempt: u32) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let present = state.attempts.entry(vertex).or_default();
        if *present >= attempt {
            return;
        }
        *present = attempt;
        state.sinks.retain(|(sink, _), _| sink.vertex != vertex);
        state.void |= state.given_of.remove(&vertex);
        // Rows that a client was given and may ask for again come first. Where none of them is void they keep their
        // places, and where one is the client begins again.
        state.rows.retain(|row| row.vertex != vertex);
        state.bytes = state.rows.iter().map(|row| row.bytes.len()).sum();
        drop(guard);
        self.changed.notify_waiters();
    }

    /// The tasks of a vertex go on under this attempt from a checkpoint: what they sent before stays, and late rows of
    /// earlier attempts are dropped. Rows between the checkpoint and the failure come again.
    pub(crate) fn resumed(&self, vertex: VertexId, attempt: u32) {
        let mut state = self.lock();
        let present = state.attempts.entry(vertex).or_default();
        if *present < attempt {
            *present = attempt;
            state.sinks.retain(|(sink, _), _| sink.vertex != vertex);
        }
    }

    /// Takes rows of a sink. Rows of an attempt that is over are dropped. Rows that arrived before are dropped; a gap means a sink that breaks the protocol, and its
    /// rows are dropped too, so that it is never told of them.
    pub(crate) fn arrived(&self, collected: CollectedRows) {
        let mut state = self.lock();
        let vertex = collected.attempt.vertex;
        if state.attempts.get(&vertex).is_some_and(|present| collected.attempt.attempt < *present) {
            return;
        }
        let (arrived, _) = *state.sinks.entry((collected.attempt, collected.node)).or_default();
        let Some(known) = arrived.checked_sub(collected.sequence) else { return };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let mut count = 0;
        for row in collected.rows.into_iter().skip(known) {
            state.bytes += row.len();
            state.rows.push_back(Row { vertex, bytes: row });
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
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.void && from > 0 {
            return Err(ResultsError::Restarted);
        }
        if std::mem::take(&mut state.void) {
            // The client begins again: rows that are held, and those to come, count from 0.
            state.first = 0;
            state.given_of.clear();
        }
        let next = state.first + state.rows.len() as u64;
        if from < state.first || from > next {
            return Err(ResultsError::Gone { from, first: state.first, next });
        }
        while state.first < from {
            if let Some(row) = state.rows.pop_front() {
                state.bytes -= row.bytes.len();
            }
            state.first += 1;
        }
        let given = state.rows.iter().take(ROWS_PER_ANSWER_MAX);
        state.given_of.extend(given.clone().map(|row| row.vertex));
        let rows: Vec<_> = given.map(|row| row.bytes.clone()).collect();
        let end = state.ended && rows.len() == state.rows.len();
        Ok(ResultRows { next: from + rows.len() as u64, rows, end })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_types::JobId;

    fn rows_of(vertex: u8, attempt: u32, sequence: u64, rows: &[&str]) -> CollectedRows {
        let (job, vertex) = (JobId::from_bytes([1; 16]), VertexId::from_bytes([vertex; 16]));
        let attempt = AttemptId { job, vertex, subtask: 0, attempt };
        let rows = rows.iter().map(|row| row.as_bytes().to_vec()).collect();
        CollectedRows { attempt, node: NodeId(3), sequence, rows }
    }

    fn rows(sequence: u64, rows: &[&str]) -> CollectedRows {
        rows_of(2, 0, sequence, rows)
    }

    async fn fetched(results: &Results, from: u64) -> Result<Vec<String>, ResultsError> {
        let found = results.fetch(from, tokio::time::Instant::now()).await?;
        Ok(found.rows.into_iter().map(|row| String::from_utf8(row).unwrap()).collect())
    }

    #[tokio::test]
    async fn rows_of_an_attempt_that_is_over_are_dropped_before_anybody_has_read_them() {
        let results = Results::new(4);
        results.arrived(rows_of(9, 0, 0, &["x"]));
        results.arrived(rows_of(2, 0, 0, &["a", "b", "c"]));
        assert_eq!(results.acknowledgements(), [], "no room");
        results.restarted(VertexId::from_bytes([2; 16]), 1);
        results.arrived(rows_of(2, 0, 3, &["late"]));
        results.arrived(rows_of(2, 1, 0, &["a"]));
        results.restarted(VertexId::from_bytes([2; 16]), 1);
        assert_eq!(fetched(&results, 0).await.unwrap(), ["x", "a"]);
        let told: Vec<_> =
            results.acknowledgements().iter().map(|told| (told.attempt.attempt, told.received)).collect();
        assert_eq!(told, [(1, 1), (0, 1)]);
    }

    #[tokio::test]
    async fn a_client_that_has_read_rows_that_are_void_is_told_and_begins_again() {
        let results = Results::new(1_000);
        results.arrived(rows_of(2, 0, 0, &["a", "b"]));
        assert_eq!(fetched(&results, 0).await.unwrap(), ["a", "b"]);
        results.restarted(VertexId::from_bytes([2; 16]), 1);
        results.arrived(rows_of(2, 1, 0, &["a"]));
        assert_eq!(fetched(&results, 2).await, Err(ResultsError::Restarted));
        assert_eq!(fetched(&results, 0).await.unwrap(), ["a"]);
        results.arrived(rows_of(2, 1, 1, &["b"]));
        assert_eq!(fetched(&results, 1).await.unwrap(), ["b"]);
    }

    #[tokio::test]
    async fn rows_before_a_checkpoint_that_a_sink_goes_on_from_stay() {
        let results = Results::new(1_000);
        results.arrived(rows_of(2, 0, 0, &["a", "b"]));
        assert_eq!(fetched(&results, 0).await.unwrap(), ["a", "b"]);
        results.resumed(VertexId::from_bytes([2; 16]), 1);
        results.arrived(rows_of(2, 0, 2, &["late"]));
        results.arrived(rows_of(2, 1, 0, &["b", "c"]));
        assert_eq!(fetched(&results, 2).await.unwrap(), ["b", "c"]);
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
