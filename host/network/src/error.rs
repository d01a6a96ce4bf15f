//! What can go wrong between two tasks.

use std::time::Duration;

use millrace_graph::Partitioning;
use millrace_protocol::ChannelId;

/// The consumer of a channel is gone: its task has ended, and this one's is about to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the consumer of channel {} -> {} (edge {}) is gone: its task failed or was cancelled; see that task's failure",
    channel.source_subtask, channel.target_subtask, channel.edge
)]
pub struct ChannelClosed {
    /// The channel.
    pub channel: ChannelId,
}

/// Why a gate gives nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The producer vanished before the end of its output.
    #[error(
        "the producer of channel {} -> {} (edge {}) is gone before the end of its output: its task failed or was \
         cancelled; see that task's failure", channel.source_subtask, channel.target_subtask, channel.edge
    )]
    ProducerGone {
        /// The channel.
        channel: ChannelId,
    },
}

/// Why two tasks did not find each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The other side did not come in time.
    #[error(
        "channel {} -> {} (edge {}) was not connected within {} s: the task at its other end did not start; see that \
         task's state", channel.source_subtask, channel.target_subtask, channel.edge, waited.as_secs()
    )]
    TimedOut {
        /// The channel; where several are missing, one of them.
        channel: ChannelId,
        /// How long was waited.
        waited: Duration,
    },
    /// One side of the channel was there already.
    #[error(
        "channel {} -> {} (edge {}) has this end already: the attempt was deployed twice",
        channel.source_subtask, channel.target_subtask, channel.edge
    )]
    Duplicate {
        /// The channel.
        channel: ChannelId,
    },
}

/// Why a batch cannot be written to an edge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The consumer of a channel is gone.
    #[error(transparent)]
    Closed(#[from] ChannelClosed),
    /// The edge is partitioned by key, and the batch has no keys.
    #[error(
        "a batch without keys was emitted to an edge that is partitioned by key: emit it KEYED, through the port of \
         a keyed stream"
    )]
    NoKeys,
    /// The deployment gives the edge another number of channels than its partitioning takes.
    #[error("an edge of partitioning {partitioning} has {channels} channels, and it takes {expected}")]
    Channels {
        /// The partitioning.
        partitioning: Partitioning,
        /// The number of channels.
        channels: usize,
        /// The number that it takes, in words.
        expected: &'static str,
    },
}
