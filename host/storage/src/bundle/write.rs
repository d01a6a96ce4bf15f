//! Writing a bundle: the same input gives the same bytes, on every machine.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use super::{BundleError, MANIFEST_FILE, check_is_component};
use crate::manifest::Manifest;

/// The level of deflate; fixed, since another one gives other bytes.
const COMPRESSION_LEVEL: i64 = 6;

/// Everybody may read, nobody may execute.
const PERMISSIONS: u32 = 0o644;

/// Makes a bundle of a manifest and the components that it names. The manifest comes first, then the components in the
/// order of their paths; time stamps, permissions and compression are fixed.
///
/// # Errors
/// [`BundleError::MissingComponent`], [`BundleError::UnknownComponent`], [`BundleError::CoreModule`] and the like, or
/// what is wrong with the manifest.
pub fn write_bundle(manifest: &Manifest, components: &BTreeMap<String, Bytes>) -> Result<Vec<u8>, BundleError> {
    let text = manifest.to_toml()?;
    if let Some(component) = components.keys().find(|name| !manifest.components.contains_key(*name)) {
        return Err(BundleError::UnknownComponent { component: component.clone() });
    }
    let mut files = BTreeMap::new();
    for (name, spec) in &manifest.components {
        let missing = || BundleError::MissingComponent { component: name.clone(), path: spec.path.clone() };
        let bytes = components.get(name).ok_or_else(missing)?;
        check_is_component(&spec.path, bytes)?;
        files.insert(spec.path.as_str(), bytes.as_ref());
    }
    let files = std::iter::once((MANIFEST_FILE, text.as_bytes())).chain(files);
    write_zip(files).map_err(|cause| BundleError::BrokenZip(format!("it cannot be written: {cause}")))
}

fn write_zip<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> zip::result::ZipResult<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(COMPRESSION_LEVEL))
        // The first moment that a zip can name.
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(PERMISSIONS);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        zip.start_file(path, options)?;
        zip.write_all(content)?;
    }
    Ok(zip.finish()?.into_inner())
}
