//! The group: reads that ask a quorum, and its members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use openraft::error::{CheckIsLeaderError, ClientWriteError, Fatal, ForwardToLeader, RaftError};
use openraft::{ChangeMembers, LogIdOptionExt};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::acks::Acks;
use crate::disk::Fault;
use crate::error::MetadataError;
use crate::leadership::Leadership;
use crate::membership::{GroupStatus, MemberRole, MemberStatus};
use crate::options::MEMBERS_MAX;
use crate::types::{MemberAddresses, MemberId, Metrics, Raft};

/// How long a change of the members may take; that of a new one includes its receiving all that there is.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a read waits for a quorum.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The group, as one member sees it. A clone is the same.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) raft: Raft,
    pub(crate) runtime: Handle,
    pub(crate) acks: Arc<Acks>,
    pub(crate) fault: Fault,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) lease: Duration,
    /// Whether something that was proposed here was decided.
    pub(crate) has_decided: Arc<AtomicBool>,
    /// How often this member's file was synced.
    pub(crate) syncs: Arc<AtomicU64>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    pub(crate) async fn ensure_linearizable(&self) -> Result<(), MetadataError> {
        let raft = self.raft.clone();
        let read = self.runtime.spawn(async move { raft.ensure_linearizable().await });
        let read = tokio::time::timeout(READ_TIMEOUT, read).await;
        let Ok(Ok(read)) = read else { return Err(self.stopped_or(MetadataError::NotLeader { leader: None })) };
        read.map(drop).map_err(|error| match error {
            RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward)) => not_leader(forward),
            RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_)) => MetadataError::NotLeader { leader: None },
            RaftError::Fatal(fatal) => self.fatal(&fatal),
        })
    }

    /// Whether this member leads, as far as it knows; else nothing is given to Raft, and nothing is stored.
    pub(crate) fn may_propose(&self) -> Result<(), MetadataError> {
        if let Some(cause) = self.fault.cause() {
            return Err(cause);
        }
        match &*self.leadership.borrow() {
            Leadership::Leader { .. } => Ok(()),
            Leadership::Follower { leader, addresses } => {
                Err(MetadataError::NotLeader { leader: Some((*leader, addresses.clone())) })
            }
            Leadership::NoLeader => Err(MetadataError::NotLeader { leader: None }),
        }
    }

    /// Why Raft has stopped.
    pub(crate) fn fatal(&self, fatal: &Fatal<MemberId>) -> MetadataError {
        let unnamed = match fatal {
            Fatal::Stopped => MetadataError::Closed,
            other => MetadataError::Internal(other.to_string()),
        };
        self.stopped_or(unnamed)
    }

    fn stopped_or(&self, otherwise: MetadataError) -> MetadataError {
        self.fault.cause().unwrap_or(otherwise)
    }

    /// Changes the members, and waits until that is decided.
    async fn change(&self, changes: ChangeMembers<MemberId, MemberAddresses>) -> Result<(), MetadataError> {
        let raft = self.raft.clone();
        self.run(async move { raft.change_membership(changes, false).await.map(drop) }).await
    }

    /// Runs a change on the metadata's own threads, for a limited time.
    async fn run(
        &self,
        change: impl Future<Output = Result<(), RaftError<MemberId, ClientWriteError<MemberId, MemberAddresses>>>>
        + Send
        + 'static,
    ) -> Result<(), MetadataError> {
        let seconds = CHANGE_TIMEOUT.as_secs();
        let late = || MetadataError::OutcomeUnknown(format!("the members did not agree within {seconds} s"));
        let changed = tokio::time::timeout(CHANGE_TIMEOUT, self.runtime.spawn(change)).await.map_err(|_| late())?;
        changed.map_err(|_| self.stopped_or(MetadataError::Closed))?.map_err(|error| match error {
            RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => not_leader(forward),
            RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
                MetadataError::Membership(error.to_string())
            }
            RaftError::Fatal(fatal) => self.fatal(&fatal),
        })
    }

    /// Adds a member: it receives all that there is first, and votes then.
    pub(crate) async fn add(&self, id: MemberId, addresses: MemberAddresses) -> Result<(), MetadataError> {
        check_addresses(&addresses)?;
        let known = self.members();
        if known.len() >= MEMBERS_MAX && !known.contains_key(&id) {
            return Err(MetadataError::Membership(format!("a group has at most {MEMBERS_MAX} members")));
        }
        if let Some(alone) = known.iter().find(|(_, addresses)| addresses.rpc.is_empty()) {
            let what =
                format!("member {} has no address that another one could reach it at: readdress it first", alone.0);
            return Err(MetadataError::Membership(what));
        }
        if known.get(&id).is_some_and(|known| *known != addresses) {
            let what = format!("member {id} is there already, at {}: readdress it", known[&id]);
            return Err(MetadataError::Membership(what));
        }
        let (raft, node) = (self.raft.clone(), addresses);
        self.run(async move { raft.add_learner(id, node, true).await.map(drop) }).await?;
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await
    }

    /// Removes a member, a voter or not.
    pub(crate) async fn remove(&self, id: MemberId) -> Result<(), MetadataError> {
        let (voters, known) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let membership = metrics.membership_config.membership();
            (membership.voter_ids().collect::<BTreeSet<_>>(), membership.get_node(&id).is_some())
        };
        if !known {
            return Err(MetadataError::Membership(format!("there is no member {id}")));
        }
        if voters == BTreeSet::from([id]) {
            return Err(MetadataError::Membership(format!("member {id} is the only one that votes")));
        }
        if voters.contains(&id) {
            self.change(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await
        } else {
            self.change(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await
        }
    }

    /// A member is reached elsewhere from now on.
    pub(crate) async fn readdress(&self, id: MemberId, addresses: MemberAddresses) -> Result<(), MetadataError> {
        check_addresses(&addresses)?;
        if !self.members().contains_key(&id) {
            return Err(MetadataError::Membership(format!("there is no member {id}")));
        }
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, addresses)]))).await
    }

    pub(crate) fn members(&self) -> BTreeMap<MemberId, MemberAddresses> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.nodes().map(|(id, addresses)| (*id, addresses.clone())).collect()
    }

    pub(crate) fn status(&self) -> GroupStatus {
        let metrics: Metrics = self.raft.metrics().borrow().clone();
        let leader = match &*self.leadership.borrow() {
            Leadership::Leader { tenure, .. } => Some(tenure.member),
            Leadership::Follower { leader, .. } => Some(*leader),
            Leadership::NoLeader => None,
        };
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<MemberId> = membership.voter_ids().collect();
        let members = membership.nodes().map(|(id, addresses)| {
            let role = match (leader == Some(*id), voters.contains(id)) {
                (true, _) => MemberRole::Leader,
                (false, true) => MemberRole::Voter,
                (false, false) => MemberRole::Learner,
            };
            self.member_status(&metrics, *id, addresses, role)
        });
        GroupStatus {
            member: metrics.id,
            leader,
            term: metrics.current_term,
            last_log_index: metrics.last_log_index,
            applied_index: metrics.last_applied.index(),
            snapshot_index: metrics.snapshot.index(),
            syncs: self.syncs.load(Ordering::Relaxed),
            members: members.collect(),
        }
    }

    fn member_status(
        &self,
        metrics: &Metrics,
        id: MemberId,
        addresses: &MemberAddresses,
        role: MemberRole,
    ) -> MemberStatus {
        let replication = metrics.replication.as_ref();
        let matched_index = replication.and_then(|known| known.get(&id)).and_then(|matched| matched.index());
        let is_self = id == metrics.id;
        let last_answer = replication.filter(|_| !is_self).and_then(|_| self.acks.last(id)).map(|at| at.elapsed());
        let lag = replication.map(|_| {
            let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
            next(metrics.last_log_index).saturating_sub(next(matched_index))
        });
        let reachable = replication.map(|_| is_self || last_answer.is_some_and(|ago| ago < self.lease));
        MemberStatus { id, addresses: addresses.clone(), role, matched_index, lag, last_answer, reachable }
    }
}

fn check_addresses(addresses: &MemberAddresses) -> Result<(), MetadataError> {
    let usable = |address: &str| {
        let parts = address.rsplit_once(':');
        parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    match [&addresses.rpc, &addresses.rest].into_iter().find(|address| !usable(address)) {
        Some(wrong) if !wrong.is_empty() || addresses.rpc.is_empty() => {
            Err(MetadataError::Membership(format!("\"{wrong}\" is no address: it has to be HOST:PORT")))
        }
        _ => Ok(()),
    }
}

/// Who leads instead.
fn not_leader(forward: ForwardToLeader<MemberId, MemberAddresses>) -> MetadataError {
    let ForwardToLeader { leader_id, leader_node } = forward;
    MetadataError::NotLeader { leader: leader_id.map(|id| (id, leader_node.unwrap_or_default())) }
}
