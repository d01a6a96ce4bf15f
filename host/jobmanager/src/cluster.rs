//! The JobManager of one process: starts the parts and holds what they share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millrace_connectors::Reach;
use millrace_metadata::MetadataHandle;
use millrace_network::control::ControlServer;
use millrace_protocol::ToJobManager;
use millrace_sandbox::Sandbox;
use millrace_storage::BlobStore;
use millrace_types::{LeaderEpoch, TaskManagerId};
use tokio::sync::mpsc;

use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::gateway::{Gateways, TaskManagerGateway};
use crate::operations::Operations;
use crate::options::JobManagerOptions;
use crate::planner::Planner;
use crate::registry::JobRegistry;
use crate::resource_manager::ResourceManager;
use crate::warming::Warming;
use crate::{recovery, router, task_managers};

/// Messages from TaskManagers that wait to be routed.
const INBOX_MAX: usize = 4_096;

/// What the parts of a JobManager share.
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
    pub(crate) warming: Warming,
    /// Where TaskManagers of other processes connect, if they may.
    pub(crate) control: Mutex<Option<ControlServer>>,
}

/// A running JobManager.
pub struct JobManager {
    services: Arc<Services>,
    inbox: mpsc::Sender<ToJobManager>,
}

impl JobManager {
    /// Starts a JobManager: a new leader epoch, what an earlier life left undone is cleaned up, and jobs that had not
    /// ended run again.
    pub async fn start(
        options: JobManagerOptions,
        metadata: MetadataHandle,
        blobs: BlobStore,
        sandbox: Sandbox,
    ) -> Result<Self, DispatcherError> {
        let epoch = metadata.begin_epoch().await?;
        let gateways = Gateways::default();
        let registry = JobRegistry::default();
        let resources = ResourceManager::spawn(options.resources, epoch, gateways.clone(), registry.clone());
        if let Some(driver) = options.driver.clone() {
            resources.drive(driver);
        }
        let reach = Reach { files: options.file_roots.clone(), http: options.http_origins.clone() };
        let planner = Planner::new(sandbox.clone(), options.sandbox_limits.clone(), reach);
        let warming = Warming::default();
        warming.spawn(epoch, &resources, gateways.clone());
        let (inbox, receiver) = mpsc::channel(INBOX_MAX);
        tokio::spawn(router::run(receiver, resources.clone(), registry.clone()));
        let services = Arc::new(Services {
            options,
            epoch,
            metadata,
            blobs,
            sandbox,
            planner,
            gateways,
            registry,
            resources,
            operations: Operations::default(),
            warming,
            control: Mutex::default(),
        });
        recovery::delete_condemned(&services).await;
        recovery::delete_leftovers(&services).await;
        recovery::resume_jobs(&services).await;
        Ok(Self { services, inbox })
    }

    /// Where TaskManagers send their messages.
    pub fn inbox(&self) -> mpsc::Sender<ToJobManager> {
        self.inbox.clone()
    }

    /// Makes a TaskManager reachable; it registers by itself.
    pub fn connect(&self, id: TaskManagerId, gateway: Arc<dyn TaskManagerGateway>) {
        self.services.gateways.insert(id, gateway);
    }

    /// Listens for TaskManagers of other processes until [`Self::close`], and says where. They hear every
    /// `heartbeat_interval` that the JobManager is alive.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn listen(&self, address: SocketAddr, heartbeat_interval: Duration) -> Result<SocketAddr, DispatcherError> {
        let server = task_managers::listen(self.services.clone(), address, heartbeat_interval)?;
        let address = server.address();
        *self.services.control.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        Ok(address)
    }

    /// Lets go of the TaskManagers of other processes.
    pub fn close(&self) {
        self.services.control.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits until so many slots are registered.
    pub async fn wait_for_slots(&self, slots: u32) {
        let enough = |task_managers: &Vec<millrace_resource_core::TaskManagerView>| {
            task_managers.iter().map(|task_manager| task_manager.registration.slots).sum::<u32>() >= slots
        };
        self.services.resources.wait_for(enough).await;
    }

    /// What clients speak to.
    pub fn dispatcher(&self) -> Dispatcher {
        Dispatcher { services: self.services.clone() }
    }
}
