//! TaskManagers in processes of their own: what their connections mean to this JobManager.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_network::control::{ControlHandler, ControlServer, ControlServerOptions, TaskManagerLink};
use millrace_protocol::{LogRequest, ToJobManager, ToTaskManager};
use millrace_resource_core::Input as ResourceInput;
use millrace_types::{BlobKey, BlobKind, Digest, Failure, FailureKind, LeaderEpoch, TaskManagerId, TenantId};

use crate::cluster::Services;
use crate::error::DispatcherError;
use crate::gateway::{GatewayError, TaskManagerGateway};
use crate::router;

/// Listens for TaskManagers until the server is dropped.
pub(crate) fn listen(
    services: Arc<Services>,
    listen: SocketAddr,
    heartbeat_interval: Duration,
) -> Result<ControlServer, DispatcherError> {
    let heartbeat_timeout = Duration::from_millis(services.options.resources.heartbeat_timeout_ms);
    let options = ControlServerOptions { listen, heartbeat_interval, heartbeat_timeout };
    let handler = Arc::new(Handler(services));
    ControlServer::bind(options, handler).map_err(|error| DispatcherError::Unavailable(error.to_string()))
}

struct Handler(Arc<Services>);

#[async_trait]
impl ControlHandler for Handler {
    fn leading(&self) -> Result<LeaderEpoch, Option<String>> {
        Ok(self.0.epoch)
    }

    fn connected(&self, id: &TaskManagerId, link: TaskManagerLink) -> Result<(), String> {
        let gateway = Arc::new(RemoteGateway { id: id.clone(), link });
        if self.0.gateways.insert_new(id.clone(), gateway) {
            tracing::info!(task_manager = %id, "a TaskManager has connected");
            Ok(())
        } else {
            Err("a TaskManager of this id is connected already: use a new id in every life".to_owned())
        }
    }

    async fn received(&self, _id: &TaskManagerId, message: ToJobManager) {
        router::route(message, &self.0.resources, &self.0.registry).await;
    }

    async fn disconnected(&self, id: &TaskManagerId, reason: &str) {
        tracing::warn!(task_manager = %id, reason, "a TaskManager's connection has ended");
        self.0.gateways.remove(id);
        let lost = ResourceInput::TaskManagerLost { task_manager: id.clone(), reason: reason.to_owned() };
        self.0.resources.send(lost).await;
    }

    async fn component(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure> {
        let key = BlobKey { tenant: tenant.clone(), kind: BlobKind::Component, digest: *digest };
        self.0.blobs.get(&key).await.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))
    }
}

/// A TaskManager at the other end of a connection.
struct RemoteGateway {
    id: TaskManagerId,
    link: TaskManagerLink,
}

impl RemoteGateway {
    fn unreachable(&self, reason: String) -> GatewayError {
        GatewayError { task_manager: self.id.clone(), reason }
    }
}

#[async_trait]
impl TaskManagerGateway for RemoteGateway {
    async fn send(&self, message: ToTaskManager) -> Result<(), GatewayError> {
        self.link.send(message).await.map_err(|error| self.unreachable(error.to_string()))
    }

    async fn task_log(&self, wanted: &LogRequest) -> Result<String, GatewayError> {
        self.link.task_log(wanted).await.map_err(|reason| self.unreachable(reason))
    }

    fn refuse(&self, reason: &str) {
        self.link.close(reason);
    }
}
