//! What a request that fails is answered with.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_jobmanager::DispatcherError;
use millrace_rest_api::Errors;

/// A status and what went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RestError {
    status: StatusCode,
    errors: Vec<String>,
    /// Nothing was done, for want of a leader: there will be one soon.
    undone: bool,
}

/// When a client without a leader is to ask again, in seconds: the least that the header can say.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl RestError {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()], undone: false }
    }

    /// Nothing was done: nobody leads.
    pub(crate) fn nobody_leads(error: impl Into<String>) -> Self {
        Self { undone: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, error) }
    }

    /// What cannot be written as JSON.
    pub(crate) fn unshowable(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer cannot be shown: {error}"))
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
            DispatcherError::Unavailable(_) | DispatcherError::NotLeading(_) => StatusCode::SERVICE_UNAVAILABLE,
            DispatcherError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(%error, "a request failed");
        }
        let undone = matches!(error, DispatcherError::NotLeading(_));
        Self { undone, ..Self::new(status, error.to_string()) }
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Errors { errors: self.errors })).into_response();
        if self.undone {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
