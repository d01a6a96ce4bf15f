//! How members speak to each other: Raft's three calls, as bytes that a [`Transport`] carries.

mod client;
mod grpc;
mod messages;
mod server;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use client::Peers;
pub use grpc::PEER_PATH;
pub use grpc::PeerEndpoint;
pub(crate) use grpc::{GrpcTransport, serve};
pub(crate) use server::PeerServer;

use crate::types::{MemberAddresses, MemberId};

/// Carries a request to a member and its answer back.
#[async_trait]
pub(crate) trait Transport: Send + Sync + 'static {
    /// Asks a member. The caller limits the time.
    async fn call(&self, target: MemberId, addresses: &MemberAddresses, request: Bytes) -> Result<Bytes, CallError>;
}

/// Why a call brought no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("member {member} at {address} did not answer: {reason}")]
pub(crate) struct CallError {
    pub(crate) member: MemberId,
    pub(crate) address: String,
    pub(crate) reason: String,
}

impl CallError {
    pub(crate) fn new(member: MemberId, addresses: &MemberAddresses, reason: impl Into<String>) -> Self {
        Self { member, address: addresses.rpc.clone(), reason: reason.into() }
    }
}
