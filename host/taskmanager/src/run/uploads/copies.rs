//! What a task has to do with the copies of its state on this machine's disks.
//!
//! Invariant: only files of segments are copied, and only files of the job's own checkpoint folder are begun: a savepoint is
//! its user's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_protocol::{CheckpointSettings, StateBlob};
use millrace_storage::{CheckpointStoreError, CopyKey, CopyOwner, CopyWriter, LocalCopies, StorageAccess};
use millrace_types::{AttemptId, CheckpointId, JobId, VertexId};
use tokio::runtime::Handle;

use super::blob::BlobReader;
use super::writing::open_segment;
use super::{Chains, SegmentHandle};
use crate::log::Level;
use crate::run::shared::TaskShared;

/// Segments that are opened at the same time for one restore.
const OPENED_AT_ONCE_MAX: usize = 8;

/// A task's way to copies. A clone is of the same task.
#[derive(Debug, Clone)]
pub(crate) struct TaskCopies {
    copies: Option<LocalCopies>,
    settings: CheckpointSettings,
    owner: CopyOwner,
    restored: Arc<Restored>,
}

/// What the task was restored from, in bytes.
#[derive(Debug, Default)]
struct Restored {
    local_bytes: AtomicU64,
    remote_bytes: AtomicU64,
}

impl TaskCopies {
    pub(crate) fn new(copies: Option<&LocalCopies>, settings: &CheckpointSettings, attempt: AttemptId) -> Self {
        let AttemptId { job, vertex, subtask, .. } = attempt;
        let wanted = settings.local_backup || settings.from_local;
        Self {
            copies: copies.filter(|_| wanted).cloned(),
            settings: settings.clone(),
            owner: CopyOwner { job, vertex, subtask },
            restored: Arc::default(),
        }
    }

    /// Nothing is copied.
    pub(super) fn none() -> Self {
        let owner = CopyOwner { job: JobId::from_bytes([0; 16]), vertex: VertexId::from_bytes([0; 16]), subtask: 0 };
        Self { copies: None, settings: CheckpointSettings::default(), owner, restored: Arc::default() }
    }

    fn key(&self, folder: Option<&str>, path: &str) -> CopyKey {
        let folder = folder.unwrap_or(&self.settings.folder);
        CopyKey { job: self.owner.job, folder: folder.into(), path: path.into() }
    }

    fn backup(&self) -> Option<&LocalCopies> {
        self.copies.as_ref().filter(|_| self.settings.local_backup)
    }

    /// Begins the copy of a file of the job's folder.
    pub(crate) fn begin(&self, path: &str) -> Option<CopyWriter> {
        Some(self.backup()?.begin(self.key(None, path)))
    }

    /// The copy of a segment, if it is to be used and fits. Blocks.
    pub(super) fn find(&self, handle: &SegmentHandle) -> Option<BlobReader> {
        let StateBlob::File { path, bytes, checksum } = &handle.blob else { return None };
        let copies = self.copies.as_ref().filter(|_| self.settings.from_local)?;
        let file = copies.open(&self.key(handle.folder.as_deref(), path), *bytes, *checksum)?;
        Some(BlobReader::File { file: Arc::new(file), name: format!("the local copy of {path}") })
    }

    /// Opens the segments that the task is restored from, some at a time: each is read in full to be checked. Blocks.
    pub(crate) fn restore_all(
        &self,
        storage: &StorageAccess,
        handles: &[SegmentHandle],
        runtime: &Handle,
    ) -> Result<Vec<BlobReader>, CheckpointStoreError> {
        let mut opened = Vec::with_capacity(handles.len());
        for some in handles.chunks(OPENED_AT_ONCE_MAX) {
            if some.iter().filter(|handle| handle.blob.path().is_some()).count() < 2 {
                for handle in some {
                    opened.push(self.restore(storage, handle)?);
                }
                continue;
            }
            std::thread::scope(|scope| {
                let open = |handle| {
                    scope.spawn(move || {
                        let _context = runtime.enter();
                        self.restore(storage, handle)
                    })
                };
                let threads: Vec<_> = some.iter().map(open).collect();
                for thread in threads {
                    opened.push(thread.join().unwrap_or(Err(CheckpointStoreError::Closed))?);
                }
                Ok(())
            })?;
        }
        Ok(opened)
    }

    /// Opens a segment that the task is restored from: its copy, or else its file, which is then copied. Blocks.
    fn restore(&self, storage: &StorageAccess, handle: &SegmentHandle) -> Result<BlobReader, CheckpointStoreError> {
        if let Some(copy) = self.find(handle) {
            self.restored.local_bytes.fetch_add(handle.blob.byte_len(), Ordering::Relaxed);
            return Ok(copy);
        }
        let reader = open_segment(storage, handle, &self.settings.folder)?;
        if let (BlobReader::File { file, .. }, StateBlob::File { path, bytes, checksum }) = (&reader, &handle.blob) {
            self.restored.remote_bytes.fetch_add(*bytes, Ordering::Relaxed);
            if let Some(copies) = self.backup() {
                copies.copy(self.key(handle.folder.as_deref(), path), Arc::clone(file), *checksum);
            }
        }
        Ok(reader)
    }

    /// The task begins with a checkpoint, of which these segments are its part.
    pub(crate) fn restored(&self, checkpoint: CheckpointId, chains: &Chains, shared: &TaskShared) {
        let Some(copies) = &self.copies else { return };
        let local_bytes = self.restored.local_bytes.load(Ordering::Relaxed);
        let remote_bytes = self.restored.remote_bytes.load(Ordering::Relaxed);
        copies.count_restored(local_bytes, remote_bytes);
        let segments = chains.values().flat_map(|chain| chain.segments());
        let handles = segments.map(|segment| (segment.handle.folder.as_deref(), &segment.handle.blob));
        copies.restored(self.owner, checkpoint, self.keys(handles));
        let text =
            format!("{local_bytes} bytes of state came from local copies, {remote_bytes} from checkpoint {checkpoint}");
        shared.line(Level::Info, "", &text);
    }

    /// The task has acknowledged a checkpoint of these segments.
    pub(crate) fn acknowledged<'a>(&self, checkpoint: CheckpointId, blobs: impl Iterator<Item = &'a StateBlob>) {
        if let Some(copies) = self.backup() {
            copies.acknowledged(self.owner, checkpoint, self.keys(blobs.map(|blob| (None, blob))));
        }
    }

    /// A checkpoint is complete.
    pub(crate) fn completed(&self, checkpoint: CheckpointId) {
        if let Some(copies) = &self.copies {
            copies.completed(self.owner, checkpoint);
        }
    }

    fn keys<'a>(&self, blobs: impl Iterator<Item = (Option<&'a str>, &'a StateBlob)>) -> BTreeSet<CopyKey> {
        blobs.filter_map(|(folder, blob)| Some(self.key(folder, blob.path()?))).collect()
    }
}
