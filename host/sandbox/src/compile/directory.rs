//! The directory that belongs to this process alone.
//!
//! Every process makes a new one and locks a file in it; whoever starts removes those of processes that are gone. Old
//! contents are thus never looked at: a cache that outlived its process would have to be trusted.

use std::fs::{DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

const PREFIX: &str = "process-";
const LOCK: &str = "lock";

/// The directory. Dropping it removes it.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    directory: TempDir,
    /// Held while the process lives, whatever its end.
    _lock: File,
}

impl PrivateDirectory {
    pub(super) fn new(cache_dir: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(cache_dir)?;
        // Held while this returns: nobody may take a directory whose lock is not locked yet for an abandoned one.
        let all = File::create(cache_dir.join(LOCK))?;
        flock(&all, FlockOperation::LockExclusive)?;
        remove_abandoned(cache_dir);
        let private = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir_in(cache_dir)?;
        let lock = File::create(directory.path().join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { directory, _lock: lock })
    }

    /// A directory within it.
    pub(super) fn subdirectory(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.directory.path().join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(path),
        }
    }
}

/// Removes the directories of processes that no longer hold their lock.
fn remove_abandoned(cache_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(cache_dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if ours
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
            && let Err(error) = std::fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "an abandoned compile cache cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_directory_is_private_and_outlives_nobody() {
        let root = tempfile::tempdir().unwrap();
        let first = PrivateDirectory::new(root.path()).unwrap();
        let path = first.subdirectory("default").unwrap();
        assert_eq!(first.subdirectory("default").unwrap(), path);
        let mode = std::fs::metadata(first.directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);

        // The directory of a process that was killed: nobody holds its lock.
        let abandoned = root.path().join("process-killed");
        std::fs::create_dir(&abandoned).unwrap();
        std::fs::write(abandoned.join(LOCK), "").unwrap();
        let second = PrivateDirectory::new(root.path()).unwrap();
        assert!(!abandoned.exists());
        assert!(path.exists(), "a living process keeps its own");
        drop((first, second));
        let left = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), [LOCK]);
    }
}
