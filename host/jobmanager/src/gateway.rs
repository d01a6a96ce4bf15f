//! How the JobManager reaches TaskManagers: a channel in one process, RPC between processes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use millrace_metadata::Lease;
use millrace_protocol::{Answer, LogRequest, Question, ToTaskManager};
use millrace_types::TaskManagerId;

/// Why a TaskManager could not be reached.
#[derive(Debug, Clone, thiserror::Error)]
#[error("TaskManager {task_manager} cannot be reached: {reason}")]
pub struct GatewayError {
    /// Which one.
    pub task_manager: TaskManagerId,
    /// Why.
    pub reason: String,
}

/// One TaskManager, from the JobManager's side.
#[async_trait]
pub trait TaskManagerGateway: Send + Sync {
    /// Delivers a message, in order. Waits while the TaskManager's inbox is full.
    async fn send(&self, message: ToTaskManager) -> Result<(), GatewayError>;

    /// The newest lines of the logs of a job's tasks; empty if there are none.
    async fn task_log(&self, wanted: &LogRequest) -> Result<String, GatewayError>;

    /// The newest lines of its process's log, of about so many bytes.
    async fn process_log(&self, bytes_max: u64) -> Result<String, GatewayError>;

    /// Asks something that no decision rests on, and waits so long for the answer.
    async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, GatewayError>;

    /// The ResourceManager does not want this TaskManager, or no longer: it is to begin another life.
    fn refuse(&self, reason: &str);
}

/// How often a leader that is not sure of its lead looks whether it is again.
const LEASE_POLL: Duration = Duration::from_millis(10);

/// The TaskManagers that a leader can reach; cheap to clone.
#[derive(Clone)]
pub(crate) struct Gateways {
    lease: Lease,
    by_id: Arc<RwLock<BTreeMap<TaskManagerId, Arc<dyn TaskManagerGateway>>>>,
}

impl Gateways {
    /// What is sent waits for the lease: a leader that does not hear of its group acts on nobody. The wait ends with the
    /// lease's return or with the tenure, which ends all that runs in it.
    pub(crate) fn new(lease: Lease) -> Self {
        Self { lease, by_id: Arc::default() }
    }

    /// Whether the lease is valid.
    pub(crate) fn may_act(&self) -> bool {
        self.lease.is_valid()
    }

    pub(crate) fn insert(&self, id: TaskManagerId, gateway: Arc<dyn TaskManagerGateway>) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).insert(id, gateway);
    }

    /// Makes a TaskManager reachable unless one of its id is.
    pub(crate) fn insert_new(&self, id: TaskManagerId, gateway: Arc<dyn TaskManagerGateway>) -> bool {
        match self.by_id.write().unwrap_or_else(PoisonError::into_inner).entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(gateway);
                true
            }
        }
    }

    pub(crate) fn remove(&self, id: &TaskManagerId) {
        self.by_id.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(crate) fn refuse(&self, id: &TaskManagerId, reason: &str) {
        let gateway = self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(gateway) = gateway {
            gateway.refuse(reason);
        }
    }

    /// The newest lines of a TaskManager's own log.
    pub(crate) async fn process_log(&self, id: &TaskManagerId, bytes_max: u64) -> Result<String, GatewayError> {
        let gateway = self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        match gateway {
            Some(gateway) => gateway.process_log(bytes_max).await,
            None => Err(GatewayError { task_manager: id.clone(), reason: "it is not registered".to_owned() }),
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<dyn TaskManagerGateway>> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All of them, by their ids.
    pub(crate) fn by_id(&self) -> BTreeMap<TaskManagerId, Arc<dyn TaskManagerGateway>> {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn send(&self, id: &TaskManagerId, message: ToTaskManager) -> Result<(), GatewayError> {
        while !self.may_act() {
            tokio::time::sleep(LEASE_POLL).await;
        }
        let gateway = self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        match gateway {
            Some(gateway) => gateway.send(message).await,
            None => Err(GatewayError { task_manager: id.clone(), reason: "it is not registered".to_owned() }),
        }
    }
}
