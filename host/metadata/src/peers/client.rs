//! Raft's calls to another member.
//!
//! openraft gives up a call after a heartbeat's time and drops it. What is large, or meets a slow disk, takes longer, and
//! would be sent again and again without ever being answered in time. So a call with entries goes on in a task of its
//! own, and a repetition of it takes that one's answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::RaftLogId;
use openraft::error::{NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use tokio::task::JoinHandle;

use super::messages::{Answer, Request, decode, encode_request};
use super::{CallError, Transport};
use crate::acks::Acks;
use crate::types::{LogId, MemberAddresses, MemberId, RaftTypes, Vote};

/// How long a call goes on in the background.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a member that did not answer at all is left alone. An election must not have to wait for it.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);

type CallResult<T, E = openraft::error::Infallible> =
    Result<T, RPCError<MemberId, MemberAddresses, RaftError<MemberId, E>>>;

/// Makes the connections to the other members.
#[derive(Clone)]
pub(crate) struct Peers {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) acks: Arc<Acks>,
}

impl RaftNetworkFactory<RaftTypes> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: MemberId, node: &MemberAddresses) -> Peer {
        Peer { peers: self.clone(), target, addresses: node.clone(), under_way: None }
    }
}

/// What tells one call with entries from another.
type CallKey = (Vote, Option<LogId>, Option<LogId>);

/// Another member.
pub(crate) struct Peer {
    peers: Peers,
    target: MemberId,
    addresses: MemberAddresses,
    /// The call with entries that is under way.
    under_way: Option<(CallKey, JoinHandle<Result<Answer, CallError>>)>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some((_, call)) = &self.under_way {
            call.abort();
        }
    }
}

impl Peer {
    /// Asks the member, at most for [`CALL_TIMEOUT`].
    async fn ask(&self, request: &Request) -> Result<Answer, CallError> {
        let bytes = encode_request(self.target, request).map_err(|reason| self.failed(reason))?;
        call(Arc::clone(&self.peers.transport), self.target, self.addresses.clone(), bytes.into()).await
    }

    fn failed(&self, reason: impl Into<String>) -> CallError {
        CallError::new(self.target, &self.addresses, reason)
    }

    fn remote<T, E: std::error::Error>(&self, answer: Result<T, RaftError<MemberId, E>>) -> CallResult<T, E> {
        answer.map_err(|source| RPCError::RemoteError(RemoteError::new(self.target, source)))
    }

    /// An answer of another kind, or a refusal: the member is of another version or group.
    fn unexpected<E: std::error::Error>(
        &self,
        answer: &Answer,
    ) -> RPCError<MemberId, MemberAddresses, RaftError<MemberId, E>> {
        let reason = match answer {
            Answer::Refused(reason) => reason.clone(),
            other => format!("it gave an answer of another kind: {other:?}"),
        };
        tracing::warn!(member = self.target, address = %self.addresses, %reason, "a member refuses to speak");
        RPCError::Unreachable(Unreachable::new(&self.failed(reason)))
    }

    /// The answer to a call with entries, from the one under way if that is the same.
    async fn append_in_background(&mut self, key: CallKey, request: &Request) -> Result<Answer, CallError> {
        if self.under_way.as_ref().is_none_or(|(under_way, _)| *under_way != key) {
            let bytes = encode_request(self.target, request).map_err(|reason| self.failed(reason))?;
            let (transport, addresses) = (Arc::clone(&self.peers.transport), self.addresses.clone());
            let (acks, target, vote, sent_at) = (Arc::clone(&self.peers.acks), self.target, key.0, Instant::now());
            let new = tokio::spawn(async move {
                let answer = call(transport, target, addresses, bytes.into()).await;
                note(&acks, target, vote, sent_at, answer.as_ref().ok());
                answer
            });
            if let Some((_, old)) = self.under_way.replace((key, new)) {
                old.abort();
            }
        }
        let Some((_, call)) = &mut self.under_way else { return Err(self.failed("the call is gone")) };
        // Dropped here when openraft's time is up; the task goes on.
        let answer = call.await;
        self.under_way = None;
        answer.unwrap_or_else(|_| Err(self.failed("the call was given up")))
    }
}

/// Asks a member, for a limited time.
async fn call(
    transport: Arc<dyn Transport>,
    target: MemberId,
    addresses: MemberAddresses,
    bytes: Bytes,
) -> Result<Answer, CallError> {
    let failed = |reason: String| CallError::new(target, &addresses, reason);
    let answer = tokio::time::timeout(CALL_TIMEOUT, transport.call(target, &addresses, bytes)).await;
    let answer = answer.map_err(|_| failed(format!("not within {} s", CALL_TIMEOUT.as_secs())))??;
    decode(&answer).map_err(failed)
}

/// Whoever takes a leader's call elects nobody else for a while, whatever becomes of the entries.
fn note(acks: &Acks, target: MemberId, vote: Vote, sent_at: Instant, answer: Option<&Answer>) {
    if let Some(Answer::Append(Ok(answer))) = answer
        && !matches!(answer, AppendEntriesResponse::HigherVote(_))
    {
        acks.record(vote, target, sent_at);
    }
}

impl RaftNetwork<RaftTypes> for Peer {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<RaftTypes>,
        _option: RPCOption,
    ) -> CallResult<AppendEntriesResponse<MemberId>> {
        let (vote, prev) = (rpc.vote, rpc.prev_log_id);
        let last = rpc.entries.last().map(|entry| *entry.get_log_id());
        let request = Request::Append(rpc);
        let answer = if last.is_some() {
            self.append_in_background((vote, prev, last), &request).await
        } else {
            let sent_at = Instant::now();
            let answer = self.ask(&request).await;
            note(&self.peers.acks, self.target, vote, sent_at, answer.as_ref().ok());
            answer
        };
        match answer.map_err(|cause| Unreachable::new(&cause))? {
            Answer::Append(answer) => self.remote(answer),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn vote(&mut self, rpc: VoteRequest<MemberId>, _option: RPCOption) -> CallResult<VoteResponse<MemberId>> {
        match self.ask(&Request::Vote(rpc)).await.map_err(|cause| Unreachable::new(&cause))? {
            Answer::Vote(answer) => self.remote(answer),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<RaftTypes>,
        _option: RPCOption,
    ) -> CallResult<InstallSnapshotResponse<MemberId>, openraft::error::InstallSnapshotError> {
        match self.ask(&Request::Install(rpc)).await.map_err(|cause| NetworkError::new(&cause))? {
            Answer::Install(answer) => self.remote(answer),
            other => Err(self.unexpected(&other)),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}
