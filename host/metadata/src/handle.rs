//! What the rest of the JobManager sees of the metadata.

use std::ops::Range;
use std::sync::Arc;

use millrace_metadata_core::{Applied, Command, MetadataState, Response};
use millrace_types::LeaderEpoch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::error::MetadataError;
use crate::options::{COMMAND_BYTES_MAX, QUEUE_BYTES_MAX};

/// A command on its way to the log.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) command: Command,
    pub(crate) encoded: Vec<u8>,
    pub(crate) reply: oneshot::Sender<Result<Applied, MetadataError>>,
    /// The bytes that it takes of the queue's budget.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The metadata, to read and to change. A clone is the same metadata.
#[derive(Debug, Clone)]
pub struct MetadataHandle {
    proposals: mpsc::Sender<Proposal>,
    queue_bytes: Arc<Semaphore>,
    state: watch::Receiver<Arc<MetadataState>>,
}

impl MetadataHandle {
    pub(crate) fn new(proposals: mpsc::Sender<Proposal>, state: watch::Receiver<Arc<MetadataState>>) -> Self {
        Self { proposals, queue_bytes: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)), state }
    }

    /// Makes a decision. When this returns success the decision is durable and [`MetadataHandle::state`] shows it.
    ///
    /// Dropping the future does not take the decision back: once it waits in the queue it is carried out.
    ///
    /// # Errors
    /// - [`MetadataError::Rejected`]: the state machine refuses it; nothing has changed.
    /// - [`MetadataError::TooLarge`], [`MetadataError::Poisoned`]: it was not tried.
    /// - [`MetadataError::WriteFailed`]: it may or may not be stored, and no more decisions are taken.
    /// - [`MetadataError::Closed`]: the service has ended; it may or may not be stored.
    pub async fn propose(&self, command: Command) -> Result<Applied, MetadataError> {
        let encoded =
            postcard::to_stdvec(&command).map_err(|cause| MetadataError::Internal(format!("encoding: {cause}")))?;
        if encoded.len() > COMMAND_BYTES_MAX {
            return Err(MetadataError::TooLarge { actual: encoded.len(), limit: COMMAND_BYTES_MAX });
        }
        let permit = Arc::clone(&self.queue_bytes).acquire_many_owned(encoded.len() as u32).await;
        let permit = permit.map_err(|_| MetadataError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { command, encoded, reply, permit };
        self.proposals.send(proposal).await.map_err(|_| MetadataError::Closed)?;
        answer.await.map_err(|_| MetadataError::Closed)?
    }

    /// Becomes the leader: gives an epoch that no leader had before. Uploads of earlier leaders end.
    ///
    /// # Errors
    /// As [`MetadataHandle::propose`].
    pub async fn begin_epoch(&self) -> Result<LeaderEpoch, MetadataError> {
        match self.propose(Command::BeginEpoch).await?.response {
            Response::Epoch(epoch) => Ok(epoch),
            other => Err(MetadataError::Internal(format!("a new epoch was answered by {other:?}"))),
        }
    }

    /// Reserves ids that nobody else is ever given.
    ///
    /// # Errors
    /// As [`MetadataHandle::propose`].
    pub async fn reserve_ids(&self, count: u32) -> Result<Range<u64>, MetadataError> {
        match self.propose(Command::ReserveIds { count }).await?.response {
            Response::Ids(ids) => Ok(ids),
            other => Err(MetadataError::Internal(format!("reserved ids were answered by {other:?}"))),
        }
    }

    /// The newest durable state.
    pub fn state(&self) -> Arc<MetadataState> {
        Arc::clone(&self.state.borrow())
    }

    /// Follows the state from here on.
    pub fn watch(&self) -> StateWatch {
        let mut state = self.state.clone();
        state.mark_unchanged();
        StateWatch { state }
    }
}

/// Follows the state.
#[derive(Debug)]
pub struct StateWatch {
    state: watch::Receiver<Arc<MetadataState>>,
}

impl StateWatch {
    /// Waits for a state that is newer than the last one that was seen here; `None`: the service has ended. States in
    /// between are skipped.
    pub async fn changed(&mut self) -> Option<Arc<MetadataState>> {
        self.state.changed().await.ok()?;
        Some(Arc::clone(&self.state.borrow_and_update()))
    }
}
