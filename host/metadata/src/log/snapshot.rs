//! The state as a whole, in pieces that redb can place without a large hole.

use std::path::Path;

use millrace_metadata_core::{MetadataState, MetadataStateV2};
use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::load::{decode, unreadable};
use super::{LOG, Log, META, SNAPSHOT, SNAPSHOT_KEY, begin};
use crate::error::MetadataError;
use crate::record;

/// The bytes of one piece.
const PIECE_BYTES: usize = 256 * 1024;

/// The snapshot's header.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    /// The newest entry whose effect is in the snapshot.
    index: u64,
    /// Its pieces.
    pieces: u64,
    /// The XXH3 of all of it.
    checksum: u64,
}

/// A snapshot that was read.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) index: u64,
    pub(super) bytes: u64,
    pub(super) state: MetadataState,
}

/// Why a snapshot could not be taken.
#[derive(Debug)]
pub(crate) enum SnapshotError {
    Encode(postcard::Error),
    Write(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for SnapshotError {
    fn from(cause: E) -> Self {
        Self::Write(cause.into())
    }
}

impl Log {
    /// Replaces the log by `state`, which its newest entry led to.
    pub(crate) fn snapshot(&mut self, state: &MetadataState) -> Result<(), SnapshotError> {
        let bytes = postcard::to_stdvec(state).map_err(SnapshotError::Encode)?;
        let pieces = bytes.len().div_ceil(PIECE_BYTES) as u64;
        let header = Header { index: self.last_index, pieces, checksum: xxh3_64(&bytes) };
        let header = postcard::to_stdvec(&header).map_err(SnapshotError::Encode)?;
        let txn = begin(&self.db)?;
        {
            let mut table = txn.open_table(SNAPSHOT)?;
            for (place, piece) in (0u64..).zip(bytes.chunks(PIECE_BYTES)) {
                table.insert(place, record::seal(place, piece).as_slice())?;
            }
            table.retain_in(pieces.., |_, _| false)?;
            txn.open_table(META)?.insert(SNAPSHOT_KEY, record::seal(0, &header).as_slice())?;
            txn.open_table(LOG)?.retain_in(..=self.last_index, |_, _| false)?;
        }
        txn.commit()?;
        self.entries = 0;
        self.entry_bytes = 0;
        self.snapshot_bytes = bytes.len() as u64;
        Ok(())
    }
}

/// Reads the snapshot; a file without one begins with the empty state.
pub(super) fn read_snapshot(txn: &ReadTransaction, path: &Path) -> Result<Snapshot, MetadataError> {
    let damaged = |what: String| MetadataError::corrupt(path, format!("its snapshot is unreadable: {what}"));
    let Some(Records { header, pieces }) =
        read_records(txn).map_err(|cause| MetadataError::while_opening(path, cause))?
    else {
        return Ok(Snapshot::default());
    };
    let version = record::version_of(&header);
    let header = record::open(0, &header).map_err(|cause| unreadable(path, "the snapshot's header", &cause))?;
    let header: Header = decode(header).map_err(damaged)?;
    if header.pieces != pieces.len() as u64 {
        return Err(damaged(format!("it has {} of {} pieces", pieces.len(), header.pieces)));
    }
    let mut bytes = Vec::with_capacity(pieces.iter().map(Vec::len).sum());
    for (place, record) in (0u64..).zip(&pieces) {
        let piece = record::open(place, record);
        bytes.extend_from_slice(piece.map_err(|cause| unreadable(path, &format!("snapshot piece {place}"), &cause))?);
    }
    if xxh3_64(&bytes) != header.checksum {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    let state: MetadataState = match version {
        record::OLDEST_VERSION => decode::<MetadataStateV2>(&bytes).map_err(damaged)?.into(),
        _ => decode(&bytes).map_err(damaged)?,
    };
    state.check().map_err(damaged)?;
    Ok(Snapshot { index: header.index, bytes: bytes.len() as u64, state })
}

/// The records of a snapshot, as they stand in the file.
struct Records {
    header: Vec<u8>,
    pieces: Vec<Vec<u8>>,
}

fn read_records(txn: &ReadTransaction) -> Result<Option<Records>, redb::Error> {
    let Some(header) = txn.open_table(META)?.get(SNAPSHOT_KEY)?.map(|header| header.value().to_vec()) else {
        return Ok(None);
    };
    let table = txn.open_table(SNAPSHOT)?;
    let mut pieces = Vec::with_capacity(table.len()? as usize);
    for piece in table.iter()? {
        pieces.push(piece?.1.value().to_vec());
    }
    Ok(Some(Records { header, pieces }))
}
