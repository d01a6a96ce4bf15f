//! JSON bodies: bounded, strict, with errors that say where and what.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::error::RestError;

/// A JSON body. An empty one is `{}`, as Flink takes it.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = RestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RestError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            RestError::new(rejection.status(), format!("The body cannot be read: {}", rejection.body_text()))
        })?;
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or("the request");
            RestError::bad_request(format!("Request did not match expected format {name}: {error}"))
        })
    }
}
