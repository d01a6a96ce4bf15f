//! Members' calls over gRPC, as bytes: what they mean is decided in one place, for every transport.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use futures::future::BoxFuture;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Context, Poll, Service, StdError, http};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Response, Status};

use super::{CallError, PeerServer, Transport};
use crate::options::{MEMBERS_MAX, MESSAGE_BYTES_MAX};
use crate::types::{MemberAddresses, MemberId};

/// The method that members call each other by.
pub const PEER_PATH: &str = "/millrace.metadata.Peer/Call";

/// How long to wait for a connection to a member.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// After what silence a connection to a member is given up.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// Calls at once on one connection: a few of each kind.
const CALLS_PER_CONNECTION_MAX: u32 = 32;

/// Bytes as they are.
#[derive(Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Connections to the other members, kept open.
#[derive(Debug, Default)]
pub(crate) struct GrpcTransport {
    channels: Mutex<BTreeMap<String, Channel>>,
}

impl GrpcTransport {
    fn channel(&self, address: &str) -> Result<Channel, String> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        // Addresses change seldom; those of members that moved away are let go of in time.
        if channels.len() >= 2 * MEMBERS_MAX {
            channels.clear();
        }
        let channel = endpoint.connect_lazy();
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn call(&self, target: MemberId, addresses: &MemberAddresses, request: Bytes) -> Result<Bytes, CallError> {
        let failed = |reason: String| CallError::new(target, addresses, reason);
        if addresses.rpc.is_empty() {
            return Err(failed("it has no address: give it one by `millrace cluster readdress`".to_owned()));
        }
        let channel = self.channel(&addresses.rpc).map_err(failed)?;
        let mut grpc = tonic::client::Grpc::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| failed(error.to_string()))?;
        let path = PathAndQuery::from_static(PEER_PATH);
        let answer = grpc.unary(tonic::Request::new(request), path, Raw).await;
        answer.map(Response::into_inner).map_err(|status| failed(status.message().to_owned()))
    }
}

/// Answers the calls of other members on a server of gRPC. A clone answers for the same member.
///
/// It serves [`PEER_PATH`] and nothing else: a server that serves more gives it the requests with that path.
#[derive(Clone)]
pub struct PeerEndpoint {
    pub(crate) server: PeerServer,
}

impl PeerEndpoint {
    pub(crate) fn new(server: PeerServer) -> Self {
        Self { server }
    }

    /// Answers a call.
    pub async fn answer(&self, request: http::Request<tonic::body::Body>) -> http::Response<tonic::body::Body> {
        if request.uri().path() != PEER_PATH {
            return Status::unimplemented("members speak to each other here").into_http();
        }
        let mut grpc = tonic::server::Grpc::new(Raw)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        grpc.unary(Call(self.server.clone()), request).await
    }
}

impl std::fmt::Debug for PeerEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerEndpoint").field("member", &self.server.member).finish_non_exhaustive()
    }
}

impl Service<http::Request<tonic::body::Body>> for PeerEndpoint {
    type Response = http::Response<tonic::body::Body>;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let endpoint = self.clone();
        Box::pin(async move { Ok(endpoint.answer(request).await) })
    }
}

struct Call(PeerServer);

impl Service<tonic::Request<Bytes>> for Call {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Bytes>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let server = self.0.clone();
        Box::pin(async move { Ok(Response::new(server.answer(&request.into_inner()).await)) })
    }
}

/// Serves the calls of other members at an address until the runtime ends. Gives where that is.
pub(crate) fn serve(
    endpoint: PeerEndpoint,
    listen: SocketAddr,
    runtime: &tokio::runtime::Handle,
) -> std::io::Result<SocketAddr> {
    let _guard = runtime.enter();
    let incoming = TcpIncoming::bind(listen)?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    let server = Server::builder().max_concurrent_streams(CALLS_PER_CONNECTION_MAX);
    runtime.spawn(async move {
        if let Err(error) = server.serve_with_incoming(endpoint, incoming).await {
            tracing::error!(%error, "the server for other members has stopped");
        }
    });
    Ok(address)
}
