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
    /// Said by a gate, ahead of what lies in its channels, and sent by nobody: this barrier lies in a channel, and its
    /// checkpoint may become unaligned. The barrier itself follows in its turn.
    Announced {
        /// The barrier.
        barrier: Arc<Barrier>,
        /// Whether it has overtaken what its producer had not sent, so that it is to overtake here too.
        overtaking: bool,
    },
    /// Nothing follows.
    EndOfInput,
}

impl Item {
    /// The bytes of buffer that it needs.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.byte_len(),
            Self::Watermark(_) | Self::Status { .. } | Self::Barrier(_) | Self::Announced { .. } | Self::EndOfInput => {
                0
            }
        }
    }
}
