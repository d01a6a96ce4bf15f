//! What a request that fails is answered with.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use millrace_jobmanager::DispatcherError;
use millrace_rest_api::Errors;

/// A status and what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestError {
    status: StatusCode,
    errors: Vec<String>,
}

impl RestError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()] }
    }

    pub(crate) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }
}

impl From<DispatcherError> for RestError {
    fn from(error: DispatcherError) -> Self {
        let status = match &error {
            DispatcherError::NotFound(_) => StatusCode::NOT_FOUND,
            DispatcherError::Invalid(_) | DispatcherError::Application(_) => StatusCode::BAD_REQUEST,
            DispatcherError::Conflict(_) => StatusCode::CONFLICT,
            DispatcherError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            DispatcherError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(%error, "a request failed");
        }
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        (self.status, Json(Errors { errors: self.errors })).into_response()
    }
}
