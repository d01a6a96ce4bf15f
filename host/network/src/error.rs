//! What can go wrong between two tasks.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use millrace_graph::Partitioning;
use millrace_protocol::ChannelId;
use millrace_types::TaskManagerId;
use millrace_wire::ID_BYTES_MAX;

/// What is known about the end of a channel's other end, if it is more than that it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause(pub(crate) Option<Arc<str>>);

impl Cause {
    pub(crate) fn of(text: &str) -> Self {
        Self(Some(Arc::from(text)))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or("its task failed or was cancelled; see that task's failure"))
    }
}

/// The consumer of a channel is gone: its task has ended, and this one's is about to be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the consumer of channel {} -> {} (edge {}) is gone: {cause}",
    channel.source_subtask, channel.target_subtask, channel.edge
)]
pub struct ChannelClosed {
    /// The channel.
    pub channel: ChannelId,
    /// Why.
    pub cause: Cause,
}

/// Why a gate gives nothing more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The producer vanished before the end of its output.
    #[error(
        "the producer of channel {} -> {} (edge {}) is gone before the end of its output: {cause}",
        channel.source_subtask, channel.target_subtask, channel.edge
    )]
    ProducerGone {
        /// The channel.
        channel: ChannelId,
        /// Why.
        cause: Cause,
    },
}

/// Why two tasks did not find each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// The consumer's TaskManager has no such consumer.
    #[error(
        "channel {} -> {} (edge {}) was refused by TaskManager {peer}: {reason}",
        channel.source_subtask, channel.target_subtask, channel.edge
    )]
    Refused {
        /// The channel.
        channel: ChannelId,
        /// The TaskManager.
        peer: TaskManagerId,
        /// What it says.
        reason: String,
    },
    /// There is no connection to the consumer's TaskManager.
    #[error(
        "channel {} -> {} (edge {}) has no connection to TaskManager {peer} at {address}: {reason}",
        channel.source_subtask, channel.target_subtask, channel.edge
    )]
    Unreachable {
        /// The channel.
        channel: ChannelId,
        /// The TaskManager.
        peer: TaskManagerId,
        /// Where it was to be.
        address: String,
        /// What went wrong.
        reason: String,
    },
}

/// Why a TaskManager cannot take records from others.
#[derive(Debug, thiserror::Error)]
pub enum DataPlaneError {
    /// The address cannot be listened on.
    #[error("cannot listen for records on {address}: {source}; give a free address of this machine")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Others cannot be told where to send.
    #[error(
        "records are taken on all addresses of this machine ({address}), and others must be told one: set the host \
         that they can reach it by"
    )]
    NoHost {
        /// The address.
        address: SocketAddr,
    },
    /// The id does not fit into a handshake.
    #[error("the id of a TaskManager has {bytes} bytes; it takes 1 to {ID_BYTES_MAX}")]
    Id {
        /// Its length, in bytes.
        bytes: usize,
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
