//! How others reach a TaskManager.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_network::{DataPlane, Exchange};
use millrace_protocol::ToTaskManager;
use millrace_sandbox::Sandbox;
use millrace_types::{JobId, TaskManagerId, TenantId, VertexId};
use tokio::sync::{mpsc, watch};

use crate::error::TaskManagerError;
use crate::log::TaskLogs;
use crate::stale::StaleCounts;

/// What a TaskManager has at the moment, and what it has dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskManagerFigures {
    /// Tasks that run or are being cleaned up.
    pub tasks: usize,
    /// Instances of guests in the process's sandbox.
    pub instances: u64,
    /// Channels between tasks.
    pub channels: usize,
    /// Channels that wait for one of their ends.
    pub waiting_channels: usize,
    /// Connections with other TaskManagers, in both directions, those included that are about to begin.
    pub connections: usize,
    /// Connections, frames and channels of other TaskManagers that were refused, by reason.
    pub refused_frames: BTreeMap<&'static str, u64>,
    /// Messages that were dropped, by reason.
    pub stale: BTreeMap<&'static str, u64>,
    /// Lines of tasks' logs that were dropped because the disk was too slow.
    pub log_lines_dropped: u64,
}

/// What the control loop is told.
pub(crate) enum Inbound {
    Message(ToTaskManager),
    Shutdown,
}

pub(crate) struct Inner {
    pub id: TaskManagerId,
    pub inbound: mpsc::Sender<Inbound>,
    pub stopped: watch::Receiver<bool>,
    pub logs: TaskLogs,
    pub exchange: Exchange,
    pub data: Option<DataPlane>,
    pub sandbox: Sandbox,
    pub stale: StaleCounts,
    pub tasks: Arc<AtomicUsize>,
}

/// The handle of a running TaskManager. When the last clone is dropped, the TaskManager stops.
#[derive(Clone)]
pub struct TaskManagerHandle(pub(crate) Arc<Inner>);

impl TaskManagerHandle {
    /// Its id.
    pub fn id(&self) -> &TaskManagerId {
        &self.0.id
    }

    /// Delivers a message. Waits while very many are undelivered.
    ///
    /// # Errors
    /// If the TaskManager has stopped.
    pub async fn send(&self, message: ToTaskManager) -> Result<(), TaskManagerError> {
        let sent = self.0.inbound.send(Inbound::Message(message)).await;
        sent.map_err(|_| TaskManagerError::Stopped)
    }

    /// The newest lines of the logs of a job's tasks, or of one vertex of it, merged by time: about `max_bytes` of
    /// them. Empty if there are none.
    ///
    /// # Errors
    /// If the TaskManager has stopped.
    pub async fn task_log(
        &self,
        tenant: &TenantId,
        job: JobId,
        vertex: Option<VertexId>,
        max_bytes: usize,
    ) -> Result<String, TaskManagerError> {
        self.0.logs.read(tenant, job, vertex, max_bytes).await
    }

    /// Where other TaskManagers send records to, as `host:port`, if it exchanges any.
    pub fn data_address(&self) -> Option<&str> {
        self.0.data.as_ref().map(DataPlane::address)
    }

    /// What it has at the moment.
    pub fn figures(&self) -> TaskManagerFigures {
        let data = self.0.data.as_ref().map(DataPlane::figures).unwrap_or_default();
        TaskManagerFigures {
            tasks: self.0.tasks.load(Ordering::Acquire),
            instances: self.0.sandbox.instances_in_use(),
            channels: self.0.exchange.budget().live_channels(),
            waiting_channels: self.0.exchange.waiting_channels(),
            connections: data.connections + data.half_open,
            refused_frames: data.refused,
            stale: self.0.stale.by_name(),
            log_lines_dropped: self.0.logs.lines_dropped(),
        }
    }

    /// Cancels what runs, waits a limited time for it, and stops.
    pub async fn shutdown(&self) {
        // One that has stopped takes no message.
        let _ = self.0.inbound.send(Inbound::Shutdown).await;
        let mut stopped = self.0.stopped.clone();
        // An error means that the loop is gone, which is what is waited for.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

impl std::fmt::Debug for TaskManagerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TaskManagerHandle").field(&self.0.id).finish()
    }
}
