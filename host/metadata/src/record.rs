//! How an entry of the log, or a piece of a snapshot, is written.
//!
//! A version byte, the XXH3 of the payload seeded with the record's place (8 bytes, little-endian), the payload. The
//! place is part of the checksum, so that a record that stands where another one belongs is found out.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version that is written and read. Version 1, of development, had no attempt numbers in its jobs.
pub(crate) const VERSION: u8 = 2;

const HEADER_BYTES: usize = 1 + 8;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordError {
    Newer(u8),
    Older(u8),
    Damaged(&'static str),
}

/// The record with this payload at this place.
pub(crate) fn seal(place: u64, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + payload.len());
    record.push(VERSION);
    record.extend_from_slice(&xxh3_64_with_seed(payload, place).to_le_bytes());
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
    if version < VERSION {
        return Err(RecordError::Older(version));
    }
    let Some((checksum, payload)) = rest.split_first_chunk::<8>() else {
        return Err(RecordError::Damaged("it is cut off"));
    };
    if u64::from_le_bytes(*checksum) != xxh3_64_with_seed(payload, place) {
        return Err(RecordError::Damaged("its checksum does not match"));
    }
    Ok(payload)
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
