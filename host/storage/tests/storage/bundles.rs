//! Bundles as they ought to be.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_storage::{BundleError, BundleLimits, Manifest, digest_of, read_bundle, write_bundle};

use crate::support::{MANIFEST, bundle, component, components, read, zip_of};

#[test]
fn a_bundle_is_read_as_it_was_written() {
    let bytes = bundle();
    let read = read(bytes.clone()).unwrap();
    assert_eq!(read.manifest, Manifest::parse(MANIFEST).unwrap());
    assert_eq!(read.digest, digest_of(&bytes));
    assert_eq!(read.bytes, bytes);
    let found: BTreeMap<String, Bytes> =
        read.components.iter().map(|(name, component)| (name.clone(), component.bytes.clone())).collect();
    assert_eq!(found, components());
    assert!(read.components.values().all(|component| component.digest == digest_of(&component.bytes)));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(bundle(), bundle());
    // Neither with the day nor with the machine. Where a new version of the zip crate changes this digest, bundles of
    // the same sources get another one: a thing to be told to users.
    let empty = r#"
        application = { name = "empty", version = "1" }
        graph.nodes.numbers.native-source.connector = "datagen"
    "#;
    let bytes = write_bundle(&Manifest::parse(empty).unwrap(), &BTreeMap::new()).unwrap();
    let now = digest_of(&bytes).to_string();
    assert_eq!(now, "66217e20583028f7f904bec750b023071296408aa3e58e119dc0c3295366da93");
}

#[test]
fn a_bare_component_is_a_bundle_of_one() {
    let bytes = component(3);
    let read = |file_name: &str| read_bundle(bytes.clone(), file_name, &BundleLimits::default()).unwrap();
    let bundle = read("folder/word count.wasm");
    assert_eq!(bundle.manifest.application.name, "word_count");
    assert_eq!(bundle.manifest.application.entry.as_deref(), Some("word_count"));
    assert_eq!(bundle.components["word_count"].bytes, bytes);
    assert_eq!(bundle.digest, digest_of(&bytes));
    assert_eq!(Manifest::parse(&bundle.manifest.to_toml().unwrap()).unwrap(), bundle.manifest);
    for (file_name, expected) in [("", "component"), (".wasm", "component"), ("ü.wasm", "_"), ("a.b", "a_b")] {
        assert_eq!(read(file_name).manifest.application.name, expected, "{file_name}");
    }
}

#[test]
fn folders_in_a_zip_are_passed_over() {
    let (main, splitter) = (component(1), component(2));
    let files: [(&str, &[u8]); 4] =
        [("lib/", b""), ("lib/splitter.wasm", &splitter), ("millrace.toml", MANIFEST.as_bytes()), ("main.wasm", &main)];
    assert_eq!(read(zip_of(&files)).unwrap().components.len(), 2);
}

#[test]
fn what_is_written_has_to_be_complete() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let mut missing = components();
    missing.remove("main");
    assert!(matches!(write_bundle(&manifest, &missing), Err(BundleError::MissingComponent { .. })));
    let mut foreign = components();
    foreign.insert("other".to_owned(), component(3));
    assert!(matches!(write_bundle(&manifest, &foreign), Err(BundleError::UnknownComponent { .. })));
    let mut module = components();
    module.insert("main".to_owned(), Bytes::from_static(b"\0asm\x01\0\0\0"));
    assert!(matches!(write_bundle(&manifest, &module), Err(BundleError::CoreModule { .. })));
}
