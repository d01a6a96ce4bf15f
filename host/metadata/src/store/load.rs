//! Reading the file: what stands in `meta`, the snapshot, then the log, each record checked.

use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use openraft::RaftLogId;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;

use super::snapshot::read_snapshot;
use super::{
    COMMITTED_KEY, COMMITTED_PLACE, FORMAT, FORMAT_KEY, LOG, Loaded, MEMBER_KEY, MEMBER_PLACE, META, PURGED_KEY,
    PURGED_PLACE, Store, VOTE_KEY, VOTE_PLACE,
};
use crate::error::MetadataError;
use crate::options::MetadataOptions;
use crate::record::{self, RecordError, VERSION};
use crate::types::{Entry, MemberId};

impl Store {
    /// The store in an open database, and what it holds.
    pub(super) fn load(
        db: Database,
        options: &MetadataOptions,
        syncs: Arc<AtomicU64>,
    ) -> Result<(Self, Loaded), MetadataError> {
        let path = &options.path;
        let txn = db.begin_read().map_err(|cause| MetadataError::while_opening(path, cause))?;
        check_format(&txn, path)?;
        check_member(&txn, path, options.member)?;
        let mut loaded = read_snapshot(&txn, path)?;
        loaded.vote = read_meta(&txn, path, VOTE_KEY, VOTE_PLACE)?;
        loaded.committed = read_meta(&txn, path, COMMITTED_KEY, COMMITTED_PLACE)?;
        loaded.purged = read_meta(&txn, path, PURGED_KEY, PURGED_PLACE)?;
        loaded.last = loaded.purged;
        let covered = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.last_log_id);
        if loaded.purged > covered {
            let what = "entries were purged that are in no snapshot";
            return Err(MetadataError::corrupt(path, what));
        }
        check_log(&txn, path, &mut loaded)?;
        tracing::info!(
            path = %path.display(), vote = ?loaded.vote, last = ?loaded.last, snapshot = ?covered, "opened the metadata"
        );
        drop(txn);
        Ok((Self { db: Arc::new(db), path: path.clone(), syncs }, loaded))
    }
}

/// Reads all of the log: without a hole, in order, every entry readable.
fn check_log(txn: &ReadTransaction, path: &Path, loaded: &mut Loaded) -> Result<(), MetadataError> {
    let failed = |cause: redb::Error| MetadataError::while_opening(path, cause);
    let table = txn.open_table(LOG).map_err(|cause| failed(cause.into()))?;
    for entry in table.iter().map_err(|cause| failed(cause.into()))? {
        let (index, entry) = entry.map_err(|cause| failed(cause.into()))?;
        let (index, entry) = (index.value(), entry.value());
        let what = format!("log entry {index}");
        let expected = loaded.last.map_or(0, |last| last.index + 1);
        if index != expected {
            return Err(MetadataError::corrupt(path, format!("{what} stands where {expected} has to")));
        }
        let id = *decode_entry(index, entry).map_err(|cause| unreadable(path, &what, &cause))?.get_log_id();
        if loaded.last.is_some_and(|last| id.leader_id < last.leader_id) {
            return Err(MetadataError::corrupt(path, format!("{what} is of an older leader than the one before it")));
        }
        loaded.last = Some(id);
        loaded.log_bytes += entry.len() as u64;
    }
    Ok(())
}

/// The entry at this index.
fn decode_entry(index: u64, sealed: &[u8]) -> Result<Entry, RecordError> {
    let entry: Entry = record::decode(index, sealed)?;
    if entry.log_id.index != index {
        return Err(RecordError::Damaged(format!("it is the entry {}", entry.log_id.index)));
    }
    Ok(entry)
}

/// Entries of the log, the first ones of `range`: at least one if there is any, and more up to `bytes_max`.
pub(crate) fn read_entries(
    store: &Store,
    range: impl RangeBounds<u64>,
    bytes_max: usize,
) -> Result<Vec<Entry>, MetadataError> {
    let path = store.path();
    let failed = |cause: redb::Error| MetadataError::ReadFailed { path: path.to_owned(), cause: Arc::new(cause) };
    let read = || -> Result<Vec<(u64, Vec<u8>)>, redb::Error> {
        let table = store.db.begin_read()?.open_table(LOG)?;
        let mut bytes = 0;
        let mut found = Vec::new();
        // redb refuses a range that ends before it begins.
        let range: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        if let (Bound::Included(from), Bound::Excluded(to)) = range
            && from >= to
        {
            return Ok(found);
        }
        for entry in table.range::<u64>(range)? {
            let (index, entry) = entry?;
            bytes += entry.value().len();
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push((index.value(), entry.value().to_vec()));
        }
        Ok(found)
    };
    let found = read().map_err(failed)?;
    let decoded = found.into_iter().map(|(index, sealed)| {
        let entry = decode_entry(index, &sealed);
        entry.map_err(|cause| unreadable(path, &format!("log entry {index}"), &cause))
    });
    decoded.collect()
}

/// Refuses a file whose tables are laid out otherwise.
fn check_format(txn: &ReadTransaction, path: &Path) -> Result<(), MetadataError> {
    let failed = |cause: redb::Error| MetadataError::while_opening(path, cause);
    let meta = match txn.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => {
            return Err(MetadataError::corrupt(path, "it has none of Millrace's tables"));
        }
        meta => meta.map_err(|cause| failed(cause.into()))?,
    };
    let format = meta.get(FORMAT_KEY).map_err(|cause| failed(cause.into()))?;
    let (path, what) = (path.to_owned(), "a format".to_owned());
    match format.as_ref().map(|format| format.value()) {
        Some([FORMAT]) => Ok(()),
        Some(&[found]) if found > FORMAT => Err(MetadataError::NewerVersion { path, what, found, known: FORMAT }),
        Some(&[found]) if found > 0 => Err(MetadataError::OlderVersion { path, what, found, known: FORMAT }),
        _ => Err(MetadataError::corrupt(&path, "its format is unreadable")),
    }
}

/// Refuses the file of another member: two that vote as one would elect two leaders.
fn check_member(txn: &ReadTransaction, path: &Path, expected: MemberId) -> Result<(), MetadataError> {
    let sealed = read_sealed(txn, MEMBER_KEY).map_err(|cause| MetadataError::while_opening(path, cause))?;
    let sealed = sealed.ok_or_else(|| MetadataError::corrupt(path, "it does not say whose it is"))?;
    let member = record::open(MEMBER_PLACE, &sealed).map_err(|cause| unreadable(path, "the member's id", &cause))?;
    let found = <[u8; 8]>::try_from(member).map(MemberId::from_le_bytes);
    let found = found.map_err(|_| MetadataError::corrupt(path, "the member's id is unreadable"))?;
    if found == expected { Ok(()) } else { Err(MetadataError::OtherMember { path: path.to_owned(), found, expected }) }
}

fn read_meta<T: DeserializeOwned>(
    txn: &ReadTransaction,
    path: &Path,
    key: &str,
    place: u64,
) -> Result<Option<T>, MetadataError> {
    let sealed = read_sealed(txn, key).map_err(|cause| MetadataError::while_opening(path, cause))?;
    let decoded = sealed.map(|sealed| record::decode(place, &sealed)).transpose();
    decoded.map_err(|cause| unreadable(path, &format!("the record \"{key}\""), &cause))
}

pub(super) fn read_sealed(txn: &ReadTransaction, key: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(txn.open_table(META)?.get(key)?.map(|sealed| sealed.value().to_vec()))
}

/// Says of a record why it cannot be read.
pub(super) fn unreadable(path: &Path, what: &str, cause: &RecordError) -> MetadataError {
    let (path, what, known) = (path.to_owned(), what.to_owned(), VERSION);
    match cause {
        RecordError::Newer(found) => MetadataError::NewerVersion { path, what, found: *found, known },
        RecordError::Older(found) => MetadataError::OlderVersion { path, what, found: *found, known },
        RecordError::Damaged(how) => MetadataError::corrupt(&path, format!("{what} is unreadable: {how}")),
    }
}
