//! What can go wrong with the metadata.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millrace_metadata_core::Rejection;

use crate::types::{MemberAddresses, MemberId};

/// What can go wrong with the metadata.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MetadataError {
    /// The state machine refuses the command.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Another process, or another service of this one, has the file open.
    #[error(
        "the metadata file {} is in use: a JobManager runs on this data directory already; stop it, or choose another \
         directory", path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or created.
    #[error("cannot open the metadata file {}: {cause}; see that its folder exists and may be written", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Arc<redb::Error>,
    },
    /// The file is not what was written.
    #[error(
        "the metadata file {} is damaged: {what}; restore it from a backup, or move it away to start without bundles \
         and jobs", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The file was written by a newer version.
    #[error(
        "the metadata file {} has {what} of version {found}, and this Millrace reads up to {known}: start the version \
         that wrote it", path.display()
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// What has that version.
        what: String,
        /// Its version.
        found: u8,
        /// The newest version that can be read.
        known: u8,
    },
    /// The file was written by an older version that no release had.
    #[error(
        "the metadata file {} has {what} of version {found}, and this Millrace reads version {known}: move the file away \
         to start without bundles and jobs, or start the version that wrote it", path.display()
    )]
    OlderVersion {
        /// The file.
        path: PathBuf,
        /// What has that version.
        what: String,
        /// Its version.
        found: u8,
        /// The version that can be read.
        known: u8,
    },
    /// The file belongs to another member.
    #[error(
        "the metadata file {} belongs to member {found}, and this process is member {expected}: give each member a data \
         directory of its own", path.display()
    )]
    OtherMember {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: MemberId,
        /// Who opened it.
        expected: MemberId,
    },
    /// The options contradict each other.
    #[error("the metadata cannot be started: {0}")]
    Options(String),
    /// Another member leads, or nobody does. The command is not stored.
    #[error("{}", not_leader(leader.as_ref()))]
    NotLeader {
        /// Who leads, if anybody is known to.
        leader: Option<(MemberId, MemberAddresses)>,
    },
    /// Whether the command is stored is not known; [`crate::MetadataHandle::barrier`] finds out.
    #[error("the outcome of a metadata command is unknown: {0}")]
    OutcomeUnknown(String),
    /// The members of the group cannot be changed so.
    #[error("the members cannot be changed: {0}")]
    Membership(String),
    /// The command could not be written; whether it is stored shows when the file is opened again.
    #[error(
        "cannot write the metadata file {}: {cause}; the decision may or may not be stored. See to the disk, then \
         start the JobManager again", path.display()
    )]
    WriteFailed {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Arc<redb::Error>,
    },
    /// What was written cannot be read any more.
    #[error("cannot read the metadata file {}: {cause}. See to the disk, then start the JobManager again", path.display())]
    ReadFailed {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Arc<redb::Error>,
    },
    /// An earlier write has failed; the command was not tried.
    #[error(
        "the metadata file {} takes no more writes since one has failed: {cause}. See to the disk, then start the \
         JobManager again", path.display()
    )]
    Poisoned {
        /// The file.
        path: PathBuf,
        /// Why the earlier write failed.
        cause: Arc<redb::Error>,
    },
    /// The command is too large to be written.
    #[error("a metadata command has {actual} bytes, where {limit} are allowed")]
    TooLarge {
        /// Its size, in bytes.
        actual: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The state machine or its encoding broke a promise.
    #[error("internal error of the metadata: {0}")]
    Internal(String),
    /// The service has been closed.
    #[error("the metadata are closed: the JobManager is shutting down or has failed")]
    Closed,
}

fn not_leader(leader: Option<&(MemberId, MemberAddresses)>) -> String {
    match leader {
        Some((id, addresses)) => format!("member {id} ({addresses}) leads: ask there"),
        None => "no member leads at the moment: try again shortly, and see that most members run".to_owned(),
    }
}

impl MetadataError {
    /// Whether another leader has begun an epoch since: whoever proposed has to stop.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Rejected(Rejection::StaleEpoch { .. }))
    }

    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }

    /// Why the file could not be opened or read.
    pub(crate) fn while_opening(path: &Path, cause: impl Into<redb::Error>) -> Self {
        let path = path.to_owned();
        match cause.into() {
            redb::Error::DatabaseAlreadyOpen => Self::Locked { path },
            redb::Error::Corrupted(what) => Self::Corrupt { path, what },
            redb::Error::Io(cause) if cause.kind() == std::io::ErrorKind::InvalidData => {
                Self::Corrupt { path, what: cause.to_string() }
            }
            cause @ (redb::Error::UpgradeRequired(_) | redb::Error::TableTypeMismatch { .. }) => {
                Self::Corrupt { path, what: cause.to_string() }
            }
            cause => Self::Open { path, cause: Arc::new(cause) },
        }
    }
}
