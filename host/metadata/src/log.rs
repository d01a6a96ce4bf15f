//! The log and its snapshot in a redb file.
//!
//! Tables: `meta` has the format's version and the snapshot's header, `log` the commands by index, `snapshot` the
//! pieces of the state. A snapshot, and the truncation of the log below it, are one transaction.

mod create;
mod load;
mod snapshot;

use std::fs::File;
use std::path::{Path, PathBuf};

use millrace_metadata_core::MetadataState;
use redb::backends::FileBackend;
use redb::{Database, StorageBackend, TableDefinition, WriteTransaction};

#[cfg(test)]
pub(crate) use create::{create_on, unfinished};
pub(crate) use snapshot::SnapshotError;

use crate::error::MetadataError;
use crate::options::{LOG_BYTES_MIN, MetadataOptions};
use crate::record;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshot");

const FORMAT_KEY: &str = "format";
const SNAPSHOT_KEY: &str = "snapshot";

/// The version of the tables' layout.
const FORMAT: u8 = 1;

/// The log of one replica.
#[derive(Debug)]
pub(crate) struct Log {
    db: Database,
    path: PathBuf,
    snapshot_entries: u64,
    /// The index of the newest entry; 0 before the first one.
    last_index: u64,
    /// Entries behind the snapshot, and their bytes.
    entries: u64,
    entry_bytes: u64,
    snapshot_bytes: u64,
}

impl Log {
    /// Opens or creates the file, and gives the state that it holds.
    pub(crate) fn open(options: &MetadataOptions) -> Result<(Self, MetadataState), MetadataError> {
        let path = &options.path;
        let failed = |cause: redb::Error| MetadataError::while_opening(path, cause);
        if !path.try_exists().map_err(|cause| failed(cause.into()))? {
            return create::create_file(options);
        }
        let file = File::options().read(true).write(true).open(path).map_err(|cause| failed(cause.into()))?;
        if file.metadata().map_err(|cause| failed(cause.into()))?.len() == 0 {
            // redb would make a new store of it.
            return Err(MetadataError::corrupt(path, "it is empty"));
        }
        let backend = FileBackend::new(file).map_err(|cause| failed(cause.into()))?;
        Self::open_on(backend, options)
    }

    /// Opens what is behind `backend`, which stands for the file.
    pub(crate) fn open_on(
        backend: impl StorageBackend,
        options: &MetadataOptions,
    ) -> Result<(Self, MetadataState), MetadataError> {
        let db = builder(options).create_with_backend(backend);
        Self::load(db.map_err(|cause| MetadataError::while_opening(&options.path, cause))?, options)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes commands behind the newest entry, all or none, and returns when they are durable.
    pub(crate) fn append(&mut self, commands: &[Vec<u8>]) -> Result<(), redb::Error> {
        let txn = begin(&self.db)?;
        let mut index = self.last_index;
        let mut bytes = 0;
        {
            let mut log = txn.open_table(LOG)?;
            for command in commands {
                index += 1;
                let entry = record::seal(index, command);
                bytes += entry.len() as u64;
                log.insert(index, entry.as_slice())?;
            }
        }
        txn.commit()?;
        self.last_index = index;
        self.entries += commands.len() as u64;
        self.entry_bytes += bytes;
        Ok(())
    }

    /// Whether the log has grown so long that a snapshot ought to replace it.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.entries >= self.snapshot_entries || self.entry_bytes >= LOG_BYTES_MIN.max(self.snapshot_bytes)
    }
}

/// Begins a transaction that commits in two phases: where the newest commit is damaged, redb then reports it instead of
/// falling back to the one before, which would lose what was acknowledged.
fn begin(db: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_two_phase_commit(true);
    Ok(txn)
}

fn builder(options: &MetadataOptions) -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes);
    // The file is small. Checking all of it finds damage that would else show as a panic, or not at all.
    builder.set_check_integrity_on_open(true);
    builder
}
