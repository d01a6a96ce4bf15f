//! A new file.
//!
//! It is made under another name and renamed when it is complete: redb refuses a file whose making was cut off, and a
//! process that dies while it starts for the first time must not keep the next one from starting.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Database, StorageBackend};

use super::counting::Counting;
use super::{FORMAT, FORMAT_KEY, LOG, Loaded, MEMBER_KEY, MEMBER_PLACE, META, SNAPSHOT, Store, begin, builder};
use crate::error::MetadataError;
use crate::options::MetadataOptions;
use crate::record;

/// Makes the file.
pub(super) fn create_file(options: &MetadataOptions) -> Result<(Store, Loaded), MetadataError> {
    let path = &options.path;
    let failed = |cause: redb::Error| MetadataError::while_opening(path, cause);
    let unfinished = unfinished(path);
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&unfinished);
    let file = file.map_err(|cause| failed(cause.into()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(MetadataError::Locked { path: path.clone() }),
        Err(TryLockError::Error(cause)) => return Err(failed(cause.into())),
    }
    // Between opening and locking, another process may have finished this very file.
    if path.try_exists().map_err(|cause| failed(cause.into()))? {
        return Err(MetadataError::Locked { path: path.clone() });
    }
    file.set_len(0).map_err(|cause| failed(cause.into()))?;
    let backend = FileBackend::new(file).map_err(|cause| failed(cause.into()))?;
    let syncs = Arc::default();
    let db = create_on(Counting::new(backend, Arc::clone(&syncs)), options).map_err(failed)?;
    publish(&unfinished, path).map_err(|cause| failed(cause.into()))?;
    Store::load(db, options, syncs)
}

/// Makes an empty store of the options' member behind `backend`, which stands for a file.
pub(crate) fn create_on(backend: impl StorageBackend, options: &MetadataOptions) -> Result<Database, redb::Error> {
    let db = builder(options).create_with_backend(backend)?;
    let txn = begin(&db)?;
    {
        let mut meta = txn.open_table(META)?;
        meta.insert(FORMAT_KEY, [FORMAT].as_slice())?;
        let member = record::seal(MEMBER_PLACE, &options.member.to_le_bytes());
        meta.insert(MEMBER_KEY, member.as_slice())?;
    }
    txn.open_table(LOG)?;
    txn.open_table(SNAPSHOT)?;
    txn.commit()?;
    Ok(db)
}

/// The name of the file while it is made.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn publish(unfinished: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::rename(unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
