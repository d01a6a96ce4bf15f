//! Answers the calls of other members.

use std::sync::Arc;

use bytes::Bytes;
use openraft::raft::{VoteRequest, VoteResponse};

use super::messages::{Answer, PEER_VERSION, Request, decode, decode_head};
use crate::acks::Acks;
use crate::options::SNAPSHOT_BYTES_MAX;
use crate::types::{MemberId, Raft};

/// Answers the calls of other members. A clone answers for the same member.
#[derive(Clone)]
pub(crate) struct PeerServer {
    pub(crate) member: MemberId,
    pub(crate) raft: Raft,
    pub(crate) acks: Arc<Acks>,
}

impl PeerServer {
    /// The answer to a request.
    pub(crate) async fn answer(&self, request: &[u8]) -> Bytes {
        let answer = self.decide(request).await.unwrap_or_else(Answer::Refused);
        postcard::to_stdvec(&answer).map_or_else(
            |cause| {
                tracing::error!(%cause, "an answer to another member cannot be encoded");
                Bytes::new()
            },
            Bytes::from,
        )
    }

    async fn decide(&self, request: &[u8]) -> Result<Answer, String> {
        let (head, rest) = decode_head(request)?;
        if head.version != PEER_VERSION {
            let known = PEER_VERSION;
            return Err(format!("it speaks version {known} of the members' protocol, not {}", head.version));
        }
        if head.target != self.member {
            return Err(format!("it is member {}, not {}", self.member, head.target));
        }
        match decode(rest)? {
            Request::Append(request) => Ok(Answer::Append(self.raft.append_entries(request).await)),
            Request::Vote(request) => self.vote(request).await,
            Request::Install(request) => {
                let end = request.offset.saturating_add(request.data.len() as u64);
                if end > SNAPSHOT_BYTES_MAX {
                    return Err(format!("a snapshot may have {SNAPSHOT_BYTES_MAX} bytes"));
                }
                Ok(Answer::Install(self.raft.install_snapshot(request).await))
            }
        }
    }

    /// A leader whose lease is valid elects nobody else, as its followers do not. Without that it could help a successor
    /// to a quorum while it still acts.
    async fn vote(&self, request: VoteRequest<MemberId>) -> Result<Answer, String> {
        let Some(_election) = self.acks.admit_election() else {
            let vote = self.raft.with_raft_state(|state| *state.vote_ref()).await.map_err(|cause| cause.to_string())?;
            return Ok(Answer::Vote(Ok(VoteResponse { vote, vote_granted: false, last_log_id: None })));
        };
        Ok(Answer::Vote(self.raft.vote(request).await))
    }
}
