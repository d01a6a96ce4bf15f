//! How an entry of the log, the vote, or a piece of a snapshot, is written.
//!
//! A version byte, the XXH3 of the payload seeded with the record's place and version (8 bytes, little-endian), the
//! payload. The place is part of the checksum, so that a record that stands where another one belongs is found out.

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The version that is written and read. The earlier ones were of a log without members, and of jobs without requirements.
pub(crate) const VERSION: u8 = 5;

const HEADER_BYTES: usize = 1 + 8;

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("it has version {0}")]
    Newer(u8),
    #[error("it has version {0}")]
    Older(u8),
    #[error("{0}")]
    Damaged(String),
}

/// The version is part of the checksum, so that no flipped bit makes a record one of another version.
fn seed(version: u8, place: u64) -> u64 {
    place ^ u64::from(version).rotate_right(8)
}

/// The record with this payload at this place.
pub(crate) fn seal(place: u64, payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + payload.len());
    record.push(VERSION);
    record.extend_from_slice(&xxh3_64_with_seed(payload, seed(VERSION, place)).to_le_bytes());
    record.extend_from_slice(payload);
    record
}

/// The record of a value at this place.
pub(crate) fn encode<T: Serialize>(place: u64, value: &T) -> Result<Vec<u8>, postcard::Error> {
    Ok(seal(place, &postcard::to_stdvec(value)?))
}

/// The value in the record at this place.
pub(crate) fn decode<T: DeserializeOwned>(place: u64, record: &[u8]) -> Result<T, RecordError> {
    decode_payload(open(place, record)?)
}

/// Reads a value, which has to take all of the bytes.
pub(crate) fn decode_payload<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(RecordError::Damaged(format!("{} bytes are left over", rest.len()))),
        Err(cause) => Err(RecordError::Damaged(cause.to_string())),
    }
}

/// The payload of the record at this place.
pub(crate) fn open(place: u64, record: &[u8]) -> Result<&[u8], RecordError> {
    let damaged = |how: &str| Err(RecordError::Damaged(how.to_owned()));
    let Some((&version, rest)) = record.split_first() else { return damaged("it is empty") };
    match version {
        0 => return damaged("it has no version"),
        VERSION => {}
        newer if newer > VERSION => return Err(RecordError::Newer(newer)),
        older => return Err(RecordError::Older(older)),
    }
    let Some((checksum, payload)) = rest.split_first_chunk::<8>() else { return damaged("it is cut off") };
    if u64::from_le_bytes(*checksum) != xxh3_64_with_seed(payload, seed(version, place)) {
        return damaged("its checksum does not match");
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
