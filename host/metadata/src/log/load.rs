//! Reading the file: the snapshot, then the entries behind it, each checked.

use std::path::Path;

use millrace_metadata_core::{Command, MetadataState};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::snapshot::read_snapshot;
use super::{FORMAT, FORMAT_KEY, LOG, Log, META};
use crate::error::MetadataError;
use crate::options::MetadataOptions;
use crate::record::{self, RecordError, VERSION};

impl Log {
    /// The log in an open database, and the state that it holds.
    pub(super) fn load(db: Database, options: &MetadataOptions) -> Result<(Self, MetadataState), MetadataError> {
        let path = &options.path;
        let txn = db.begin_read().map_err(|cause| MetadataError::while_opening(path, cause))?;
        check_format(&txn, path)?;
        let snapshot = read_snapshot(&txn, path)?;
        let (snapshot_index, snapshot_bytes) = (snapshot.index, snapshot.bytes);
        let mut log = Self {
            path: path.clone(),
            snapshot_entries: options.snapshot_entries,
            last_index: snapshot_index,
            entries: 0,
            entry_bytes: 0,
            snapshot_bytes,
            db,
        };
        let mut state = snapshot.state;
        log.replay(&txn, &mut state)?;
        state.check().map_err(|broken| MetadataError::corrupt(path, format!("its state is impossible: {broken}")))?;
        tracing::info!(
            path = %path.display(), snapshot_index, snapshot_bytes, entries = log.entries, "opened the metadata"
        );
        Ok((log, state))
    }

    fn replay(&mut self, txn: &ReadTransaction, state: &mut MetadataState) -> Result<(), MetadataError> {
        let path = self.path.clone();
        let failed = |cause: redb::Error| MetadataError::while_opening(&path, cause);
        let table = txn.open_table(LOG).map_err(|cause| failed(cause.into()))?;
        for entry in table.iter().map_err(|cause| failed(cause.into()))? {
            let (index, entry) = entry.map_err(|cause| failed(cause.into()))?;
            let (index, entry) = (index.value(), entry.value());
            let what = format!("log entry {index}");
            let expected = self.last_index + 1;
            if index != expected {
                return Err(MetadataError::corrupt(&path, format!("{what} stands where {expected} has to")));
            }
            let payload = record::open(index, entry).map_err(|cause| unreadable(&path, &what, &cause))?;
            let command: Command = decode(payload)
                .map_err(|cause| MetadataError::corrupt(&path, format!("{what} is no command: {cause}")))?;
            // Only what was accepted is logged. A refusal now means another state or other rules than then.
            state.apply(command).map_err(|cause| {
                MetadataError::corrupt(&path, format!("{what} is refused, though it was accepted once: {cause}"))
            })?;
            self.last_index = index;
            self.entries += 1;
            self.entry_bytes += entry.len() as u64;
        }
        Ok(())
    }
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
    match format.as_ref().map(|format| format.value()) {
        Some([FORMAT]) => Ok(()),
        Some(&[found]) if found > FORMAT => Err(MetadataError::NewerVersion {
            path: path.to_owned(),
            what: "a format".to_owned(),
            found,
            known: FORMAT,
        }),
        _ => Err(MetadataError::corrupt(path, "its format is unreadable")),
    }
}

/// Reads a value, which has to take all of the bytes.
pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes are left over", rest.len())),
        Err(cause) => Err(cause.to_string()),
    }
}

/// Says of a record why it cannot be read.
pub(super) fn unreadable(path: &Path, what: &str, cause: &RecordError) -> MetadataError {
    match *cause {
        RecordError::Newer(found) => {
            MetadataError::NewerVersion { path: path.to_owned(), what: what.to_owned(), found, known: VERSION }
        }
        RecordError::Older(found) => {
            MetadataError::OlderVersion { path: path.to_owned(), what: what.to_owned(), found, known: VERSION }
        }
        RecordError::Damaged(how) => MetadataError::corrupt(path, format!("{what} is unreadable: {how}")),
    }
}
