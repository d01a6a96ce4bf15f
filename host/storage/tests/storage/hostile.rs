//! Bundles as they ought not to be: each is an error that says why, and none costs much.

use std::io::{Cursor, Write};

use bytes::Bytes;
use millrace_storage::{BundleError, BundleLimits, read_bundle};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::support::{MANIFEST, bundle, component, patch, read, zip_of};

/// The error of a bundle with `files` beside a good manifest and good components.
fn error_with(files: &[(&str, &[u8])]) -> BundleError {
    let (main, splitter) = (component(1), component(2));
    let mut all: Vec<(&str, &[u8])> =
        vec![("millrace.toml", MANIFEST.as_bytes()), ("main.wasm", &main), ("lib/splitter.wasm", &splitter)];
    all.extend(files);
    read(zip_of(&all)).unwrap_err()
}

fn error_within(bytes: Vec<u8>, limits: &BundleLimits) -> BundleError {
    read_bundle(bytes.into(), "upload.mrb", limits).unwrap_err()
}

#[test]
fn what_is_neither_a_zip_nor_wasm_is_said_to_be() {
    for bytes in [&b""[..], b"hello", b"\0as", b"PK", b"\x7fELF", b"<html>"] {
        let error = read(bytes).unwrap_err();
        assert_eq!(error, BundleError::NotABundle);
        assert!(error.to_string().starts_with("this is neither a zip nor a Wasm component;"));
    }
    let mut prefixed = b"#!/bin/sh\n".to_vec();
    prefixed.extend(bundle());
    assert_eq!(read(prefixed).unwrap_err(), BundleError::NotABundle, "a program with a zip behind it");
}

#[test]
fn wasm_that_is_no_component_is_named() {
    let module = b"\0asm\x01\0\0\0\0\0";
    let error = read(&module[..]).unwrap_err();
    assert!(matches!(error, BundleError::CoreModule { .. }));
    assert!(error.to_string().contains("core module") && error.to_string().contains("millrace build"), "{error}");
    for bytes in [&b"\0asm"[..], b"\0asm\x0d", b"\0asm\x07\0\0\0"] {
        assert!(matches!(read(bytes), Err(BundleError::UnknownWasm { .. })), "{bytes:?}");
    }
    let (good, text) = (component(2), b"export default");
    for (main, expected) in [(&module[..], "core module"), (&text[..], "is not Wasm"), (&module[..6], "unknown kind")] {
        let files: [(&str, &[u8]); 3] =
            [("millrace.toml", MANIFEST.as_bytes()), ("main.wasm", main), ("lib/splitter.wasm", &good)];
        let error = read(zip_of(&files)).unwrap_err().to_string();
        assert!(error.contains("main.wasm") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_path_that_is_no_plain_path_within_the_bundle_is_named() {
    for path in ["../x", "a/../../x", "/etc/passwd", "C:/x", "a\\b", "a//b", "./x", "a/..", "..", "a\nb", "a\0b"] {
        let error = error_with(&[(path, b"x")]);
        assert!(matches!(&error, BundleError::BadPath { path: named, .. } if named == path), "{path}: {error:?}");
    }
    let long = "a".repeat(300);
    assert!(error_with(&[(&long, b"x")]).to_string().contains("is longer than 255 bytes"));
    let mut bytes = bundle();
    patch(&mut bytes, b"main.wasm", b"mai\xff.wasm", 2);
    // The manifest is deflated, so only the names of the entry were met.
    assert!(read(bytes).unwrap_err().to_string().contains("is not UTF-8"));
}

#[test]
fn duplicates_and_strangers_are_named() {
    let mut bytes = zip_of(&[("a.wasm", b"1"), ("b.wasm", b"2"), ("millrace.toml", MANIFEST.as_bytes())]);
    patch(&mut bytes, b"b.wasm", b"a.wasm", 2);
    assert_eq!(read(bytes).unwrap_err(), BundleError::DuplicatePath { path: "a.wasm".to_owned() });
    assert_eq!(error_with(&[("evil.sh", b"x")]), BundleError::UnknownFile { path: "evil.sh".to_owned() });
    assert_eq!(error_with(&[("main.wasm/", b"")]), BundleError::DuplicatePath { path: "main.wasm".to_owned() });
    assert_eq!(read(zip_of(&[])).unwrap_err(), BundleError::NoManifest);
    assert_eq!(read(zip_of(&[("sub/millrace.toml", MANIFEST.as_bytes())])).unwrap_err(), BundleError::NoManifest);
    let lonely = read(zip_of(&[("millrace.toml", MANIFEST.as_bytes())])).unwrap_err();
    assert!(matches!(lonely, BundleError::MissingComponent { component, .. } if component == "main"));
    assert_eq!(read(zip_of(&[("millrace.toml", b"\xff")])).unwrap_err(), BundleError::ManifestNotText);
}

#[test]
fn links_and_special_files_are_refused() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("main.wasm", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let error = read(zip.finish().unwrap().into_inner()).unwrap_err();
    assert!(error.to_string().contains("\"main.wasm\" is a symbolic link"), "{error}");

    let options = SimpleFileOptions::default().external_attributes(0o020_644 << 16);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("main.wasm", options).unwrap();
    let error = read(zip.finish().unwrap().into_inner()).unwrap_err();
    assert!(error.to_string().contains("special file"), "{error}");
}

/// A zip whose one component is `content` of zeros.
fn bomb(content: usize) -> Vec<u8> {
    let mut main = component(1).to_vec();
    main.resize(content, 0);
    zip_of(&[("millrace.toml", MANIFEST.as_bytes()), ("main.wasm", &main), ("lib/splitter.wasm", &component(2))])
}

#[test]
fn a_zip_bomb_is_stopped_while_it_inflates() {
    const SIZE: usize = 100 << 20;
    let bytes = bomb(SIZE);
    assert!(bytes.len() < SIZE / 500, "{} bytes", bytes.len());
    let error = read(bytes.clone()).unwrap_err();
    assert_eq!(error, BundleError::ZipBomb { path: "main.wasm".to_owned(), ratio: 100 });

    // It declares to be small.
    let mut liar = bytes;
    patch(&mut liar, &(SIZE as u32).to_le_bytes(), &4_096u32.to_le_bytes(), 2);
    let error = read(liar).unwrap_err();
    assert!(matches!(error, BundleError::ZipBomb { .. } | BundleError::BrokenZip(_)), "{error:?}");
}

#[test]
fn every_limit_holds_and_says_which_it_is() {
    let roomy = BundleLimits { compression_ratio_max: 1_000_000, ..BundleLimits::default() };
    let error = error_within(bomb(129 << 20), &roomy);
    assert!(matches!(error, BundleError::EntryTooLarge { .. }), "{error:?}");
    let total = BundleLimits { uncompressed_bytes_max: 3_000, ..roomy };
    assert_eq!(error_within(bundle(), &total), BundleError::ContentTooLarge { limit: 3_000 });
    let size = BundleLimits { bundle_bytes_max: 100, ..roomy };
    assert!(matches!(error_within(bundle(), &size), BundleError::BundleTooLarge { limit: 100, .. }));
    let count = BundleLimits { entries_max: 2, ..roomy };
    assert_eq!(error_within(bundle(), &count), BundleError::TooManyEntries { actual: 3, limit: 2 });
}

/// Many small files, each below the limits of one, that are a bomb together.
#[test]
fn many_small_bombs_are_one_large_bomb() {
    use std::fmt::Write as _;
    let mut manifest = "[application]\nname = \"a\"\nversion = \"1\"\nentry = \"c0\"\n".to_owned();
    let mut zeros = component(1).to_vec();
    zeros.resize(1 << 20, 0);
    let paths: Vec<String> = (0..60).map(|number| format!("c{number}.wasm")).collect();
    for (number, path) in paths.iter().enumerate() {
        writeln!(manifest, "[components.c{number}]\npath = \"{path}\"").unwrap();
    }
    let mut files: Vec<(&str, &[u8])> = paths.iter().map(|path| (path.as_str(), &zeros[..])).collect();
    files.push(("millrace.toml", manifest.as_bytes()));
    let error = read(zip_of(&files)).unwrap_err();
    assert!(matches!(error, BundleError::ContentTooLarge { .. }), "{error:?}");
}

#[test]
fn a_truncated_zip_is_an_error_wherever_it_ends() {
    let bytes = bundle();
    for end in 0..bytes.len() {
        let error = read(bytes[..end].to_vec()).unwrap_err();
        assert!(matches!(error, BundleError::NotABundle | BundleError::BrokenZip(_)), "{end}: {error:?}");
    }
}

#[test]
fn a_directory_that_lies_is_an_error() {
    let bytes = bundle();
    let central = (0..bytes.len()).find(|&at| bytes[at..].starts_with(b"PK\x01\x02")).unwrap();
    let lie = |offset: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[central + offset..central + offset + value.len()].copy_from_slice(value);
        read(bytes).unwrap_err()
    };
    for (what, offset, value) in [
        ("another name", 46, &b"Millrace"[..]),
        ("another offset", 42, &[9, 0, 0, 0]),
        ("an offset behind the end", 42, &[0, 0, 0, 0x7f]),
        ("a smaller size", 24, &[1, 0, 0, 0]),
        ("a larger size", 24, &[0, 0, 0, 0x7f]),
        ("another compressed size", 20, &[1, 0, 0, 0]),
        ("another checksum", 16, &[1, 2, 3, 4]),
        ("another method", 10, &[12, 0]),
        ("a longer name", 28, &[0xff, 0]),
    ] {
        let error = lie(offset, value);
        let told = matches!(error, BundleError::BrokenZip(_) | BundleError::NotAPlainFile { .. });
        assert!(told, "{what}: {error:?}");
    }
    // More entries than there are, and fewer.
    let end = bytes.len() - 22;
    for count in [1u16, 400] {
        let mut bytes = bytes.clone();
        bytes[end + 8..end + 10].copy_from_slice(&count.to_le_bytes());
        bytes[end + 10..end + 12].copy_from_slice(&count.to_le_bytes());
        let error = read(bytes).unwrap_err();
        assert!(
            matches!(error, BundleError::BrokenZip(_) | BundleError::MissingComponent { .. }),
            "{count}: {error:?}"
        );
    }
}

#[test]
fn an_encrypted_entry_is_refused() {
    let mut bytes = bundle();
    let central = (0..bytes.len()).find(|&at| bytes[at..].starts_with(b"PK\x01\x02")).unwrap();
    bytes[6] |= 1;
    bytes[central + 8] |= 1;
    let error = read(bytes).unwrap_err();
    assert!(matches!(error, BundleError::NotAPlainFile { .. } | BundleError::BrokenZip(_)), "{error:?}");
}

#[test]
fn a_stored_bundle_is_as_good_as_a_deflated_one() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (path, content) in
        [("millrace.toml", Bytes::from(MANIFEST)), ("main.wasm", component(1)), ("lib/splitter.wasm", component(2))]
    {
        zip.start_file(path, options).unwrap();
        zip.write_all(&content).unwrap();
    }
    assert_eq!(read(zip.finish().unwrap().into_inner()).unwrap().components.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_changed_bundle_is_an_error_or_the_same_bundle(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6)
    ) {
        let mut bytes = bundle();
        for (at, value, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => { bytes.remove(at); }
                1 => bytes.insert(at, value),
                // The headers are where it is interesting.
                2 => { let end = bytes.len(); if let Some(byte) = bytes.get_mut(end.saturating_sub(at % 300)) { *byte = value; } }
                _ => if let Some(byte) = bytes.get_mut(at) { *byte = value },
            }
        }
        if let Ok(read) = read(bytes) {
            let intact = crate::support::read(bundle()).unwrap();
            prop_assert_eq!(read.manifest, intact.manifest);
            prop_assert_eq!(read.components, intact.components);
        }
    }

    #[test]
    fn random_bytes_never_panic(magic in 0usize..4, bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let magic: &[u8] = [&b""[..], b"PK\x03\x04", b"PK\x05\x06", b"\0asm"][magic];
        let _ = read([magic, &bytes].concat());
    }
}
