//! A TaskManager whose JobManager is another process: it finds the JobManager, registers, serves, and does so again when
//! the connection is lost.
//!
//! Invariant: each connection is a life of its own, with an id of its own. To the JobManager a closed connection is a
//! dead TaskManager, so whatever still ran under the old id is stopped before the next life begins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_network::control::{ComponentClient, ControlClient, ControlClientOptions, ControlError, ControlEvent};
use millrace_protocol::ToJobManager;
use millrace_sandbox::Sandbox;
use millrace_types::{Digest, Failure, FailureKind, TaskManagerId, TenantId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::components::ComponentSource;
use crate::error::TaskManagerError;
use crate::handle::TaskManagerHandle;
use crate::options::TaskManagerOptions;
use crate::service::TaskManager;

/// Messages to the JobManager that are on their way.
const OUTBOUND_MAX: usize = 1024;

/// The largest component that is fetched, in bytes. What a JobManager accepts in a bundle is less.
const COMPONENT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How long to wait before the first and before every later attempt to reach the JobManager again.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// How to reach the JobManager.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The JobManager's RPC address, `HOST:PORT`.
    pub jobmanager: String,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// After what silence the JobManager counts as gone.
    pub heartbeat_timeout: Duration,
    /// How long to look for a JobManager before giving up: Flink's `taskmanager.registration.timeout`.
    pub registration_timeout: Duration,
}

/// Told of each life of the TaskManager.
pub type OnRegistered = Box<dyn Fn(&TaskManagerHandle) + Send + Sync>;

/// Serves a JobManager until `stop` completes. `options.id` is what the ids of all lives begin with.
///
/// # Errors
/// If no JobManager takes this TaskManager within the registration timeout, or it cannot be started.
pub async fn serve(
    options: TaskManagerOptions,
    remote: RemoteOptions,
    sandbox: Sandbox,
    stop: impl Future<Output = ()> + Send,
    on_registered: OnRegistered,
) -> Result<(), TaskManagerError> {
    let mut stop = std::pin::pin!(stop);
    loop {
        let id = TaskManagerId(format!("{}-{:08x}", options.id, rand::random::<u32>()));
        let (client, outbound) = tokio::select! {
            () = &mut stop => return Ok(()),
            found = find(&remote, &id) => found?,
        };
        let components = Arc::new(RemoteComponents(client.components()));
        let life = TaskManagerOptions { id, ..options.clone() };
        let handle = TaskManager::start(life, sandbox.clone(), components, outbound)?;
        tracing::info!(id = %handle.id(), jobmanager = %remote.jobmanager, "connected to the JobManager");
        on_registered(&handle);
        let ended = tokio::select! {
            () = &mut stop => None,
            error = converse(client, &handle) => Some(error),
        };
        handle.shutdown().await;
        match ended {
            None => return Ok(()),
            Some(error) => tracing::warn!(%error, "this life of the TaskManager is over; its tasks are stopped"),
        }
    }
}

/// Connects to the JobManager, trying again until the registration timeout.
async fn find(
    remote: &RemoteOptions,
    id: &TaskManagerId,
) -> Result<(ControlClient, mpsc::Sender<ToJobManager>), TaskManagerError> {
    let options = ControlClientOptions {
        jobmanager: remote.jobmanager.clone(),
        id: id.clone(),
        connect_timeout: remote.connect_timeout,
        heartbeat_timeout: remote.heartbeat_timeout,
    };
    let deadline = Instant::now() + remote.registration_timeout;
    let mut delay = RETRY_MIN;
    loop {
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        match ControlClient::connect(&options, messages).await {
            Ok(client) => return Ok((client, outbound)),
            Err(error @ ControlError::Address { .. }) => return Err(TaskManagerError::Registration(error)),
            Err(error) if Instant::now() + delay > deadline => return Err(TaskManagerError::Registration(error)),
            Err(error) if delay == RETRY_MIN => tracing::warn!(%error, "looking for the JobManager"),
            Err(error) => tracing::debug!(%error, "the JobManager is still not there"),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

/// Takes what the JobManager says until that ends.
async fn converse(mut client: ControlClient, handle: &TaskManagerHandle) -> String {
    loop {
        match client.recv().await {
            Ok(ControlEvent::Message(message)) => {
                if let Err(error) = handle.send(*message).await {
                    return error.to_string();
                }
            }
            Ok(ControlEvent::FetchLog { request, log }) => {
                let (handle, answers) = (handle.clone(), client.log_answers());
                tokio::spawn(async move {
                    let text = handle.task_log(log).await;
                    answers.answer(request, text.map_err(|error| error.to_string())).await;
                });
            }
            Err(error) => return error.to_string(),
        }
    }
}

/// Components from the JobManager.
struct RemoteComponents(ComponentClient);

#[async_trait]
impl ComponentSource for RemoteComponents {
    async fn fetch(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure> {
        let fetched = self.0.fetch(tenant, digest, COMPONENT_BYTES_MAX).await;
        fetched.map_err(|reason| {
            let message = format!("the component {digest} cannot be fetched from the JobManager: {reason}");
            Failure::new(FailureKind::TaskManagerLost, message)
        })
    }
}
