//! Opens the places where files are kept.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::aws::AmazonS3;

use crate::checkpoint::CheckpointStoreError;
use crate::s3::Requests;
use crate::{BlobStore, CheckpointStore, S3Options, StorageError, StorageLocation};

/// How many clients of buckets are kept. A process has a handful; a client may name others where roots allow it.
const CLIENTS_MAX: usize = 64;

/// Opens local folders and prefixes of buckets. A clone is the same one.
#[derive(Debug, Clone)]
pub struct StorageAccess(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    s3: S3Options,
    /// Where files of S3 are kept while they are read in parts.
    scratch: PathBuf,
    requests: Requests,
    /// One for each bucket, since each has connections of its own.
    clients: Mutex<BTreeMap<String, Arc<AmazonS3>>>,
}

impl Default for StorageAccess {
    /// S3 as the environment says; scratch files among the system's temporary ones.
    fn default() -> Self {
        Self::new(S3Options::default(), std::env::temp_dir())
    }
}

impl StorageAccess {
    /// Opens S3 with these options. Files of S3 that are read in parts are kept, without a name, in the folder `scratch`.
    pub fn new(s3: S3Options, scratch: PathBuf) -> Self {
        Self(Arc::new(Inner { s3, scratch, requests: Requests::default(), clients: Mutex::default() }))
    }

    /// The store of checkpoints at a location. A local folder is created where it is missing. Blocks on local folders;
    /// S3 is not asked yet.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Folder`].
    pub fn create(&self, location: &StorageLocation) -> Result<CheckpointStore, CheckpointStoreError> {
        match location {
            StorageLocation::Local(folder) => CheckpointStore::create_local(folder),
            StorageLocation::S3 { bucket, .. } => self.open_s3(location, bucket),
        }
    }

    /// The store of checkpoints at a location that is there already: what a job is restored from. Whether there is
    /// anything in S3 is seen when it is read.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Missing`] or [`CheckpointStoreError::Folder`].
    pub fn open(&self, location: &StorageLocation) -> Result<CheckpointStore, CheckpointStoreError> {
        match location {
            StorageLocation::Local(folder) => CheckpointStore::open_local(folder),
            StorageLocation::S3 { bucket, .. } => self.open_s3(location, bucket),
        }
    }

    /// [`StorageAccess::create`] for a location as text.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Folder`].
    pub fn create_at(&self, location: &str) -> Result<CheckpointStore, CheckpointStoreError> {
        self.create(&parse(location)?)
    }

    /// [`StorageAccess::open`] for a location as text.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Missing`] or [`CheckpointStoreError::Folder`].
    pub fn open_at(&self, location: &str) -> Result<CheckpointStore, CheckpointStoreError> {
        self.open(&parse(location)?)
    }

    /// The store of blobs at a location. Blocks on local folders.
    ///
    /// # Errors
    /// [`StorageError::Open`].
    pub fn blobs(&self, location: &StorageLocation) -> Result<BlobStore, StorageError> {
        match location {
            StorageLocation::Local(folder) => BlobStore::open_local(folder),
            StorageLocation::S3 { bucket, .. } => {
                let failed = |cause: object_store::Error| StorageError::Open {
                    location: location.to_string(),
                    cause: cause.to_string(),
                };
                Ok(BlobStore::of(location.clone(), self.client(bucket).map_err(failed)?))
            }
        }
    }

    /// Deletes a folder with all that is below it. One that is not there is deleted already.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Delete`], [`CheckpointStoreError::List`] or [`CheckpointStoreError::Folder`].
    pub async fn delete_folder(&self, location: &StorageLocation) -> Result<(), CheckpointStoreError> {
        match location {
            StorageLocation::Local(folder) => delete_local(folder).await,
            StorageLocation::S3 { bucket, .. } => {
                let store = self.client(bucket).map_err(CheckpointStoreError::unusable(location))?;
                delete_below(store, location, location.key()).await
            }
        }
    }

    fn open_s3(&self, location: &StorageLocation, bucket: &str) -> Result<CheckpointStore, CheckpointStoreError> {
        let client = self.client(bucket).map_err(CheckpointStoreError::unusable(location))?;
        Ok(CheckpointStore::of_s3(location.clone(), client, &self.0.scratch))
    }

    fn client(&self, bucket: &str) -> Result<Arc<AmazonS3>, object_store::Error> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(bucket) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.0.s3.client(bucket, &self.0.requests)?);
        if clients.len() >= CLIENTS_MAX {
            clients.pop_first();
        }
        clients.insert(bucket.to_owned(), client.clone());
        Ok(client)
    }
}

fn parse(location: &str) -> Result<StorageLocation, CheckpointStoreError> {
    StorageLocation::parse(location)
        .map_err(|error| CheckpointStoreError::Folder { folder: location.to_owned(), cause: Box::new(error) })
}

/// Deletes a local folder, also what dead writers left there.
pub(crate) async fn delete_local(folder: &Path) -> Result<(), CheckpointStoreError> {
    let path = folder.to_owned();
    let work = move || match fs::remove_dir_all(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(CheckpointStoreError::Delete { path: path.display().to_string(), cause: Box::new(cause) })
        }
        _ => Ok(()),
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(CheckpointStoreError::Closed))
}

/// Deletes all keys below a prefix.
pub(crate) async fn delete_below(
    store: Arc<dyn ObjectStore>,
    location: &StorageLocation,
    prefix: object_store::path::Path,
) -> Result<(), CheckpointStoreError> {
    let failed = |cause| CheckpointStoreError::Delete { path: location.to_string(), cause: Box::new(cause) };
    let found = store.list(Some(&prefix)).map_ok(|object| object.location).boxed();
    let mut deleted = store.delete_stream(found);
    while let Some(outcome) = deleted.next().await {
        match outcome {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    Ok(())
}
