//! Bundles to begin with.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use bytes::Bytes;
use millrace_storage::{Bundle, BundleError, BundleLimits, Manifest, read_bundle, write_bundle};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub const MANIFEST: &str = r#"
[application]
name = "wordcount"
version = "0.1.0"
entry = "main"

[components.main]
path = "main.wasm"

[components.splitter]
path = "lib/splitter.wasm"
"#;

/// Something that begins as a component does; `fill` makes it another one, and one that does not compress well.
pub fn component(fill: u8) -> Bytes {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    let mut random = u32::from(fill) + 1;
    bytes.extend((0..2_000).map(|_| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 24) as u8
    }));
    bytes.into()
}

pub fn components() -> BTreeMap<String, Bytes> {
    BTreeMap::from([("main".to_owned(), component(1)), ("splitter".to_owned(), component(2))])
}

pub fn bundle() -> Vec<u8> {
    write_bundle(&Manifest::parse(MANIFEST).unwrap(), &components()).unwrap()
}

/// A zip of these files, whatever they are.
pub fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (path, content) in files {
        zip.start_file(*path, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn read(bytes: impl Into<Bytes>) -> Result<Bundle, BundleError> {
    read_bundle(bytes.into(), "upload.mrb", &BundleLimits::default())
}

/// Replaces `from` by `to`, of one length, and asserts how often it was there.
pub fn patch(bytes: &mut [u8], from: &[u8], to: &[u8], expected: usize) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert_eq!(places.len(), expected, "{from:?}");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}
