//! What Raft is told about this crate's log entries, answers and members.

use std::fmt;
use std::io::Cursor;

use millrace_metadata_core::{Applied, Command, Rejection};
use millrace_types::LeaderEpoch;
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// The types of a metadata group.
    pub(crate) RaftTypes:
        D = Batch,
        R = Answers,
        NodeId = MemberId,
        Node = MemberAddresses,
        Entry = openraft::Entry<RaftTypes>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime,
);

pub(crate) type Raft = openraft::Raft<RaftTypes>;
pub(crate) type Entry = openraft::Entry<RaftTypes>;
pub(crate) type LogId = openraft::LogId<MemberId>;
pub(crate) type Vote = openraft::Vote<MemberId>;
pub(crate) type StoredMembership = openraft::StoredMembership<MemberId, MemberAddresses>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<MemberId, MemberAddresses>;
pub(crate) type Metrics = openraft::RaftMetrics<MemberId, MemberAddresses>;

/// A member of the group. An id is never used again for another member.
pub type MemberId = u64;

/// Where a member is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberAddresses {
    /// Where the other members and TaskManagers reach it, `HOST:PORT`; empty while it is alone and embedded.
    pub rpc: String,
    /// Where clients reach it, `HOST:PORT`; may be empty.
    pub rest: String,
}

impl fmt::Display for MemberAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.rpc.is_empty() { "no address" } else { &self.rpc })
    }
}

/// A command and the leader whose decision it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proposed {
    /// Refused to an earlier epoch than the newest; `None`: whoever asks.
    pub(crate) epoch: Option<LeaderEpoch>,
    pub(crate) command: Command,
}

/// What one log entry holds: the commands that waited together. An empty one decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Batch {
    pub(crate) commands: Vec<Proposed>,
}

/// What each command of an entry did. It never leaves the process: Raft only wants to be able to send it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answers {
    #[serde(skip)]
    pub(crate) of_commands: Vec<Result<Applied, Rejection>>,
}
