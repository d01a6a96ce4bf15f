//! Runs the requests of one subtask.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::queue::{AsyncQueue, Ready, RequestId, ResultOrder};
use crate::ConnectorError;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncRow {
    /// Milliseconds since 1970, if it has a time.
    pub timestamp: Option<i64>,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// The record.
    pub payload: Bytes,
}

/// Asks somebody else about a row. Shared by all requests of a subtask.
#[async_trait]
pub trait AsyncFunction: Send + Sync + 'static {
    /// The results for a row: none, one or several records. They get the row's time. The future is dropped when the
    /// timeout passes or the task ends; after a failure the row may be asked about again.
    ///
    /// # Errors
    /// Whatever keeps the answer away; it fails the task.
    async fn invoke(&self, row: AsyncRow) -> Result<Vec<Bytes>, ConnectorError>;

    /// What becomes of a row that had no answer in time: an error that fails the task, unless this is overridden.
    ///
    /// # Errors
    /// [`ConnectorError::Timeout`].
    fn timed_out(&self, _row: AsyncRow, after: Duration) -> Result<Vec<Bytes>, ConnectorError> {
        Err(ConnectorError::Timeout { after })
    }
}

/// How requests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsyncSettings {
    /// In which order results are handed on.
    pub order: ResultOrder,
    /// How many rows at most are under way or wait to be handed on; 100 in Flink if not said.
    pub capacity: NonZeroUsize,
    /// How long a request may take; none: as long as it does.
    pub timeout: Option<Duration>,
}

/// What is handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AsyncEvent {
    /// The results of a row.
    Results {
        /// The row's time, which is theirs.
        timestamp: Option<i64>,
        /// The records.
        records: Vec<Bytes>,
    },
    /// A watermark, behind all rows that came before it.
    Watermark(i64),
}

type Results = (Option<i64>, Vec<Bytes>);

/// The requests of one subtask. Dropped, it ends those that are under way.
pub struct AsyncRequests<F> {
    function: Arc<F>,
    timeout: Option<Duration>,
    queue: AsyncQueue<AsyncRow, Results>,
    running: JoinSet<(RequestId, Result<Results, ConnectorError>)>,
    /// Restored rows that there was no room for yet. They go before any other.
    restored: VecDeque<AsyncRow>,
    /// The last watermark that came while restored rows waited for room: its place is behind them.
    held: Option<i64>,
}

impl<F: AsyncFunction> AsyncRequests<F> {
    /// Begins; `restored` is what [`AsyncRequests::snapshot`] gave, of this subtask's share. Requests are made by
    /// [`AsyncRequests::next`] and [`AsyncRequests::start`], within a runtime.
    ///
    /// # Errors
    /// [`ConnectorError::BadSnapshot`].
    pub fn new(function: Arc<F>, settings: AsyncSettings, restored: &[Bytes]) -> Result<Self, ConnectorError> {
        let row = |bytes: &Bytes| postcard::from_bytes(bytes).map_err(|_| ConnectorError::BadSnapshot);
        Ok(Self {
            function,
            timeout: settings.timeout,
            queue: AsyncQueue::new(settings.order, settings.capacity),
            running: JoinSet::new(),
            restored: restored.iter().map(row).collect::<Result<_, _>>()?,
            held: None,
        })
    }

    /// Whether a row can be taken; else [`AsyncRequests::next`] has to be waited for first.
    pub fn has_room(&self) -> bool {
        self.restored.is_empty() && self.queue.has_room()
    }

    /// Makes the request for a row; gives the row back if there is no room.
    ///
    /// # Errors
    /// The row.
    pub fn start(&mut self, row: AsyncRow) -> Result<(), AsyncRow> {
        self.start_restored();
        if self.has_room() { self.spawn(row) } else { Err(row) }
    }

    fn spawn(&mut self, row: AsyncRow) -> Result<(), AsyncRow> {
        let id = self.queue.push(row.clone())?;
        let (function, timeout) = (Arc::clone(&self.function), self.timeout);
        self.running.spawn(async move {
            let timestamp = row.timestamp;
            let records = match timeout {
                None => function.invoke(row).await,
                Some(after) => match tokio::time::timeout(after, function.invoke(row.clone())).await {
                    Ok(records) => records,
                    Err(_) => function.timed_out(row, after),
                },
            };
            (id, records.map(|records| (timestamp, records)))
        });
        Ok(())
    }

    fn start_restored(&mut self) {
        while let Some(row) = self.restored.pop_front() {
            if let Err(row) = self.spawn(row) {
                self.restored.push_front(row);
                return;
            }
        }
        if let Some(at) = self.held.take() {
            self.queue.watermark(at);
        }
    }

    /// Puts a watermark behind all rows so far.
    pub fn watermark(&mut self, at: i64) {
        self.held = Some(at);
        self.start_restored();
    }

    /// What is to be handed on next; `None`: nothing is under way. May be dropped and called again.
    ///
    /// # Errors
    /// What the function returned; the task is then to fail.
    pub async fn next(&mut self) -> Result<Option<AsyncEvent>, ConnectorError> {
        loop {
            self.start_restored();
            match self.queue.pop() {
                Some(Ready::Results((timestamp, records))) => {
                    return Ok(Some(AsyncEvent::Results { timestamp, records }));
                }
                Some(Ready::Watermark(at)) => return Ok(Some(AsyncEvent::Watermark(at))),
                None => {}
            }
            match self.running.join_next().await {
                None => return Ok(None),
                Some(Ok((id, results))) => self.queue.complete(id, results?),
                // The function panicked, or the runtime ends.
                Some(Err(_)) => return Err(ConnectorError::Interrupted),
            }
        }
    }

    /// The rows whose results have not been handed on, in their order, one element each: a list state, whose elements
    /// may be dealt out anew.
    ///
    /// # Errors
    /// [`ConnectorError::BadSnapshot`].
    pub fn snapshot(&self) -> Result<Vec<Bytes>, ConnectorError> {
        let rows = self.queue.rows().chain(&self.restored);
        rows.map(|row| postcard::to_stdvec(row).map(Bytes::from).map_err(|_| ConnectorError::BadSnapshot)).collect()
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
