//! Bundles, and the store of blobs that they are kept in; the files of checkpoints and savepoints.
//!
//! Invariants:
//! - A blob is named by its tenant and the SHA-256 of its bytes. Writing it is idempotent and durable on return; reading
//!   it checks the bytes.
//! - A bundle comes from outside: nothing that it declares about itself is believed, and nothing of it is inflated
//!   beyond [`BundleLimits`].
//! - A [`Bundle`] exists only if its manifest is complete and every component that it names is there and is a component
//!   by its first bytes. What is inside a component is not looked at here.
//! - A file of a [`CheckpointStore`] is durable when its description is returned, and is read against that description.
//! - [`LocalCopies`] are of use and never needed: each stands for a file of a [`CheckpointStore`].
//! - [`write_bundle`] gives the same bytes for the same input.

mod access;
mod blob_store;
mod bundle;
mod checkpoint;
mod digest;
mod local;
mod location;
mod manifest;
mod s3;

pub use access::StorageAccess;
pub use blob_store::{BlobStore, StorageError};
pub use bundle::{Bundle, BundleError, BundleLimits, Component, MANIFEST_FILE, read_bundle, write_bundle};
pub use checkpoint::{
    CheckpointFileWriter, CheckpointStore, CheckpointStoreError, ListedFile, METADATA_FILE, RangedFile,
};
pub use digest::digest_of;
pub use local::{CopyKey, CopyOwner, CopyWriter, LocalCopies, LocalFigures};
pub use location::{LocationError, S3Roots, StorageLocation};
pub use manifest::{
    Application, Capabilities, ComponentLimits, ComponentSpec, Duration, Manifest, ManifestEdge, ManifestError,
    ManifestGraph, ManifestNode, MemorySize, NativeSpec,
};
pub use s3::S3Options;
