//! The thread that owns the log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;

use millrace_metadata_core::{Applied, MetadataState};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::MetadataError;
use crate::handle::{MetadataHandle, Proposal};
use crate::log::{Log, SnapshotError};
use crate::options::{BATCH_COMMANDS_MAX, MetadataOptions, QUEUE_COMMANDS_MAX};

/// The running metadata store. Dropping it closes it.
#[derive(Debug)]
pub struct MetadataService {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MetadataService {
    /// Opens or creates the file and serves it from a thread of its own. Blocks while the file is read.
    ///
    /// # Errors
    /// [`MetadataError::Locked`], [`MetadataError::Open`], [`MetadataError::Corrupt`] or
    /// [`MetadataError::NewerVersion`], [`MetadataError::OlderVersion`]: each says what to do.
    pub fn open(options: &MetadataOptions) -> Result<(Self, MetadataHandle), MetadataError> {
        Self::start(options, || Log::open(options))
    }

    /// Opens the log by `open`, then serves it.
    pub(crate) fn start(
        options: &MetadataOptions,
        open: impl FnOnce() -> Result<(Log, MetadataState), MetadataError>,
    ) -> Result<(Self, MetadataHandle), MetadataError> {
        // redb asserts where a file contradicts itself; for whoever starts the process that is a damaged file.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(open));
        let (log, state) =
            opened.unwrap_or_else(|_| Err(MetadataError::corrupt(&options.path, "it contradicts itself")))?;

        let (proposals, queue) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let (published, watch) = watch::channel(Arc::new(state.clone()));
        let (stop, stopped) = oneshot::channel();
        let failed = |cause: std::io::Error| MetadataError::while_opening(&options.path, cause);
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(failed)?;
        let writer = Writer { log, state, published, poison: None };
        let thread = std::thread::Builder::new().name("metadata".to_owned());
        let thread = thread.spawn(move || runtime.block_on(writer.run(queue, stopped))).map_err(failed)?;
        Ok((Self { stop: Some(stop), thread: Some(thread) }, MetadataHandle::new(proposals, watch)))
    }

    /// Serves what waits, closes the file and returns when another process can open it. Blocks for the last writes.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The receiver is gone only if the thread has ended.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the metadata's thread has panicked");
        }
    }
}

impl Drop for MetadataService {
    fn drop(&mut self) {
        self.end();
    }
}

struct Writer {
    log: Log,
    state: MetadataState,
    published: watch::Sender<Arc<MetadataState>>,
    /// Why nothing more is written.
    poison: Option<Arc<redb::Error>>,
}

type Answer = (oneshot::Sender<Result<Applied, MetadataError>>, Result<Applied, MetadataError>);

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Proposal>, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH_COMMANDS_MAX);
        let mut stopping = false;
        loop {
            tokio::select! {
                // Either somebody asks for it, or the service was dropped.
                _ = &mut stopped, if !stopping => {
                    stopping = true;
                    queue.close();
                }
                count = queue.recv_many(&mut batch, BATCH_COMMANDS_MAX) => {
                    if count == 0 {
                        return;
                    }
                    self.serve(&mut batch);
                }
            }
        }
    }

    /// Carries out a batch: the state that readers see changes, and anybody is answered, only when it is durable.
    fn serve(&mut self, batch: &mut Vec<Proposal>) {
        let mut next = self.state.clone();
        let mut entries = Vec::with_capacity(batch.len());
        let mut answers: Vec<Answer> = Vec::with_capacity(batch.len());
        let mut permits = Vec::with_capacity(batch.len());
        for Proposal { command, encoded, reply, permit } in batch.drain(..) {
            permits.push(permit);
            if let Some(cause) = &self.poison {
                let path = self.log.path().to_owned();
                answers.push((reply, Err(MetadataError::Poisoned { path, cause: Arc::clone(cause) })));
                continue;
            }
            let applied = next.apply(command);
            if applied.as_ref().is_ok_and(|applied| applied.changed) {
                entries.push(encoded);
            }
            answers.push((reply, applied.map_err(MetadataError::from)));
        }
        if !entries.is_empty() {
            match self.log.append(&entries) {
                Ok(()) => {
                    self.published.send_replace(Arc::new(next.clone()));
                    self.state = next;
                }
                Err(cause) => self.fail(cause, &mut answers),
            }
        }
        for (reply, answer) in answers {
            // Whoever asked may have gone; the decision stands.
            let _ = reply.send(answer);
        }
        self.shorten();
    }

    /// A batch could not be written: none of it is known to be stored, and no answer may rest on it.
    fn fail(&mut self, cause: redb::Error, answers: &mut [Answer]) {
        let cause = self.poison(cause);
        for (_, answer) in answers {
            let path = self.log.path().to_owned();
            *answer = Err(MetadataError::WriteFailed { path, cause: Arc::clone(&cause) });
        }
    }

    fn poison(&mut self, cause: redb::Error) -> Arc<redb::Error> {
        tracing::error!(path = %self.log.path().display(), %cause, "cannot write the metadata; no more are taken");
        let cause = Arc::new(cause);
        self.poison = Some(Arc::clone(&cause));
        cause
    }

    fn shorten(&mut self) {
        if self.poison.is_some() || !self.log.wants_snapshot() {
            return;
        }
        match self.log.snapshot(&self.state) {
            Ok(()) => tracing::debug!("replaced the metadata's log by a snapshot"),
            Err(SnapshotError::Write(cause)) => {
                self.poison(cause);
            }
            Err(SnapshotError::Encode(cause)) => tracing::error!(%cause, "cannot encode the metadata's snapshot"),
        }
    }
}
