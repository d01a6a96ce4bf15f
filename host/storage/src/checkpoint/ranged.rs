//! Reading parts of a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use object_store::{GetOptions, GetRange, ObjectStore};
use xxhash_rust::xxh3::Xxh3;

use super::CheckpointStoreError;

/// What is read at once to check a local file, in bytes.
const CHECK_BYTES: usize = 1024 * 1024;

/// What is asked of S3 at once, in bytes. A file of S3 that is no larger is kept in memory while it is open.
const FETCH_BYTES: u64 = 8 * 1024 * 1024;

/// A file that was checked and is open.
#[derive(Debug)]
pub struct RangedFile {
    content: Content,
    /// For errors.
    name: String,
    bytes: u64,
}

#[derive(Debug)]
enum Content {
    File(File),
    Memory(Bytes),
}

impl RangedFile {
    pub(crate) fn open(path: &Path, bytes: u64, checksum: u64) -> Result<Self, CheckpointStoreError> {
        let name = path.display().to_string();
        let failed = |cause| CheckpointStoreError::read_io(&name, cause);
        let file = File::open(path).map_err(failed)?;
        check_length(&name, bytes, file.metadata().map_err(failed)?.len())?;
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
        check_checksum(&name, checksum, hasher.digest())?;
        Ok(Self { content: Content::File(file), name, bytes })
    }

    /// Fetches a file of S3 in one pass: into memory if it is small, else into a file without a name below `scratch`.
    pub(super) async fn fetch(
        store: &dyn ObjectStore,
        key: &object_store::path::Path,
        (name, bytes, checksum): (String, u64, u64),
        scratch: &Path,
    ) -> Result<Self, CheckpointStoreError> {
        let to_disk = bytes > FETCH_BYTES;
        let scratch_failed = |cause| CheckpointStoreError::Scratch { folder: scratch.display().to_string(), cause };
        let file = if to_disk { Some(tempfile::tempfile_in(scratch).map_err(scratch_failed)?) } else { None };
        let mut hasher = Xxh3::new();
        let mut memory = BytesMut::new();
        let mut offset = 0;
        while offset < bytes {
            let end = bytes.min(offset + FETCH_BYTES);
            let options = GetOptions { range: Some(GetRange::Bounded(offset..end)), ..GetOptions::default() };
            let failed = |cause| CheckpointStoreError::read(name.clone(), cause);
            let found = store.get_opts(key, options).await.map_err(failed)?;
            check_length(&name, bytes, found.meta.size)?;
            let part = found.bytes().await.map_err(failed)?;
            check_length(&name, end, offset + part.len() as u64)?;
            hasher.update(&part);
            match &file {
                Some(file) => file.write_all_at(&part, offset).map_err(scratch_failed)?,
                None => memory.extend_from_slice(&part),
            }
            offset = end;
        }
        check_checksum(&name, checksum, hasher.digest())?;
        let content = file.map_or_else(|| Content::Memory(memory.freeze()), Content::File);
        Ok(Self { content, name, bytes })
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
            return Err(CheckpointStoreError::read_io(&self.name, io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        match &self.content {
            Content::File(file) => {
                file.read_exact_at(out, offset).map_err(|cause| CheckpointStoreError::read_io(&self.name, cause))
            }
            Content::Memory(bytes) => {
                // It lies within the file, which is within memory.
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                out.copy_from_slice(&bytes[start..start + out.len()]);
                Ok(())
            }
        }
    }
}

/// Compares a file's length with what its writer said.
pub fn check_length(name: &str, expected: u64, found: u64) -> Result<(), CheckpointStoreError> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("it has {found} bytes, and {expected} were written");
    Err(CheckpointStoreError::Damaged { path: name.to_owned(), reason })
}

/// Compares a file's checksum with what its writer said.
pub fn check_checksum(name: &str, expected: u64, found: u64) -> Result<(), CheckpointStoreError> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("its checksum is {found:016x} and not {expected:016x}");
    Err(CheckpointStoreError::Damaged { path: name.to_owned(), reason })
}
