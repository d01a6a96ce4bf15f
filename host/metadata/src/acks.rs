//! When each member was last known to follow this leader, and what lease that gives.
//!
//! A follower that takes a leader's call elects nobody else for [`Timing::election_timeout_max`] afterwards, and the call
//! was *sent* before that began. So, with a quorum that answered calls sent at `t` or later, no successor can be elected
//! before `t` plus that time: a new leader needs the vote of at least one of them. The leader's own vote is guarded by
//! [`Acks::admit_election`].
//!
//! openraft's `millis_since_quorum_ack` says the same of the time of its last report, which may be any time ago when
//! somebody reads it: a process that was stopped would wake with a lease from the past.
//!
//! [`Timing::election_timeout_max`]: crate::Timing::election_timeout_max

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::disk::Fault;
use crate::leadership::Lease;
use crate::types::{MemberId, Vote};

/// What is known of the followers. All of it is of one leader's vote.
#[derive(Debug)]
pub(crate) struct Acks {
    member: MemberId,
    duration: Duration,
    fault: Fault,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    vote: Option<Vote>,
    /// When the newest call was sent that a member took.
    sent: BTreeMap<MemberId, Instant>,
    /// Requests for this member's vote that Raft is deciding on.
    elections: usize,
    /// What was sent before does not count: this member may have voted for another one since.
    floor: Option<Instant>,
    lease: Option<Lease>,
}

impl Acks {
    pub(crate) fn new(member: MemberId, duration: Duration, fault: Fault) -> Self {
        Self { member, duration, fault, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member took a call of the leader with this vote that was sent at this time.
    pub(crate) fn record(&self, vote: Vote, member: MemberId, sent_at: Instant) {
        let mut inner = self.lock();
        if inner.vote != Some(vote) {
            return;
        }
        let newest = inner.sent.entry(member).or_insert(sent_at);
        *newest = sent_at.max(*newest);
    }

    /// When the newest call was sent that the member took.
    pub(crate) fn last(&self, member: MemberId) -> Option<Instant> {
        self.lock().sent.get(&member).copied()
    }

    /// This member led with this vote, and these voters, at the time `as_of`. Prolongs the lease and gives it, if a
    /// quorum makes it valid.
    pub(crate) fn prolong(&self, vote: Vote, voters: &[BTreeSet<MemberId>], as_of: Instant) -> Option<Lease> {
        let mut inner = self.lock();
        if inner.vote != Some(vote) {
            inner.end();
            // Of this tenure: that of an earlier one never becomes valid again.
            inner.lease = Some(Lease::new(self.fault.clone()));
            inner.vote = Some(vote);
            inner.sent.clear();
        }
        if inner.elections > 0 || inner.floor.is_some_and(|floor| as_of <= floor) {
            inner.end();
            return None;
        }
        let floor = inner.floor;
        let times = |member: &MemberId| {
            let time = if *member == self.member { Some(as_of) } else { inner.sent.get(member).copied() };
            time.filter(|time| floor.is_none_or(|floor| *time > floor))
        };
        let until = quorum_time(voters, times).map(|time| time + self.duration);
        let until = until.filter(|until| Instant::now() < *until);
        let lease = inner.lease.get_or_insert_with(|| Lease::new(self.fault.clone())).clone();
        lease.set(until);
        until.map(|_| lease)
    }

    /// This member does not lead.
    pub(crate) fn end(&self) {
        self.lock().end();
    }

    /// Lets Raft decide on a request for this member's vote, until the guard is dropped; `None` while the lease is valid.
    /// What followers took before the end of it does not prolong a lease any more.
    pub(crate) fn admit_election(&self) -> Option<Election<'_>> {
        let mut inner = self.lock();
        if inner.lease.as_ref().is_some_and(Lease::is_valid) {
            return None;
        }
        inner.end();
        inner.elections += 1;
        Some(Election(self))
    }
}

impl Inner {
    fn end(&mut self) {
        if let Some(lease) = &self.lease {
            lease.set(None);
        }
    }
}

/// Raft is deciding on a request for this member's vote.
#[derive(Debug)]
pub(crate) struct Election<'a>(&'a Acks);

impl Drop for Election<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.elections -= 1;
        inner.floor = Some(Instant::now());
    }
}

/// The newest time that a majority of each set of voters has reached.
fn quorum_time(voters: &[BTreeSet<MemberId>], time: impl Fn(&MemberId) -> Option<Instant>) -> Option<Instant> {
    let of_set = |set: &BTreeSet<MemberId>| {
        let mut times: Vec<Instant> = set.iter().filter_map(&time).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(set.len() / 2).copied()
    };
    // No voters: not a group yet.
    voters.iter().map(of_set).min()?
}
