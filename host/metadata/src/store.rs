//! One member's redb file: its vote, its log, and its newest snapshot of the state.
//!
//! Tables: `meta` has the format's version, whose file it is, the vote, what was purged and the snapshot's header; `log`
//! the entries by index; `snapshot` the pieces of the state by generation. Each change is one transaction that is on
//! disk when it returns.

mod counting;
mod create;
mod load;
mod snapshot;
mod write;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use millrace_metadata_core::MetadataState;
use redb::backends::FileBackend;
use redb::{Database, StorageBackend, TableDefinition, WriteTransaction};

use counting::Counting;
#[cfg(test)]
pub(crate) use create::{create_on, unfinished};
pub(crate) use load::read_entries;
pub(crate) use snapshot::{PIECE_BYTES, decode_state, read_snapshot_bytes};
pub(crate) use write::{Write, WriteError};

use crate::error::MetadataError;
use crate::options::MetadataOptions;
use crate::types::{LogId, SnapshotMeta, Vote};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const SNAPSHOT: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("snapshot");

const FORMAT_KEY: &str = "format";
const MEMBER_KEY: &str = "member";
const VOTE_KEY: &str = "vote";
const COMMITTED_KEY: &str = "committed";
const PURGED_KEY: &str = "purged";
const SNAPSHOT_KEY: &str = "snapshot";

/// The places of the records in `meta`, which are part of their checksums.
const VOTE_PLACE: u64 = 1;
const COMMITTED_PLACE: u64 = 2;
const PURGED_PLACE: u64 = 3;
const SNAPSHOT_PLACE: u64 = 4;
const MEMBER_PLACE: u64 = 5;

/// The version of the tables' layout. The first one had no vote and no members.
const FORMAT: u8 = 2;

/// An open file. Reading goes on beside writing.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) db: Arc<Database>,
    pub(crate) path: PathBuf,
    /// How often the file was synced since it was opened.
    pub(crate) syncs: Arc<AtomicU64>,
}

/// What the file held when it was opened.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    /// The newest entry of the log, or what was purged last.
    pub(crate) last: Option<LogId>,
    /// The bytes of the log's entries.
    pub(crate) log_bytes: u64,
    /// The newest snapshot, if there is any.
    pub(crate) snapshot: Option<SnapshotMeta>,
    pub(crate) snapshot_bytes: u64,
    /// The generation of the snapshot's pieces.
    pub(crate) generation: u64,
    /// The state in the snapshot; the empty one without it.
    pub(crate) state: MetadataState,
}

impl Store {
    /// Opens or creates the file, and gives what it holds.
    pub(crate) fn open(options: &MetadataOptions) -> Result<(Self, Loaded), MetadataError> {
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
    ) -> Result<(Self, Loaded), MetadataError> {
        let syncs = Arc::default();
        let db = builder(options).create_with_backend(Counting::new(backend, Arc::clone(&syncs)));
        Self::load(db.map_err(|cause| MetadataError::while_opening(&options.path, cause))?, options, syncs)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
