//! Names of what the blob store keeps.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, TenantId};

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// A bundle as it was uploaded.
    Bundle,
    /// A component of a bundle.
    Component,
}

impl BlobKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Bundle, Self::Component];

    /// The folder that blobs of this kind stand in.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Bundle => "bundles",
            Self::Component => "components",
        }
    }
}

/// A blob's name: whose it is, what it is, and the SHA-256 of its bytes. Reads as its path in the blob store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobKey {
    /// Who owns it.
    pub tenant: TenantId,
    /// What it is.
    pub kind: BlobKind,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind.folder(), self.digest)
    }
}
