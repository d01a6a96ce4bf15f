//! What can go wrong with the files of checkpoints.

use std::error::Error;
use std::io;
use std::path::Path;

use crate::StorageLocation;

type Cause = Box<dyn Error + Send + Sync>;

/// What can go wrong with a file of a checkpoint or savepoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointStoreError {
    /// The folder cannot be used.
    #[error("cannot use {folder} for checkpoints: {}", told(cause.as_ref()))]
    Folder {
        /// The folder.
        folder: String,
        /// Why.
        cause: Cause,
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
    #[error("there is no room to write {path}: {cause}")]
    Full {
        /// The file.
        path: String,
        /// What the operating system says.
        cause: Cause,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {}", told(cause.as_ref()))]
    Write {
        /// The file.
        path: String,
        /// Why.
        cause: Cause,
    },
    /// There is another file of that name. No file is ever written over.
    #[error("cannot write {path}: the name is taken, by a file with other content")]
    Taken {
        /// The file.
        path: String,
    },
    /// A file or the whole folder is not there.
    #[error("{path} is missing")]
    Missing {
        /// The file or folder.
        path: String,
    },
    /// A file is not the one that was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// How that shows.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {}", told(cause.as_ref()))]
    Read {
        /// The file.
        path: String,
        /// Why.
        cause: Cause,
    },
    /// A file of S3 cannot be kept on this machine while it is read.
    #[error("cannot keep a file of S3 in {folder} while it is read: {cause}")]
    Scratch {
        /// The folder.
        folder: String,
        /// Why.
        cause: io::Error,
    },
    /// A file or folder cannot be deleted.
    #[error("cannot delete {path}: {}", told(cause.as_ref()))]
    Delete {
        /// The file or folder.
        path: String,
        /// Why.
        cause: Cause,
    },
    /// A folder cannot be listed.
    #[error("cannot list the files below {path}: {}", told(cause.as_ref()))]
    List {
        /// The folder.
        path: String,
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

    /// Whether the state may well be there and cannot be had just now: to go back to an earlier checkpoint would be rash.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Folder { folder: path, .. } | Self::Read { path, .. } | Self::List { path, .. } => {
                StorageLocation::is_s3_text(path)
            }
            Self::Scratch { .. } | Self::Closed => true,
            _ => false,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Self::Folder { folder, .. } if StorageLocation::is_s3_text(folder) => {
                "write s3://bucket/prefix, and see to the options s3.* and the credentials of every process"
            }
            Self::Folder { .. } => "give an absolute path of a folder that the user of every process may write",
            Self::Taken { .. } => {
                "a process that counts as lost wrote it, or two clusters share the folder: give each one of its own; \
                 the next checkpoint has other names"
            }
            Self::BadPath { .. } => "the metadata names a file that no process would write: use another checkpoint",
            Self::Full { .. } => "free space, or put the checkpoints on another file system",
            Self::Missing { path } if StorageLocation::is_s3_text(path) => {
                "check the bucket's name, and that nobody else and no lifecycle rule deletes in it; if the object is \
                 gone, use an earlier checkpoint or a savepoint"
            }
            Self::Missing { .. } => {
                "check that the checkpoint folder is mounted on every machine and that nobody else deletes files in \
                 it; if the file is gone, use an earlier checkpoint or a savepoint"
            }
            Self::Damaged { .. } => "check the disk, then use an earlier checkpoint or a savepoint",
            Self::Write { path, .. }
            | Self::Read { path, .. }
            | Self::Delete { path, .. }
            | Self::List { path, .. }
                if StorageLocation::is_s3_text(path) =>
            {
                "check that the bucket exists, that s3.endpoint is reached from here, and that the keys may list, read, \
                 write and delete in it"
            }
            Self::Write { .. } | Self::Read { .. } | Self::Delete { .. } | Self::List { .. } => {
                "check the file system and its permissions"
            }
            Self::Scratch { .. } => {
                "free space below data.dir, which takes the largest files of the state while a task is restored"
            }
            Self::Closed => return None,
        })
    }

    pub(super) fn folder(folder: &Path) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Folder { folder: folder.display().to_string(), cause: Box::new(cause) }
    }

    pub(crate) fn unusable(location: &StorageLocation) -> impl Fn(object_store::Error) -> Self {
        move |cause| Self::Folder { folder: location.to_string(), cause: Box::new(cause) }
    }

    pub(super) fn write(path: String, cause: object_store::Error) -> Self {
        let cause = Box::new(cause);
        if is_full(cause.as_ref()) { Self::Full { path, cause } } else { Self::Write { path, cause } }
    }

    pub(super) fn read(path: String, cause: object_store::Error) -> Self {
        match cause {
            object_store::Error::NotFound { .. } => Self::Missing { path },
            cause => Self::Read { path, cause: Box::new(cause) },
        }
    }

    pub(super) fn read_io(path: &str, cause: io::Error) -> Self {
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

/// What an error says, and what was at the bottom of it: that is where "connection refused" stands.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    let (text, mut bottom) = (error.to_string(), error);
    while let Some(below) = bottom.source() {
        bottom = below;
    }
    let bottom = bottom.to_string();
    if text.contains(&bottom) { text } else { format!("{text}: {bottom}") }
}
