//! The limits that hold where nothing else is configured.

use serde::{Deserialize, Serialize};

/// What a batch aims at, in bytes.
pub const BATCH_BYTES: u32 = 64 * 1024;

/// How long a partly filled batch waits for more rows: Flink's `execution.buffer-timeout`, shorter.
pub const BUFFER_TIMEOUT_MS: u64 = 5;

/// The longest row, in bytes.
pub const RECORD_BYTES_MAX: u32 = 16 * 1024 * 1024;

/// What an instance may keep cached of its state, in bytes.
pub const STATE_CACHE_BYTES: u32 = 32 * 1024 * 1024;

/// The most subtasks of one vertex.
pub const MAX_PARALLELISM_PER_VERTEX: u32 = 4096;

/// What one instance of a guest may use. On by default, for every instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxLimits {
    /// Linear memory, in bytes.
    pub memory_bytes_max: u64,
    /// Elements of all tables.
    pub table_elements_max: u32,
    /// How long one call may run, in milliseconds of its own running time.
    pub call_deadline_ms: u64,
    /// What one call may emit, in bytes.
    pub output_bytes_per_call_max: u64,
    /// Log lines a second; more are counted and dropped.
    pub log_lines_per_second_max: u32,
}

impl Default for SandboxLimits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 * 1024 * 1024,
            table_elements_max: 100_000,
            call_deadline_ms: 10_000,
            output_bytes_per_call_max: 256 * 1024 * 1024,
            log_lines_per_second_max: 1_000,
        }
    }
}
