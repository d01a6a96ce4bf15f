//! The TaskManager's side: finds the JobManager and speaks to it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use millrace_protocol::{Answer, LogWanted, Question, ToJobManager, ToTaskManager};
use millrace_types::{Digest, LeaderEpoch, TaskManagerId, TenantId};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use crate::control::codec::Postcard;
use crate::control::error::{ControlError, describe};
use crate::control::messages::{
    COMPONENT_PATH, CONNECT_PATH, CONTROL_VERSION, ComponentChunk, ComponentRequest, FromJobManager, FromTaskManager,
    MESSAGE_BYTES_MAX,
};

/// Answers about logs that the JobManager has not taken.
const LOG_ANSWERS_MAX: usize = 64;

/// Whom to speak to.
#[derive(Debug, Clone)]
pub struct ControlClientOptions {
    /// The JobManager, `HOST:PORT`.
    pub jobmanager: String,
    /// This TaskManager in this life.
    pub id: TaskManagerId,
    /// How long to wait for a connection, and for the welcome.
    pub connect_timeout: Duration,
    /// After what silence the JobManager counts as gone.
    pub heartbeat_timeout: Duration,
}

/// What the JobManager says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlEvent {
    /// A message for the TaskManager.
    Message(Box<ToTaskManager>),
    /// Where the leader's group takes TaskManagers, `HOST:PORT`.
    JobManagers(Vec<String>),
    /// It wants a log: answer with [`ControlClient::answer_log`].
    FetchLog {
        /// Names the answer.
        request: u64,
        /// Which one.
        log: LogWanted,
    },
    /// It wants to know something: answer with [`LogAnswers::answer_question`].
    Ask {
        /// Names the answer.
        request: u64,
        /// What.
        question: Box<Question>,
    },
}

/// A connection to a JobManager that has welcomed this TaskManager.
#[derive(Debug)]
pub struct ControlClient {
    jobmanager: String,
    epoch: LeaderEpoch,
    incoming: Streaming<FromJobManager>,
    logs: mpsc::Sender<FromTaskManager>,
    components: ComponentClient,
    heartbeat_timeout: Duration,
    /// When the JobManager counts as gone if it says nothing: whoever waits for it may look up in between.
    silent_at: Instant,
}

impl ControlClient {
    /// Connects; what comes through `outbound` is sent to the JobManager, in order, until the connection ends.
    ///
    /// # Errors
    /// If nobody answers there, or the JobManager refuses this TaskManager.
    pub async fn connect(
        options: &ControlClientOptions,
        outbound: mpsc::Receiver<ToJobManager>,
    ) -> Result<Self, ControlError> {
        let channel = connect_channel(options).await?;
        let hello = FromTaskManager::Hello { version: CONTROL_VERSION, id: options.id.clone() };
        let (logs, log_answers) = mpsc::channel(LOG_ANSWERS_MAX);
        let messages = ReceiverStream::new(outbound).map(FromTaskManager::Message);
        let messages = messages.merge(ReceiverStream::new(log_answers));
        let outgoing = tokio_stream::once(hello).chain(messages);

        let unreachable = |reason: String| ControlError::Unreachable { address: options.jobmanager.clone(), reason };
        let mut grpc = tonic::client::Grpc::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let codec = Postcard::<FromTaskManager, FromJobManager>::default();
        let path = PathAndQuery::from_static(CONNECT_PATH);
        let welcome = async {
            grpc.ready().await.map_err(|error| unreachable(error.to_string()))?;
            let answer = grpc.streaming(tonic::Request::new(outgoing), path, codec).await;
            let mut incoming = answer.map_err(|status| unreachable(describe(&status)))?.into_inner();
            match incoming.message().await {
                Ok(Some(FromJobManager::Welcome { epoch })) => Ok((epoch, incoming)),
                Ok(Some(FromJobManager::Refused { reason })) => Err(ControlError::Refused { reason }),
                Ok(Some(FromJobManager::NotLeader { leader })) => {
                    Err(ControlError::NotLeader { address: options.jobmanager.clone(), leader })
                }
                Ok(Some(_)) => Err(unreachable("it spoke before it welcomed this TaskManager".to_owned())),
                Ok(None) => Err(unreachable("it closed the connection at once".to_owned())),
                Err(status) => Err(unreachable(describe(&status))),
            }
        };
        let waited = options.connect_timeout;
        let (epoch, incoming) = tokio::time::timeout(waited, welcome)
            .await
            .map_err(|_| unreachable(format!("it did not answer within {} ms", waited.as_millis())))??;
        let components = ComponentClient { channel };
        let jobmanager = options.jobmanager.clone();
        let heartbeat_timeout = options.heartbeat_timeout;
        let silent_at = Instant::now() + heartbeat_timeout;
        Ok(Self { jobmanager, epoch, incoming, logs, components, heartbeat_timeout, silent_at })
    }

    /// The leader that this is.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Fetches components over the same connection.
    pub fn components(&self) -> ComponentClient {
        self.components.clone()
    }

    /// What the JobManager says next. Cancel-safe.
    ///
    /// # Errors
    /// If the connection has ended, the JobManager has been silent for too long, or refuses this TaskManager.
    pub async fn recv(&mut self) -> Result<ControlEvent, ControlError> {
        loop {
            let waited = self.heartbeat_timeout;
            let message = tokio::time::timeout_at(self.silent_at, self.incoming.message()).await;
            let message = message.map_err(|_| ControlError::Silent { waited })?;
            self.silent_at = Instant::now() + waited;
            let message = message.map_err(|status| ControlError::Closed { reason: describe(&status) })?;
            match message {
                Some(FromJobManager::Message(message)) => return Ok(ControlEvent::Message(message)),
                Some(FromJobManager::JobManagers(addresses)) => return Ok(ControlEvent::JobManagers(addresses)),
                Some(FromJobManager::FetchLog { request, log }) => {
                    return Ok(ControlEvent::FetchLog { request, log });
                }
                Some(FromJobManager::Ask { request, question }) => {
                    return Ok(ControlEvent::Ask { request, question });
                }
                Some(FromJobManager::Alive | FromJobManager::Welcome { .. }) => {}
                Some(FromJobManager::Refused { reason }) => return Err(ControlError::Refused { reason }),
                Some(FromJobManager::NotLeader { leader }) => {
                    return Err(ControlError::NotLeader { address: self.jobmanager.clone(), leader });
                }
                None => return Err(ControlError::Closed { reason: "it was closed by the JobManager".to_owned() }),
            }
        }
    }

    /// A handle that answers [`ControlEvent::FetchLog`].
    pub fn log_answers(&self) -> LogAnswers {
        LogAnswers(self.logs.clone())
    }
}

/// Answers requests for logs.
#[derive(Debug, Clone)]
pub struct LogAnswers(mpsc::Sender<FromTaskManager>);

impl LogAnswers {
    /// Answers [`ControlEvent::Ask`].
    pub async fn answer_question(&self, request: u64, answer: Answer) {
        // A connection that has ended needs no answer.
        let _ = self.0.send(FromTaskManager::Answered { request, answer: Box::new(answer) }).await;
    }

    /// Answers a request. The text is cut at its front to what a message may hold.
    pub async fn answer(&self, request: u64, text: Result<String, String>) {
        let text = text.map(|mut text| {
            let surplus = text.len().saturating_sub(MESSAGE_BYTES_MAX / 2);
            text.drain(..text.ceil_char_boundary(surplus));
            text
        });
        // A connection that has ended needs no answer.
        let _ = self.0.send(FromTaskManager::Log { request, text }).await;
    }
}

async fn connect_channel(options: &ControlClientOptions) -> Result<Channel, ControlError> {
    let address = options.jobmanager.clone();
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| ControlError::Address { address: address.clone(), reason: error.to_string() })?;
    let endpoint = endpoint
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(options.heartbeat_timeout)
        .keep_alive_timeout(options.heartbeat_timeout);
    endpoint.connect().await.map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        ControlError::Unreachable { address, reason: cause }
    })
}

/// Fetches components from a JobManager; cheap to clone.
#[derive(Debug, Clone)]
pub struct ComponentClient {
    channel: Channel,
}

impl ComponentClient {
    /// The bytes of a component, at most `bytes_max`. Whether they have the digest is for the caller to check.
    ///
    /// # Errors
    /// A text that says why it cannot be had.
    pub async fn fetch(&self, tenant: &TenantId, digest: &Digest, bytes_max: usize) -> Result<Bytes, String> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| error.to_string())?;
        let request = ComponentRequest { tenant: tenant.clone(), digest: *digest };
        let codec = Postcard::<ComponentRequest, ComponentChunk>::default();
        let path = PathAndQuery::from_static(COMPONENT_PATH);
        let answer = grpc.server_streaming(tonic::Request::new(request), path, codec).await;
        let mut chunks = answer.map_err(|status| describe(&status))?.into_inner();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.message().await.map_err(|status| describe(&status))? {
            if bytes.len() + chunk.bytes.len() > bytes_max {
                return Err(format!("it is larger than {bytes_max} bytes"));
            }
            bytes.extend_from_slice(&chunk.bytes);
        }
        Ok(bytes.freeze())
    }
}
