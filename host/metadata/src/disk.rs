//! The thread that writes the file, and what becomes of a failure.
//!
//! Invariants:
//! - One write after the other, in the order in which they were asked for; each is answered when it is on disk.
//! - After a failed write nothing more is written: what it left is unknown. The [`Fault`] says so to the whole process.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use crate::error::MetadataError;
use crate::store::{Store, Write, WriteError};

/// Writes that wait. Raft waits for each one but for those of snapshots.
const WRITES_MAX: usize = 16;

/// Why the metadata cannot go on, once that is so. A clone is the same.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    cause: Arc<watch::Sender<Option<MetadataError>>>,
}

impl Default for Fault {
    fn default() -> Self {
        Self { cause: Arc::new(watch::channel(None).0) }
    }
}

impl Fault {
    /// The first cause is kept.
    pub(crate) fn report(&self, cause: &MetadataError) {
        self.cause.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(%cause, "the metadata stop");
                *known = Some(cause.clone());
            }
            first
        });
    }

    pub(crate) fn cause(&self) -> Option<MetadataError> {
        self.cause.borrow().clone()
    }

    /// Waits for it.
    pub(crate) async fn wait(&self) -> MetadataError {
        let mut cause = self.cause.subscribe();
        match cause.wait_for(Option::is_some).await.map(|cause| cause.clone()) {
            Ok(Some(cause)) => cause,
            // The sender lives in this struct.
            _ => std::future::pending().await,
        }
    }
}

struct Job {
    write: Write,
    reply: oneshot::Sender<Result<(), MetadataError>>,
}

/// Writes the file from a thread of its own. A clone writes the same file.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    jobs: mpsc::Sender<Job>,
    pub(crate) store: Store,
    pub(crate) fault: Fault,
}

impl Disk {
    /// Starts the thread. It ends when all clones are gone.
    pub(crate) fn start(store: Store, fault: Fault) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, mut queue) = mpsc::channel::<Job>(WRITES_MAX);
        let mut writer = Writer { store: store.clone(), fault: fault.clone(), poison: None };
        let thread = std::thread::Builder::new().name("metadata-log".to_owned());
        let thread = thread.spawn(move || {
            while let Some(Job { write, reply }) = queue.blocking_recv() {
                // Whoever asked may have gone.
                let _ = reply.send(writer.write(&write));
            }
        })?;
        Ok((Self { jobs, store, fault }, thread))
    }

    /// Writes, and returns when it is on disk.
    pub(crate) async fn write(&self, write: Write) -> Result<(), MetadataError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { write, reply }).await.map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    /// The thread has panicked: redb asserts where a file contradicts itself.
    fn gone(&self) -> MetadataError {
        let cause = MetadataError::corrupt(self.store.path(), "it contradicts itself");
        self.fault.report(&cause);
        cause
    }

    /// Passes a failure on, and stops the metadata.
    pub(crate) fn fail(&self, cause: MetadataError) -> MetadataError {
        self.fault.report(&cause);
        cause
    }
}

struct Writer {
    store: Store,
    fault: Fault,
    poison: Option<Arc<redb::Error>>,
}

impl Writer {
    fn write(&mut self, write: &Write) -> Result<(), MetadataError> {
        let path = || self.store.path().to_owned();
        if let Some(cause) = &self.poison {
            return Err(MetadataError::Poisoned { path: path(), cause: Arc::clone(cause) });
        }
        let failure = match self.store.write(write) {
            Ok(()) => return Ok(()),
            Err(WriteError::Encode(cause)) => MetadataError::Internal(format!("encoding: {cause}")),
            Err(WriteError::Write(cause)) => {
                let (path, cause) = (path(), Arc::new(cause));
                self.poison = Some(Arc::clone(&cause));
                MetadataError::WriteFailed { path, cause }
            }
        };
        self.fault.report(&failure);
        Err(failure)
    }
}
