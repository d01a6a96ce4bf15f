//! Telling a task to stop.

use millrace_types::Failure;
use tokio::sync::watch;

/// Why a task is to stop.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// On request.
    Cancel,
    /// Because of what its TaskManager saw.
    Fail(Failure),
}

/// The end that tells.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<Option<Stop>>);

/// The end that is told.
#[derive(Debug, Clone)]
pub(crate) struct StopSignal(watch::Receiver<Option<Stop>>);

/// Both ends.
pub(crate) fn stop_signal() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (Stopper(sender), StopSignal(receiver))
}

impl Stopper {
    /// Tells the task to stop. The first reason counts.
    pub(crate) fn stop(&self, reason: Stop) {
        self.0.send_if_modified(|present| {
            let is_first = present.is_none();
            present.get_or_insert(reason);
            is_first
        });
    }
}

impl StopSignal {
    /// Waits until the task is to stop. A TaskManager that is gone wants its tasks to stop as well. Cancel-safe.
    pub(crate) async fn stopped(&mut self) -> Stop {
        match self.0.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(Stop::Cancel),
            Err(_) => Stop::Cancel,
        }
    }
}
