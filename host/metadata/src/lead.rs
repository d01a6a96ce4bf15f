//! The task that says who leads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::acks::Acks;
use crate::disk::Fault;
use crate::error::MetadataError;
use crate::leadership::{Leadership, Tenure};
use crate::types::{MemberAddresses, MemberId, Raft, Vote};

/// How often it looks, if nothing calls for it earlier: a small part of any lease.
const LOOK_INTERVAL: Duration = Duration::from_millis(15);

/// What Raft knows at one moment.
struct View {
    vote: Vote,
    leads: bool,
    voters: Vec<BTreeSet<MemberId>>,
    leader_addresses: Option<MemberAddresses>,
    /// When the leader was last heard of.
    heard_at: Option<tokio::time::Instant>,
}

/// Says who leads, as one member knows it.
pub(crate) struct Follower {
    pub(crate) member: MemberId,
    pub(crate) raft: Raft,
    pub(crate) acks: Arc<Acks>,
    pub(crate) fault: Fault,
    /// A leader that was silent for longer is none.
    pub(crate) patience: Duration,
}

impl Follower {
    /// Goes on until Raft stops. Whoever closes the metadata ends this before.
    pub(crate) async fn follow(self, published: watch::Sender<Leadership>) {
        loop {
            let as_of = Instant::now();
            let view = tokio::select! {
                view = view(self.member, &self.raft) => view,
                // Raft waits for its disk: what it said last holds until the lease is over.
                () = lease_end(&published) => {
                    publish(&published, Leadership::NoLeader);
                    continue;
                }
            };
            let Some(view) = view else { break };
            publish(&published, self.judge(view, as_of));
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = lease_end(&published) => publish(&published, Leadership::NoLeader),
            }
        }
        self.acks.end();
        publish(&published, Leadership::NoLeader);
        // Raft stops by itself only if it cannot go on.
        self.fault.report(&MetadataError::Internal("Raft has stopped".to_owned()));
    }

    fn judge(&self, view: View, as_of: Instant) -> Leadership {
        let View { vote, leads, voters, leader_addresses, heard_at } = view;
        if self.fault.cause().is_some() {
            return Leadership::NoLeader;
        }
        if leads {
            let tenure = Tenure { term: vote.leader_id().get_term(), member: self.member };
            let lease = self.acks.prolong(vote, &voters, as_of);
            return lease.map_or(Leadership::NoLeader, |lease| Leadership::Leader { tenure, lease });
        }
        self.acks.end();
        let heard = heard_at.is_some_and(|at| at.elapsed() < self.patience);
        match (vote.is_committed().then(|| vote.leader_id().voted_for()).flatten(), leader_addresses) {
            (Some(leader), Some(addresses)) if leader != self.member && heard => {
                Leadership::Follower { leader, addresses }
            }
            _ => Leadership::NoLeader,
        }
    }
}

/// What Raft knows; `None`: it has stopped.
async fn view(member: MemberId, raft: &Raft) -> Option<View> {
    let view = raft.with_raft_state(move |state| {
        let vote = *state.vote_ref();
        let membership = state.membership_state.effective().membership();
        let leader = vote.is_committed().then(|| vote.leader_id().voted_for()).flatten();
        View {
            vote,
            leads: leader == Some(member) && state.server_state.is_leader(),
            voters: membership.get_joint_config().clone(),
            leader_addresses: leader.and_then(|leader| membership.get_node(&leader).cloned()),
            heard_at: state.vote_last_modified(),
        }
    });
    view.await.ok()
}

fn publish(published: &watch::Sender<Leadership>, next: Leadership) {
    published.send_if_modified(|current| {
        let changed = *current != next;
        if changed {
            tracing::info!(leadership = ?next, "the leadership of the metadata has changed");
            *current = next;
        }
        changed
    });
}

/// Waits until the lease that was published is over; for ever if none was.
async fn lease_end(published: &watch::Sender<Leadership>) {
    loop {
        let lease = match &*published.borrow() {
            Leadership::Leader { lease, .. } => Some(lease.clone()),
            _ => None,
        };
        match lease.map(|lease| lease.valid_until()) {
            None => std::future::pending().await,
            Some(None) => return,
            Some(Some(until)) => tokio::time::sleep_until(until.into()).await,
        }
    }
}
