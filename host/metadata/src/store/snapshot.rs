//! The state as a whole, in pieces that redb can place without a large hole and that do not keep the log waiting.

use std::path::Path;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::load::{read_sealed, unreadable};
use super::{Loaded, SNAPSHOT, SNAPSHOT_KEY, SNAPSHOT_PLACE, Store};
use crate::error::MetadataError;
use crate::record;
use crate::types::SnapshotMeta;

/// The bytes of one piece.
pub(crate) const PIECE_BYTES: usize = 256 * 1024;

/// The snapshot's header. It is written last: pieces without it are of a snapshot that was never finished.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    /// What Raft knows of it: the newest entry in it, and the members.
    pub(super) meta: SnapshotMeta,
    /// Which pieces are its.
    pub(super) generation: u64,
    /// How many.
    pub(super) pieces: u64,
    /// All of it, in bytes.
    pub(super) bytes: u64,
    /// The XXH3 of all of it.
    pub(super) checksum: u64,
}

/// Reads the snapshot; a file without one begins with the empty state.
pub(super) fn read_snapshot(txn: &ReadTransaction, path: &Path) -> Result<Loaded, MetadataError> {
    let Some((header, bytes)) = read_parts(txn, path)? else { return Ok(Loaded::default()) };
    let state = decode_state(&bytes).map_err(|what| damaged(path, &what))?;
    Ok(Loaded {
        snapshot_bytes: bytes.len() as u64,
        snapshot: Some(header.meta),
        generation: header.generation,
        state,
        ..Loaded::default()
    })
}

/// The newest snapshot, as another member can install it.
pub(crate) fn read_snapshot_bytes(store: &Store) -> Result<Option<(SnapshotMeta, Vec<u8>)>, MetadataError> {
    let path = store.path();
    let failed = |cause: redb::Error| MetadataError::ReadFailed { path: path.to_owned(), cause: Arc::new(cause) };
    let txn = store.db.begin_read().map_err(|cause| failed(cause.into()))?;
    Ok(read_parts(&txn, path)?.map(|(header, bytes)| (header.meta, bytes)))
}

/// The state in a snapshot that was read or received.
pub(crate) fn decode_state(bytes: &[u8]) -> Result<millrace_metadata_core::MetadataState, String> {
    let state: millrace_metadata_core::MetadataState =
        record::decode_payload(bytes).map_err(|cause| cause.to_string())?;
    state.check()?;
    Ok(state)
}

fn damaged(path: &Path, what: &str) -> MetadataError {
    MetadataError::corrupt(path, format!("its snapshot is unreadable: {what}"))
}

fn read_parts(txn: &ReadTransaction, path: &Path) -> Result<Option<(Header, Vec<u8>)>, MetadataError> {
    let failed = |cause| MetadataError::while_opening(path, cause);
    let Some(sealed) = read_sealed(txn, SNAPSHOT_KEY).map_err(failed)? else { return Ok(None) };
    let header: Header =
        record::decode(SNAPSHOT_PLACE, &sealed).map_err(|cause| unreadable(path, "the snapshot's header", &cause))?;
    let pieces = read_pieces(txn, header.generation).map_err(failed)?;
    if header.pieces != pieces.len() as u64 {
        return Err(damaged(path, &format!("it has {} of {} pieces", pieces.len(), header.pieces)));
    }
    let mut bytes = Vec::with_capacity(pieces.iter().map(Vec::len).sum());
    for (place, sealed) in (0u64..).zip(&pieces) {
        let piece = record::open(place, sealed);
        bytes.extend_from_slice(piece.map_err(|cause| unreadable(path, &format!("snapshot piece {place}"), &cause))?);
    }
    if bytes.len() as u64 != header.bytes || xxh3_64(&bytes) != header.checksum {
        return Err(damaged(path, "its checksum does not match"));
    }
    Ok(Some((header, bytes)))
}

fn read_pieces(txn: &ReadTransaction, generation: u64) -> Result<Vec<Vec<u8>>, redb::Error> {
    let table = txn.open_table(SNAPSHOT)?;
    let pieces = table.range((generation, 0)..=(generation, u64::MAX))?;
    pieces.map(|piece| Ok(piece?.1.value().to_vec())).collect()
}
