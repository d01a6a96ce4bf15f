//! What can be wrong with a manifest.

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is not TOML, lacks a key, or has one that is not known; the text says where.
    #[error("millrace.toml cannot be read: {0}")]
    Syntax(String),
    /// It is larger than it may be.
    #[error("millrace.toml has {actual} bytes, where {limit} are allowed")]
    TooLarge {
        /// Its size, in bytes.
        actual: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A value cannot be used.
    #[error("millrace.toml: {key}: {reason}")]
    Invalid {
        /// The key that has it.
        key: String,
        /// Why, and what to write instead.
        reason: String,
    },
}

impl ManifestError {
    pub(crate) fn invalid(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { key: key.into(), reason: reason.into() }
    }
}
