//! What can go wrong on the control RPC.

use std::time::Duration;

/// Why a JobManager cannot be reached, or no longer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// The address is none.
    #[error("\"{address}\" is no address of a JobManager: write HOST:PORT ({reason})")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The listener could not be opened.
    #[error("cannot listen on {address} for TaskManagers: {reason}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Nobody answers there.
    #[error("the JobManager at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The JobManager does not want this TaskManager.
    #[error("the JobManager refused this TaskManager: {reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// Another JobManager leads, or none.
    #[error("the JobManager at {address} is not the leader{}", leader.as_ref().map_or(String::new(), |leader| format!(": {leader} is")))]
    NotLeader {
        /// Who said so.
        address: String,
        /// The leader's address, if it is known.
        leader: Option<String>,
    },
    /// The connection is gone.
    #[error("the connection to the JobManager has ended: {reason}")]
    Closed {
        /// Why.
        reason: String,
    },
    /// The JobManager has said nothing for too long.
    #[error("the JobManager was not heard of for {} ms", waited.as_millis())]
    Silent {
        /// How long.
        waited: Duration,
    },
}

/// A TaskManager's connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its connection is closed")]
pub struct LinkClosed;

/// A status with its causes, in one line.
pub(crate) fn describe(status: &tonic::Status) -> String {
    let mut text = if status.message().is_empty() { status.code().to_string() } else { status.message().to_owned() };
    let mut cause = std::error::Error::source(status);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        cause = next.source();
    }
    text
}
