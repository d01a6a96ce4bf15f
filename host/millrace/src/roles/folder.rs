//! The folders that processes keep their data in.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// TaskManagers of one data folder at a time.
const TASK_MANAGERS_MAX: u32 = 1_000;

/// Bundles and state of tenants are nobody else's business on this machine.
pub(crate) fn create_private(folder: &Path) -> Result<()> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    created.with_context(|| format!("cannot make the data folder {}", folder.display()))
}

/// A folder that belongs to one TaskManager process as long as this lives.
pub(crate) struct OwnFolder {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl OwnFolder {
    /// The first of the numbered folders below `data_dir` that no process holds. Numbers are used again, so that
    /// processes that come and go leave no heap of folders behind.
    pub(crate) fn take(data_dir: &Path) -> Result<Self> {
        for number in 1..=TASK_MANAGERS_MAX {
            let path = data_dir.join(format!("taskmanager-{number}"));
            create_private(&path)?;
            let lock_path = path.join("lock");
            let lock = File::create(&lock_path).with_context(|| format!("cannot make {}", lock_path.display()))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Self { path, _lock: lock });
            }
        }
        bail!("{TASK_MANAGERS_MAX} TaskManagers use {}: give this one another --data-dir", data_dir.display())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn each_process_has_its_own_folder_and_a_free_one_is_used_again() {
        let data = tempfile::tempdir().unwrap();
        let first = OwnFolder::take(data.path()).unwrap();
        let second = OwnFolder::take(data.path()).unwrap();
        assert_ne!(first.path, second.path);
        let path = first.path.clone();
        drop(first);
        assert_eq!(OwnFolder::take(data.path()).unwrap().path, path);
    }
}
