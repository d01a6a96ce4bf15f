//! One TaskManager's stream, from its first message to its end, on the JobManager's side.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use millrace_protocol::ToJobManager;
use millrace_types::TaskManagerId;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

use crate::control::error::describe;
use crate::control::link::{OUTGOING_MAX, TaskManagerLink};
use crate::control::messages::{CONTROL_VERSION, FromJobManager, FromTaskManager};
use crate::control::server::{LeaderHandler, Shared};

/// How long a TaskManager may take to say who it is, and to take the word that it is refused.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What goes to a TaskManager.
pub(crate) type Outgoing = std::pin::Pin<Box<dyn Stream<Item = Result<FromJobManager, Status>> + Send>>;

/// Begins a session, which runs beside this and ends with the stream.
pub(crate) fn open(shared: Arc<Shared>, incoming: Streaming<FromTaskManager>) -> Result<Outgoing, Status> {
    let Some(admission) = shared.admit() else {
        shared.refuse("too-many-connections");
        return Err(Status::resource_exhausted("too many TaskManagers are connected"));
    };
    let (sender, receiver) = mpsc::channel(OUTGOING_MAX);
    let (cut, cut_off) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let link = TaskManagerLink::new(sender.clone());
        let last = run(&shared, incoming, &link).await;
        link.abandon();
        // Whoever holds the link keeps the queue open: this last message ends the stream.
        let last = sender.send(last);
        let _ = tokio::time::timeout(HANDSHAKE_TIMEOUT, last).await.inspect_err(|_| drop(cut));
        drop(admission);
    });
    Ok(Box::pin(until_refused(receiver, cut_off)))
}

/// The messages up to the word that the TaskManager is refused; or none any more when the other end of `cut_off` is
/// dropped while that word has not been taken.
fn until_refused(
    receiver: mpsc::Receiver<FromJobManager>,
    cut_off: oneshot::Receiver<()>,
) -> impl Stream<Item = Result<FromJobManager, Status>> + Send {
    let state = (receiver, cut_off, false);
    futures::stream::unfold(state, |(mut receiver, mut cut_off, ended)| async move {
        if ended {
            return None;
        }
        let message = tokio::select! {
            biased;
            message = receiver.recv() => message?,
            _ = &mut cut_off => return None,
        };
        let ended = matches!(message, FromJobManager::Refused { .. } | FromJobManager::NotLeader { .. });
        Some((Ok(message), (receiver, cut_off, ended)))
    })
}

/// Welcomes a TaskManager and serves it; gives what to tell it at the end.
async fn run(shared: &Shared, mut incoming: Streaming<FromTaskManager>, link: &TaskManagerLink) -> FromJobManager {
    let id = match hello(shared, &mut incoming).await {
        Ok(id) => id,
        Err(reason) => return FromJobManager::Refused { reason },
    };
    let leader = match shared.handler.leader() {
        Ok(leader) => leader,
        Err(leader) => {
            shared.refuse("not-leader");
            return FromJobManager::NotLeader { leader };
        }
    };
    // In front of whatever others send through the link.
    link.try_push(FromJobManager::Welcome { epoch: leader.epoch() });
    if let Err(reason) = leader.connected(&id, link.clone()) {
        shared.refuse("not-wanted");
        return FromJobManager::Refused { reason };
    }
    let reason = serve(shared, leader.as_ref(), &id, &mut incoming, link).await;
    leader.disconnected(&id, &reason).await;
    match shared.handler.leader() {
        Ok(_) => FromJobManager::Refused { reason },
        Err(leader) => FromJobManager::NotLeader { leader },
    }
}

async fn hello(shared: &Shared, incoming: &mut Streaming<FromTaskManager>) -> Result<TaskManagerId, String> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming.message()).await {
        Ok(Ok(Some(FromTaskManager::Hello { version, id }))) if version == CONTROL_VERSION => Ok(id),
        Ok(Ok(Some(FromTaskManager::Hello { version, .. }))) => {
            shared.refuse("other-version");
            Err(format!(
                "it speaks version {version} of the control protocol and this JobManager version {CONTROL_VERSION}: run \
                 the same version of Millrace everywhere"
            ))
        }
        Ok(Ok(Some(_))) => {
            shared.refuse("no-hello");
            Err("its first message does not say who it is".to_owned())
        }
        Ok(Ok(None)) => Err("it left without a word".to_owned()),
        Ok(Err(status)) => {
            shared.refuse("malformed");
            Err(describe(&status))
        }
        Err(_) => {
            shared.refuse("handshake-timeout");
            Err("it did not say in time who it is".to_owned())
        }
    }
}

/// Serves a TaskManager until its connection ends, and says why that is.
async fn serve(
    shared: &Shared,
    leader: &dyn LeaderHandler,
    id: &TaskManagerId,
    incoming: &mut Streaming<FromTaskManager>,
    link: &TaskManagerLink,
) -> String {
    let mut alive = tokio::time::interval(shared.options.heartbeat_interval.max(Duration::from_millis(1)));
    let timeout = shared.options.heartbeat_timeout;
    let mut silent_at = tokio::time::Instant::now() + timeout;
    let mut told = Vec::new();
    loop {
        let message = tokio::select! {
            reason = link.closed() => return reason,
            _ = alive.tick() => {
                link.try_push(FromJobManager::Alive);
                let job_managers = leader.job_managers();
                // Without room it is told later: whoever takes nothing is to be missed in time.
                if job_managers != told && link.try_push(FromJobManager::JobManagers(job_managers.clone())) {
                    told = job_managers;
                }
                continue;
            }
            () = tokio::time::sleep_until(silent_at) => {
                return format!("it was not heard of for {} ms", timeout.as_millis());
            }
            message = incoming.message() => message,
        };
        match message {
            Ok(Some(message)) => {
                if let Err(reason) = handle(shared, leader, id, message, link).await {
                    return reason;
                }
                silent_at = tokio::time::Instant::now() + timeout;
            }
            Ok(None) => return "it closed its connection".to_owned(),
            Err(status) => {
                if matches!(status.code(), tonic::Code::InvalidArgument | tonic::Code::OutOfRange) {
                    shared.refuse("malformed");
                    return describe(&status);
                }
                return format!("its connection broke: {}", describe(&status));
            }
        }
    }
}

async fn handle(
    shared: &Shared,
    leader: &dyn LeaderHandler,
    id: &TaskManagerId,
    message: FromTaskManager,
    link: &TaskManagerLink,
) -> Result<(), String> {
    match message {
        FromTaskManager::Hello { .. } => {
            shared.refuse("second-hello");
            Err("it said twice who it is".to_owned())
        }
        FromTaskManager::Log { request, text } => {
            if !link.log_answered(request, text) {
                shared.refuse("unasked-log");
            }
            Ok(())
        }
        FromTaskManager::Answered { request, answer } => {
            if !link.answered(request, *answer) {
                shared.refuse("unasked-answer");
            }
            Ok(())
        }
        FromTaskManager::Message(message) => match sender(&message) {
            Some(sender) if sender != id => {
                shared.refuse("foreign-id");
                Err(format!("it sent a message in the name of {sender}"))
            }
            _ => {
                leader.received(id, message).await;
                Ok(())
            }
        },
    }
}

/// The TaskManager that a message names as its sender.
fn sender(message: &ToJobManager) -> Option<&TaskManagerId> {
    match message {
        ToJobManager::Register(registration) => Some(&registration.id),
        ToJobManager::Heartbeat(heartbeat) => Some(&heartbeat.id),
        ToJobManager::SlotFreed { slot, .. } => Some(&slot.task_manager),
        ToJobManager::OfferSlots { slots, .. } => slots.first().map(|(slot, _)| &slot.task_manager),
        ToJobManager::Present(presence) => Some(&presence.task_manager),
        ToJobManager::TaskReport(_)
        | ToJobManager::SplitRequest(_)
        | ToJobManager::Collected(_)
        | ToJobManager::CheckpointAcknowledged(_)
        | ToJobManager::CheckpointDeclined(_)
        | ToJobManager::AwaitingCheckpoint { .. }
        | ToJobManager::WatermarkReached { .. }
        | ToJobManager::UpgradeAnswered(_) => None,
    }
}
