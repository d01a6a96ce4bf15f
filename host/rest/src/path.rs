//! Path and query parameters, with Flink's words for what is wrong.

use std::str::FromStr;

use crate::error::RestError;

/// Reads a path parameter.
pub(crate) fn path_parameter<T: FromStr>(name: &str, value: &str) -> Result<T, RestError> {
    value.parse().map_err(|_| cannot_resolve("path", name, value))
}

/// Reads a query parameter.
pub(crate) fn query_parameter<T: FromStr>(name: &str, value: &str) -> Result<T, RestError> {
    value.parse().map_err(|_| cannot_resolve("query", name, value))
}

pub(crate) fn cannot_resolve(kind: &str, name: &str, value: &str) -> RestError {
    let value: String = value.chars().take(200).collect();
    RestError::bad_request(format!(
        "Bad request, could not parse parameters: Cannot resolve {kind} parameter ({name}) from value \"{value}\"."
    ))
}
