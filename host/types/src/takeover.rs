//! What is remembered of a change of leaders.

use serde::{Deserialize, Serialize};

use crate::{LeaderEpoch, Timestamp};

/// How many takeovers of a job are remembered, the newest ones.
pub const TAKEOVERS_MAX: usize = 16;

/// How a leader took a job over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// Which leader.
    pub epoch: LeaderEpoch,
    /// When.
    pub at: Timestamp,
    /// Whether its tasks ran on; otherwise the job began again from its newest checkpoint.
    pub adopted: bool,
    /// Why.
    pub reason: Box<str>,
}

impl Takeover {
    /// Adds this one to those of a job and forgets the oldest of too many.
    pub fn remember(self, takeovers: &mut Vec<Self>) {
        takeovers.push(self);
        let surplus = takeovers.len().saturating_sub(TAKEOVERS_MAX);
        takeovers.drain(..surplus);
    }
}
