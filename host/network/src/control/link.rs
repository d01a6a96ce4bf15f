//! One connected TaskManager, from the JobManager's side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_protocol::{Answer, LogRequest, LogWanted, Question, ToTaskManager};
use tokio::sync::{mpsc, oneshot, watch};

use crate::control::error::LinkClosed;
use crate::control::messages::FromJobManager;
use crate::control::questions::Questions;

/// Messages to one TaskManager that it has not taken.
pub(crate) const OUTGOING_MAX: usize = 1024;

/// Requests for logs of one TaskManager that are under way.
const LOG_REQUESTS_MAX: usize = 64;

/// How long a TaskManager may take to answer for its logs.
const LOG_TIMEOUT: Duration = Duration::from_secs(10);

/// What waits for logs.
type LogWaiters = BTreeMap<u64, oneshot::Sender<Result<String, String>>>;

/// A connected TaskManager; cheap to clone, all clones are one.
#[derive(Debug, Clone)]
pub struct TaskManagerLink {
    outgoing: mpsc::Sender<FromJobManager>,
    closing: Arc<watch::Sender<Option<String>>>,
    logs: Arc<Mutex<LogWaiters>>,
    log_requests: Arc<AtomicU64>,
    questions: Questions,
}

impl TaskManagerLink {
    pub(crate) fn new(outgoing: mpsc::Sender<FromJobManager>) -> Self {
        let closing = Arc::new(watch::Sender::new(None));
        Self { outgoing, closing, logs: Arc::default(), log_requests: Arc::default(), questions: Questions::default() }
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
        self.fetch_log(LogWanted::Tasks(log.clone())).await
    }

    /// The newest lines of its process's log, of about so many bytes.
    ///
    /// # Errors
    /// A text that says why there are none.
    pub async fn process_log(&self, bytes_max: u64) -> Result<String, String> {
        self.fetch_log(LogWanted::Process { bytes_max }).await
    }

    async fn fetch_log(&self, log: LogWanted) -> Result<String, String> {
        let request = self.log_requests.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut waiters = self.waiters();
            waiters.retain(|_, waiter| !waiter.is_closed());
            if waiters.len() >= LOG_REQUESTS_MAX {
                return Err(format!("{LOG_REQUESTS_MAX} requests for its logs are under way: try again later"));
            }
            waiters.insert(request, answer);
        }
        let asked = FromJobManager::FetchLog { request, log };
        self.push(asked).await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(LOG_TIMEOUT, answered).await {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => Err(LinkClosed.to_string()),
            Err(_) => Err(format!("it did not send its logs within {} s", LOG_TIMEOUT.as_secs())),
        }
    }

    /// Asks something that no decision rests on, and waits so long for the answer.
    ///
    /// # Errors
    /// A text that says why there is no answer.
    pub async fn ask(&self, question: &Question, wait: Duration) -> Result<Answer, String> {
        let (request, answered) = self.questions.add()?;
        let asked = FromJobManager::Ask { request, question: Box::new(question.clone()) };
        let answer = async {
            self.push(asked).await?;
            answered.await.map_err(|_| LinkClosed)
        };
        match tokio::time::timeout(wait, answer).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it did not answer within {} ms", wait.as_millis())),
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

    /// Sends if there is room, and says whether there was: for what is said again soon.
    pub(crate) fn try_push(&self, message: FromJobManager) -> bool {
        self.outgoing.try_send(message).is_ok()
    }

    /// An answer to [`Self::task_log`]; whether somebody waits for it.
    pub(crate) fn log_answered(&self, request: u64, text: Result<String, String>) -> bool {
        self.waiters().remove(&request).is_some_and(|waiter| waiter.send(text).is_ok())
    }

    /// An answer to [`Self::ask`]; whether somebody waits for it.
    pub(crate) fn answered(&self, request: u64, answer: Answer) -> bool {
        self.questions.answered(request, answer)
    }

    /// Nobody will answer any more.
    pub(crate) fn abandon(&self) {
        self.close("its connection has ended");
        self.waiters().clear();
        self.questions.clear();
    }

    fn waiters(&self) -> MutexGuard<'_, LogWaiters> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
