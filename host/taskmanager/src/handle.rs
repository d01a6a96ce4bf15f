//! How others reach a TaskManager.

use std::sync::Arc;

use millrace_network::DataPlane;
use millrace_protocol::{Answer, LogRequest, LogWanted, Question, ToTaskManager};
use millrace_types::TaskManagerId;
use tokio::sync::{mpsc, watch};

use crate::error::TaskManagerError;
use crate::gauges::{Gauges, TaskManagerFigures};

/// What the control loop is told.
pub(crate) enum Inbound {
    Message(ToTaskManager),
    Shutdown,
}

pub(crate) struct Inner {
    pub id: TaskManagerId,
    pub inbound: mpsc::Sender<Inbound>,
    pub stopped: watch::Receiver<bool>,
    pub gauges: Gauges,
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

    /// Waits for room for one message. Cancel-safe.
    pub(crate) async fn reserve(&self) -> Result<mpsc::Permit<'_, Inbound>, TaskManagerError> {
        self.0.inbound.reserve().await.map_err(|_| TaskManagerError::Stopped)
    }

    /// The newest lines of the logs of a job's tasks, merged by time. Empty if there are none.
    ///
    /// # Errors
    /// If the TaskManager has stopped.
    pub async fn task_log(&self, wanted: LogRequest) -> Result<String, TaskManagerError> {
        self.0.gauges.logs.read(wanted).await
    }

    /// The newest lines of a log.
    ///
    /// # Errors
    /// If the TaskManager has stopped.
    pub async fn log(&self, wanted: LogWanted) -> Result<String, TaskManagerError> {
        match wanted {
            LogWanted::Tasks(wanted) => self.task_log(wanted).await,
            LogWanted::Process { bytes_max } => {
                Ok(self.0.gauges.process_log.newest(usize::try_from(bytes_max).unwrap_or(usize::MAX)))
            }
        }
    }

    /// Answers what is asked beside the work; a flame graph takes as long as it says.
    pub async fn ask(&self, question: Question) -> Answer {
        self.0.gauges.tasks.answer(question).await
    }

    /// Where other TaskManagers send records to, as `host:port`, if it exchanges any.
    pub fn data_address(&self) -> Option<&str> {
        self.0.gauges.data.as_ref().map(DataPlane::address)
    }

    /// What it has at the moment.
    pub fn figures(&self) -> TaskManagerFigures {
        self.0.gauges.figures()
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        *self.0.stopped.borrow()
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
