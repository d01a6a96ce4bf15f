//! Writes segments and other parts of a snapshot, on threads that may block.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use millrace_protocol::StateBlob;
use millrace_state::{
    ChainSegment, MERGE_SEGMENTS_MAX, MergeOptions, SealedSegment, SegmentError, SegmentInput, SegmentSink, merge,
};
use millrace_storage::{CheckpointStore, CheckpointStoreError, StorageAccess};
use millrace_types::{AttemptId, Failure, FailureKind, KeyGroupRange};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use super::blob::{BlobReader, BlobWriter};
use super::copies::TaskCopies;
use super::{SegmentHandle, UploadPlan};
use crate::run::shared::wall_clock;

/// Where a part of a snapshot is written.
#[derive(Debug, Clone)]
pub(super) enum Folder {
    /// The job's checkpoint folder.
    Job,
    /// The folder of a savepoint: an absolute path, or a prefix of a bucket.
    Savepoint(Arc<str>),
}

/// What became of segments that were to be written.
#[derive(Debug, Default)]
pub(super) struct SegmentsWritten {
    /// Those that are durable, each with whether it is a base.
    pub written: Vec<(StateBlob, bool)>,
    /// Those that are not.
    pub left: Vec<SealedSegment>,
    /// Why.
    pub failure: Option<Failure>,
}

/// Writes for one task. A clone writes for the same one.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    storage: StorageAccess,
    /// The beginning of all names: no other attempt uses it.
    prefix: Arc<str>,
    next: Arc<AtomicU64>,
    /// A thread that had segments to write has crashed.
    lost: Arc<AtomicBool>,
    copies: TaskCopies,
    job_folder: Arc<str>,
    inline_bytes_max: usize,
    key_groups: KeyGroupRange,
    max_parallelism: u32,
}

/// A thread that blocks was lost with the process's runtime, or crashed.
pub(super) fn lost(error: &JoinError) -> Failure {
    Failure::new(FailureKind::Internal, format!("writing a part of a checkpoint was given up: {error}"))
}

/// What is said of segments that are lost.
pub(super) fn crashed() -> Failure {
    Failure::new(FailureKind::Internal, "a thread that wrote a part of a checkpoint has crashed")
}

fn failed(error: &CheckpointStoreError) -> Failure {
    Failure::new(FailureKind::Checkpoint, error.to_string())
}

impl Writer {
    pub(super) fn new(attempt: AttemptId, plan: &UploadPlan) -> Self {
        let AttemptId { vertex, subtask, attempt, .. } = attempt;
        Self {
            storage: plan.storage.clone(),
            prefix: format!("{vertex}-{subtask}-{attempt}").into(),
            next: Arc::default(),
            lost: Arc::default(),
            copies: plan.copies.clone(),
            job_folder: plan.settings.folder.as_str().into(),
            inline_bytes_max: plan.settings.inline_bytes_max as usize,
            key_groups: plan.key_groups,
            max_parallelism: plan.max_parallelism,
        }
    }

    /// Opens a folder and names the next file of it. Blocks.
    fn place(&self, folder: &Folder) -> Result<(CheckpointStore, String), Failure> {
        let (folder, shared) = match folder {
            Folder::Job => (&self.job_folder, "shared/"),
            Folder::Savepoint(folder) => (folder, ""),
        };
        let store = self.storage.create_at(folder).map_err(|error| failed(&error))?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Ok((store, format!("{shared}{}-{number}", self.prefix)))
    }

    /// Writes one blob of what `produce` gives. Blocks.
    fn blob<T>(
        &self,
        folder: &Folder,
        runtime: &Handle,
        produce: impl FnOnce(&mut SegmentSink<'_>) -> Result<T, SegmentError>,
    ) -> Result<StateBlob, Failure> {
        let (store, path) = self.place(folder)?;
        let copies = match folder {
            Folder::Job => self.copies.clone(),
            Folder::Savepoint(_) => TaskCopies::none(),
        };
        let mut blob = BlobWriter::new(&store, runtime, path, self.inline_bytes_max, copies);
        if let Err(error) = produce(&mut |chunk| blob.append(chunk)) {
            let unreadable = || Failure::new(FailureKind::Checkpoint, error.to_string());
            return Err(blob.failure().map_or_else(unreadable, |error| failed(&error)));
        }
        blob.finish().map_err(|error| failed(&error))
    }

    /// Runs `work` on a thread that may block.
    fn blocking<T: Send + 'static>(&self, work: impl FnOnce(Self, &Handle) -> T + Send + 'static) -> JoinHandle<T> {
        let (writer, runtime) = (self.clone(), Handle::current());
        tokio::task::spawn_blocking(move || work(writer, &runtime))
    }

    /// Writes segments in order, up to the first that fails.
    pub(super) async fn segments(&self, folder: &Folder, sealed: Vec<SealedSegment>) -> SegmentsWritten {
        let mut outcome = SegmentsWritten::default();
        if sealed.is_empty() {
            return outcome;
        }
        let folder = folder.clone();
        let work = move |writer: Self, runtime: &Handle| {
            let mut sealed = sealed.into_iter();
            while let Some(segment) = sealed.next() {
                match writer.blob(&folder, runtime, |sink| segment.write(sink)) {
                    Ok(blob) => outcome.written.push((blob, segment.is_base())),
                    Err(failure) => {
                        outcome.left = std::iter::once(segment).chain(sealed).collect();
                        outcome.failure = Some(failure);
                        break;
                    }
                }
            }
            outcome
        };
        self.blocking(work).await.unwrap_or_else(|error| {
            self.lost.store(true, Ordering::Relaxed);
            SegmentsWritten { failure: Some(lost(&error)), ..SegmentsWritten::default() }
        })
    }

    /// Whether segments that were to be written are lost.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes some bytes.
    pub(super) async fn bytes(&self, folder: &Folder, bytes: Bytes) -> Result<StateBlob, Failure> {
        if bytes.len() <= self.inline_bytes_max {
            return Ok(StateBlob::Inline(bytes));
        }
        let folder = folder.clone();
        let work = move |writer: Self, runtime: &Handle| {
            let (store, path) = writer.place(&folder)?;
            runtime.block_on(store.write(&path, [bytes])).map_err(|error| failed(&error))
        };
        self.blocking(work).await.unwrap_or_else(|error| Err(lost(&error)))
    }

    /// Merges segments into one in that folder.
    pub(super) async fn merge(
        &self,
        folder: &Folder,
        segments: Vec<ChainSegment<SegmentHandle>>,
        base: bool,
    ) -> Result<StateBlob, Failure> {
        let folder = folder.clone();
        let work = move |writer: Self, runtime: &Handle| writer.merge_blocking(&folder, segments, base, runtime);
        self.blocking(work).await.unwrap_or_else(|error| Err(lost(&error)))
    }

    /// The same for the job's folder, to be waited for later.
    pub(super) fn begin_merge(
        &self,
        segments: Vec<ChainSegment<SegmentHandle>>,
        base: bool,
    ) -> JoinHandle<Result<StateBlob, Failure>> {
        self.blocking(move |writer, runtime| writer.merge_blocking(&Folder::Job, segments, base, runtime))
    }

    fn merge_blocking(
        &self,
        folder: &Folder,
        mut segments: Vec<ChainSegment<SegmentHandle>>,
        base: bool,
        runtime: &Handle,
    ) -> Result<StateBlob, Failure> {
        // More than can be read at once are merged from the front, in between into the job's folder.
        while segments.len() > MERGE_SEGMENTS_MAX {
            let first: Vec<_> = segments.drain(..MERGE_SEGMENTS_MAX).collect();
            let blob = self.merge_run(&Folder::Job, first, base, runtime)?;
            let (bytes, handle) = (blob.byte_len(), SegmentHandle { blob, folder: None });
            segments.insert(0, ChainSegment { handle, key_groups: self.key_groups, bytes });
        }
        self.merge_run(folder, segments, base, runtime)
    }

    fn merge_run(
        &self,
        folder: &Folder,
        segments: Vec<ChainSegment<SegmentHandle>>,
        base: bool,
        runtime: &Handle,
    ) -> Result<StateBlob, Failure> {
        let mut inputs = Vec::with_capacity(segments.len());
        for ChainSegment { handle, key_groups, .. } in segments {
            let copy = self.copies.find(&handle).map(Ok);
            let open = || open_segment(&self.storage, &handle, &self.job_folder);
            let source = copy.unwrap_or_else(open).map_err(|error| failed(&error))?;
            inputs.push(SegmentInput { source, key_groups });
        }
        let options = MergeOptions {
            key_groups: self.key_groups,
            max_parallelism: self.max_parallelism,
            expired_at: Some(i64::try_from(wall_clock().0).unwrap_or(i64::MAX)),
            base,
        };
        self.blob(folder, runtime, |sink| merge(inputs, &options, sink))
    }
}

/// Opens a segment where it is. Blocks.
pub(crate) fn open_segment(
    storage: &StorageAccess,
    handle: &SegmentHandle,
    job_folder: &str,
) -> Result<BlobReader, CheckpointStoreError> {
    if let StateBlob::Inline(bytes) = &handle.blob {
        return Ok(BlobReader::Inline(bytes.clone()));
    }
    let folder = handle.folder.as_deref().unwrap_or(job_folder);
    BlobReader::open(&storage.open_at(folder)?, &handle.blob)
}
