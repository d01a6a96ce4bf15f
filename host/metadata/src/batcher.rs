//! Commands that wait together become one entry of the log: a commit costs milliseconds, whatever it holds.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millrace_metadata_core::{Applied, Rejection};
use openraft::error::ClientWriteError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::MetadataError;
use crate::group::Group;
use crate::handle::Proposal;
use crate::options::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, ENTRIES_IN_FLIGHT_MAX, PROPOSAL_TIMEOUT};
use crate::types::{Batch, MemberAddresses, MemberId};

type Reply = oneshot::Sender<Result<Applied, MetadataError>>;

/// Whoever waits for an entry.
struct Waiting {
    /// Whether each is a command; a barrier takes no place in the entry.
    replies: Vec<(bool, Reply)>,
    /// Their bytes of the queue's budget.
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Takes what waits, until nobody can ask any more.
pub(crate) async fn run(group: Group, mut queue: mpsc::Receiver<Proposal>) {
    let in_flight = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT_MAX));
    let mut kept_back = None;
    loop {
        // What comes while these are full shares the next entry.
        let Ok(place) = Arc::clone(&in_flight).acquire_owned().await else { return };
        let Some(first) = (match kept_back.take() {
            Some(proposal) => Some(proposal),
            None => queue.recv().await,
        }) else {
            return;
        };
        let (batch, waiting, rest) = gather(first, &mut queue);
        kept_back = rest;
        submit(&group, batch, waiting, place).await;
    }
}

/// One entry of what waits, and what did not fit.
fn gather(first: Proposal, queue: &mut mpsc::Receiver<Proposal>) -> (Batch, Waiting, Option<Proposal>) {
    let mut batch = Batch::default();
    let mut waiting = Waiting { replies: Vec::new(), _permits: Vec::new() };
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(Proposal { command, bytes: size, reply, permit }) = next {
        bytes += size;
        if bytes > BATCH_BYTES_MAX && !batch.commands.is_empty() {
            return (batch, waiting, Some(Proposal { command, bytes: size, reply, permit }));
        }
        waiting.replies.push((command.is_some(), reply));
        waiting._permits.push(permit);
        batch.commands.extend(command);
        next = if waiting.replies.len() < BATCH_COMMANDS_MAX { queue.try_recv().ok() } else { None };
    }
    (batch, waiting, None)
}

/// Hands an entry to Raft, which keeps the order in which it is given them, and waits for its fate elsewhere.
async fn submit(group: &Group, batch: Batch, waiting: Waiting, place: OwnedSemaphorePermit) {
    if let Err(refusal) = group.may_propose() {
        return waiting.fail(&not_tried(refusal));
    }
    let answer = match group.raft.client_write_ff(batch).await {
        Ok(answer) => answer,
        Err(fatal) => return waiting.fail(&not_tried(group.fatal(&fatal))),
    };
    let group = group.clone();
    tokio::spawn(async move {
        let fate = tokio::time::timeout(PROPOSAL_TIMEOUT, answer).await;
        drop(place);
        match fate {
            Ok(Ok(Ok(response))) => {
                group.has_decided.store(true, Ordering::Relaxed);
                waiting.answer(response.data.of_commands);
            }
            Ok(Ok(Err(error))) => waiting.fail(&undecided(error)),
            // Raft has stopped: on a failed write, mostly.
            Ok(Err(_)) => waiting.fail(&group.fault.cause().unwrap_or(MetadataError::Closed)),
            Err(_) => {
                let waited = PROPOSAL_TIMEOUT.as_secs();
                waiting.fail(&MetadataError::OutcomeUnknown(format!("no quorum confirmed it within {waited} s")));
            }
        }
    });
}

/// What stopped Raft before it was given the entry.
fn not_tried(cause: MetadataError) -> MetadataError {
    match cause {
        MetadataError::WriteFailed { path, cause } => MetadataError::Poisoned { path, cause },
        cause => cause,
    }
}

/// Raft took the entry, or would have, and this member lost its lead. openraft says so also when the entry is cut off from
/// this member's log for another leader's sake, before anything of that one stands in its place: if that leader dies, a
/// member that still has the entry may be elected, and decides it.
fn undecided(error: ClientWriteError<MemberId, MemberAddresses>) -> MetadataError {
    match error {
        ClientWriteError::ForwardToLeader(_) => {
            MetadataError::OutcomeUnknown("this member has lost its lead before it was decided".to_owned())
        }
        ClientWriteError::ChangeMembershipError(error) => MetadataError::Internal(error.to_string()),
    }
}

impl Waiting {
    fn answer(self, answers: Vec<Result<Applied, Rejection>>) {
        let mut answers = answers.into_iter();
        for (is_command, reply) in self.replies {
            let answer = if is_command { answers.next() } else { Some(Ok(Applied::nothing())) };
            let missing = || MetadataError::Internal("a command was decided and not answered".to_owned());
            let answer = answer.map_or_else(|| Err(missing()), |answer| answer.map_err(MetadataError::from));
            // Whoever asked may have gone; the decision stands.
            let _ = reply.send(answer);
        }
    }

    fn fail(self, cause: &MetadataError) {
        for (_, reply) in self.replies {
            let _ = reply.send(Err(cause.clone()));
        }
    }
}
