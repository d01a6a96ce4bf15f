//! Sinks of the host that need no files.

use super::native::NativeSink;
use crate::format::{Json, Opaque, Raw, Shown};

/// Writes records to the task's log.
pub struct PrintSink;

impl PrintSink {
    /// Each record as it displays.
    #[expect(clippy::new_ret_no_self, reason = "reads like Flink's print()")]
    pub fn new() -> NativeSink<Shown> {
        NativeSink::new("print")
    }
}

/// Drops records: for measurements.
pub struct DiscardSink;

impl DiscardSink {
    /// Records are encoded, handed over and dropped.
    #[expect(clippy::new_ret_no_self, reason = "reads like Flink's DiscardingSink")]
    pub fn new() -> NativeSink<Opaque> {
        NativeSink::new("discard")
    }
}

/// Sends records to the client that follows the application.
pub struct CollectSink;

impl CollectSink {
    /// Each record is a line.
    pub fn lines() -> NativeSink<Raw> {
        NativeSink::new("collect")
    }

    /// Each record is a JSON value.
    pub fn json() -> NativeSink<Json> {
        NativeSink::new("collect")
    }
}
