//! What a sink is to the task that writes to it.
//!
//! A sink that takes part in checkpoints commits in two phases. At the barrier it prepares: what was written is durable,
//! not yet visible, and named by *committables*. When the checkpoint is complete it commits them. A checkpoint that is
//! restored carries its committables, and opening a sink commits them again: nobody knows whether the attempt before got
//! that far. Committables are dealt out anew then, so that a sink may get those of any subtask.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_types::{CheckpointId, CrashPoints, JobId, NodeId};
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
    /// How often the subtask was started before; never the same twice in the life of the job.
    pub attempt: u32,
    /// Whether the job takes checkpoints periodically: then nothing becomes visible but by a commit.
    pub checkpointed: bool,
    /// What the attempt goes on from; `None`: it writes from the beginning.
    pub restored: Option<RestoredSink>,
    /// The folders that it may write.
    pub roots: FileRoots,
    /// Where the process is to die in the middle of a commit.
    pub crash_points: CrashPoints,
    /// The task's log.
    pub log: Arc<dyn TaskLog>,
    /// Where collected rows go.
    pub collect: Arc<dyn CollectSender>,
}

/// What a checkpoint says of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredSink {
    /// The checkpoint. Later ones of the job have higher numbers.
    pub checkpoint: CheckpointId,
    /// What was prepared for it, of this subtask's share.
    pub committables: Vec<Bytes>,
}

/// Takes rows out of the application.
#[async_trait]
pub trait Sink: Send {
    /// Takes the rows of a batch. The batch may be kept back in memory until [`Sink::finish`].
    ///
    /// # Errors
    /// Whatever keeps the rows from being written. The sink is then to be aborted.
    async fn write(&mut self, batch: &BatchView) -> Result<(), ConnectorError>;

    /// Whether the end of input is not enough to end the sink: it has to prepare for one more checkpoint, and to commit
    /// when that is complete, before it finishes.
    fn transactional(&self) -> bool {
        false
    }

    /// Makes all that was written durable, and names what is not committed yet: also what was prepared for earlier
    /// checkpoints that were not completed, so that each checkpoint covers those before it. A sink that is not
    /// transactional hands over at least once, and has nothing to commit.
    ///
    /// # Errors
    /// Whatever keeps the rows from being durable. The sink is then to be aborted.
    async fn prepare(&mut self, _checkpoint: CheckpointId) -> Result<Vec<Bytes>, ConnectorError> {
        Ok(Vec::new())
    }

    /// Makes what was prepared visible: its checkpoint is complete. Committing once more what is committed does nothing.
    ///
    /// # Errors
    /// Whatever keeps the rows from being published. They stay prepared: committing can be tried again, by this attempt
    /// or the next one.
    async fn commit(&mut self, _committables: &[Bytes]) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// Ends the sink. What is not committed yet becomes visible, unless the job takes checkpoints: then everything must
    /// have been committed. The last call, unless it fails.
    ///
    /// # Errors
    /// Whatever keeps the rows from being published. The sink is then to be aborted.
    async fn finish(&mut self) -> Result<(), ConnectorError>;

    /// Removes output that no checkpoint can refer to: the task failed or was cancelled. What was prepared stays. The
    /// last call.
    async fn abort(&mut self);
}
