//! Why a request came to nothing.

use std::path::PathBuf;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers, or the connection broke.
    #[error(
        "no answer from the cluster at {address}: {reason}\nIs it running? `millrace standalone` starts one; -m HOST:PORT names another."
    )]
    Unreachable {
        /// Where it should be.
        address: String,
        /// What happened.
        reason: String,
    },
    /// The server said no.
    #[error("{}", errors.join("\n"))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        errors: Vec<String>,
    },
    /// The server said something else than the API.
    #[error("the answer to {path} is not what the API states ({reason}): is this a Millrace of another version?")]
    UnexpectedAnswer {
        /// The request's path.
        path: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file on this side cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    LocalFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ClientError {
    pub(crate) fn unreachable(address: &str, error: &reqwest::Error) -> Self {
        // reqwest's own text is the outermost layer only; the cause is at the bottom.
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        Self::Unreachable { address: address.to_owned(), reason: reason.to_string() }
    }

    /// Whether the server answered with this HTTP status.
    pub fn is_status(&self, expected: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == expected)
    }
}
