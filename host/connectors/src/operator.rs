//! What an operator of the host is to the task that runs it.

use std::sync::Arc;

use crate::HttpOrigins;
use crate::async_io::{AsyncFunction, AsyncSettings};

/// What an operator gets from the task that it runs in.
#[derive(Debug, Clone)]
pub struct OperatorContext {
    /// The origins that it may send requests to.
    pub origins: HttpOrigins,
}

/// An operator that asks somebody else about each record: the task runs it by [`AsyncRequests`](crate::AsyncRequests).
pub struct AsyncOperator {
    /// Makes the requests.
    pub function: Arc<dyn AsyncFunction>,
    /// How they are run.
    pub settings: AsyncSettings,
}
