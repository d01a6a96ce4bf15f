//! The one way into a blocking thread.

use crate::ConnectorError;

/// Runs file IO where it holds up no async worker.
///
/// The work goes on to its end even if the future is dropped.
pub async fn blocking<T, F>(work: F) -> Result<T, ConnectorError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, ConnectorError> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(ConnectorError::Interrupted))
}
