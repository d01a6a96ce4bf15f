//! How the metadata are kept.

use std::path::PathBuf;

/// The largest command, in bytes as it is written.
pub(crate) const COMMAND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The commands that wait or are being written, in bytes.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most commands that wait.
pub(crate) const QUEUE_COMMANDS_MAX: usize = 1_024;

/// The most commands of one transaction.
pub(crate) const BATCH_COMMANDS_MAX: usize = 256;

/// A log of this size is replaced by a snapshot, in bytes, unless the snapshot would be larger than the log.
pub(crate) const LOG_BYTES_MIN: u64 = 8 * 1024 * 1024;

/// How the metadata are kept.
#[derive(Debug, Clone)]
pub struct MetadataOptions {
    /// The file. Its folder has to exist; it is created where it is missing.
    pub path: PathBuf,
    /// What redb may cache, in bytes.
    pub cache_bytes: usize,
    /// So many log entries are replaced by a snapshot.
    pub snapshot_entries: u64,
}

impl MetadataOptions {
    /// The defaults, for this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        // The state itself is in memory; the file is read when it is opened and only then.
        Self { path: path.into(), cache_bytes: 8 * 1024 * 1024, snapshot_entries: 1_024 }
    }
}
