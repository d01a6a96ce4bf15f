//! What a sink is to the task that writes to it.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_types::{JobId, NodeId};
use millrace_wire::BatchView;

use crate::{ConnectorError, FileRoots};

/// The log of a task, as the `print` sink sees it.
pub trait TaskLog: Send + Sync {
    /// Appends a line. Must not block.
    fn line(&self, text: &str);
}

/// The way of a `collect` sink's rows to the client.
#[async_trait]
pub trait CollectSender: Send + Sync {
    /// Hands over rows, in order, and waits until there is credit for more.
    ///
    /// # Errors
    /// [`ConnectorError::CollectClosed`] if nobody takes rows any longer.
    async fn send(&self, rows: Vec<Vec<u8>>) -> Result<(), ConnectorError>;
}

/// What a sink gets from the task that it runs in.
#[derive(Clone)]
pub struct SinkContext {
    /// The job.
    pub job: JobId,
    /// The sink's node in the graph.
    pub node: NodeId,
    /// The subtask, from 0.
    pub subtask: u32,
    /// The number of the sink's subtasks.
    pub parallelism: u32,
    /// How often the subtask was started before.
    pub attempt: u32,
    /// The folders that it may write.
    pub roots: FileRoots,
    /// The task's log.
    pub log: Arc<dyn TaskLog>,
    /// Where collected rows go.
    pub collect: Arc<dyn CollectSender>,
}

/// Takes rows out of the application.
#[async_trait]
pub trait Sink: Send {
    /// Takes the rows of a batch. The batch may be kept back in memory until [`Sink::finish`].
    ///
    /// # Errors
    /// Whatever keeps the rows from being written. The sink is then to be aborted.
    async fn write(&mut self, batch: &BatchView) -> Result<(), ConnectorError>;

    /// Makes all that was written visible. The last call, unless it fails.
    ///
    /// # Errors
    /// Whatever keeps the rows from being published. The sink is then to be aborted.
    async fn finish(&mut self) -> Result<(), ConnectorError>;

    /// Removes unfinished output: the task failed or was cancelled. The last call.
    async fn abort(&mut self);
}
