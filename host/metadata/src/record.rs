//! How an entry of the log, or a piece of a snapshot, is written.
//!
//! A version byte, the XXH3 of the payload seeded with the record's place and version (8 bytes, little-endian), the
//! payload. The place is part of the checksum, so that a record that stands where another one belongs is found out.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version that is written. Version 2, which is read too, had no checkpoints in the jobs of its snapshots; version 1,
/// of development, no attempt numbers.
pub(crate) const VERSION: u8 = 3;

/// The oldest version that is read.
pub(crate) const OLDEST_VERSION: u8 = 2;

const HEADER_BYTES: usize = 1 + 8;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordError {
    Newer(u8),
    Older(u8),
    Damaged(&'static str),
}

/// The place, and since version 3 the version, are part of the checksum.
fn seed(version: u8, place: u64) -> u64 {
    if version == OLDEST_VERSION { place } else { place ^ u64::from(version).rotate_right(8) }
}

/// The record with this payload at this place.
pub(crate) fn seal(place: u64, payload: &[u8]) -> Vec<u8> {
    seal_as(VERSION, place, payload)
}

/// The record as a version writes it.
pub(crate) fn seal_as(version: u8, place: u64, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + payload.len());
    record.push(version);
    record.extend_from_slice(&xxh3_64_with_seed(payload, seed(version, place)).to_le_bytes());
    record.extend_from_slice(payload);
    record
}

/// The payload of the record at this place.
pub(crate) fn open(place: u64, record: &[u8]) -> Result<&[u8], RecordError> {
    let Some((&version, rest)) = record.split_first() else { return Err(RecordError::Damaged("it is empty")) };
    if version > VERSION {
        return Err(RecordError::Newer(version));
    }
    if version == 0 {
        return Err(RecordError::Damaged("it has no version"));
    }
    if version < OLDEST_VERSION {
        return Err(RecordError::Older(version));
    }
    let Some((checksum, payload)) = rest.split_first_chunk::<8>() else {
        return Err(RecordError::Damaged("it is cut off"));
    };
    if u64::from_le_bytes(*checksum) != xxh3_64_with_seed(payload, seed(version, place)) {
        return Err(RecordError::Damaged("its checksum does not match"));
    }
    Ok(payload)
}

/// The version of a record that was opened.
pub(crate) fn version_of(record: &[u8]) -> u8 {
    record.first().copied().unwrap_or(VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_is_read_back_at_its_place_and_no_other(place: u64, other: u64, payload: Vec<u8>) {
            let record = seal(place, &payload);
            prop_assert_eq!(open(place, &record), Ok(&payload[..]));
            prop_assume!(place != other);
            prop_assert!(open(other, &record).is_err());
        }

        #[test]
        fn a_changed_record_is_found_out(payload: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let mut record = seal(7, &payload);
            let at = at.index(record.len());
            record[at] ^= 1 << bit;
            prop_assert!(open(7, &record).is_err());
            record.truncate(at);
            prop_assert!(open(7, &record).is_err());
        }
    }
}
