//! Records on their way between tasks: Millrace's own.

use serde::{Deserialize, Serialize};

/// `GET /jobs/:jobid/vertices/:vertexid/peek`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeekedRecords {
    /// The next records that the vertex sent, in no order among subtasks.
    pub records: Vec<PeekedRecord>,
    /// Whether there were more than was asked for, or more of one of them.
    pub truncated: bool,
}

/// A record as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeekedRecord {
    /// The subtask that sent it.
    pub subtask: u32,
    /// Its timestamp, in milliseconds since 1970, if it has one.
    pub timestamp: Option<i64>,
    /// `text`, `json`, `fields` (a list of texts, as JSON), or `bytes` in hexadecimal digits.
    pub format: String,
    /// The record, or its beginning.
    pub value: String,
    /// Of `bytes` what can be read of them, a `.` for each of the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub printable: Option<String>,
    /// The key that it is sent by, if it is, or its beginning, in hexadecimal digits. A record that is its own key has an
    /// empty value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What can be read of the key, a `.` for each of the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub printable_key: Option<String>,
}
