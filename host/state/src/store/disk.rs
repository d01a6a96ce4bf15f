//! A file without a name, for entries that need not outlive the process.
//!
//! Invariant: nothing is left of it when the process ends, however it ends, and nothing waits until it is on the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that has no name in any folder.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    file: File,
    len: Arc<AtomicU64>,
}

impl ScratchFile {
    /// An empty file on the disk of a folder, which is created if it is not there, and its length as it changes.
    pub(crate) fn create(folder: &Path) -> io::Result<(Self, Arc<AtomicU64>)> {
        std::fs::create_dir_all(folder)?;
        let len = Arc::new(AtomicU64::new(0));
        Ok((Self { file: tempfile::tempfile_in(folder)?, len: Arc::clone(&len) }, len))
    }
}

impl redb::StorageBackend for ScratchFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len.load(Ordering::Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
