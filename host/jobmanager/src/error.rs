//! Why the Dispatcher did not do what it was asked.

use millrace_metadata::MetadataError;
use millrace_types::{Failure, FailureKind};

/// Why the Dispatcher did not do what it was asked. REST turns each into its status.
#[derive(Debug, thiserror::Error)]
pub enum DispatcherError {
    /// It does not exist, or belongs to another tenant.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong; the text says how to put it right.
    #[error("{0}")]
    Invalid(String),
    /// The application is wrong.
    #[error("{0}")]
    Application(Box<Failure>),
    /// The request does not fit the state of things.
    #[error("{0}")]
    Conflict(String),
    /// It cannot be done now; trying again later may help.
    #[error("{0}")]
    Unavailable(String),
    /// Another JobManager leads, or nobody for the moment. Nothing was done.
    #[error("{0}")]
    NotLeading(String),
    /// A fault of the cluster, such as a full disk.
    #[error("{0}")]
    Internal(String),
}

impl From<Failure> for DispatcherError {
    fn from(failure: Failure) -> Self {
        match failure.kind {
            FailureKind::Internal => Self::Internal(failure.to_string()),
            FailureKind::Storage => Self::Unavailable(failure.to_string()),
            _ => Self::Application(Box::new(failure)),
        }
    }
}

impl From<MetadataError> for DispatcherError {
    fn from(error: MetadataError) -> Self {
        match error {
            error if error.is_fenced() => Self::NotLeading(error.to_string()),
            MetadataError::NotLeader { .. } => Self::NotLeading(error.to_string()),
            MetadataError::OutcomeUnknown(_) | MetadataError::Closed => Self::Unavailable(error.to_string()),
            MetadataError::Membership(_) => Self::Conflict(error.to_string()),
            MetadataError::Rejected(rejection) if rejection.is_not_found() => Self::NotFound(rejection.to_string()),
            MetadataError::Rejected(rejection) if rejection.is_retryable() => Self::Unavailable(rejection.to_string()),
            MetadataError::Rejected(rejection) => Self::Conflict(rejection.to_string()),
            other => Self::Internal(other.to_string()),
        }
    }
}

impl From<millrace_storage::StorageError> for DispatcherError {
    fn from(error: millrace_storage::StorageError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// A blocking task that did not come back: it panicked, or the runtime is going down.
pub(crate) fn lost_task(error: &tokio::task::JoinError) -> DispatcherError {
    DispatcherError::Internal(format!("a worker of the JobManager was lost: {error}"))
}
