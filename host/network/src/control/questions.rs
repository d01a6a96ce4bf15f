//! Questions to one TaskManager that wait for their answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_protocol::Answer;
use tokio::sync::oneshot;

/// Questions to one TaskManager that are under way.
const QUESTIONS_MAX: usize = 64;

/// Who waits for answers; cheap to clone, all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Questions {
    waiters: Arc<Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>>,
    asked: Arc<AtomicU64>,
}

impl Questions {
    /// A question is about to be sent: its number, and where the answer comes.
    pub(crate) fn add(&self) -> Result<(u64, oneshot::Receiver<Answer>), String> {
        let request = self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let mut waiters = self.lock();
        waiters.retain(|_, waiter| !waiter.is_closed());
        if waiters.len() >= QUESTIONS_MAX {
            return Err(format!("{QUESTIONS_MAX} questions to it are under way: try again later"));
        }
        waiters.insert(request, answer);
        Ok((request, answered))
    }

    /// An answer has come; whether somebody waits for it.
    pub(crate) fn answered(&self, request: u64, answer: Answer) -> bool {
        self.lock().remove(&request).is_some_and(|waiter| waiter.send(answer).is_ok())
    }

    /// Nobody will answer any more.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Answer>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
