//! Writes one file.

use std::path::PathBuf;

use bytes::Bytes;
use millrace_protocol::StateBlob;
use object_store::{MultipartUpload, PutPayload};
use xxhash_rust::xxh3::Xxh3;

use super::CheckpointStoreError;
use super::path::StorePath;

/// What is gathered before it is written, in bytes. The file's writer holds no more than this and one chunk.
const PART_BYTES: usize = 1024 * 1024;

/// Writes one file under a temporary name. Dropped before its end, it leaves nothing; so does a failed one.
pub struct CheckpointFileWriter {
    path: StorePath,
    /// For errors.
    file: PathBuf,
    upload: Box<dyn MultipartUpload>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    bytes: u64,
    hasher: Xxh3,
}

impl CheckpointFileWriter {
    pub(super) fn new(path: StorePath, file: PathBuf, upload: Box<dyn MultipartUpload>) -> Self {
        Self { path, file, upload, gathered: Vec::new(), gathered_bytes: 0, bytes: 0, hasher: Xxh3::new() }
    }

    /// Appends bytes. A writer that failed is to be dropped.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Full`] or [`CheckpointStoreError::Write`].
    pub async fn append(&mut self, chunk: Bytes) -> Result<(), CheckpointStoreError> {
        self.hasher.update(&chunk);
        self.bytes += chunk.len() as u64;
        self.gathered_bytes += chunk.len();
        self.gathered.push(chunk);
        if self.gathered_bytes >= PART_BYTES { self.put_part().await } else { Ok(()) }
    }

    async fn put_part(&mut self) -> Result<(), CheckpointStoreError> {
        self.gathered_bytes = 0;
        let part = PutPayload::from_iter(std::mem::take(&mut self.gathered));
        self.upload.put_part(part).await.map_err(|cause| CheckpointStoreError::write(&self.file, cause))
    }

    /// Gives the file its name. When this returns it is durable.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Full`] or [`CheckpointStoreError::Write`]; there is then no file of that name.
    pub async fn finish(mut self) -> Result<StateBlob, CheckpointStoreError> {
        self.put_part().await?;
        self.upload.complete().await.map_err(|cause| CheckpointStoreError::write(&self.file, cause))?;
        let path = self.path.as_str().to_owned();
        Ok(StateBlob::File { path, bytes: self.bytes, checksum: self.hasher.digest() })
    }
}

impl std::fmt::Debug for CheckpointFileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointFileWriter").field("file", &self.file).field("bytes", &self.bytes).finish()
    }
}
