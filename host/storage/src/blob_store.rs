//! The store of blobs.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use millrace_types::{BlobKey, BlobKind, Digest, TenantId};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

use crate::checkpoint::told;
use crate::{StorageLocation, digest_of};

/// What can go wrong with a blob.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The folder cannot be used.
    #[error("cannot use {location} as the blob store: {cause}; see that the folder or bucket may be written")]
    Open {
        /// The folder.
        location: String,
        /// Why.
        cause: String,
    },
    /// A blob cannot be written.
    #[error("cannot write the blob {blob}: {}; see to the disk, or to S3's address and keys, then try again", told(cause.as_ref()))]
    Write {
        /// The blob, by its full name.
        blob: String,
        /// Why.
        cause: Box<object_store::Error>,
    },
    /// A blob cannot be read.
    #[error("cannot read the blob {blob}: {}; see to the disk, or to S3's address and keys, then try again", told(cause.as_ref()))]
    Read {
        /// The blob, by its full name.
        blob: String,
        /// Why.
        cause: Box<object_store::Error>,
    },
    /// A blob is not there.
    #[error("the blob {blob} is missing: it was removed from the blob store by hand, or its disk is not mounted")]
    Missing {
        /// The blob, by its full name.
        blob: String,
    },
    /// A blob's bytes are not those that were written.
    #[error("the blob {blob} is damaged: its bytes have the digest {found}; upload the bundle again")]
    Corrupt {
        /// The blob, by its full name.
        blob: String,
        /// The digest of what is there.
        found: Digest,
    },
    /// A blob cannot be deleted.
    #[error("cannot delete the blob {blob}: {}", told(cause.as_ref()))]
    Delete {
        /// The blob, by its full name.
        blob: String,
        /// Why.
        cause: Box<object_store::Error>,
    },
    /// A folder of blobs cannot be listed.
    #[error("cannot list the blobs below {prefix}: {}", told(cause.as_ref()))]
    List {
        /// The folder within the store.
        prefix: String,
        /// Why.
        cause: Box<object_store::Error>,
    },
    /// The process is shutting down.
    #[error("the blob store is shutting down")]
    Closed,
}

/// Blobs by tenant, kind and digest. A clone is the same store.
#[derive(Debug, Clone)]
pub struct BlobStore {
    location: StorageLocation,
    store: Arc<dyn ObjectStore>,
    /// What the keys of the blobs begin with.
    prefix: object_store::path::Path,
}

impl BlobStore {
    /// The store in a local folder, which is created where it is missing. Blocks.
    ///
    /// # Errors
    /// [`StorageError::Open`].
    pub fn open_local(root: &Path) -> Result<Self, StorageError> {
        let failed = |cause: String| StorageError::Open { location: root.display().to_string(), cause };
        std::fs::create_dir_all(root).map_err(|cause| failed(cause.to_string()))?;
        // Files, and the folders that name them, are synced before a write returns.
        let store = LocalFileSystem::new_with_prefix(root).map_err(|cause| failed(cause.to_string()))?.with_fsync(true);
        Ok(Self::of(root.into(), Arc::new(store)))
    }

    /// The store at a location; a local one has its folder as its root.
    pub(crate) fn of(location: StorageLocation, store: Arc<dyn ObjectStore>) -> Self {
        let prefix = location.key();
        Self { location, store, prefix }
    }

    fn name(&self, key: &BlobKey) -> String {
        self.location.join(&key.to_string()).to_string()
    }

    fn path(&self, key: &BlobKey) -> object_store::path::Path {
        self.prefix.parts().chain(object_store::path::Path::from(key.to_string()).parts()).collect()
    }

    /// Writes a blob. When this returns it is durable under its digest.
    ///
    /// # Errors
    /// [`StorageError::Write`]; the blob is then there whole or not at all.
    pub async fn put(&self, tenant: &TenantId, kind: BlobKind, bytes: Bytes) -> Result<BlobKey, StorageError> {
        let digest = digest_in_background(bytes.clone()).await?;
        let key = BlobKey { tenant: tenant.clone(), kind, digest };
        // One that is there already is written over: its writer may have died before it was durable, or its bytes may
        // have decayed since. Whoever writes this name writes these bytes, an old leader too.
        match self.store.put(&self.path(&key), PutPayload::from_bytes(bytes)).await {
            Ok(_) => Ok(key),
            Err(cause) => Err(StorageError::Write { blob: self.name(&key), cause: Box::new(cause) }),
        }
    }

    /// Reads a blob and checks its bytes.
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Corrupt`] or [`StorageError::Read`].
    pub async fn get(&self, key: &BlobKey) -> Result<Bytes, StorageError> {
        let failed = |cause| match cause {
            object_store::Error::NotFound { .. } => StorageError::Missing { blob: self.name(key) },
            cause => StorageError::Read { blob: self.name(key), cause: Box::new(cause) },
        };
        let bytes = self.store.get(&self.path(key)).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let found = digest_in_background(bytes.clone()).await?;
        if found == key.digest { Ok(bytes) } else { Err(StorageError::Corrupt { blob: self.name(key), found }) }
    }

    /// Whether a blob is there; its bytes are not looked at.
    ///
    /// # Errors
    /// [`StorageError::Read`].
    pub async fn contains(&self, key: &BlobKey) -> Result<bool, StorageError> {
        match self.store.head(&self.path(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(cause) => Err(StorageError::Read { blob: self.name(key), cause: Box::new(cause) }),
        }
    }

    /// Deletes a blob; one that is not there is deleted already.
    ///
    /// # Errors
    /// [`StorageError::Delete`].
    pub async fn delete(&self, key: &BlobKey) -> Result<(), StorageError> {
        match self.store.delete(&self.path(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(StorageError::Delete { blob: self.name(key), cause: Box::new(cause) }),
        }
    }

    /// A tenant's blobs of one kind, in the order of their digests. What else lies in the folder is passed over.
    ///
    /// # Errors
    /// [`StorageError::List`].
    pub async fn list(&self, tenant: &TenantId, kind: BlobKind) -> Result<Vec<BlobKey>, StorageError> {
        let folder: object_store::path::Path = format!("{tenant}/{}", kind.folder()).into();
        let folder: object_store::path::Path = self.prefix.parts().chain(folder.parts()).collect();
        let objects = self.store.list(Some(&folder)).try_collect::<Vec<_>>().await;
        let prefix = self.location.join(&format!("{tenant}/{}", kind.folder())).to_string();
        let objects = objects.map_err(|cause| StorageError::List { prefix, cause: Box::new(cause) })?;
        let digests = objects.iter().filter_map(|object| object.location.filename()?.parse::<Digest>().ok());
        let mut keys: Vec<BlobKey> = digests.map(|digest| BlobKey { tenant: tenant.clone(), kind, digest }).collect();
        keys.sort();
        Ok(keys)
    }

    /// Moves all blobs of another store into this one, one after the other, each deleted there when it is durable here.
    /// What is damaged or no blob stays behind. Returns how many were moved.
    ///
    /// # Errors
    /// [`StorageError::List`], [`StorageError::Read`], [`StorageError::Write`] or [`StorageError::Delete`]: the rest is
    /// where it was, and doing it again goes on with it.
    pub async fn take_over(&self, other: &Self) -> Result<usize, StorageError> {
        let failed = |cause| StorageError::List { prefix: other.location.to_string(), cause: Box::new(cause) };
        let folders = other.store.list_with_delimiter(Some(&other.prefix)).await.map_err(failed)?.common_prefixes;
        let tenants = folders.iter().filter_map(|folder| TenantId::new(folder.filename()?).ok());
        let mut moved = 0;
        for (tenant, kind) in tenants.flat_map(|tenant| BlobKind::ALL.map(|kind| (tenant.clone(), kind))) {
            for key in other.list(&tenant, kind).await? {
                match other.get(&key).await {
                    Ok(bytes) => self.put(&tenant, kind, bytes).await?,
                    Err(damaged @ (StorageError::Corrupt { .. } | StorageError::Missing { .. })) => {
                        tracing::warn!(%damaged, "a blob is left where it is");
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                other.delete(&key).await?;
                moved += 1;
            }
        }
        Ok(moved)
    }
}

/// Hashing a large blob takes too long for a thread of the runtime.
async fn digest_in_background(bytes: Bytes) -> Result<Digest, StorageError> {
    tokio::task::spawn_blocking(move || digest_of(&bytes)).await.map_err(|_| StorageError::Closed)
}
