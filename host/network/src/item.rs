//! What travels in a channel.

use millrace_types::EventTime;
use millrace_wire::BatchView;

/// One thing in a channel. The order within a channel is the order in which it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Records.
    Batch(BatchView),
    /// No record with a timestamp at or below this one follows, in milliseconds since 1970.
    Watermark(EventTime),
    /// Nothing follows.
    EndOfInput,
}

impl Item {
    /// The bytes of buffer that it needs.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.byte_len(),
            Self::Watermark(_) | Self::EndOfInput => 0,
        }
    }
}
