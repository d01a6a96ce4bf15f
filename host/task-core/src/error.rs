//! What can go wrong, all of it by the hand of a guest.

use millrace_types::{Failure, FailureKind, NodeId, format_bytes};

/// Why an event does not fit the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// A node that is not in the chain.
    #[error("operator {node} is not part of this task")]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// A gate that the task does not have.
    #[error("there is no input gate {gate}: this task has {count}")]
    UnknownGate {
        /// The gate.
        gate: usize,
        /// How many there are.
        count: usize,
    },
    /// A node emitted a watermark, or is said to have none, and had not said that it would.
    #[error("operator \"{uid}\" emitted a watermark, and the graph does not say that it generates any")]
    NotGenerating {
        /// The operator's uid.
        uid: String,
    },
    /// The end of a source that is none.
    #[error("operator \"{uid}\" is not a source")]
    NotASource {
        /// The operator's uid.
        uid: String,
    },
}

impl From<ProgressError> for Failure {
    fn from(error: ProgressError) -> Self {
        let kind = match error {
            ProgressError::UnknownNode { .. } | ProgressError::NotGenerating { .. } => FailureKind::Contract,
            ProgressError::UnknownGate { .. } | ProgressError::NotASource { .. } => FailureKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

/// Why a timer was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimerError {
    /// Too many timers.
    #[error("operator {node} set a timer beyond the limit of {max} timers of one task")]
    TooMany {
        /// The operator.
        node: NodeId,
        /// The limit.
        max: usize,
    },
    /// Timers with too long keys.
    #[error("operator {node} set a timer with which the timers of one task exceed {}", format_bytes(*max))]
    TooLarge {
        /// The operator.
        node: NodeId,
        /// The limit, in bytes.
        max: u64,
    },
}

impl From<TimerError> for Failure {
    fn from(error: TimerError) -> Self {
        Self::new(FailureKind::Memory, error.to_string()).with_remedy(
            "Raise the parallelism, or set fewer timers: one for each key and rounded time is often enough.",
        )
    }
}
