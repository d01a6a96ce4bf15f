//! The members of the group: who they are, how they fare, and how they change.

use std::time::Duration;

use crate::types::{MemberAddresses, MemberId};

/// How the group fares, as this member sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// The member that says so.
    pub member: MemberId,
    /// Who leads; `None`: nobody is known to.
    pub leader: Option<MemberId>,
    /// Raft's term.
    pub term: u64,
    /// The newest entry of this member's log.
    pub last_log_index: Option<u64>,
    /// The newest entry that this member has carried out.
    pub applied_index: Option<u64>,
    /// The newest entry in this member's snapshot.
    pub snapshot_index: Option<u64>,
    /// How often this member has synced its file since it was started.
    pub syncs: u64,
    /// The members, by id.
    pub members: Vec<MemberStatus>,
}

/// How a member fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member.
    pub id: MemberId,
    /// Where it is reached.
    pub addresses: MemberAddresses,
    /// What it is.
    pub role: MemberRole,
    /// The newest entry that it is known to have. Only the leader knows; `None` also before it was first reached.
    pub matched_index: Option<u64>,
    /// How many entries it is behind the leader. Only the leader knows.
    pub lag: Option<u64>,
    /// How long ago what it last answered was asked. Only the leader knows; `None` also if it never answered.
    pub last_answer: Option<Duration>,
    /// Whether it answered within the lease. Only the leader knows.
    pub reachable: Option<bool>,
}

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It receives the log, and does not vote yet or any more.
    Learner,
}
