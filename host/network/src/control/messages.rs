//! What travels on the control RPC, around the messages of [`millrace_protocol`].

use bytes::Bytes;
use millrace_protocol::{Answer, LogWanted, Question, ToJobManager, ToTaskManager};
use millrace_types::{Digest, LeaderEpoch, TaskManagerId, TenantId};
use serde::{Deserialize, Serialize};

/// The version of the messages. Both sides must have the same one: a cluster runs one version of Millrace.
pub const CONTROL_VERSION: u32 = 4;

/// The path of the stream of messages.
pub(crate) const CONNECT_PATH: &str = "/millrace.Control/Connect";

/// The path of the call that fetches a component.
pub(crate) const COMPONENT_PATH: &str = "/millrace.Control/FetchComponent";

/// The largest message, in bytes. The largest in use is the deployment of a task with very many channels.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a component is cut into, in bytes.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;

/// From a TaskManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromTaskManager {
    /// The first message. It stays the first variant, with its version in front, in all versions.
    Hello {
        /// [`CONTROL_VERSION`] of the sender.
        version: u32,
        /// The TaskManager in this life.
        id: TaskManagerId,
    },
    /// For the JobManager.
    Message(ToJobManager),
    /// The answer to [`FromJobManager::FetchLog`].
    Log {
        /// Which one.
        request: u64,
        /// The lines, or why there are none.
        text: Result<String, String>,
    },
    /// The answer to [`FromJobManager::Ask`].
    Answered {
        /// Which one.
        request: u64,
        /// The answer.
        answer: Box<Answer>,
    },
}

/// From the JobManager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FromJobManager {
    /// The TaskManager may not connect, or not go on; the connection ends behind this. First variant in all versions.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// The TaskManager may begin.
    Welcome {
        /// The leader.
        epoch: LeaderEpoch,
    },
    /// For the TaskManager.
    Message(Box<ToTaskManager>),
    /// The JobManager is alive.
    Alive,
    /// Where the leader's group takes TaskManagers, `HOST:PORT`: one of them leads next.
    JobManagers(Vec<String>),
    /// The JobManager wants a log.
    FetchLog {
        /// Names the answer.
        request: u64,
        /// Which lines.
        log: LogWanted,
    },
    /// The JobManager is not the leader, or no longer; the connection ends behind this.
    NotLeader {
        /// Where the leader takes TaskManagers, `HOST:PORT`, if that is known.
        leader: Option<String>,
    },
    /// The JobManager wants to know something that no decision rests on.
    Ask {
        /// Names the answer.
        request: u64,
        /// What.
        question: Box<Question>,
    },
}

/// Asks for a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ComponentRequest {
    /// The tenant whose job needs it.
    pub tenant: TenantId,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// A part of a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ComponentChunk {
    /// The next bytes.
    pub bytes: Bytes,
}
