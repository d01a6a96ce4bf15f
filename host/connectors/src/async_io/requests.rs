//! Runs the requests of one subtask.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinError, JoinSet};

use super::queue::{AsyncQueue, Ready, RequestId, ResultOrder};
use crate::ConnectorError;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncRow {
    /// Milliseconds since 1970, if it has a time.
    pub timestamp: Option<i64>,
    /// The record.
    pub payload: Bytes,
}

/// Asks somebody else about a row. Shared by all requests of a subtask.
#[async_trait]
pub trait AsyncFunction: Send + Sync + 'static {
    /// Who is asked, for messages.
    fn service(&self) -> &str;

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
        Err(ConnectorError::Timeout { service: self.service().to_owned(), after })
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
type Answer = (RequestId, Result<Results, ConnectorError>);

/// What waits for room.
enum Waiting {
    Row(AsyncRow),
    Watermark(i64),
}

/// The requests of one subtask. Dropped, it ends those that are under way.
pub struct AsyncRequests {
    function: Arc<dyn AsyncFunction>,
    timeout: Option<Duration>,
    queue: AsyncQueue<AsyncRow, Results>,
    running: JoinSet<Answer>,
    /// What there was no room for yet, in order. Restored rows go before any other.
    waiting: VecDeque<Waiting>,
    /// Why a request failed, until that is told.
    failed: Option<ConnectorError>,
}

impl AsyncRequests {
    /// Begins; `restored` is what [`AsyncRequests::snapshot`] gave, of this subtask's share. No request is made before
    /// the first call of another function, all of which have to be called within a runtime.
    ///
    /// # Errors
    /// [`ConnectorError::BadSnapshot`].
    pub fn new(
        function: Arc<dyn AsyncFunction>,
        settings: AsyncSettings,
        restored: &[Bytes],
    ) -> Result<Self, ConnectorError> {
        let row =
            |bytes: &Bytes| postcard::from_bytes(bytes).map(Waiting::Row).map_err(|_| ConnectorError::BadSnapshot);
        Ok(Self {
            function,
            timeout: settings.timeout,
            queue: AsyncQueue::new(settings.order, settings.capacity),
            running: JoinSet::new(),
            waiting: restored.iter().map(row).collect::<Result<_, _>>()?,
            failed: None,
        })
    }

    /// Whether requests were made for all rows. Whoever gives it rows nevertheless has them waiting, and bounds how many.
    pub fn has_room(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nothing is under way and nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.queue.is_empty() && self.failed.is_none()
    }

    /// Makes the request for a row, as soon as there is room.
    pub fn offer(&mut self, row: AsyncRow) {
        self.waiting.push_back(Waiting::Row(row));
        self.start_waiting();
    }

    /// Puts a watermark behind all rows so far.
    pub fn watermark(&mut self, at: i64) {
        match self.waiting.back_mut() {
            // No row came since the last one.
            Some(Waiting::Watermark(last)) => *last = at,
            _ => self.waiting.push_back(Waiting::Watermark(at)),
        }
        self.start_waiting();
    }

    fn start_waiting(&mut self) {
        while let Some(next) = self.waiting.pop_front() {
            match next {
                Waiting::Watermark(at) => self.queue.watermark(at),
                Waiting::Row(row) => match self.queue.push(row.clone()) {
                    Ok(id) => self.spawn(id, row),
                    Err(row) => return self.waiting.push_front(Waiting::Row(row)),
                },
            }
        }
    }

    fn spawn(&mut self, id: RequestId, row: AsyncRow) {
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
    }

    fn answered(&mut self, answer: Result<Answer, JoinError>) {
        match answer {
            Ok((id, Ok(results))) => self.queue.complete(id, results),
            Ok((_, Err(error))) => self.failed = Some(error),
            // The function panicked, or the runtime ends.
            Err(_) => self.failed = Some(ConnectorError::Interrupted),
        }
    }

    /// Waits until [`AsyncRequests::take`] has something to give.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.start_waiting();
            if self.failed.is_some() || self.queue.is_ready() {
                return Poll::Ready(());
            }
            match self.running.poll_join_next(cx) {
                Poll::Ready(Some(answer)) => self.answered(answer),
                // Nothing is under way: whoever offers a row asks again.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What is to be handed on next, if that is there.
    ///
    /// # Errors
    /// What the function returned; the task is then to fail.
    pub fn take(&mut self) -> Result<Option<AsyncEvent>, ConnectorError> {
        while let Some(answer) = self.running.try_join_next() {
            self.answered(answer);
        }
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let ready = self.queue.pop().map(|ready| match ready {
            Ready::Results((timestamp, records)) => AsyncEvent::Results { timestamp, records },
            Ready::Watermark(at) => AsyncEvent::Watermark(at),
        });
        self.start_waiting();
        Ok(ready)
    }

    /// The rows whose results have not been handed on, in their order, one element each: a list state, whose elements
    /// may be dealt out anew.
    ///
    /// # Errors
    /// [`ConnectorError::BadSnapshot`].
    pub fn snapshot(&self) -> Result<Vec<Bytes>, ConnectorError> {
        let waiting = self.waiting.iter().filter_map(|waiting| match waiting {
            Waiting::Row(row) => Some(row),
            Waiting::Watermark(_) => None,
        });
        let rows = self.queue.rows().chain(waiting);
        rows.map(|row| postcard::to_stdvec(row).map(Bytes::from).map_err(|_| ConnectorError::BadSnapshot)).collect()
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
