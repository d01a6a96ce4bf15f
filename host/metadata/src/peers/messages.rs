//! What members say to each other.

use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse, VoteRequest,
    VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::types::{MemberId, RaftTypes};

/// The version of these messages: another one is refused by name.
pub(super) const PEER_VERSION: u32 = 1;

/// What every request begins with. It is read before the rest, which another version may have changed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) version: u32,
    /// Whom it is meant for: an address may have gone over to another member.
    pub(super) target: MemberId,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Append(AppendEntriesRequest<RaftTypes>),
    Vote(VoteRequest<MemberId>),
    Install(InstallSnapshotRequest<RaftTypes>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Append(Result<AppendEntriesResponse<MemberId>, RaftError<MemberId>>),
    Vote(Result<VoteResponse<MemberId>, RaftError<MemberId>>),
    Install(Result<InstallSnapshotResponse<MemberId>, RaftError<MemberId, InstallSnapshotError>>),
    /// The request was not for this member, or could not be read.
    Refused(String),
}

/// The bytes of a request.
pub(super) fn encode_request(target: MemberId, request: &Request) -> Result<Vec<u8>, String> {
    let head = Head { version: PEER_VERSION, target };
    postcard::to_stdvec(&(head, request)).map_err(|cause| format!("a message cannot be encoded: {cause}"))
}

/// The head of a request, and what follows it.
pub(super) fn decode_head(bytes: &[u8]) -> Result<(Head, &[u8]), String> {
    postcard::take_from_bytes(bytes).map_err(|cause| format!("a message cannot be read: {cause}"))
}

/// A message of exactly these bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("a message has {} bytes too many", rest.len())),
        Err(cause) => Err(format!("a message cannot be read: {cause}")),
    }
}
