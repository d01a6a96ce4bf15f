//! Copies of files of checkpoints on a TaskManager's own disks, so that a task that comes back need not fetch its state.
//!
//! Invariants:
//! - A copy is a help and never needed: whatever goes wrong with one, the file in the checkpoint folder is there.
//! - What is read was compared with the length and checksum of the file that it stands for. One that does not fit is
//!   removed.
//! - Making copies holds nobody up: a thread of its own writes them, and a copy for which it is too slow is given up.
//! - Copies belong to one life of the process: they are named by numbers that only its memory can tell, and the folders are
//!   emptied when it begins.

mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use millrace_types::{CheckpointId, JobId};
use tokio::sync::mpsc;

use crate::checkpoint::RangedFile;
use index::Index;
pub use index::{CopyKey, CopyOwner};

/// What waits to be written, in bytes. Beyond it copies are given up.
const WAITING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The pieces, files and ends of copies that wait, or have their places kept. Beyond it copies are given up.
const WAITING_MAX: usize = 16 * 1024;

/// What is read at once of a file that is copied as a whole, in bytes.
const READ_BYTES: usize = 1024 * 1024;

/// What there is, and what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalFigures {
    /// Copies.
    pub copies: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was restored from copies, in bytes.
    pub restored_local_bytes: u64,
    /// What was restored from checkpoint folders, in bytes.
    pub restored_remote_bytes: u64,
}

/// The copies of a process; cheap to clone.
#[derive(Clone)]
pub struct LocalCopies(Arc<Inner>);

struct Inner {
    folders: Vec<PathBuf>,
    index: Mutex<Index>,
    work: mpsc::Sender<Work>,
    waiting_bytes: AtomicU64,
    /// The numbers of the copies that the thread has to delete: each has a file.
    gone: Mutex<Vec<u64>>,
    next: AtomicU64,
    restored_local_bytes: AtomicU64,
    restored_remote_bytes: AtomicU64,
}

/// What the thread does.
enum Work {
    Append {
        number: u64,
        chunk: Bytes,
    },
    Finish {
        number: u64,
        key: CopyKey,
        bytes: u64,
        checksum: u64,
    },
    GiveUp {
        number: u64,
    },
    Whole {
        number: u64,
        key: CopyKey,
        file: Arc<RangedFile>,
        checksum: u64,
    },
    /// Looks whether there is anything to delete, as it does behind all other work.
    Sweep,
    #[cfg(test)]
    Tell(std::sync::mpsc::Sender<()>),
}

impl LocalCopies {
    /// Copies in these folders, which are made or emptied: nobody else may use them. No more than `bytes_max` are kept.
    /// Blocks.
    ///
    /// # Errors
    /// If there is no folder, one cannot be used, or the thread cannot be started.
    pub fn new(folders: Vec<PathBuf>, bytes_max: u64) -> io::Result<Self> {
        if folders.is_empty() {
            return Err(io::Error::other("there is no folder for copies of state"));
        }
        for folder in &folders {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::create_dir_all(folder)?,
            }
        }
        let (work, todo) = mpsc::channel(WAITING_MAX);
        let inner = Arc::new(Inner {
            folders,
            index: Mutex::new(Index::new(bytes_max)),
            work,
            waiting_bytes: AtomicU64::new(0),
            gone: Mutex::default(),
            next: AtomicU64::new(0),
            restored_local_bytes: AtomicU64::new(0),
            restored_remote_bytes: AtomicU64::new(0),
        });
        // It ends with the last handle.
        let copier = Copier { inner: Arc::downgrade(&inner), open: BTreeMap::new() };
        std::thread::Builder::new().name("millrace-copies".to_owned()).spawn(move || copier.run(todo))?;
        Ok(Self(inner))
    }

    /// Begins the copy of a file that is being written.
    pub fn begin(&self, key: CopyKey) -> CopyWriter {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let end = self.0.work.clone().try_reserve_owned().ok();
        CopyWriter { inner: Arc::clone(&self.0), number, open: end.map(|end| (key, end)) }
    }

    /// Copies a file that is open, unless there is a copy.
    pub fn copy(&self, key: CopyKey, file: Arc<RangedFile>, checksum: u64) {
        if self.0.index().contains(&key) {
            return;
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        // Without room there is no copy.
        let _ = self.0.work.try_send(Work::Whole { number, key, file, checksum });
    }

    /// Opens the copy of exactly this file, if there is one that fits. Blocks.
    pub fn open(&self, key: &CopyKey, bytes: u64, checksum: u64) -> Option<RangedFile> {
        let copy = self.0.index().find(key, bytes, checksum)?;
        let path = self.0.path(copy.number);
        match RangedFile::open(path, bytes, checksum) {
            Ok(file) => Some(file),
            Err(error) => {
                let file = &key.path;
                tracing::warn!(%file, %error, "a local copy of state cannot be used: the checkpoint's file is read instead");
                let gone = self.0.index().remove(key).into_iter().collect();
                self.0.delete_later(gone);
                None
            }
        }
    }

    /// Counts what was restored.
    pub fn count_restored(&self, local_bytes: u64, remote_bytes: u64) {
        self.0.restored_local_bytes.fetch_add(local_bytes, Ordering::Relaxed);
        self.0.restored_remote_bytes.fetch_add(remote_bytes, Ordering::Relaxed);
    }

    /// A subtask has acknowledged a checkpoint that consists of these files.
    pub fn acknowledged(&self, owner: CopyOwner, checkpoint: CheckpointId, files: BTreeSet<CopyKey>) {
        self.0.index().acknowledged(owner, checkpoint, files);
    }

    /// A checkpoint is complete: copies that only earlier ones named are deleted.
    pub fn completed(&self, owner: CopyOwner, checkpoint: CheckpointId) {
        let gone = self.0.index().completed(owner, checkpoint);
        self.0.delete_later(gone);
    }

    /// A subtask begins with a checkpoint that consists of these files: copies of what it acknowledged besides are deleted.
    pub fn restored(&self, owner: CopyOwner, checkpoint: CheckpointId, files: BTreeSet<CopyKey>) {
        let gone = self.0.index().restored(owner, checkpoint, files);
        self.0.delete_later(gone);
    }

    /// Deletes all copies of the jobs that are not to be kept.
    pub fn retain_jobs(&self, keep: impl Fn(JobId) -> bool) {
        let gone = self.0.index().retain_jobs(keep);
        self.0.delete_later(gone);
    }

    /// What there is, and what was read.
    pub fn figures(&self) -> LocalFigures {
        let index = self.0.index();
        LocalFigures {
            copies: index.count() as u64,
            bytes: index.bytes(),
            restored_local_bytes: self.0.restored_local_bytes.load(Ordering::Relaxed),
            restored_remote_bytes: self.0.restored_remote_bytes.load(Ordering::Relaxed),
        }
    }
}

impl std::fmt::Debug for LocalCopies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCopies").field("folders", &self.0.folders).field("figures", &self.figures()).finish()
    }
}

impl Inner {
    fn index(&self) -> MutexGuard<'_, Index> {
        // Every change of the index is whole before anything in it can panic.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread write a piece, if there is room for it.
    fn append(&self, number: u64, chunk: &Bytes) -> bool {
        let bytes = chunk.len() as u64;
        let fits = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= WAITING_BYTES_MAX;
        let waits = fits && self.work.try_send(Work::Append { number, chunk: chunk.clone() }).is_ok();
        if !waits {
            self.written(bytes);
        }
        waits
    }

    /// A piece waits no longer.
    fn written(&self, bytes: u64) {
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn path(&self, number: u64) -> PathBuf {
        let folder = usize::try_from(number).unwrap_or_default() % self.folders.len();
        self.folders[folder].join(format!("copy-{number}"))
    }

    /// Has the thread delete files: that may take long.
    fn delete_later(&self, numbers: Vec<u64>) {
        if numbers.is_empty() {
            return;
        }
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.is_empty() {
            // Without room the thread has other work, or will have some, and deletes behind that.
            let _ = self.work.try_send(Work::Sweep);
        }
        gone.extend(numbers);
    }

    /// Deletes what is gone.
    fn sweep(&self) {
        let gone = std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner));
        self.delete(gone);
    }

    fn delete(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            let path = self.path(number);
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "a local copy of state cannot be deleted");
            }
        }
    }
}

/// Copies a file while it is written. Dropped before its end, it leaves nothing.
pub struct CopyWriter {
    inner: Arc<Inner>,
    number: u64,
    /// What it copies, and the place that is kept for its end. None when it is finished or given up.
    open: Option<(CopyKey, mpsc::OwnedPermit<Work>)>,
}

impl CopyWriter {
    /// Appends bytes. Never waits: without room the copy is given up.
    pub fn append(&mut self, chunk: &Bytes) {
        if self.open.is_some() && !self.inner.append(self.number, chunk) {
            self.give_up();
        }
    }

    /// The file is durable where it belongs: its copy may be used.
    pub fn finish(mut self, bytes: u64, checksum: u64) {
        if let Some((key, end)) = self.open.take() {
            end.send(Work::Finish { number: self.number, key, bytes, checksum });
        }
    }

    fn give_up(&mut self) {
        if let Some((_, end)) = self.open.take() {
            end.send(Work::GiveUp { number: self.number });
        }
    }
}

impl Drop for CopyWriter {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The thread that writes copies.
struct Copier {
    inner: std::sync::Weak<Inner>,
    /// Copies under way, with their bytes so far.
    open: BTreeMap<u64, (File, u64)>,
}

impl Copier {
    fn run(mut self, mut todo: mpsc::Receiver<Work>) {
        while let Some(work) = todo.blocking_recv() {
            let Some(inner) = self.inner.upgrade() else { return };
            match work {
                Work::Append { number, chunk } => {
                    inner.written(chunk.len() as u64);
                    self.append(&inner, number, &chunk);
                }
                Work::Finish { number, key, bytes, checksum } => self.finish(&inner, number, key, bytes, checksum),
                Work::GiveUp { number } => self.give_up(&inner, number),
                Work::Whole { number, key, file, checksum } => self.whole(&inner, number, key, &file, checksum),
                Work::Sweep => {}
                #[cfg(test)]
                Work::Tell(who) => {
                    inner.sweep();
                    let _ = who.send(());
                }
            }
            inner.sweep();
        }
    }

    fn append(&mut self, inner: &Inner, number: u64, chunk: &[u8]) -> bool {
        let path = inner.path(number);
        match self.try_append(&path, inner.index().bytes_max(), number, chunk) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a local copy of state was given up");
                self.give_up(inner, number);
                false
            }
        }
    }

    fn try_append(&mut self, path: &Path, bytes_max: u64, number: u64, chunk: &[u8]) -> io::Result<()> {
        let (file, bytes) = match self.open.entry(number) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(none) => none.insert((File::create_new(path)?, 0)),
        };
        *bytes += chunk.len() as u64;
        if *bytes > bytes_max {
            return Err(io::Error::other("it is larger than all copies may be"));
        }
        file.write_all(chunk)
    }

    fn finish(&mut self, inner: &Inner, number: u64, key: CopyKey, bytes: u64, checksum: u64) {
        // What was given up has another length.
        match self.open.remove(&number) {
            Some((_, written)) if written == bytes => {
                let gone = inner.index().add(key, number, bytes, checksum);
                inner.delete(gone);
            }
            _ => inner.delete([number]),
        }
    }

    fn give_up(&mut self, inner: &Inner, number: u64) {
        self.open.remove(&number);
        inner.delete([number]);
    }

    fn whole(&mut self, inner: &Inner, number: u64, key: CopyKey, file: &RangedFile, checksum: u64) {
        let bytes = file.byte_len();
        if inner.index().contains(&key) || bytes > inner.index().bytes_max() {
            return;
        }
        let mut buffer = vec![0; READ_BYTES.min(usize::try_from(bytes).unwrap_or(READ_BYTES))];
        let mut offset = 0;
        while offset < bytes {
            let length = buffer.len().min(usize::try_from(bytes - offset).unwrap_or(READ_BYTES));
            let part = &mut buffer[..length];
            if let Err(error) = file.read_at(offset, part) {
                tracing::warn!(%error, "a file of a checkpoint cannot be copied");
                return self.give_up(inner, number);
            }
            if !self.append(inner, number, part) {
                return;
            }
            offset += length as u64;
        }
        self.finish(inner, number, key, bytes, checksum);
    }
}

#[cfg(test)]
mod tests;
