//! Who leads, as far as this member knows, and for how long it may act on it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::disk::Fault;
use crate::types::{MemberAddresses, MemberId};

/// A time during which one member leads. Of two, the later one is greater; no other member leads in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenure {
    /// Raft's term. More than one member may be elected in a term, one after the other.
    pub term: u64,
    /// The member.
    pub member: MemberId,
}

/// Who leads, as far as this member knows.
#[derive(Debug, Clone)]
pub enum Leadership {
    /// This member leads, and a quorum was heard of within the lease.
    ///
    /// It goes over into one of the others before a successor can act. Where it comes back with the same tenure, nobody
    /// else has led in between and the epoch begun in it is still the newest.
    Leader {
        /// Since when: a new tenure needs a new epoch ([`crate::MetadataHandle::begin_epoch`]).
        tenure: Tenure,
        /// How long it may act. Asked in time it is exact, where this enum comes a moment late.
        lease: Lease,
    },
    /// Another member leads.
    Follower {
        /// Which.
        leader: MemberId,
        /// Where it is reached.
        addresses: MemberAddresses,
    },
    /// Nobody is known to lead: an election is on, a quorum is missing, or the group has not been formed.
    NoLeader,
}

impl PartialEq for Leadership {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leader { tenure, .. }, Self::Leader { tenure: other, .. }) => tenure == other,
            (
                Self::Follower { leader, addresses },
                Self::Follower { leader: other_leader, addresses: other_addresses },
            ) => leader == other_leader && addresses == other_addresses,
            (Self::NoLeader, Self::NoLeader) => true,
            _ => false,
        }
    }
}

/// How long a leader may act. A clone is the same lease.
#[derive(Clone)]
pub struct Lease {
    until: Arc<Mutex<Option<Instant>>>,
    fault: Fault,
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.valid_until() {
            Some(until) => write!(f, "{} ms", until.saturating_duration_since(Instant::now()).as_millis()),
            None => f.write_str("over"),
        }
    }
}

impl Lease {
    /// A lease that is not valid yet.
    pub(crate) fn new(fault: Fault) -> Self {
        Self { until: Arc::default(), fault }
    }

    /// Until when it is valid, as of now; it is prolonged all the time. `None`: it is over, or the metadata cannot go on.
    pub fn valid_until(&self) -> Option<Instant> {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| Instant::now() < *until && self.fault.cause().is_none())
    }

    /// Whether this member may act as the leader of the lease's tenure right now.
    pub fn is_valid(&self) -> bool {
        self.valid_until().is_some()
    }

    pub(crate) fn set(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Follows who leads.
#[derive(Debug, Clone)]
pub struct LeadershipWatch {
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl LeadershipWatch {
    /// Who leads. Never an outdated lead: a lease that is over shows as [`Leadership::NoLeader`].
    pub fn current(&mut self) -> Leadership {
        match &*self.leadership.borrow_and_update() {
            Leadership::Leader { lease, .. } if !lease.is_valid() => Leadership::NoLeader,
            current => current.clone(),
        }
    }

    /// Waits for a change, and says who leads then; `None`: the service has ended.
    pub async fn changed(&mut self) -> Option<Leadership> {
        self.leadership.changed().await.ok()?;
        Some(self.current())
    }
}
