//! The file that describes a checkpoint: an envelope that knows a whole file from a damaged one.
//!
//! Layout, numbers little-endian: magic (4 bytes), version (`u32`), length of the payload (`u64`), payload, xxh3_64 of
//! everything before it (`u64`). What the payload says is the JobMaster's business.

use bytes::{BufMut, Bytes, BytesMut};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The name of the file, as in Flink.
pub const METADATA_FILE: &str = "_metadata";

const MAGIC: [u8; 4] = *b"MRCP";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 16;
const TAIL_BYTES: usize = 8;

/// The longest file, in bytes: beyond it a checkpoint could not be read back into memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The path of the file in a folder of the store, or in the store itself.
pub fn path(folder: Option<&str>) -> String {
    folder.map_or_else(|| METADATA_FILE.to_owned(), |folder| format!("{folder}/{METADATA_FILE}"))
}

/// What stands before the payload, the payload, and what stands behind it.
pub fn encode(payload: Bytes) -> [Bytes; 3] {
    let mut head = BytesMut::with_capacity(HEAD_BYTES);
    head.put_slice(&MAGIC);
    head.put_u32_le(VERSION);
    head.put_u64_le(payload.len() as u64);
    let mut hasher = Xxh3::new();
    hasher.update(&head);
    hasher.update(&payload);
    [head.freeze(), payload, Bytes::copy_from_slice(&hasher.digest().to_le_bytes())]
}

/// Whether a file of that length is worth reading.
pub fn check_length(bytes: u64) -> Result<(), String> {
    if bytes > FILE_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, and a checkpoint's metadata at most {FILE_BYTES_MAX}"));
    }
    Ok(())
}

/// The payload of a whole file; else what is wrong with it.
pub fn decode(file: &Bytes) -> Result<Bytes, String> {
    if !file.starts_with(&MAGIC) {
        return Err("it does not begin as the metadata of a checkpoint does".to_owned());
    }
    let number = |at: usize| Some(u64::from_le_bytes(file.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let short = || format!("it ends after {} bytes", file.len());
    let version = u32::from_le_bytes(file.get(4..8).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?);
    if version != VERSION {
        return Err(format!("its version is {version}, and version {VERSION} is read here"));
    }
    let length = number(8).and_then(|length| usize::try_from(length).ok()).ok_or_else(short)?;
    let end = HEAD_BYTES.saturating_add(length);
    let checksum = number(end).ok_or_else(short)?;
    if file.len() != end + TAIL_BYTES {
        return Err(format!("{} bytes follow behind its end", file.len() - end - TAIL_BYTES));
    }
    let found = xxh3_64(&file[..end]);
    if found != checksum {
        return Err(format!("its checksum is {found:016x} and not {checksum:016x}"));
    }
    Ok(file.slice(HEAD_BYTES..end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn file(payload: &[u8]) -> Vec<u8> {
        encode(Bytes::copy_from_slice(payload)).concat()
    }

    proptest! {
        #[test]
        fn whole_files_are_read_and_all_others_refused(
            payload in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0u8..8
        ) {
            let whole = file(&payload);
            prop_assert_eq!(decode(&Bytes::from(whole.clone())).unwrap(), payload);
            prop_assert!(decode(&Bytes::copy_from_slice(&whole[..at.index(whole.len())])).is_err());
            let mut flipped = whole.clone();
            flipped[at.index(whole.len())] ^= 1 << bit;
            prop_assert!(decode(&flipped.into()).is_err());
            prop_assert!(decode(&[&whole[..], b"x"].concat().into()).is_err());
        }

        #[test]
        fn no_bytes_can_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..64), length: u64) {
            let _any_answer = decode(&Bytes::from(bytes.clone()));
            let file = [&MAGIC[..], &VERSION.to_le_bytes(), &length.to_le_bytes(), &bytes].concat();
            let _any_answer = decode(&file.into());
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut newer = file(b"payload");
        newer[4] = 9;
        assert!(decode(&newer.into()).unwrap_err().contains("version is 9"));
    }
}
