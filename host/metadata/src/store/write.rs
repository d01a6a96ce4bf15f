//! What is written, each as one transaction.

use redb::WriteTransaction;
use xxhash_rust::xxh3::xxh3_64;

use super::snapshot::Header;
use super::{
    COMMITTED_KEY, COMMITTED_PLACE, LOG, META, PURGED_KEY, PURGED_PLACE, SNAPSHOT, SNAPSHOT_KEY, SNAPSHOT_PLACE, Store,
    VOTE_KEY, VOTE_PLACE, begin,
};
use crate::record;
use crate::types::{LogId, SnapshotMeta, Vote};

/// A change of the file.
#[derive(Debug)]
pub(crate) enum Write {
    /// Whom this member follows.
    Vote(Vote),
    /// Entries behind the newest one, sealed, by index; and, since it costs nothing more, how far is known to be decided.
    Append { entries: Vec<(u64, Vec<u8>)>, committed: Option<LogId> },
    /// Entries from this index on were never decided and go.
    Truncate { from: u64 },
    /// Entries up to this one are in the snapshot and go.
    Purge { upto: LogId },
    /// Some pieces of a snapshot that is being written, from this place on.
    Pieces { generation: u64, first: u64, pieces: Vec<Vec<u8>> },
    /// The snapshot with these pieces is complete: all others go.
    Snapshot { generation: u64, meta: Box<SnapshotMeta>, pieces: u64, bytes: u64, checksum: u64 },
}

impl Write {
    /// Whole pieces of `bytes`, the first of which has this place.
    pub(crate) fn pieces(generation: u64, first: u64, bytes: &[u8]) -> Self {
        let sealed = (first..).zip(bytes.chunks(super::PIECE_BYTES)).map(|(place, piece)| record::seal(place, piece));
        Self::Pieces { generation, first, pieces: sealed.collect() }
    }

    /// The header of the snapshot that is these bytes.
    pub(crate) fn snapshot(generation: u64, meta: SnapshotMeta, bytes: &[u8]) -> Self {
        let pieces = bytes.len().div_ceil(super::PIECE_BYTES) as u64;
        let checksum = xxh3_64(bytes);
        Self::Snapshot { generation, meta: Box::new(meta), pieces, bytes: bytes.len() as u64, checksum }
    }
}

/// Why something could not be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    Encode(postcard::Error),
    Write(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for WriteError {
    fn from(cause: E) -> Self {
        Self::Write(cause.into())
    }
}

impl Store {
    /// Writes, and returns when it is on disk.
    pub(crate) fn write(&self, write: &Write) -> Result<(), WriteError> {
        let txn = begin(&self.db)?;
        carry_out(&txn, write)?;
        txn.commit()?;
        Ok(())
    }
}

fn carry_out(txn: &WriteTransaction, write: &Write) -> Result<(), WriteError> {
    match write {
        Write::Vote(vote) => put(txn, VOTE_KEY, VOTE_PLACE, vote)?,
        Write::Append { entries, committed } => {
            let mut log = txn.open_table(LOG)?;
            for (index, entry) in entries {
                log.insert(index, entry.as_slice())?;
            }
            if let Some(committed) = committed {
                put(txn, COMMITTED_KEY, COMMITTED_PLACE, committed)?;
            }
        }
        Write::Truncate { from } => txn.open_table(LOG)?.retain_in(*from.., |_, _| false)?,
        Write::Purge { upto } => {
            txn.open_table(LOG)?.retain_in(..=upto.index, |_, _| false)?;
            put(txn, PURGED_KEY, PURGED_PLACE, upto)?;
        }
        Write::Pieces { generation, first, pieces } => {
            let mut table = txn.open_table(SNAPSHOT)?;
            if *first == 0 {
                // An earlier life of the process may have left pieces of a snapshot that it did not finish.
                table.retain_in((*generation, 0)..=(*generation, u64::MAX), |_, _| false)?;
            }
            for (place, piece) in (*first..).zip(pieces) {
                table.insert((*generation, place), piece.as_slice())?;
            }
        }
        Write::Snapshot { generation, meta, pieces, bytes, checksum } => {
            let meta = meta.as_ref().clone();
            let header = Header { meta, generation: *generation, pieces: *pieces, bytes: *bytes, checksum: *checksum };
            put(txn, SNAPSHOT_KEY, SNAPSHOT_PLACE, &header)?;
            txn.open_table(SNAPSHOT)?.retain(|(of, _), _| of == *generation)?;
        }
    }
    Ok(())
}

fn put<T: serde::Serialize>(txn: &WriteTransaction, key: &str, place: u64, value: &T) -> Result<(), WriteError> {
    let sealed = record::encode(place, value).map_err(WriteError::Encode)?;
    txn.open_table(META)?.insert(key, sealed.as_slice())?;
    Ok(())
}
