//! Between the segments of the state and the files of checkpoints: all of it blocks, and runs on threads that may.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use millrace_protocol::StateBlob;
use millrace_state::SegmentSource;
use millrace_storage::{CheckpointFileWriter, CheckpointStore, CheckpointStoreError, CopyWriter, RangedFile};
use tokio::runtime::Handle;

use super::copies::TaskCopies;

/// Takes the chunks of a blob: few bytes stay in memory, more go to a file.
pub(super) struct BlobWriter<'a> {
    store: &'a CheckpointStore,
    runtime: &'a Handle,
    path: String,
    inline_bytes_max: usize,
    chunks: Vec<Bytes>,
    bytes: usize,
    file: Option<CheckpointFileWriter>,
    /// The copy of the file, begun with it, on this machine's disk.
    copies: TaskCopies,
    copy: Option<CopyWriter>,
    /// What the store said: whoever makes the chunks only passes on that something failed.
    failure: Option<CheckpointStoreError>,
}

impl<'a> BlobWriter<'a> {
    pub(super) fn new(
        store: &'a CheckpointStore,
        runtime: &'a Handle,
        path: String,
        inline_bytes_max: usize,
        copies: TaskCopies,
    ) -> Self {
        Self {
            store,
            runtime,
            path,
            inline_bytes_max,
            chunks: Vec::new(),
            bytes: 0,
            file: None,
            copies,
            copy: None,
            failure: None,
        }
    }

    pub(super) fn append(&mut self, chunk: Bytes) -> io::Result<()> {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        if self.bytes <= self.inline_bytes_max {
            return Ok(());
        }
        self.spill().map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failure = Some(error);
            told
        })
    }

    fn spill(&mut self) -> Result<(), CheckpointStoreError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                self.copy = self.copies.begin(&self.path);
                none.insert(self.runtime.block_on(self.store.begin(&self.path))?)
            }
        };
        for chunk in self.chunks.drain(..) {
            if let Some(copy) = &mut self.copy {
                copy.append(&chunk);
            }
            self.runtime.block_on(file.append(chunk))?;
        }
        Ok(())
    }

    /// Why a chunk was not taken, if one was not.
    pub(super) fn failure(&mut self) -> Option<CheckpointStoreError> {
        self.failure.take()
    }

    /// The blob, which is durable if it is a file.
    pub(super) fn finish(self) -> Result<StateBlob, CheckpointStoreError> {
        match self.file {
            Some(file) => {
                let blob = self.runtime.block_on(file.finish())?;
                if let (Some(copy), StateBlob::File { bytes, checksum, .. }) = (self.copy, &blob) {
                    copy.finish(*bytes, *checksum);
                }
                Ok(blob)
            }
            None => Ok(StateBlob::Inline(self.chunks.concat().into())),
        }
    }
}

/// A blob that is read in parts.
pub(crate) enum BlobReader {
    Inline(Bytes),
    File { file: Arc<RangedFile>, name: String },
}

impl BlobReader {
    /// Opens a blob of a folder. Blocks.
    pub(crate) fn open(store: &CheckpointStore, blob: &StateBlob) -> Result<Self, CheckpointStoreError> {
        Ok(match blob {
            StateBlob::Inline(bytes) => Self::Inline(bytes.clone()),
            StateBlob::File { path, bytes, checksum } => {
                let file = Arc::new(store.open_ranged(path, *bytes, *checksum)?);
                Self::File { file, name: store.full_name(path) }
            }
        })
    }
}

impl SegmentSource for BlobReader {
    fn len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File { file, .. } => file.byte_len(),
        }
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        match self {
            Self::Inline(bytes) => bytes.read_at(offset, len),
            Self::File { file, .. } => {
                let mut part = vec![0; len];
                file.read_at(offset, &mut part).map_err(|error| io::Error::other(error.to_string()))?;
                Ok(part.into())
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Inline(_) => "the checkpoint's metadata",
            Self::File { name, .. } => name,
        }
    }
}
