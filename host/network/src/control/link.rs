//! One connected TaskManager, from the JobManager's side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_protocol::{Answer, LogRequest, Question, ToTaskManager};
use tokio::sync::{mpsc, oneshot, watch};

use crate::control::error::LinkClosed;
use crate::control::messages::FromJobManager;

/// Messages to one TaskManager that it has not taken.
pub(crate) const OUTGOING_MAX: usize = 1024;

/// Requests to one TaskManager that are under way, of each kind.
const REQUESTS_MAX: usize = 64;

/// How long a TaskManager may take to answer for its logs.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// What waits for answers.
#[derive(Debug)]
struct Waiters<T>(Mutex<BTreeMap<u64, oneshot::Sender<T>>>);

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Waiters<T> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, oneshot::Sender<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the answer to a request that is about to be sent.
    fn add(&self, request: u64) -> Result<oneshot::Receiver<T>, String> {
        let (answer, answered) = oneshot::channel();
        let mut waiters = self.lock();
        waiters.retain(|_, waiter| !waiter.is_closed());
        if waiters.len() >= REQUESTS_MAX {
            return Err(format!("{REQUESTS_MAX} requests to it are under way: try again later"));
        }
        waiters.insert(request, answer);
        Ok(answered)
    }

    /// An answer has come; whether somebody waits for it.
    fn answered(&self, request: u64, answer: T) -> bool {
        self.lock().remove(&request).is_some_and(|waiter| waiter.send(answer).is_ok())
    }
}

/// A connected TaskManager; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct TaskManagerLink {
    outgoing: mpsc::Sender<FromJobManager>,
    closing: Arc<watch::Sender<Option<String>>>,
    logs: Arc<Waiters<Result<String, String>>>,
    questions: Arc<Waiters<Answer>>,
    requests: Arc<AtomicU64>,
}

impl TaskManagerLink {
    pub(crate) fn new(outgoing: mpsc::Sender<FromJobManager>) -> Self {
        let closing = Arc::new(watch::Sender::new(None));
        Self { outgoing, closing, logs: Arc::default(), questions: Arc::default(), requests: Arc::default() }
    }

    /// Delivers a message, in order. Waits while the TaskManager takes none.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send(&self, message: ToTaskManager) -> Result<(), LinkClosed> {
        self.push(FromJobManager::Message(Box::new(message))).await
    }

    /// The newest lines of the logs of a job's tasks.
    ///
    /// # Errors
    /// A text that says why there are none.
    pub async fn task_log(&self, log: &LogRequest) -> Result<String, String> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let answered = self.logs.add(request)?;
        self.push(FromJobManager::FetchLog { request, log: log.clone() }).await.map_err(|error| error.to_string())?;
        self.answer(answered, LOG_TIMEOUT).await?
    }

    /// Asks something that no decision rests on.
    ///
    /// # Errors
    /// A text that says why there is no answer.
    pub async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, String> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let answered = self.questions.add(request)?;
        let asked = FromJobManager::Ask { request, question: Box::new(question.clone()) };
        let pushed = tokio::time::timeout(timeout, self.push(asked)).await;
        pushed.map_err(|_| "it takes no messages".to_owned())?.map_err(|error| error.to_string())?;
        self.answer(answered, timeout).await
    }

    async fn answer<T>(&self, answered: oneshot::Receiver<T>, timeout: Duration) -> Result<T, String> {
        match tokio::time::timeout(timeout, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(LinkClosed.to_string()),
            Err(_) => Err(format!("it did not answer within {} ms", timeout.as_millis())),
        }
    }

    /// Ends the connection and tells the TaskManager why.
    pub fn close(&self, reason: &str) {
        self.closing.send_if_modified(|present| {
            let is_first = present.is_none();
            present.get_or_insert_with(|| reason.to_owned());
            is_first
        });
    }

    /// Waits until somebody wants the connection to end, and says why. Cancel-safe.
    pub(crate) async fn closed(&self) -> String {
        let mut closing = self.closing.subscribe();
        let reason = closing.wait_for(Option::is_some).await;
        // The sender lives in `self`.
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    pub(crate) async fn push(&self, message: FromJobManager) -> Result<(), LinkClosed> {
        tokio::select! {
            sent = self.outgoing.send(message) => sent.map_err(|_| LinkClosed),
            _ = self.closed() => Err(LinkClosed),
        }
    }

    /// Sends if there is room: for what is said again soon.
    pub(crate) fn try_push(&self, message: FromJobManager) {
        // Where there is no room, messages are on their way that say the same.
        let _ = self.outgoing.try_send(message);
    }

    /// An answer to [`Self::task_log`]; whether somebody waits for it.
    pub(crate) fn log_answered(&self, request: u64, text: Result<String, String>) -> bool {
        self.logs.answered(request, text)
    }

    /// An answer to [`Self::ask`]; whether somebody waits for it.
    pub(crate) fn answered(&self, request: u64, answer: Answer) -> bool {
        self.questions.answered(request, answer)
    }

    /// Nobody will answer any more.
    pub(crate) fn abandon(&self) {
        self.close("its connection has ended");
        self.logs.lock().clear();
        self.questions.lock().clear();
    }
}
