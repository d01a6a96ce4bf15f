//! The JobManager's side: accepts TaskManagers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use millrace_protocol::ToJobManager;
use millrace_types::{Digest, Failure, LeaderEpoch, TaskManagerId, TenantId};
use tokio::task::JoinHandle;
use tonic::codegen::{Context, Poll, Service, StdError, http};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Response, Status};

use crate::control::codec::Postcard;
use crate::control::error::ControlError;
use crate::control::link::TaskManagerLink;
use crate::control::messages::{
    CHUNK_BYTES, COMPONENT_PATH, CONNECT_PATH, ComponentChunk, ComponentRequest, FromJobManager, FromTaskManager,
    MESSAGE_BYTES_MAX,
};
use crate::control::session;

/// TaskManagers and those who try to be, at once.
const CONNECTIONS_MAX: usize = 2_048;

/// Calls at once on one connection: the stream of messages, and components.
const CALLS_PER_CONNECTION_MAX: u32 = 64;

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct ControlServerOptions {
    /// `HOST:PORT`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How often a TaskManager hears that the JobManager is alive.
    pub heartbeat_interval: Duration,
    /// After what silence a TaskManager's connection is given up.
    pub heartbeat_timeout: Duration,
}

/// Says who takes TaskManagers at the moment.
pub trait ControlHandler: Send + Sync + 'static {
    /// This process's leader. An error: it does not lead, and where the leader takes TaskManagers, if that is known.
    ///
    /// A session belongs to the leader that it began with: all that its TaskManager says goes to that one.
    fn leader(&self) -> Result<Arc<dyn LeaderHandler>, Option<String>>;
}

/// What a leader does with what TaskManagers say.
#[async_trait]
pub trait LeaderHandler: Send + Sync + 'static {
    /// Which leader it is.
    fn epoch(&self) -> LeaderEpoch;

    /// Where its group's JobManagers take TaskManagers, `HOST:PORT`, itself included.
    fn job_managers(&self) -> Vec<String>;

    /// A TaskManager has connected. An error refuses it and is told to it. A second connection of one id is the
    /// handler's to refuse.
    fn connected(&self, id: &TaskManagerId, link: TaskManagerLink) -> Result<(), String>;

    /// A connected TaskManager says something. Taking long makes it wait.
    async fn received(&self, id: &TaskManagerId, message: ToJobManager);

    /// The connection of a TaskManager has ended.
    async fn disconnected(&self, id: &TaskManagerId, reason: &str);

    /// The bytes of a component.
    async fn component(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure>;
}

/// What a server has at the moment, and what it has refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ControlServerFigures {
    /// Open streams of messages.
    pub connections: usize,
    /// Connections and messages that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// Answers the calls of one path that the control protocol does not know, on the same address.
#[derive(Clone)]
pub struct Mounted {
    /// The path, as `/package.Service/Method`.
    pub path: &'static str,
    /// Answers a call.
    pub answer: Arc<dyn Fn(HttpRequest) -> BoxFuture<'static, HttpResponse> + Send + Sync>,
}

/// A call as it comes.
pub type HttpRequest = http::Request<tonic::body::Body>;

/// An answer as it goes.
pub type HttpResponse = http::Response<tonic::body::Body>;

pub(crate) struct Shared {
    pub handler: Arc<dyn ControlHandler>,
    mounted: Option<Mounted>,
    pub options: ControlServerOptions,
    connections: AtomicUsize,
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Shared {
    pub(crate) fn refuse(&self, reason: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Counts a connection as long as the guard lives; none if there are too many.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Admission> {
        let admission = Admission(Arc::clone(self));
        let present = self.connections.fetch_add(1, Ordering::AcqRel);
        (present < CONNECTIONS_MAX).then_some(admission)
    }
}

pub(crate) struct Admission(Arc<Shared>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A listening server; it stops when dropped.
pub struct ControlServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ControlServer {
    /// Listens, and answers `mounted` beside TaskManagers.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn bind(
        options: ControlServerOptions,
        handler: Arc<dyn ControlHandler>,
        mounted: Option<Mounted>,
    ) -> Result<Self, ControlError> {
        let failed = |error: std::io::Error| ControlError::Listen {
            address: options.listen.to_string(),
            reason: error.to_string(),
        };
        let incoming = TcpIncoming::bind(options.listen).map_err(failed)?.with_nodelay(Some(true));
        let address = incoming.local_addr().map_err(failed)?;
        let keepalive = options.heartbeat_timeout;
        let connections = AtomicUsize::new(0);
        let shared = Arc::new(Shared { handler, mounted, options, connections, refused: Mutex::default() });
        let service = ControlService(Arc::clone(&shared));
        let server = Server::builder()
            .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
            .http2_keepalive_interval(Some(keepalive))
            .http2_keepalive_timeout(Some(keepalive));
        let serving = tokio::spawn(async move {
            if let Err(error) = server.serve_with_incoming(service, incoming).await {
                tracing::error!(%error, "the server for TaskManagers has stopped");
            }
        });
        Ok(Self { address, shared, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has at the moment.
    pub fn figures(&self) -> ControlServerFigures {
        let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ControlServerFigures { connections: self.shared.connections.load(Ordering::Acquire), refused }
    }
}

/// Sends each call to its method.
#[derive(Clone)]
struct ControlService(Arc<Shared>);

impl Service<HttpRequest> for ControlService {
    type Response = HttpResponse;
    type Error = StdError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            Ok(match path.as_str() {
                CONNECT_PATH => {
                    let codec = Postcard::<FromJobManager, FromTaskManager>::default();
                    let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
                    grpc.streaming(Connect(shared), request).await
                }
                COMPONENT_PATH => {
                    let codec = Postcard::<ComponentChunk, ComponentRequest>::default();
                    let mut grpc = tonic::server::Grpc::new(codec).max_decoding_message_size(MESSAGE_BYTES_MAX);
                    grpc.server_streaming(FetchComponent(shared), request).await
                }
                _ => match &shared.mounted {
                    Some(mounted) if mounted.path == path => (mounted.answer)(request).await,
                    _ => {
                        shared.refuse("unknown-method");
                        Status::unimplemented(format!("there is no method {path}")).into_http()
                    }
                },
            })
        })
    }
}

struct Connect(Arc<Shared>);

impl Service<tonic::Request<tonic::Streaming<FromTaskManager>>> for Connect {
    type Response = Response<session::Outgoing>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<tonic::Streaming<FromTaskManager>>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { session::open(shared, request.into_inner()).map(Response::new) })
    }
}

struct FetchComponent(Arc<Shared>);

impl Service<tonic::Request<ComponentRequest>> for FetchComponent {
    type Response = Response<futures::stream::Iter<std::vec::IntoIter<Result<ComponentChunk, Status>>>>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<ComponentRequest>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let ComponentRequest { tenant, digest } = request.into_inner();
            let leader = shared.handler.leader().map_err(|_| Status::unavailable("this JobManager does not lead"))?;
            let found = leader.component(&tenant, &digest).await;
            let mut rest = found.map_err(|failure| Status::not_found(failure.to_string()))?;
            let mut chunks = Vec::with_capacity(rest.len().div_ceil(CHUNK_BYTES));
            while !rest.is_empty() {
                let bytes = rest.split_to(CHUNK_BYTES.min(rest.len()));
                chunks.push(Ok(ComponentChunk { bytes }));
            }
            Ok(Response::new(futures::stream::iter(chunks)))
        })
    }
}
