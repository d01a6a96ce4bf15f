//! The folders that file connectors may reach: what keeps one tenant's job away from the rest of the machine.
//!
//! Invariants:
//! - A path is judged by what it leads to, after every symbolic link and `..`, never by its spelling.
//! - It is judged again once it is open, by what the kernel says was opened: a link that was swapped in between leads
//!   nowhere.
//! - Outside of the roots a path that exists and one that does not give the same error.

use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};

use crate::ConnectorError;

/// Which folders file connectors may reach. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FileRoots(Roots);

#[derive(Debug, Clone)]
enum Roots {
    /// Whatever the process's user may read and write.
    Unrestricted,
    /// These folders, canonical; none at all forbids every path.
    Only(Arc<[PathBuf]>),
}

impl FileRoots {
    /// Allows whatever the process's user may read and write.
    pub fn unrestricted() -> Self {
        Self(Roots::Unrestricted)
    }

    /// Allows nothing.
    pub fn none() -> Self {
        Self(Roots::Only(Arc::from([])))
    }

    /// Whether it allows whatever the process's user may read and write.
    pub fn is_unrestricted(&self) -> bool {
        matches!(self.0, Roots::Unrestricted)
    }

    /// Allows these folders and all below them. Does blocking IO.
    ///
    /// # Errors
    /// A folder that does not exist, or is none.
    pub fn only(folders: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<Self, ConnectorError> {
        let canonical = |folder: &Path| {
            let path = folder.canonicalize().map_err(ConnectorError::io("use the file root", folder))?;
            if path.is_dir() { Ok(path) } else { Err(refuse(folder, "a file root has to be a folder")) }
        };
        let roots: Result<Vec<_>, _> = folders.into_iter().map(|folder| canonical(folder.as_ref())).collect();
        Ok(Self(Roots::Only(roots?.into())))
    }

    /// Whether the canonical path lies within the roots.
    fn covers(&self, canonical: &Path) -> bool {
        match &self.0 {
            Roots::Unrestricted => true,
            Roots::Only(roots) => roots.iter().any(|root| canonical.starts_with(root)),
        }
    }

    fn outside(&self, path: &Path) -> ConnectorError {
        let roots = match &self.0 {
            Roots::Only(roots) if !roots.is_empty() => {
                roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
            }
            _ => "this process has none".to_owned(),
        };
        ConnectorError::OutsideRoots { path: path.display().to_string(), roots }
    }

    /// The canonical path that a path of an option leads to: a local path, or a `file://` URL. A relative path starts at
    /// the process's working folder. What does not exist yet is placed below the nearest folder that does. Does
    /// blocking IO.
    ///
    /// # Errors
    /// [`ConnectorError::OutsideRoots`], and paths that cannot be followed.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, ConnectorError> {
        let local = match path.split_once("://") {
            Some(("file", rest)) if rest.starts_with('/') => rest,
            Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric()) => {
                return Err(refuse(Path::new(path), "only local files can be read and written"));
            }
            _ => path,
        };
        if local.is_empty() || local.contains('\0') {
            return Err(refuse(Path::new(path), "it names nothing"));
        }
        self.resolve_path(Path::new(local))
    }

    /// [`FileRoots::resolve`] for a path that is none of an option's.
    pub(crate) fn resolve_path(&self, path: &Path) -> Result<PathBuf, ConnectorError> {
        let absolute = std::path::absolute(path).map_err(ConnectorError::io("find", path))?;
        let mut missing = Vec::new();
        let mut existing = absolute.as_path();
        loop {
            match existing.symlink_metadata() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.unreachable(path, &absolute, error)),
            }
            let (Some(parent), Some(last)) = (existing.parent(), existing.components().next_back()) else { break };
            if last == Component::ParentDir {
                return Err(refuse(path, "it goes up from a folder that does not exist"));
            }
            missing.push(last.as_os_str());
            existing = parent;
        }
        // A link that leads nowhere exists but cannot be followed: creating its target could leave the roots.
        let mut canonical = existing.canonicalize().map_err(|error| self.unreachable(path, &absolute, error))?;
        canonical.extend(missing.into_iter().rev());
        if self.covers(&canonical) { Ok(canonical) } else { Err(self.outside(path)) }
    }

    /// The error for a path that cannot be followed. It must not tell what there is outside of the roots.
    fn unreachable(&self, path: &Path, absolute: &Path, error: io::Error) -> ConnectorError {
        if self.covers(absolute) { ConnectorError::io("follow", path)(error) } else { self.outside(path) }
    }

    /// Opens a regular file for reading. Never waits for a writer, as a pipe would make it.
    pub(crate) fn open_file(&self, path: &Path) -> Result<File, ConnectorError> {
        let canonical = self.resolve_path(path)?;
        let file = self.open_checked(&canonical, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let metadata = file.metadata().map_err(ConnectorError::io("open", path))?;
        if metadata.is_file() { Ok(file) } else { Err(refuse(path, "it is not a regular file")) }
    }

    /// Creates a file that must not exist, in a canonical folder.
    pub(crate) fn create_file(&self, path: &Path) -> Result<File, ConnectorError> {
        self.open_checked(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
    }

    /// Creates a folder with those above it, durably, and gives its canonical path.
    pub(crate) fn create_folder(&self, path: &str) -> Result<PathBuf, ConnectorError> {
        let planned = self.resolve(path)?;
        let created: Vec<&Path> = planned.ancestors().take_while(|folder| !folder.exists()).collect();
        std::fs::create_dir_all(&planned).map_err(ConnectorError::io("create the folder", &planned))?;
        for parent in created.iter().filter_map(|folder| folder.parent()) {
            match File::open(parent).and_then(|parent| parent.sync_all()) {
                // A folder that may be written and not read: no output is lost but by a crash of the machine.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced.map_err(ConnectorError::io("write the folder", parent))?,
            }
        }
        let folder = self.resolve_path(&planned)?;
        if folder.is_dir() { Ok(folder) } else { Err(refuse(&planned, "it is not a folder")) }
    }

    fn open_checked(&self, path: &Path, flags: OFlags) -> Result<File, ConnectorError> {
        let (action, mode) = if flags.contains(OFlags::CREATE) {
            ("create", Mode::from_raw_mode(0o666))
        } else {
            ("open", Mode::empty())
        };
        let fd: OwnedFd = rustix::fs::open(path, flags | OFlags::CLOEXEC, mode)
            .map_err(|errno| ConnectorError::io(action, path)(errno.into()))?;
        let opened = Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string()).read_link();
        // Without /proc the path itself is looked at again, which still narrows the gap.
        let opened = opened.or_else(|_| path.canonicalize()).map_err(ConnectorError::io(action, path))?;
        if self.covers(&opened) {
            return Ok(File::from(fd));
        }
        if flags.contains(OFlags::CREATE) {
            // What was created a moment ago, through a folder that was swapped for a link.
            std::fs::remove_file(path).map_err(ConnectorError::io("remove", path))?;
        }
        Err(self.outside(path))
    }
}

fn refuse(path: &Path, reason: &str) -> ConnectorError {
    ConnectorError::Path { path: path.display().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn outside(result: &Result<PathBuf, ConnectorError>) -> bool {
        matches!(result, Err(ConnectorError::OutsideRoots { .. }))
    }

    #[test]
    fn paths_are_judged_by_where_they_lead() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        let (root, other) = (base.join("root"), base.join("root-2"));
        fs::create_dir_all(root.join("in")).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("secret"), "x").unwrap();
        symlink(&other, root.join("link")).unwrap();
        symlink(root.join("in"), root.join("inner")).unwrap();
        symlink(other.join("new"), root.join("dangling")).unwrap();
        let roots = FileRoots::only([&root]).unwrap();
        let resolve = |path: &str| roots.resolve(&root.join(path).display().to_string());

        assert_eq!(resolve("in/a/b").unwrap(), root.join("in/a/b"));
        assert_eq!(resolve("inner/x").unwrap(), root.join("in/x"));
        assert_eq!(resolve("in/../in").unwrap(), root.join("in"));
        assert_eq!(roots.resolve(&format!("file://{}/in", root.display())).unwrap(), root.join("in"));
        for path in ["..", "../root-2/secret", "../root-2/none", "link/secret", "link/none", "in/../../root-2", "/etc"]
        {
            assert!(outside(&resolve(path)), "{path}");
        }
        assert!(outside(&resolve("inner/../../root-2/secret")));
        for path in ["dangling", "none/../../root-2/secret", ""] {
            let path = if path.is_empty() { String::new() } else { root.join(path).display().to_string() };
            assert!(roots.resolve(&path).is_err(), "{path}");
        }
        assert!(roots.resolve("s3://bucket/key").is_err());
    }

    #[test]
    fn without_roots_nothing_is_reachable_and_without_limits_everything() {
        assert!(outside(&FileRoots::none().resolve("/")));
        assert_eq!(FileRoots::unrestricted().resolve("/none/x").unwrap(), Path::new("/none/x"));
        let temp = tempfile::tempdir().unwrap();
        assert!(FileRoots::only([temp.path().join("none")]).is_err());
    }

    #[test]
    fn what_is_opened_is_checked_again() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        let (root, other) = (base.join("root"), base.join("other"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("secret"), "x").unwrap();
        symlink(&other, root.join("swapped")).unwrap();
        let roots = FileRoots::only([&root]).unwrap();
        // As if the folder had been swapped for a link behind the first check.
        let swapped = root.join("swapped/secret");
        assert!(matches!(roots.open_checked(&swapped, OFlags::RDONLY), Err(ConnectorError::OutsideRoots { .. })));
        let created = root.join("swapped/new");
        assert!(matches!(roots.create_file(&created), Err(ConnectorError::OutsideRoots { .. })));
        assert!(!created.exists());
    }

    #[test]
    fn pipes_and_folders_are_refused_without_waiting() {
        let temp = tempfile::tempdir().unwrap();
        let pipe = temp.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&pipe, &temp.path().to_path_buf()] {
            assert!(matches!(FileRoots::unrestricted().open_file(path), Err(ConnectorError::Path { .. })));
        }
    }
}
