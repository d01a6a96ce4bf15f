//! What a source is to the task that reads it.

use async_trait::async_trait;
use millrace_wire::BatchBuilder;

use crate::{ConnectorError, FileRoots};

/// What a source gets from the task that it runs in.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// The folders that it may read.
    pub roots: FileRoots,
}

/// Whether there is more to read from a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollStatus {
    /// There is more to read at once.
    More,
    /// There is nothing for a while.
    Idle {
        /// How long, in milliseconds; at least 1.
        wait_ms: u32,
    },
    /// The split is read to its end.
    Finished,
}

/// The answer of [`SourceReader::poll`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Where to go on reading; opaque.
    pub offset: Vec<u8>,
    /// Whether there is more. Rows may come with every status.
    pub status: PollStatus,
}

/// Reads splits.
#[async_trait]
pub trait SourceReader: Send {
    /// Appends about `max_bytes` of rows from a split to `out`, a builder of batches without timestamps and keys.
    ///
    /// `offset` is empty at the first call, or what any earlier call for the split returned, even one of another
    /// reader. A reader keeps the last split open, so that polling on where it stopped costs nothing extra. When the
    /// future is dropped, or fails, what `out` got is to be thrown away; the reader can be polled again.
    ///
    /// # Errors
    /// Whatever is wrong with the split's input.
    async fn poll(
        &mut self,
        split: &[u8],
        offset: &[u8],
        out: &mut BatchBuilder,
        max_bytes: usize,
    ) -> Result<Polled, ConnectorError>;
}
