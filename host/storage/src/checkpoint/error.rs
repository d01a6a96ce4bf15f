//! What can go wrong with the files of checkpoints.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

type Cause = Box<dyn Error + Send + Sync>;

/// What can go wrong with a file of a checkpoint or savepoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointStoreError {
    /// The folder cannot be used.
    #[error("cannot use the folder {} for checkpoints: {cause}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A path does not lead into the folder.
    #[error("\"{path}\" cannot be the path of a checkpoint's file: {reason}")]
    BadPath {
        /// The path, its beginning if it is long.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// There is no room for a file.
    #[error("there is no room to write {}: {cause}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: Cause,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {cause}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Cause,
    },
    /// A file or the whole folder is not there.
    #[error("{} is missing", path.display())]
    Missing {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file is not the one that was written.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Cause,
    },
    /// A file or folder cannot be deleted.
    #[error("cannot delete {}: {cause}", path.display())]
    Delete {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        cause: Cause,
    },
    /// A folder cannot be listed.
    #[error("cannot list the files below {}: {cause}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        cause: Cause,
    },
    /// The process is shutting down.
    #[error("the process is shutting down")]
    Closed,
}

impl CheckpointStoreError {
    /// Whether the state itself is gone, so that trying again cannot help and an earlier checkpoint is needed.
    pub const fn is_state_lost(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Damaged { .. } | Self::BadPath { .. })
    }

    /// What to do about it.
    pub const fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Folder { .. } => "give an absolute path of a folder that the user of every process may write",
            Self::BadPath { .. } => "the metadata names a file that no process would write: use another checkpoint",
            Self::Full { .. } => "free space, or put the checkpoints on another file system",
            Self::Missing { .. } => {
                "check that the checkpoint folder is mounted on every machine and that nobody else deletes files in \
                 it; if the file is gone, use an earlier checkpoint or a savepoint"
            }
            Self::Damaged { .. } => "check the disk, then use an earlier checkpoint or a savepoint",
            Self::Write { .. } | Self::Read { .. } | Self::Delete { .. } | Self::List { .. } => {
                "check the file system and its permissions"
            }
            Self::Closed => return None,
        })
    }

    pub(super) fn folder(folder: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Folder { folder: folder.to_owned(), cause }
    }

    pub(super) fn write(path: &Path, cause: object_store::Error) -> Self {
        let (path, cause) = (path.to_owned(), Box::new(cause));
        if is_full(cause.as_ref()) { Self::Full { path, cause } } else { Self::Write { path, cause } }
    }

    pub(super) fn read(path: &Path, cause: object_store::Error) -> Self {
        let path = path.to_owned();
        match cause {
            object_store::Error::NotFound { .. } => Self::Missing { path },
            cause => Self::Read { path, cause: Box::new(cause) },
        }
    }

    pub(super) fn read_io(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::UnexpectedEof => Self::Damaged { path, reason: "it ends early".to_owned() },
            _ => Self::Read { path, cause: Box::new(cause) },
        }
    }
}

/// Whether the operating system said, somewhere below, that there is no room.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) = kind {
        return true;
    }
    error.source().is_some_and(is_full)
}
