//! Reading parts of a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::CheckpointStoreError;

/// What is read at once to check a file, in bytes.
const CHECK_BYTES: usize = 1024 * 1024;

/// A file that was checked and is open.
#[derive(Debug)]
pub struct RangedFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

impl RangedFile {
    pub(crate) fn open(path: PathBuf, bytes: u64, checksum: u64) -> Result<Self, CheckpointStoreError> {
        let failed = |cause| CheckpointStoreError::read_io(&path, cause);
        let file = File::open(&path).map_err(failed)?;
        check_length(&path, bytes, file.metadata().map_err(failed)?.len())?;
        let mut hasher = Xxh3::new();
        let mut buffer = vec![0; CHECK_BYTES.min(usize::try_from(bytes).unwrap_or(CHECK_BYTES))];
        let mut offset = 0;
        while offset < bytes {
            let length = buffer.len().min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
            let part = &mut buffer[..length];
            file.read_exact_at(part, offset).map_err(failed)?;
            hasher.update(part);
            offset += length as u64;
        }
        check_checksum(&path, checksum, hasher.digest())?;
        Ok(Self { file, path, bytes })
    }

    /// The file's length in bytes.
    pub fn byte_len(&self) -> u64 {
        self.bytes
    }

    /// Fills `out` with what begins at `offset`. Blocks.
    ///
    /// # Errors
    /// [`CheckpointStoreError::Read`], also for bytes behind the end.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), CheckpointStoreError> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.bytes) {
            let what = format!("{} bytes from {offset} on were asked for, and it has {}", out.len(), self.bytes);
            return Err(CheckpointStoreError::read_io(&self.path, io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        self.file.read_exact_at(out, offset).map_err(|cause| CheckpointStoreError::read_io(&self.path, cause))
    }
}

/// Compares a file's length with what its writer said.
pub fn check_length(path: &Path, expected: u64, found: u64) -> Result<(), CheckpointStoreError> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("it has {found} bytes, and {expected} were written");
    Err(CheckpointStoreError::Damaged { path: path.to_owned(), reason })
}

/// Compares a file's checksum with what its writer said.
pub fn check_checksum(path: &Path, expected: u64, found: u64) -> Result<(), CheckpointStoreError> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("its checksum is {found:016x} and not {expected:016x}");
    Err(CheckpointStoreError::Damaged { path: path.to_owned(), reason })
}
