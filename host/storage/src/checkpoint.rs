//! The files of a job's checkpoints, or of one savepoint, in one folder.
//!
//! Invariants:
//! - A file has its name when all its bytes and the folders that lead to it are durable, and not before. A write that
//!   fails leaves nothing under the name.
//! - What is read was compared with the length and checksum that its writer returned.
//! - A path leads nowhere but into the folder: it comes from metadata, which a user may hand over.
//! - A name is written once. Whoever may run twice puts its attempt into the name: the last one to rename wins.

mod error;
mod metadata;
mod path;
mod ranged;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use millrace_protocol::StateBlob;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use xxhash_rust::xxh3::xxh3_64;

pub use error::CheckpointStoreError;
pub use metadata::METADATA_FILE;
use path::StorePath;
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
    folder: Arc<Path>,
    store: Arc<LocalFileSystem>,
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
                return Err(CheckpointStoreError::Missing { path: folder.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        }
        // Files, and the folders that name them, are synced before a write returns.
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|cause| failed(io::Error::other(cause)))?;
        Ok(Self { folder: folder.into(), store: Arc::new(store.with_fsync(true)) })
    }

    /// The folder, as it was given.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins a file. From a thread that may block, its functions are driven by `Handle::block_on`.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`], [`CheckpointStoreError::Full`] or [`CheckpointStoreError::Write`].
    pub async fn begin(&self, path: &str) -> Result<CheckpointFileWriter, CheckpointStoreError> {
        let path = StorePath::parse(path)?;
        let file = self.file(&path);
        match self.store.put_multipart(&path.location()).await {
            Ok(upload) => Ok(CheckpointFileWriter::new(path, file, upload)),
            Err(cause) => Err(CheckpointStoreError::write(&file, cause)),
        }
    }

    /// Writes a file of these chunks and gives its description. When this returns the file is durable.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`], [`CheckpointStoreError::Full`] or [`CheckpointStoreError::Write`].
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
        let file = self.file(&path);
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
    /// even when it is deleted meanwhile. Blocks.
    ///
    /// # Errors
    /// As [`CheckpointStore::read`].
    pub fn open_ranged(&self, path: &str, bytes: u64, checksum: u64) -> Result<RangedFile, CheckpointStoreError> {
        RangedFile::open(self.file(&StorePath::parse(path)?), bytes, checksum)
    }

    /// Deletes files; those that are not there are deleted already. Goes on behind one that cannot be deleted.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`], and then nothing is deleted; or the first [`CheckpointStoreError::Delete`].
    pub async fn delete(&self, paths: impl IntoIterator<Item = impl AsRef<str>>) -> Result<(), CheckpointStoreError> {
        let paths = paths.into_iter().map(|path| StorePath::parse(path.as_ref()));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let locations = stream::iter(paths.clone()).map(|path| Ok(path.location())).boxed();
        // Results come in the order of the paths.
        let results: Vec<_> = self.store.delete_stream(locations).collect().await;
        for (path, result) in paths.iter().zip(results) {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(cause) => {
                    return Err(CheckpointStoreError::Delete { path: self.file(path), cause: Box::new(cause) });
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
        let location = folder.as_ref().map(StorePath::location);
        let objects = self.store.list(location.as_ref()).try_collect::<Vec<_>>().await;
        let objects = objects.map_err(|cause| {
            let path = folder.map_or_else(|| self.folder.to_path_buf(), |folder| self.file(&folder));
            CheckpointStoreError::List { path, cause: Box::new(cause) }
        })?;
        let files = objects.into_iter().map(|object| ListedFile { path: object.location.into(), bytes: object.size });
        let mut files: Vec<_> = files.collect();
        files.sort();
        Ok(files)
    }

    /// Deletes a folder of the store with all that is below it, also what dead writers left there. One that is not
    /// there is deleted already.
    ///
    /// # Errors
    /// [`CheckpointStoreError::BadPath`] or [`CheckpointStoreError::Delete`].
    pub async fn delete_folder(&self, folder: &str) -> Result<(), CheckpointStoreError> {
        let path = self.file(&StorePath::parse(folder)?);
        let work = move || match fs::remove_dir_all(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(CheckpointStoreError::Delete { path, cause: Box::new(cause) })
            }
            _ => Ok(()),
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(CheckpointStoreError::Closed))
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
        let file = self.file(&path);
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
        let failed = |cause| CheckpointStoreError::read(&self.file(path), cause);
        let found = self.store.get(&path.location()).await.map_err(failed)?;
        check_length(found.meta.size)?;
        found.bytes().await.map_err(failed)
    }

    fn file(&self, path: &StorePath) -> PathBuf {
        self.folder.join(path.as_str())
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
