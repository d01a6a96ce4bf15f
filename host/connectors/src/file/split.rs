//! Splits of the `file` source: which bytes of which file, and how the file looked when they were planned.
//!
//! Invariants:
//! - The splits of a file cover it without overlap; a split owns the records that begin in it.
//! - A compressed file, or one whose records may span lines, is one split.

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::listing::FoundFile;
use super::options::{Compression, FileFormat, FileSourceOptions};
use crate::ConnectorError;

/// The most splits of one source.
const SPLITS_MAX: u64 = 1_000_000;

/// Splits are not made smaller than this to keep all readers busy, in bytes.
const SPLIT_BYTES_MIN: u64 = 1024 * 1024;

/// How many splits a reader should find at least, so that a slow one leaves the rest to others.
const SPLITS_PER_READER: u64 = 4;

/// What tells that a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// In bytes.
    pub length: u64,
    /// In nanoseconds since 1970.
    modified_ns: i128,
}

impl FileStamp {
    pub fn of(metadata: &Metadata) -> Self {
        let modified_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Self { length: metadata.len(), modified_ns }
    }

    /// What differs, if anything does.
    pub fn difference(&self, now: &Self) -> Option<String> {
        if self.length != now.length {
            Some(format!("it had {} bytes and now has {}", self.length, now.length))
        } else if self.modified_ns != now.modified_ns {
            Some("its modification time is another".to_owned())
        } else {
            None
        }
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSplit {
    path: Vec<u8>,
    /// The first byte.
    pub start: u64,
    /// Behind the last byte; of a compressed file, that of the compressed bytes.
    pub end: u64,
    /// How the file looked.
    pub stamp: FileStamp,
    /// Whether it is compressed.
    pub gzip: bool,
}

impl FileSplit {
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }

    pub fn encode(&self) -> Result<Vec<u8>, ConnectorError> {
        postcard::to_stdvec(self).map_err(|_| ConnectorError::BadSplit { connector: "file" })
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, ConnectorError> {
        postcard::from_bytes(bytes).map_err(|_| ConnectorError::BadSplit { connector: "file" })
    }
}

/// The position in a split as an opaque offset.
pub fn encode_offset(position: u64) -> Vec<u8> {
    position.to_le_bytes().to_vec()
}

/// The position of an offset; `None`: the beginning.
pub fn decode_offset(offset: &[u8]) -> Result<Option<u64>, ConnectorError> {
    if offset.is_empty() {
        return Ok(None);
    }
    let bytes = offset.try_into().map_err(|_| ConnectorError::BadSplit { connector: "file" })?;
    Ok(Some(u64::from_le_bytes(bytes)))
}

/// Cuts files into splits. Empty files have none.
pub fn plan_splits(
    files: Vec<FoundFile>,
    options: &FileSourceOptions,
    parallelism: u32,
) -> Result<Vec<FileSplit>, ConnectorError> {
    let total: u64 = files.iter().map(|file| file.stamp.length).fold(0, u64::saturating_add);
    let readers = u64::from(parallelism.max(1)) * SPLITS_PER_READER;
    let split_bytes = total.div_ceil(readers).max(SPLIT_BYTES_MIN).min(options.split_size.0);
    let mut splits = Vec::new();
    for FoundFile { path, named_gzip, stamp } in files {
        let gzip = match options.compression {
            Compression::Auto => named_gzip,
            Compression::None => false,
            Compression::Gzip => true,
        };
        let whole = gzip || (options.format == FileFormat::Csv && options.multiline());
        let count = if whole { stamp.length.min(1) } else { stamp.length.div_ceil(split_bytes) };
        if count.saturating_add(splits.len() as u64) > SPLITS_MAX {
            let what = "the input of the file source has too many splits".to_owned();
            return Err(ConnectorError::Limit { what, limit: SPLITS_MAX, remedy: "set \"split-size\" to more" });
        }
        let path = path.into_os_string().into_vec();
        for number in 0..count {
            // Rounding up spreads the bytes evenly: no split is a small rest.
            let bound = |number: u64| (u128::from(stamp.length) * u128::from(number) / u128::from(count)) as u64;
            let (start, end) = (bound(number), bound(number + 1));
            splits.push(FileSplit { path: path.clone(), start, end, stamp, gzip });
        }
    }
    Ok(splits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn plan(lengths: &[(&str, u64)], options: &str, parallelism: u32) -> Result<Vec<FileSplit>, ConnectorError> {
        let files = lengths.iter().map(|(path, length)| FoundFile {
            path: path.into(),
            named_gzip: path.ends_with(".gz"),
            stamp: FileStamp { length: *length, modified_ns: 7 },
        });
        let options = format!(r#"{{"paths": ["/"] {options}}}"#);
        plan_splits(files.collect(), &FileSourceOptions::parse(&options).unwrap(), parallelism)
    }

    proptest! {
        #[test]
        fn splits_cover_each_file_in_order(length in 0u64..1 << 40, size in 1u64 << 20..1 << 30, parallelism in 1u32..64) {
            let splits = plan(&[("/a", length)], &format!(r#", "split-size": {size}"#), parallelism).unwrap();
            let mut next = 0;
            for split in &splits {
                prop_assert_eq!(split.start, next);
                prop_assert!(split.start < split.end && split.end - split.start <= size);
                prop_assert_eq!(&FileSplit::decode(&split.encode().unwrap()).unwrap(), split);
                next = split.end;
            }
            prop_assert_eq!(next, length);
            let wanted = (u64::from(parallelism) * SPLITS_PER_READER).min(length / SPLIT_BYTES_MIN);
            prop_assert!(splits.len() as u64 >= wanted, "{} splits of {wanted}", splits.len());
        }
    }

    #[test]
    fn files_that_cannot_be_split_are_one_split() {
        let big = 1 << 30;
        for (path, options, count) in [
            ("/a.gz", "", 1),
            ("/a", r#", "compression": "gzip""#, 1),
            ("/a.gz", r#", "compression": "none""#, 16),
            ("/a", r#", "format": "csv", "multiline": true"#, 1),
            ("/a", r#", "format": "csv""#, 16),
        ] {
            assert_eq!(plan(&[(path, big)], options, 1).unwrap().len(), count, "{path} {options}");
        }
    }

    #[test]
    fn too_many_splits_are_refused_with_a_remedy() {
        let error = plan(&[("/a", 1 << 40)], r#", "split-size": 1"#, 1).unwrap_err();
        assert!(error.remedy().unwrap().contains("split-size"), "{error}");
    }
}
