//! What the rest of the JobManager sees of the metadata.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millrace_metadata_core::{Applied, Command, MetadataState, Response};
use millrace_types::LeaderEpoch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::error::MetadataError;
use crate::group::Group;
use crate::leadership::{Leadership, LeadershipWatch};
use crate::membership::GroupStatus;
use crate::options::{COMMAND_BYTES_MAX, QUEUE_BYTES_MAX};
use crate::types::{MemberAddresses, MemberId, Proposed};

/// What was asked of the log, on its way to it.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// `None`: a barrier.
    pub(crate) command: Option<Proposed>,
    /// Its size, in bytes.
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Applied, MetadataError>>,
    /// The bytes that it takes of the queue's budget.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The metadata, to read and to change. A clone is the same metadata.
///
/// A handle is of an epoch or of none ([`MetadataHandle::in_epoch`]). What is proposed through one of an epoch is
/// refused as soon as a later epoch has begun, wherever its leader is: [`MetadataError::is_fenced`].
#[derive(Debug, Clone)]
pub struct MetadataHandle {
    epoch: Option<LeaderEpoch>,
    proposals: mpsc::Sender<Proposal>,
    queue_bytes: Arc<Semaphore>,
    state: watch::Receiver<Arc<MetadataState>>,
    leadership: watch::Receiver<Leadership>,
    group: Group,
}

impl MetadataHandle {
    pub(crate) fn new(
        proposals: mpsc::Sender<Proposal>,
        state: watch::Receiver<Arc<MetadataState>>,
        leadership: watch::Receiver<Leadership>,
        group: Group,
    ) -> Self {
        let queue_bytes = Arc::new(Semaphore::new(QUEUE_BYTES_MAX));
        Self { epoch: None, proposals, queue_bytes, state, leadership, group }
    }

    /// The same metadata for the leader of this epoch: its decisions are refused once another epoch has begun.
    #[must_use]
    pub fn in_epoch(&self, epoch: LeaderEpoch) -> Self {
        Self { epoch: Some(epoch), ..self.clone() }
    }

    /// The epoch that this handle proposes in.
    pub fn epoch(&self) -> Option<LeaderEpoch> {
        self.epoch
    }

    /// Makes a decision. When this returns success a quorum has it on disk and [`MetadataHandle::state`] shows it.
    /// Decisions that this process proposes are made in the order in which they were proposed.
    ///
    /// Dropping the future does not take the decision back: once it waits in the queue it is carried out.
    ///
    /// # Errors
    /// - [`MetadataError::Rejected`]: the state machine refuses it; nothing has changed. If
    ///   [`MetadataError::is_fenced`], another leader has begun.
    /// - [`MetadataError::NotLeader`], [`MetadataError::TooLarge`], [`MetadataError::Poisoned`]: it is not stored.
    /// - [`MetadataError::OutcomeUnknown`]: it may or may not be stored now or later; [`MetadataHandle::barrier`] decides
    ///   it.
    /// - [`MetadataError::WriteFailed`]: it may or may not be stored, and no more decisions are taken.
    /// - [`MetadataError::Closed`]: the service has ended; it may or may not be stored.
    pub async fn propose(&self, command: Command) -> Result<Applied, MetadataError> {
        let proposed = Proposed { epoch: self.epoch, command };
        let size = postcard::experimental::serialized_size(&proposed);
        let bytes = size.map_err(|cause| MetadataError::Internal(format!("encoding: {cause}")))?;
        if bytes > COMMAND_BYTES_MAX {
            return Err(MetadataError::TooLarge { actual: bytes, limit: COMMAND_BYTES_MAX });
        }
        self.ask(Some(proposed), bytes).await
    }

    /// Waits until everything that this process proposed before is decided, and gives a state that shows it, and that
    /// is not older than anything that was answered anywhere: what is absent from it was not stored and never will be.
    ///
    /// # Errors
    /// As [`MetadataHandle::propose`], but for what is said of commands. A fenced handle is refused here, too.
    pub async fn barrier(&self) -> Result<Arc<MetadataState>, MetadataError> {
        self.ask(None, 0).await?;
        let state = self.state();
        match self.epoch {
            Some(stale) if state.epoch() != stale => {
                let newest = state.epoch();
                Err(millrace_metadata_core::Rejection::StaleEpoch { stale, newest }.into())
            }
            _ => Ok(state),
        }
    }

    async fn ask(&self, command: Option<Proposed>, bytes: usize) -> Result<Applied, MetadataError> {
        let permit = Arc::clone(&self.queue_bytes).acquire_many_owned(bytes as u32).await;
        let permit = permit.map_err(|_| MetadataError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { command, bytes, reply, permit };
        self.proposals.send(proposal).await.map_err(|_| MetadataError::Closed)?;
        answer.await.map_err(|_| MetadataError::Closed)?
    }

    /// Begins an epoch that no leader had before; all earlier ones are fenced, of this member, too. Uploads of earlier
    /// leaders end. What was stored before is in [`MetadataHandle::state`] when this returns.
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

    /// The newest state that this member has. It has all that was answered through this process, and, while this member
    /// leads by a valid lease and has begun an epoch, all that was answered anywhere. A follower's may be old.
    pub fn state(&self) -> Arc<MetadataState> {
        Arc::clone(&self.state.borrow())
    }

    /// A state that is not older than anything that was answered anywhere when this was called. It costs a round to the
    /// followers and no write. What was proposed and not answered may still come: see [`MetadataHandle::barrier`].
    ///
    /// The first one of a process costs a write. openraft lets a leader that was restarted within its term lead on, and takes
    /// an entry of its former life for the one that shows what is decided: what was acknowledged since then may be missing.
    ///
    /// # Errors
    /// [`MetadataError::NotLeader`], [`MetadataError::OutcomeUnknown`], [`MetadataError::Closed`].
    pub async fn read(&self) -> Result<Arc<MetadataState>, MetadataError> {
        if !self.group.has_decided.load(Ordering::Relaxed) {
            self.ask(None, 0).await?;
        }
        self.group.ensure_linearizable().await?;
        Ok(self.state())
    }

    /// Follows the state from here on.
    pub fn watch(&self) -> StateWatch {
        let mut state = self.state.clone();
        state.mark_unchanged();
        StateWatch { state }
    }

    /// Follows who leads.
    pub fn leadership(&self) -> LeadershipWatch {
        LeadershipWatch { leadership: self.leadership.clone() }
    }

    /// How the group fares, as this member sees it.
    pub fn status(&self) -> GroupStatus {
        self.group.status()
    }

    /// Adds a member: it receives all that there is first, and votes then. Doing it again finishes what was cut off. The
    /// new member was started with [`crate::Formation::Join`], on a new file, under an id that the group never had.
    ///
    /// # Errors
    /// - [`MetadataError::NotLeader`]: ask the leader.
    /// - [`MetadataError::Membership`]: why it cannot be done.
    /// - [`MetadataError::OutcomeUnknown`]: the new member, or a quorum, is not reached in time.
    pub async fn add_member(&self, id: MemberId, addresses: MemberAddresses) -> Result<(), MetadataError> {
        self.group.add(id, addresses).await
    }

    /// Removes a member; it may be dead. The leader may remove itself: another one takes over.
    ///
    /// # Errors
    /// As [`MetadataHandle::add_member`].
    pub async fn remove_member(&self, id: MemberId) -> Result<(), MetadataError> {
        self.group.remove(id).await
    }

    /// A member is reached elsewhere from now on.
    ///
    /// # Errors
    /// As [`MetadataHandle::add_member`].
    pub async fn readdress_member(&self, id: MemberId, addresses: MemberAddresses) -> Result<(), MetadataError> {
        self.group.readdress(id, addresses).await
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
