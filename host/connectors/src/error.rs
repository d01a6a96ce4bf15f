//! Why a connector failed, where, and what to do about it.

use std::io;
use std::path::Path;
use std::time::Duration;

use millrace_types::{Failure, FailureKind};

/// Why a connector cannot be used, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// There is no connector of that name.
    #[error("there is no native {kind} \"{name}\"")]
    UnknownConnector {
        /// `source`, `operator` or `sink`.
        kind: &'static str,
        /// The name.
        name: String,
        /// What there is.
        known: String,
    },
    /// The options are wrong.
    #[error("the options of the native {kind} \"{connector}\" are wrong: {reason}")]
    Options {
        /// `source`, `operator` or `sink`.
        kind: &'static str,
        /// The connector.
        connector: &'static str,
        /// Which option, and what is wrong with it.
        reason: String,
    },
    /// The path lies outside the folders that connectors may reach.
    #[error("the path \"{path}\" is outside of the folders that file connectors may reach here ({roots})")]
    OutsideRoots {
        /// The path, as it was given.
        path: String,
        /// The folders.
        roots: String,
    },
    /// There is nothing to read there.
    #[error("{what}")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The path does not name what it has to.
    #[error("the path \"{path}\" cannot be used: {reason}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot {action} \"{path}\": {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A limit of the connectors is exceeded.
    #[error("{what}, and the limit is {limit}")]
    Limit {
        /// What there is too much of.
        what: String,
        /// The limit.
        limit: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The file is not the one that the splits were planned for.
    #[error("the file \"{path}\" changed while the job read it: {detail}")]
    Changed {
        /// The file.
        path: String,
        /// What differs.
        detail: String,
    },
    /// The input breaks its format.
    #[error("bad record in \"{path}\" at byte {offset}: {reason}")]
    BadRecord {
        /// The file.
        path: String,
        /// Where the record begins, in bytes from the beginning of the (decompressed) file.
        offset: u64,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The header of a CSV file does not fit the options.
    #[error("the header of \"{path}\" does not fit: {reason}")]
    Header {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The compressed file cannot be decompressed.
    #[error("cannot decompress \"{path}\": {reason}")]
    Compression {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A split or offset is not one of this source.
    #[error("a split or offset of the native source \"{connector}\" cannot be read")]
    BadSplit {
        /// The connector.
        connector: &'static str,
    },
    /// What is to be committed is not what the sink prepared.
    #[error("the native sink \"{connector}\" cannot read what it is to commit")]
    BadCommittable {
        /// The connector.
        connector: &'static str,
    },
    /// Prepared output is not there any longer.
    #[error("cannot publish \"{path}\": what was prepared for it is gone")]
    PreparedLost {
        /// The file that was to become visible.
        path: String,
    },
    /// A sink was ended although a checkpoint has yet to cover what it wrote.
    #[error("the sink to \"{path}\" was ended before all that it wrote was committed")]
    Uncommitted {
        /// The folder.
        path: String,
    },
    /// A request had no answer in time.
    #[error("a request to {service} had no answer within {} ms", after.as_millis())]
    Timeout {
        /// Who was asked.
        service: String,
        /// How long it had.
        after: Duration,
    },
    /// The address lies outside the origins that connectors may reach.
    #[error("the origin \"{origin}\" is not one that HTTP connectors may reach here ({allowed})")]
    OutsideOrigins {
        /// The origin.
        origin: String,
        /// The origins.
        allowed: String,
    },
    /// The text does not name an origin.
    #[error("\"{text}\" cannot be allowed as an HTTP origin: {reason}")]
    Origin {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request failed.
    #[error("a request to {service} failed: {reason}")]
    Request {
        /// Who was asked.
        service: String,
        /// Why.
        reason: String,
    },
    /// A row cannot be asked about.
    #[error("no request to {service} can be made for a record: {reason}")]
    BadRow {
        /// Who was to be asked.
        service: String,
        /// What is wrong with the record.
        reason: String,
    },
    /// Restored rows are not what was kept.
    #[error("the rows of a checkpoint whose requests were under way cannot be read")]
    BadSnapshot,
    /// Nobody takes collected rows.
    #[error("nobody takes the rows of the \"collect\" sink: {reason}")]
    CollectClosed {
        /// Why.
        reason: String,
    },
    /// The process is ending.
    #[error("file work was interrupted")]
    Interrupted,
}

impl ConnectorError {
    /// Wraps an error of the operating system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::UnknownConnector { known, .. } => return Some(format!("use one of {known}")),
            Self::Limit { remedy, .. } | Self::BadRecord { remedy, .. } => remedy,
            Self::Options { .. } => "correct the options where the application's graph is built",
            Self::OutsideRoots { .. } => {
                "use a path inside one of these folders, or start the process with --file-root DIR for another one"
            }
            Self::NotFound { .. } => "check the path; it is looked up on the machine that the cluster runs on",
            Self::Path { .. } => "give another path",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "give the user that runs the cluster access to it",
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free space, or write to another file system"
                }
                _ => "check the file system",
            },
            Self::Changed { .. } => "run the job again when nothing writes to its input",
            Self::Header { .. } => "correct \"columns\", \"header\" or \"delimiter\", or the file",
            Self::Compression { .. } => {
                "check the file with `gzip -t`; set \"compression\" to \"none\" if it is not compressed"
            }
            Self::OutsideOrigins { .. } => {
                "use one of these origins, or start all processes of the cluster with --http-origin http://HOST:PORT for \
                 another one"
            }
            Self::Origin { .. } => "write http://HOST or http://HOST:PORT",
            Self::Request { .. } => "see whether the service answers; the job goes on from its last checkpoint",
            Self::BadRow { .. } => "correct the record in front of the request, or the URL's placeholders",
            Self::Timeout { .. } => "see whether the service answers; else raise the timeout, or lower the capacity",
            Self::BadCommittable { .. } | Self::BadSnapshot => {
                "restore the job with the version of Millrace that took the checkpoint"
            }
            Self::PreparedLost { .. } => {
                "see that nothing but the job removes files of its output folder; the job goes on from its checkpoint"
            }
            Self::BadSplit { .. } | Self::Uncommitted { .. } | Self::CollectClosed { .. } | Self::Interrupted => {
                return None;
            }
        };
        Some(remedy.to_owned())
    }
}

impl From<ConnectorError> for Failure {
    fn from(error: ConnectorError) -> Self {
        let kind = match error {
            ConnectorError::UnknownConnector { .. } | ConnectorError::Options { .. } => FailureKind::InvalidApplication,
            ConnectorError::BadSplit { .. }
            | ConnectorError::BadCommittable { .. }
            | ConnectorError::BadSnapshot
            | ConnectorError::Uncommitted { .. }
            | ConnectorError::Interrupted => FailureKind::Internal,
            _ => FailureKind::Connector,
        };
        let failure = Failure::new(kind, error.to_string());
        match error.remedy() {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}
