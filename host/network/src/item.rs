//! What travels in a channel.

use std::sync::Arc;

use millrace_types::{Barrier, EventTime};
use millrace_wire::BatchView;

/// One thing in a channel. The order within a channel is the order in which it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Records.
    Batch(BatchView),
    /// No record with a timestamp at or below this one follows, in milliseconds since 1970.
    Watermark(EventTime),
    /// Whether records and watermarks are to be expected. Flink's `WatermarkStatus`; a channel is active at first.
    Status {
        /// Whether the channel is idle from here on.
        idle: bool,
    },
    /// What came before belongs to the checkpoint, and what follows does not.
    Barrier(Arc<Barrier>),
    /// Nothing follows.
    EndOfInput,
}

impl Item {
    /// The bytes of buffer that it needs.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.byte_len(),
            Self::Watermark(_) | Self::Status { .. } | Self::Barrier(_) | Self::EndOfInput => 0,
        }
    }
}
