//! Writes one file.
//!
//! Invariant: a name that is taken stays as it is. A file of one part is put on the condition that there is none of its
//! name, and so is the end of a larger one on S3. Of larger ones that end at the same moment two may both believe to have
//! written: in a local folder they are renamed into place after a look, and not every S3 server decides that condition in
//! one step (SeaweedFS does not). No two writers have the same name (see [`super`]).

use std::fmt;

use bytes::Bytes;
use millrace_protocol::StateBlob;
use object_store::{Error, MultipartUpload, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;
use xxhash_rust::xxh3::Xxh3;

use super::path::StorePath;
use super::{CheckpointStore, CheckpointStoreError};
use crate::StorageLocation;

/// What is gathered before it is written to a local file, in bytes.
const LOCAL_PART_BYTES: usize = 1024 * 1024;

/// What is gathered before it is sent to S3, in bytes. S3 takes no smaller parts than 5 MiB but the last, and no more of
/// them than [`PARTS_MAX`].
const S3_PART_BYTES: usize = 8 * 1024 * 1024;

/// The parts of the longest file: S3's limit. With [`S3_PART_BYTES`] that is 78 GiB.
const PARTS_MAX: u32 = 10_000;

/// Writes one file under a temporary name. Dropped before its end, it leaves nothing; so does a failed one. It holds one
/// part and one chunk in memory.
pub struct CheckpointFileWriter {
    store: CheckpointStore,
    path: StorePath,
    /// None before the first part is full: a small file is written at once.
    upload: Option<Upload>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    parts: u32,
    bytes: u64,
    hasher: Xxh3,
}

impl CheckpointFileWriter {
    pub(super) fn new(store: CheckpointStore, path: StorePath) -> Self {
        let hasher = Xxh3::new();
        Self { store, path, upload: None, gathered: Vec::new(), gathered_bytes: 0, parts: 0, bytes: 0, hasher }
    }

    /// Appends bytes. A writer that failed is to be dropped.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Full`] or [`CheckpointStoreError::Write`].
    pub async fn append(&mut self, mut chunk: Bytes) -> Result<(), CheckpointStoreError> {
        self.hasher.update(&chunk);
        self.bytes += chunk.len() as u64;
        let part_bytes = if self.store.is_local() { LOCAL_PART_BYTES } else { S3_PART_BYTES };
        // All parts but the last have one length: not every S3 takes others.
        while self.gathered_bytes + chunk.len() >= part_bytes {
            self.gather(chunk.split_to(part_bytes - self.gathered_bytes));
            self.put_part().await?;
        }
        self.gather(chunk);
        Ok(())
    }

    fn gather(&mut self, chunk: Bytes) {
        self.gathered_bytes += chunk.len();
        if !chunk.is_empty() {
            self.gathered.push(chunk);
        }
    }

    fn take_gathered(&mut self) -> PutPayload {
        self.gathered_bytes = 0;
        PutPayload::from_iter(std::mem::take(&mut self.gathered))
    }

    async fn put_part(&mut self) -> Result<(), CheckpointStoreError> {
        let name = self.store.name_of(&self.path);
        self.parts += 1;
        if self.parts > PARTS_MAX && !self.store.is_local() {
            let cause = format!("a file of S3 has at most {PARTS_MAX} parts of {S3_PART_BYTES} bytes").into();
            return Err(CheckpointStoreError::Write { path: name, cause });
        }
        let part = self.take_gathered();
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let begun = self.store.store.put_multipart(&self.store.key(&self.path)).await;
                let begun = begun.map_err(|cause| CheckpointStoreError::write(name.clone(), cause))?;
                none.insert(Upload { inner: Some(begun), location: self.store.location.clone() })
            }
        };
        upload.put_part(part).await.map_err(|cause| CheckpointStoreError::write(name, cause))
    }

    /// Gives the file its name. When this returns it is durable.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Full`] or [`CheckpointStoreError::Write`]; [`CheckpointStoreError::Taken`] if there is a file
    /// of that name with other content.
    pub async fn finish(mut self) -> Result<StateBlob, CheckpointStoreError> {
        let outcome = match self.upload.is_some() {
            false => self.put_whole().await,
            true => self.complete().await?,
        };
        let (path, bytes, checksum) = (self.path.as_str().to_owned(), self.bytes, self.hasher.digest());
        match outcome {
            Ok(()) => {}
            // A request that was repeated may have found its own work.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. })
                if self.store.holds(&self.path, bytes, checksum).await? => {}
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                return Err(CheckpointStoreError::Taken { path: self.store.name_of(&self.path) });
            }
            Err(cause) => return Err(CheckpointStoreError::write(self.store.name_of(&self.path), cause)),
        }
        Ok(StateBlob::File { path, bytes, checksum })
    }

    async fn put_whole(&mut self) -> Result<(), Error> {
        let payload = self.take_gathered();
        self.store.store.put_opts(&self.store.key(&self.path), payload, PutMode::Create.into()).await.map(|_| ())
    }

    async fn complete(&mut self) -> Result<Result<(), Error>, CheckpointStoreError> {
        if self.gathered_bytes > 0 {
            self.put_part().await?;
        }
        let key = self.store.key(&self.path);
        if self.store.is_local() && self.store.store.head(&key).await.is_ok() {
            return Ok(Err(Error::AlreadyExists { path: key.to_string(), source: "it was found".into() }));
        }
        Ok(match &mut self.upload {
            Some(upload) => upload.complete().await,
            None => Ok(()),
        })
    }
}

impl fmt::Debug for CheckpointFileWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.store.name_of(&self.path);
        f.debug_struct("CheckpointFileWriter").field("file", &file).field("bytes", &self.bytes).finish()
    }
}

/// An upload that is given up when it is dropped.
struct Upload {
    /// None when it is complete.
    inner: Option<Box<dyn MultipartUpload>>,
    location: StorageLocation,
}

impl Upload {
    async fn put_part(&mut self, part: PutPayload) -> Result<(), Error> {
        match &mut self.inner {
            Some(upload) => upload.put_part(part).await,
            None => Ok(()),
        }
    }

    async fn complete(&mut self) -> Result<(), Error> {
        if let Some(upload) = &mut self.inner {
            upload.complete().await?;
        }
        self.inner = None;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let (Some(mut upload), Ok(runtime)) = (self.inner.take(), Handle::try_current()) else { return };
        // In a local folder it cleans up by itself.
        if matches!(self.location, StorageLocation::S3 { .. }) {
            let location = self.location.clone();
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    // It costs space until a rule of the bucket ends it, and has no name.
                    tracing::debug!(%location, %error, "an unfinished upload could not be given up");
                }
            });
        }
    }
}
