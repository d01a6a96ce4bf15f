//! TaskManagers in processes of their own: what their connections mean to this JobManager.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_network::control::{ControlHandler, LeaderHandler, TaskManagerLink};
use millrace_protocol::{Answer, LogRequest, Question, ToJobManager, ToTaskManager};
use millrace_resource_core::Input as ResourceInput;
use millrace_types::{BlobKey, BlobKind, Digest, Failure, FailureKind, LeaderEpoch, TaskManagerId, TenantId};
use tokio::sync::watch;

use crate::cluster::Services;
use crate::gateway::{GatewayError, TaskManagerGateway};
use crate::leading::Lead;
use crate::router;

/// Takes the TaskManagers of other processes for whoever leads in this one.
pub(crate) struct Door(pub(crate) watch::Receiver<Lead>);

impl ControlHandler for Door {
    fn leader(&self) -> Result<Arc<dyn LeaderHandler>, Option<String>> {
        match &*self.0.borrow() {
            Lead::Here(dispatcher) => Ok(Arc::new(Handler(dispatcher.services.clone()))),
            Lead::Elsewhere { addresses, .. } => Err(Some(addresses.rpc.clone()).filter(|rpc| !rpc.is_empty())),
            Lead::Nowhere => Err(None),
        }
    }
}

/// The leader's side of a session.
struct Handler(Arc<Services>);

#[async_trait]
impl LeaderHandler for Handler {
    fn epoch(&self) -> LeaderEpoch {
        self.0.epoch
    }

    fn job_managers(&self) -> Vec<String> {
        let members = self.0.metadata.status().members.into_iter().map(|member| member.addresses.rpc);
        members.filter(|rpc| !rpc.is_empty()).collect()
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

    async fn process_log(&self, bytes_max: u64) -> Result<String, GatewayError> {
        self.link.process_log(bytes_max).await.map_err(|reason| self.unreachable(reason))
    }

    async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, GatewayError> {
        self.link.ask(question, timeout).await.map_err(|reason| self.unreachable(reason))
    }

    fn refuse(&self, reason: &str) {
        self.link.close(reason);
    }
}
