//! The group of JobManagers: Millrace's own.

use serde::{Deserialize, Serialize};

/// `GET /cluster/members`: the group as the member that answers sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupInfo {
    /// The member that answers.
    pub answered_by: u64,
    /// The member that leads, if one is known to.
    pub leader: Option<u64>,
    /// Raft's term.
    pub term: u64,
    /// The newest entry of the answering member's log.
    pub last_log_index: Option<u64>,
    /// The newest entry that it has carried out.
    pub applied_index: Option<u64>,
    /// The members, by id.
    pub members: Vec<MemberInfo>,
}

/// A member of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MemberInfo {
    /// Its id.
    pub id: u64,
    /// Where other members and TaskManagers reach it; empty: nowhere yet.
    pub rpc: String,
    /// Where clients reach it.
    pub rest: String,
    /// `leader`, `voter` or `learner`, which does not vote yet or any more.
    pub role: String,
    /// How many entries it is behind the leader, if the leader answers.
    pub lag: Option<u64>,
    /// How long ago what it last answered was asked, in milliseconds, if the leader answers.
    pub last_answer_ms: Option<u64>,
    /// Whether it answered within the leader's lease, if the leader answers.
    pub reachable: Option<bool>,
}

/// Body of `POST /cluster/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NewMember {
    /// An id that the group never had.
    pub id: u64,
    /// Where other members and TaskManagers reach it, `HOST:PORT`.
    pub rpc: String,
    /// Where clients reach it, `HOST:PORT`.
    pub rest: String,
}

/// Body of `PUT /cluster/members/:id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NewAddresses {
    /// Where other members and TaskManagers reach it, `HOST:PORT`.
    pub rpc: String,
    /// Where clients reach it, `HOST:PORT`.
    pub rest: String,
}
