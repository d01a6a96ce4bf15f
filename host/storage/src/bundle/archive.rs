//! Reading a zip that nobody vouches for.
//!
//! The central directory is walked entry by entry, so that its length costs nothing before it is checked. Every entry
//! is checked against its local header. Declared sizes are never believed: the limits hold on what really comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};

use zip::CompressionMethod;
use zip::read::{ArchiveOffset, Config, OwnedZipFileEntry, ZipFileEntry, ZipReadOptions};
use zip::unstable::read::ZipIterable;

use super::{BundleError, BundleLimits};
use crate::manifest::check_path;

/// What a zip begins with: an entry, or the end of one that is empty.
const MAGICS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// The bits of a Unix mode that say what kind of file it is, and the two kinds that are allowed.
const MODE_KIND: u32 = 0o170_000;
const MODE_FILE: u32 = 0o100_000;
const MODE_FOLDER: u32 = 0o040_000;

/// An open zip.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    limits: &'a BundleLimits,
    /// The files, by path.
    files: BTreeMap<String, OwnedZipFileEntry>,
    /// What came out of all files so far, in bytes.
    inflated_bytes: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory and checks every entry in it.
    pub(super) fn open(bytes: &'a [u8], limits: &'a BundleLimits) -> Result<Self, BundleError> {
        if !MAGICS.iter().any(|magic| bytes.starts_with(magic)) {
            return Err(BundleError::NotABundle);
        }
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip =
            ZipIterable::try_new(Cursor::new(bytes), config).map_err(broken)?.enforce_header_consistency(true);
        if zip.len() > limits.entries_max {
            return Err(BundleError::TooManyEntries { actual: zip.len(), limit: limits.entries_max });
        }
        let mut seen = BTreeSet::new();
        let mut files = BTreeMap::new();
        for entry in zip.files().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let path = check_entry(&entry, limits)?;
            // A folder and a file of one name are duplicates, too.
            if !seen.insert(path.clone()) {
                return Err(BundleError::DuplicatePath { path });
            }
            if !entry.is_dir() {
                files.insert(path, OwnedZipFileEntry::from(entry));
            }
        }
        Ok(Self { bytes, limits, files, inflated_bytes: 0 })
    }

    /// The paths of the files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Inflates a file; `None`: there is none.
    pub(super) fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, BundleError> {
        let Some(entry) = self.files.get(path) else { return Ok(None) };
        let entry = entry.as_ref();
        let (declared, compressed) = (entry.size(), entry.compressed_size().min(self.bytes.len() as u64));
        let limits = self.limits;
        // What may still come out, by each limit; the smallest one tells what is wrong.
        let total = limits.uncompressed_bytes_max.min(limits.inflated_bytes_max(self.bytes.len() as u64));
        let of_ratio = limits.inflated_bytes_max(compressed);
        let of_total = total.saturating_sub(self.inflated_bytes);
        let allowed = limits.entry_bytes_max.min(of_ratio).min(of_total);

        let mut cursor = Cursor::new(self.bytes);
        let file = entry.with_reader(&mut cursor, ZipReadOptions::new()).map_err(broken)?;
        let mut content = Vec::with_capacity(declared.min(allowed) as usize);
        file.take(allowed.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|cause| BundleError::BrokenZip(format!("its file {path:?} cannot be read: {cause}")))?;
        let actual = content.len() as u64;
        if actual > allowed {
            let path = path.to_owned();
            return Err(if allowed == limits.entry_bytes_max {
                BundleError::EntryTooLarge { path, limit: limits.entry_bytes_max }
            } else if allowed == of_ratio {
                BundleError::ZipBomb { path, ratio: limits.compression_ratio_max }
            } else {
                BundleError::ContentTooLarge { limit: total }
            });
        }
        if actual != declared {
            let what = format!("its file {path:?} has {actual} bytes and not the {declared} that it declares");
            return Err(BundleError::BrokenZip(what));
        }
        self.inflated_bytes += actual;
        Ok(Some(content))
    }
}

/// Checks what an entry says of itself; its path, without the '/' at the end of a folder's.
fn check_entry(entry: &ZipFileEntry<'_>, limits: &BundleLimits) -> Result<String, BundleError> {
    let raw = entry.name_raw();
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(limits.path_bytes_max)]).into_owned();
    let bad = |reason: &str| BundleError::BadPath { path: shown(), reason: reason.to_owned() };
    if raw.len() > limits.path_bytes_max {
        return Err(bad(&format!("is longer than {} bytes", limits.path_bytes_max)));
    }
    let path = std::str::from_utf8(raw).map_err(|_| bad("is not UTF-8"))?;
    let path = if entry.is_dir() { path.trim_end_matches('/') } else { path };
    check_path(path).map_err(bad)?;

    let not_plain = |what: &str| BundleError::NotAPlainFile { path: path.to_owned(), what: what.to_owned() };
    if entry.is_symlink() {
        return Err(not_plain("a symbolic link"));
    }
    if !matches!(entry.unix_mode().unwrap_or(0) & MODE_KIND, 0 | MODE_FILE | MODE_FOLDER) {
        return Err(not_plain("a special file"));
    }
    if entry.encrypted() {
        return Err(not_plain("encrypted"));
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(not_plain(&format!("compressed by {}", entry.compression())));
    }
    Ok(path.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn broken(cause: zip::result::ZipError) -> BundleError {
    BundleError::BrokenZip(cause.to_string())
}
