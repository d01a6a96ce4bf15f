//! The logs of tasks: what guests and `print` sinks write, by job, vertex and subtask.
//!
//! Invariants:
//! - Whoever writes never waits for a disk: lines go through a bounded queue, and what finds it full is counted and
//!   said in the log.
//! - A subtask's log takes at most two files of [`LOG_FILE_BYTES_MAX`]; logs of at most [`LOG_JOBS_MAX`] jobs are kept,
//!   besides those that run.
//! - A reader sees every line that was queued before it asked.

mod files;
mod reader;
mod time;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_protocol::LogRequest;
use millrace_types::{JobId, TenantId, Timestamp, VertexId};
use tokio::sync::{mpsc, oneshot};

use crate::error::TaskManagerError;
use files::LogFiles;
pub(crate) use time::rfc3339;

/// What one file of a subtask's log may have, in bytes. When it is full it becomes the older one of two.
pub const LOG_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The logs of so many jobs are kept.
pub const LOG_JOBS_MAX: usize = 100;

/// The lines on their way to files, of all tasks.
const QUEUE_LINES_MAX: usize = 8 * 1024;

/// The longest line, in bytes; what is behind is cut off. Sinks print records, which may be as long as a batch.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// Whose log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogKey {
    pub tenant: TenantId,
    pub job: JobId,
    pub vertex: VertexId,
    pub subtask: u32,
}

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    /// The level's name, padded to one width.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN ",
            Self::Info => "INFO ",
            Self::Debug => "DEBUG",
        }
    }
}

/// What the writing thread is told.
enum Order {
    /// A task has begun: its job's log is kept as long as it runs.
    Open(Arc<LogKey>),
    Line(Arc<LogKey>, String),
    /// The task has ended.
    Close(Arc<LogKey>),
    /// Write everything out, then answer.
    Flush(oneshot::Sender<()>),
}

/// The logs of a TaskManager. Cheap to clone; the writing thread ends with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct TaskLogs {
    orders: mpsc::Sender<Order>,
    root: Arc<PathBuf>,
    dropped: Arc<AtomicU64>,
}

impl TaskLogs {
    /// Starts the writing thread. Logs stand in `root`.
    pub(crate) fn start(root: PathBuf) -> Result<Self, TaskManagerError> {
        std::fs::create_dir_all(&root)
            .map_err(|source| TaskManagerError::LogDirectory { path: root.clone(), source })?;
        let (orders, receiver) = mpsc::channel(QUEUE_LINES_MAX);
        let files = LogFiles::new(root.clone());
        std::thread::Builder::new()
            .name("millrace-task-log".to_owned())
            .spawn(move || write_out(receiver, files))
            .map_err(TaskManagerError::Thread)?;
        Ok(Self { orders, root: Arc::new(root), dropped: Arc::default() })
    }

    /// The log of a task that begins.
    pub(crate) async fn open(&self, key: LogKey, parallelism: u32) -> TaskLog {
        let key = Arc::new(key);
        // A thread that is gone is seen by nobody but readers, who say so.
        let _ = self.orders.send(Order::Open(Arc::clone(&key))).await;
        let suffix = format!("({}/{parallelism})", key.subtask + 1);
        TaskLog { key, suffix, logs: self.clone(), dropped: AtomicU64::new(0) }
    }

    /// The newest lines of a job's tasks.
    pub(crate) async fn read(&self, wanted: LogRequest) -> Result<String, TaskManagerError> {
        let (done, written) = oneshot::channel();
        self.orders.send(Order::Flush(done)).await.map_err(|_| TaskManagerError::Stopped)?;
        written.await.map_err(|_| TaskManagerError::Stopped)?;
        let folder = files::job_folder(&self.root, &wanted.tenant, wanted.job);
        let reading = tokio::task::spawn_blocking(move || reader::read(&folder, &wanted));
        reading.await.map_err(|_| TaskManagerError::Stopped)
    }

    /// The lines that were dropped because the queue was full.
    pub(crate) fn lines_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The log of one task. Closed when dropped.
#[derive(Debug)]
pub(crate) struct TaskLog {
    key: Arc<LogKey>,
    suffix: String,
    logs: TaskLogs,
    /// What was dropped since the last line that was not.
    dropped: AtomicU64,
}

impl TaskLog {
    /// Writes a line, from an operator. Never waits.
    pub(crate) fn line(&self, now: Timestamp, level: Level, operator: &str, text: &str) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} lines were dropped: they came faster than the disk takes them");
            self.queue(now, Level::Warn, operator, &text, dropped);
        }
        self.queue(now, level, operator, text, 0);
    }

    /// Queues a line that stands for `counted` dropped ones, or for none.
    fn queue(&self, now: Timestamp, level: Level, operator: &str, text: &str, counted: u64) {
        let text = if text.len() > LINE_BYTES_MAX { &text[..text.floor_char_boundary(LINE_BYTES_MAX)] } else { text };
        // Lines behind the first are told from lines of their own by their tab.
        let text = text.trim_end_matches(['\r', '\n']).replace('\n', "\n\t");
        let line = format!("{} {} {operator} {}: {text}\n", rfc3339(now), level.as_str(), self.suffix);
        if self.logs.orders.try_send(Order::Line(Arc::clone(&self.key), line)).is_err() {
            self.dropped.fetch_add(counted.max(1), Ordering::Relaxed);
            self.logs.dropped.fetch_add(u64::from(counted == 0), Ordering::Relaxed);
        }
    }
}

impl Drop for TaskLog {
    fn drop(&mut self) {
        // If the queue is full, the folder counts as one of a running job until the process ends.
        let _ = self.logs.orders.try_send(Order::Close(Arc::clone(&self.key)));
    }
}

/// The writing thread.
fn write_out(mut orders: mpsc::Receiver<Order>, mut files: LogFiles) {
    loop {
        let order = match orders.try_recv() {
            Ok(order) => order,
            Err(_) => {
                // Nothing is left: what was written becomes visible before the thread sleeps.
                files.flush();
                match orders.blocking_recv() {
                    Some(order) => order,
                    None => return,
                }
            }
        };
        match order {
            Order::Open(key) => files.open(&key),
            Order::Line(key, line) => files.write(&key, &line),
            Order::Close(key) => files.close(&key),
            Order::Flush(done) => {
                files.flush();
                // Whoever asked may have gone.
                let _ = done.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests;
