//! Bundles: a zip of `millrace.toml` and components, or one bare component.

mod archive;
mod error;
mod limits;
mod wasm;
mod write;

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_types::Digest;

use crate::digest_of;
use crate::manifest::{Application, ComponentSpec, Manifest, is_component_name};
use archive::Archive;
pub use error::BundleError;
pub use limits::BundleLimits;
use wasm::Preamble;
pub use write::write_bundle;

/// The manifest's file in a bundle.
pub const MANIFEST_FILE: &str = "millrace.toml";

/// A component of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A bundle that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its components, by their names in the manifest.
    pub components: BTreeMap<String, Component>,
    /// The SHA-256 of `bytes`.
    pub digest: Digest,
    /// The bundle as it was uploaded.
    pub bytes: Bytes,
}

/// Reads a bundle that comes from outside. `file_name` is what it was uploaded as, and names the application of a bare
/// component. Takes as long as hashing and inflating do: not for a thread of the runtime.
///
/// # Errors
/// What is wrong with the bundle and where, and what to do about it.
pub fn read_bundle(bytes: Bytes, file_name: &str, limits: &BundleLimits) -> Result<Bundle, BundleError> {
    if bytes.len() as u64 > limits.bundle_bytes_max {
        let actual = bytes.len() as u64;
        return Err(BundleError::BundleTooLarge { actual, limit: limits.bundle_bytes_max });
    }
    if Preamble::of(&bytes).is_some() {
        return bare_component(bytes, file_name);
    }
    let mut archive = Archive::open(&bytes, limits)?;
    let manifest = archive.read(MANIFEST_FILE)?.ok_or(BundleError::NoManifest)?;
    let manifest = std::str::from_utf8(&manifest).map_err(|_| BundleError::ManifestNotText)?;
    let manifest = Manifest::parse(manifest)?;
    let is_known = |path: &str| path == MANIFEST_FILE || manifest.components.values().any(|spec| spec.path == path);
    if let Some(path) = archive.paths().find(|path| !is_known(path)) {
        return Err(BundleError::UnknownFile { path: path.to_owned() });
    }
    let mut components = BTreeMap::new();
    for (name, spec) in &manifest.components {
        let missing = || BundleError::MissingComponent { component: name.clone(), path: spec.path.clone() };
        let bytes = Bytes::from(archive.read(&spec.path)?.ok_or_else(missing)?);
        check_is_component(&spec.path, &bytes)?;
        components.insert(name.clone(), Component { digest: digest_of(&bytes), bytes });
    }
    Ok(Bundle { manifest, components, digest: digest_of(&bytes), bytes })
}

fn check_is_component(path: &str, bytes: &[u8]) -> Result<(), BundleError> {
    let path = path.to_owned();
    match Preamble::of(bytes) {
        Some(Preamble::Component) => Ok(()),
        Some(Preamble::CoreModule) => Err(BundleError::CoreModule { path }),
        Some(Preamble::Other) => Err(BundleError::UnknownWasm { path }),
        None => Err(BundleError::NotWasm { path }),
    }
}

/// The bundle of one component, named after its file.
fn bare_component(bytes: Bytes, file_name: &str) -> Result<Bundle, BundleError> {
    check_is_component(file_name, &bytes)?;
    let stem = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = stem.strip_suffix(".wasm").unwrap_or(stem);
    let mut name: String =
        stem.chars().map(|c| if is_component_name(&c.to_string()) { c } else { '_' }).take(60).collect();
    if name.is_empty() {
        "component".clone_into(&mut name);
    }
    let spec = ComponentSpec { path: format!("{name}.wasm"), build: None, artifact: None, limits: Default::default() };
    let manifest = Manifest {
        application: Application {
            name: name.clone(),
            version: "0.0.0".to_owned(),
            entry: Some(name.clone()),
            parallelism: None,
        },
        components: BTreeMap::from([(name.clone(), spec)]),
        capabilities: Default::default(),
        graph: None,
    };
    let digest = digest_of(&bytes);
    let components = BTreeMap::from([(name, Component { digest, bytes: bytes.clone() })]);
    Ok(Bundle { manifest, components, digest, bytes })
}
