//! SHA-256.

use millrace_types::Digest;
use sha2::Digest as _;

/// The SHA-256 of some bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}
