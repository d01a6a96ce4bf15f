//! The files of a job's checkpoints, or of one savepoint, in one folder.
//!
//! Invariants:
//! - A file has its name when all its bytes and the folders that lead to it are durable, and not before. A write that
//!   fails leaves nothing under the name.
//! - What is read was compared with the length and checksum that its writer returned.
//! - A path leads nowhere but into the folder: it comes from metadata, which a user may hand over.
//! - A name is written once, and stays as it is: who finds it taken by other content fails.
//!
//! # Who writes what, and why an old leader can do no harm
//!
//! | name | writer | why nobody else has it |
//! | --- | --- | --- |
//! | `JOB/shared/VERTEX-SUBTASK-ATTEMPT-N` | the task of this attempt | an attempt's number is written to the log before it is deployed and never given out again; N counts within it |
//! | `JOB/chk-ID/_metadata` | the leader that reserved ID | ids are reserved in the log, by a command that names the epoch and is refused to an earlier one |
//! | `savepoint-JOB-RANDOM/…` | as above, in a folder for one request | 48 random bits, drawn by the leader that was asked |
//! | `blob/TENANT/KIND/DIGEST` | any leader | whoever writes it writes the same bytes ([`crate::BlobStore`]) |
//!
//! So a leader that was replaced, or a task of a lost TaskManager, that still writes, writes names that no one else uses.
//! Nothing of it counts: what a job is restored from is decided by the pointer in the metadata log alone, which is written
//! after the bytes and refused to an earlier epoch, and names the length and checksum of what it leads to. Deletions are
//! decided in the log first, and what they name was never written anew: a late one deletes what is not needed.

mod error;
mod metadata;
mod path;
mod ranged;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use millrace_protocol::StateBlob;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{StorageLocation, access};

pub use error::CheckpointStoreError;
pub(crate) use error::told;
pub use metadata::METADATA_FILE;
pub(crate) use path::StorePath;
pub use ranged::RangedFile;
pub use writer::CheckpointFileWriter;

/// A file of the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedFile {
    /// Its path within the store.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The files of a job's checkpoints, or of one savepoint. A clone is the same store.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    location: StorageLocation,
    store: Arc<dyn ObjectStore>,
    /// What the keys of the store begin with.
    prefix: object_store::path::Path,
    /// Where files of S3 are kept while they are read in parts.
    scratch: Arc<Path>,
}

impl CheckpointStore {
    /// The store in a local folder, an absolute path, which is created where it is missing. Blocks.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Folder`].
    pub fn create_local(folder: &Path) -> Result<Self, CheckpointStoreError> {
        create_folder_durably(folder).map_err(CheckpointStoreError::folder(folder))?;
        Self::open_local(folder)
    }

    /// The store in a local folder, an absolute path, that exists: what a job is restored from. Blocks.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Missing`] or [`CheckpointStoreError::Folder`].
    pub fn open_local(folder: &Path) -> Result<Self, CheckpointStoreError> {
        let failed = CheckpointStoreError::folder(folder);
        if !folder.is_absolute() {
            return Err(failed(io::Error::other("it has to be an absolute path")));
        }
        match folder.metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(failed(io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CheckpointStoreError::Missing { path: folder.display().to_string() });
            }
            Err(error) => return Err(failed(error)),
        }
        // Files, and the folders that name them, are synced before a write returns.
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|cause| failed(io::Error::other(cause)))?;
        let (location, scratch) = (StorageLocation::from(folder), folder.into());
        Ok(Self { prefix: location.key(), location, store: Arc::new(store.with_fsync(true)), scratch })
    }

    pub(crate) fn of_s3(location: StorageLocation, store: Arc<dyn ObjectStore>, scratch: &Path) -> Self {
        Self { prefix: location.key(), location, store, scratch: scratch.into() }
    }

    /// Where the files are.
    pub fn location(&self) -> &StorageLocation {
        &self.location
    }

    /// The full name of a file, for messages.
    pub fn full_name(&self, path: &str) -> String {
        self.location.join(path).to_string()
    }

    fn name_of(&self, path: &StorePath) -> String {
        self.full_name(path.as_str())
    }

    fn key(&self, path: &StorePath) -> object_store::path::Path {
        self.prefix.parts().chain(path.location().parts()).collect()
    }

    fn is_local(&self) -> bool {
        matches!(self.location, StorageLocation::Local(_))
    }

    /// Begins a file. From a thread that may block, its functions are driven by `Handle::block_on`.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`].
    pub async fn begin(&self, path: &str) -> Result<CheckpointFileWriter, CheckpointStoreError> {
        Ok(CheckpointFileWriter::new(self.clone(), StorePath::parse(path)?))
    }

    /// Writes a file of these chunks and gives its description. When this returns the file is durable.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`], or as [`CheckpointFileWriter::finish`].
    pub async fn write(
        &self,
        path: &str,
        chunks: impl IntoIterator<Item = Bytes, IntoIter: Send> + Send,
    ) -> Result<StateBlob, CheckpointStoreError> {
        let mut writer = self.begin(path).await?;
        let chunks = chunks.into_iter();
        for chunk in chunks {
            writer.append(chunk).await?;
        }
        writer.finish().await
    }

    /// Reads a file whole, and checks that it is the one that was written.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`], [`CheckpointStoreError::Missing`], [`CheckpointStoreError::Damaged`] or
    /// [`CheckpointStoreError::Read`].
    pub async fn read(&self, path: &str, bytes: u64, checksum: u64) -> Result<Bytes, CheckpointStoreError> {
        let path = StorePath::parse(path)?;
        let file = self.name_of(&path);
        let content = self.read_at_most(&path, |found| ranged::check_length(&file, bytes, found)).await?;
        ranged::check_length(&file, bytes, content.len() as u64)?;
        let checked = content.clone();
        let found = tokio::task::spawn_blocking(move || xxh3_64(&checked)).await;
        ranged::check_checksum(&file, checksum, found.map_err(|_| CheckpointStoreError::Closed)?)?;
        Ok(content)
    }

    /// Reads a blob: what stands in the description itself, or the file.
    ///
    /// # Errors
    /// As [`CheckpointStore::read`].
    pub async fn read_blob(&self, blob: &StateBlob) -> Result<Bytes, CheckpointStoreError> {
        match blob {
            StateBlob::Inline(bytes) => Ok(bytes.clone()),
            StateBlob::File { path, bytes, checksum } => self.read(path, *bytes, *checksum).await,
        }
    }

    /// Opens a file to read parts of it, having checked in one pass that it is the one that was written. It can be read
    /// even when it is deleted meanwhile. Blocks, on a thread of a runtime that may.
    ///
    /// # Errors
    /// As [`CheckpointStore::read`]; [`CheckpointStoreError::Scratch`].
    pub fn open_ranged(&self, path: &str, bytes: u64, checksum: u64) -> Result<RangedFile, CheckpointStoreError> {
        let path = StorePath::parse(path)?;
        if let StorageLocation::Local(folder) = &self.location {
            return RangedFile::open(&folder.join(path.as_str()), bytes, checksum);
        }
        let runtime = Handle::try_current().map_err(|_| CheckpointStoreError::Closed)?;
        let described = (self.name_of(&path), bytes, checksum);
        runtime.block_on(RangedFile::fetch(self.store.as_ref(), &self.key(&path), described, &self.scratch))
    }

    /// Whether there is a file with this content.
    async fn holds(&self, path: &StorePath, bytes: u64, checksum: u64) -> Result<bool, CheckpointStoreError> {
        let failed = |cause| CheckpointStoreError::read(self.name_of(path), cause);
        let found = match self.store.get(&self.key(path)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            found => found.map_err(failed)?,
        };
        if found.meta.size != bytes {
            return Ok(false);
        }
        let mut hasher = Xxh3::new();
        let mut stream = found.into_stream();
        while let Some(part) = stream.try_next().await.map_err(failed)? {
            hasher.update(&part);
        }
        Ok(hasher.digest() == checksum)
    }

    /// Deletes files; those that are not there are deleted already. Goes on behind one that cannot be deleted.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`], and then nothing is deleted; or the first [`CheckpointStoreError::Delete`].
    pub async fn delete(&self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), CheckpointStoreError> {
        let paths = paths.into_iter().map(|path| StorePath::parse(path.as_ref()));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let locations = stream::iter(paths.iter().map(|path| Ok(self.key(path))).collect::<Vec<_>>()).boxed();
        // Results come in the order of the paths.
        let results: Vec<_> = self.store.delete_stream(locations).collect().await;
        for (path, result) in paths.iter().zip(results) {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(cause) => {
                    return Err(CheckpointStoreError::Delete { path: self.name_of(path), cause: Box::new(cause) });
                }
            }
        }
        Ok(())
    }

    /// The files below a folder of the store, or of all of it if `None`, in the order of their paths. Files that are
    /// being written have no name yet. A folder that is not there has no files.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`] or [`CheckpointStoreError::List`].
    pub async fn list(&self, folder: Option<&str>) -> Result<Vec<ListedFile>, CheckpointStoreError> {
        let folder = folder.map(StorePath::parse).transpose()?;
        let below = folder.as_ref().map_or_else(|| self.prefix.clone(), |folder| self.key(folder));
        let objects = self.store.list(Some(&below)).try_collect::<Vec<_>>().await;
        let objects = objects.map_err(|cause| self.unlisted(folder.as_ref(), cause))?;
        let inner = |path: &object_store::path::Path| -> Option<String> {
            let parts: object_store::path::Path = path.prefix_match(&self.prefix)?.collect();
            Some(parts.into())
        };
        let files = objects.iter().filter_map(|object| Some((inner(&object.location)?, object.size)));
        let mut files: Vec<_> = files.map(|(path, bytes)| ListedFile { path, bytes }).collect();
        files.sort();
        Ok(files)
    }

    /// The names of the folders that stand in the store itself, in order. There may be one among them, for a while, whose
    /// files were all deleted.
    ///
    /// # Errors
    /// [`CheckpointStoreError::List`].
    pub async fn folders(&self) -> Result<Vec<String>, CheckpointStoreError> {
        let listed = self.store.list_with_delimiter(Some(&self.prefix)).await;
        let listed = listed.map_err(|cause| self.unlisted(None, cause))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    fn unlisted(&self, folder: Option<&StorePath>, cause: object_store::Error) -> CheckpointStoreError {
        let path = folder.map_or_else(|| self.location.to_string(), |folder| self.name_of(folder));
        CheckpointStoreError::List { path, cause: Box::new(cause) }
    }

    /// Deletes a folder of the store with all that is below it, also what dead writers left there. One that is not
    /// there is deleted already.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`] or [`CheckpointStoreError::Delete`].
    pub async fn delete_folder(&self, folder: &str) -> Result<(), CheckpointStoreError> {
        let path = StorePath::parse(folder)?;
        let location = self.location.join(path.as_str());
        match &location {
            StorageLocation::Local(folder) => access::delete_local(folder).await,
            StorageLocation::S3 { .. } => access::delete_below(self.store.clone(), &location, self.key(&path)).await,
        }
    }

    /// Writes the metadata of a checkpoint whose folder is `folder` within the store; `None`: of the savepoint that the
    /// store is. When this returns it is durable.
    ///
    /// # Errors
    /// As [`CheckpointStore::write`].
    pub async fn write_metadata(&self, folder: Option<&str>, payload: Bytes) -> Result<(), CheckpointStoreError> {
        let [head, payload, tail] = metadata::encode(payload);
        self.write(&metadata::path(folder), [head, payload, tail]).await.map(|_| ())
    }

    /// Reads what [`CheckpointStore::write_metadata`] wrote.
    ///
    /// # Errors
    /// As [`CheckpointStore::read`].
    pub async fn read_metadata(&self, folder: Option<&str>) -> Result<Bytes, CheckpointStoreError> {
        let path = StorePath::parse(&metadata::path(folder))?;
        let file = self.name_of(&path);
        let damaged = |reason| CheckpointStoreError::Damaged { path: file.clone(), reason };
        let content = self.read_at_most(&path, |found| metadata::check_length(found).map_err(damaged)).await?;
        metadata::decode(&content).map_err(damaged)
    }

    /// Reads a file unless its length is not as it should be.
    async fn read_at_most(
        &self,
        path: &StorePath,
        check_length: impl FnOnce(u64) -> Result<(), CheckpointStoreError>,
    ) -> Result<Bytes, CheckpointStoreError> {
        let failed = |cause| CheckpointStoreError::read(self.name_of(path), cause);
        let found = self.store.get(&self.key(path)).await.map_err(failed)?;
        check_length(found.meta.size)?;
        found.bytes().await.map_err(failed)
    }
}

/// Creates a folder with those above it, so that a crash of the machine does not undo it.
fn create_folder_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_folder_durably(parent)?;
    }
    match fs::create_dir(folder) {
        // Another process was faster, or something that is no folder has the name: which one is seen when it is opened.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
