//! What all parts of one running task share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use millrace_network::{ChannelClosed, ExchangeError, GateError};
use millrace_types::{AttemptId, Failure, FailureKind, Timestamp};

use crate::log::{Level, TaskLog};
use crate::metrics::TaskMetrics;

/// Why a task stops before its end.
#[derive(Debug)]
pub(crate) enum TaskError {
    /// Something of its own went wrong.
    Failed(Failure),
    /// The task at the other end of a channel is gone. That task's failure is the cause to be told.
    PeerGone(Failure),
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn peer_gone(message: String) -> TaskError {
    TaskError::PeerGone(Failure::new(FailureKind::TaskManagerLost, message))
}

impl From<GateError> for TaskError {
    fn from(error: GateError) -> Self {
        peer_gone(error.to_string())
    }
}

impl From<ChannelClosed> for TaskError {
    fn from(error: ChannelClosed) -> Self {
        peer_gone(error.to_string())
    }
}

impl From<ExchangeError> for TaskError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::TimedOut { .. } | ExchangeError::Refused { .. } | ExchangeError::Unreachable { .. } => {
                peer_gone(error.to_string())
            }
            ExchangeError::Duplicate { .. } => Failure::new(FailureKind::Internal, error.to_string()).into(),
        }
    }
}

/// What all parts of one task know.
#[derive(Debug)]
pub(crate) struct TaskShared {
    pub attempt: AttemptId,
    pub metrics: Arc<TaskMetrics>,
    pub log: TaskLog,
    /// Why a function of the host failed the guest's call that it was called from, in full.
    cause: Mutex<Option<TaskError>>,
}

impl TaskShared {
    pub(crate) fn new(attempt: AttemptId, metrics: Arc<TaskMetrics>, log: TaskLog) -> Self {
        Self { attempt, metrics, log, cause: Mutex::new(None) }
    }

    /// Keeps the cause of a guest's failure that only the host knows. The first one counts.
    pub(crate) fn blame(&self, cause: TaskError) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(cause);
    }

    /// The error of a guest's call: the host's own cause, if there is one, with the guest's stack, and of the operator
    /// that was called if the cause names none.
    pub(crate) fn guest_failed(&self, seen: Failure) -> TaskError {
        let cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner).take();
        match cause {
            None => TaskError::Failed(seen),
            Some(TaskError::Failed(mut cause)) => {
                cause.operator = cause.operator.or(seen.operator);
                TaskError::Failed(cause.with_backtrace(seen.backtrace))
            }
            Some(peer_gone) => peer_gone,
        }
    }

    /// Writes a line to the task's log.
    pub(crate) fn line(&self, level: Level, operator: &str, text: &str) {
        self.log.line(wall_clock(), level, operator, text);
    }
}

/// The wall clock.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
