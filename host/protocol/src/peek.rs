//! Looking at records on their way out of a task: for people alone, no decision rests on it.

use bytes::Bytes;
use millrace_types::{JobId, VertexId};
use serde::{Deserialize, Serialize};

/// The most records of one look.
pub const PEEK_RECORDS_MAX: u32 = 200;

/// What is kept at most of one record, and as much of its key, in bytes.
pub const PEEK_RECORD_BYTES_MAX: usize = 4 * 1024;

/// The longest that a look waits for records, in milliseconds.
pub const PEEK_WAIT_MS_MAX: u64 = 5_000;

/// Asks for the next records that the tasks of a vertex send along an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeekRequest {
    /// The job.
    pub job: JobId,
    /// The vertex.
    pub vertex: VertexId,
    /// The uid of the operator at the other end of the edge.
    pub target_uid: String,
    /// That operator's port.
    pub target_port: u32,
    /// How many records, of all tasks together; at most [`PEEK_RECORDS_MAX`].
    pub records_max: u32,
    /// How long to wait for the first one, in milliseconds; at most [`PEEK_WAIT_MS_MAX`].
    pub wait_ms: u64,
}

/// A record as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeekedRecord {
    /// The subtask that sent it.
    pub subtask: u32,
    /// Its timestamp, in milliseconds since 1970, if it has one.
    pub timestamp: Option<i64>,
    /// The beginning of its key, if it has one, at most [`PEEK_RECORD_BYTES_MAX`] of it. A record that is its own key
    /// travels as that alone.
    pub key: Option<Bytes>,
    /// The beginning of its payload, at most [`PEEK_RECORD_BYTES_MAX`] of it.
    pub payload: Bytes,
    /// Whether there was more of one of them.
    pub is_cut: bool,
}
