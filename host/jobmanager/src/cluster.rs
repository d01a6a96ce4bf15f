//! The JobManager of one process: a member of a group, of which one leads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millrace_metadata::{MetadataHandle, PEER_PATH, PeerEndpoint};
use millrace_network::control::{ControlServer, ControlServerFigures, ControlServerOptions, Mounted};
use millrace_protocol::ToJobManager;
use millrace_sandbox::{ProcessLoad, Sandbox};
use millrace_storage::BlobStore;
use millrace_types::{LeaderEpoch, TaskManagerId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::error::DispatcherError;
use crate::figures::FigureStore;
use crate::flame_graphs::FlameGraphs;
use crate::gateway::{Gateways, TaskManagerGateway};
use crate::group::Group;
use crate::leading::{self, Lead};
use crate::operations::Operations;
use crate::options::JobManagerOptions;
use crate::planner::Planner;
use crate::recovery::Unready;
use crate::registry::JobRegistry;
use crate::resource_manager::ResourceManager;
use crate::task_managers::Door;
use crate::traces::Traces;
use crate::warming::Warming;
use crate::{Dispatcher, router};

/// Messages from this process's own TaskManager that wait to be routed.
const INBOX_MAX: usize = 4_096;

/// What the parts of a leading JobManager share. All of them run on the runtime of its tenure.
pub(crate) struct Services {
    pub(crate) options: JobManagerOptions,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) metadata: MetadataHandle,
    pub(crate) blobs: BlobStore,
    pub(crate) sandbox: Sandbox,
    pub(crate) planner: Planner,
    pub(crate) gateways: Gateways,
    pub(crate) registry: JobRegistry,
    pub(crate) resources: ResourceManager,
    pub(crate) operations: Operations,
    /// The unfinished jobs that have no JobMaster yet.
    pub(crate) unready: Unready,
    pub(crate) warming: Warming,
    pub(crate) door: DoorFigures,
    pub(crate) figures: FigureStore,
    pub(crate) flame_graphs: FlameGraphs,
    pub(crate) load: ProcessLoad,
    pub(crate) traces: Traces,
    /// What is spawned here ends with the lead.
    pub(crate) runtime: tokio::runtime::Handle,
}

/// What the server for TaskManagers of other processes has at the moment, if there is one; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct DoorFigures(Arc<Mutex<Option<ControlServer>>>);

impl DoorFigures {
    pub(crate) fn current(&self) -> ControlServerFigures {
        let server = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        server.as_ref().map(ControlServer::figures).unwrap_or_default()
    }
}

/// What a member of the group has whether it leads or not.
pub(crate) struct Member {
    pub(crate) options: JobManagerOptions,
    pub(crate) metadata: MetadataHandle,
    pub(crate) blobs: BlobStore,
    pub(crate) sandbox: Sandbox,
    pub(crate) lead: watch::Sender<Lead>,
    pub(crate) door: DoorFigures,
    /// This process's own TaskManager.
    local: Mutex<Option<(TaskManagerId, Arc<dyn TaskManagerGateway>)>>,
}

impl Member {
    /// Makes this process's own TaskManager known to a leader of this process.
    pub(crate) fn introduce_local(&self, services: &Services) {
        if let Some((id, gateway)) = &*self.local.lock().unwrap_or_else(PoisonError::into_inner) {
            services.gateways.insert(id.clone(), gateway.clone());
        }
    }
}

/// A running JobManager. Dropping it ends its lead.
pub struct JobManager {
    member: Arc<Member>,
    leading: JoinHandle<()>,
}

impl Drop for JobManager {
    fn drop(&mut self) {
        self.close();
        // It owns the runtime of the tenure.
        self.leading.abort();
    }
}

impl JobManager {
    /// Starts a JobManager. Whenever its member of the metadata group is elected it begins a new leader epoch, cleans up
    /// what an earlier leader left undone, and runs the jobs again that had not ended.
    ///
    /// Has to be called within a runtime of tokio.
    pub fn start(options: JobManagerOptions, metadata: MetadataHandle, blobs: BlobStore, sandbox: Sandbox) -> Self {
        let lead = watch::Sender::new(Lead::Nowhere);
        let door = DoorFigures::default();
        let member = Arc::new(Member { options, metadata, blobs, sandbox, lead, door, local: Mutex::default() });
        let leading = tokio::spawn(leading::run(member.clone()));
        Self { member, leading }
    }

    /// Who leads, as far as this process acts on it.
    pub fn lead(&self) -> watch::Receiver<Lead> {
        self.member.lead.subscribe()
    }

    /// The group that it is a member of.
    pub fn group(&self) -> Group {
        Group::new(self.member.metadata.clone())
    }

    /// Waits until this process leads, and gives what clients speak to.
    ///
    /// # Errors
    /// If the metadata were closed.
    pub async fn leads(&self) -> Result<Dispatcher, DispatcherError> {
        let mut lead = self.lead();
        let here = lead.wait_for(|lead| matches!(lead, Lead::Here(_))).await;
        match here.as_deref() {
            Ok(Lead::Here(dispatcher)) => Ok(dispatcher.clone()),
            _ => Err(DispatcherError::Unavailable("the JobManager has stopped".to_owned())),
        }
    }

    /// Makes a TaskManager of this process reachable, which registers by itself, and gives where it sends its messages.
    /// It belongs to this process's leader, and to no other one of the group.
    pub fn connect(&self, id: TaskManagerId, gateway: Arc<dyn TaskManagerGateway>) {
        *self.member.local.lock().unwrap_or_else(PoisonError::into_inner) = Some((id, gateway));
        if let Lead::Here(dispatcher) = &*self.member.lead.borrow() {
            self.member.introduce_local(&dispatcher.services);
        }
    }

    /// Where this process's own TaskManager sends its messages, which wait while this process does not lead.
    pub fn inbox(&self) -> mpsc::Sender<ToJobManager> {
        let (inbox, mut messages) = mpsc::channel(INBOX_MAX);
        let mut lead = self.lead();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let services = match lead.wait_for(|lead| matches!(lead, Lead::Here(_))).await.as_deref() {
                    Ok(Lead::Here(dispatcher)) => dispatcher.services.clone(),
                    _ => return,
                };
                router::route(message, &services.resources, &services.registry).await;
            }
        });
        inbox
    }

    /// Listens for TaskManagers of other processes and for other members until [`Self::close`], and says where.
    /// TaskManagers hear every `heartbeat_interval` that the JobManager is alive.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn listen(
        &self,
        address: SocketAddr,
        heartbeat_interval: Duration,
        peers: PeerEndpoint,
    ) -> Result<SocketAddr, DispatcherError> {
        let heartbeat_timeout = Duration::from_millis(self.member.options.resources.heartbeat_timeout_ms);
        let options = ControlServerOptions { listen: address, heartbeat_interval, heartbeat_timeout };
        let answer = move |request| -> futures::future::BoxFuture<'static, _> {
            let peers = peers.clone();
            Box::pin(async move { peers.answer(request).await })
        };
        let mounted = Mounted { path: PEER_PATH, answer: Arc::new(answer) };
        let server = ControlServer::bind(options, Arc::new(Door(self.lead())), Some(mounted));
        let server = server.map_err(|error| DispatcherError::Unavailable(error.to_string()))?;
        let address = server.address();
        *self.member.door.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(address)
    }

    /// Lets go of the TaskManagers of other processes and of the other members.
    pub fn close(&self) {
        self.member.door.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
