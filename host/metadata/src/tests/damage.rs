//! A file that is not what was written is an error that says so, never another state.

use std::path::Path;

use proptest::prelude::*;
use redb::{Database, TableDefinition};

use super::{history, open, options, state_of};
use crate::{MetadataError, MetadataOptions, record};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const SNAPSHOT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("snapshot");

/// Writes the history's first commands to a new file.
fn write(path: &Path, count: usize) -> MetadataOptions {
    let options = options(path);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (service, handle) = open(&options).unwrap();
    for command in history().into_iter().take(count) {
        runtime.block_on(handle.propose(command)).unwrap();
    }
    service.close();
    options
}

/// Writes a file of 8 commands, the first 5 in the snapshot, lets `damage` change it, and opens it.
fn error_after(damage: impl FnOnce(&Database) -> Result<(), redb::Error>) -> MetadataError {
    let folder = tempfile::tempdir().unwrap();
    let options = write(&folder.path().join("metadata.redb"), 8);
    damage(&Database::open(&options.path).unwrap()).unwrap();
    let error = open(&options).unwrap_err();
    assert!(error.to_string().contains("metadata.redb"), "{error}");
    error
}

fn change<K: redb::Key, T>(
    table: TableDefinition<'static, K, &'static [u8]>,
    how: impl FnOnce(&mut redb::Table<'_, K, &'static [u8]>) -> Result<T, redb::StorageError>,
) -> impl FnOnce(&Database) -> Result<(), redb::Error> {
    move |db| {
        let txn = db.begin_write()?;
        how(&mut txn.open_table(table)?)?;
        Ok(txn.commit()?)
    }
}

#[test]
fn a_missing_or_changed_entry_is_named() {
    let cases: [(MetadataError, &str); 6] = [
        (error_after(change(LOG, |log| log.remove(7).map(drop))), "log entry 8 stands where 7 has to"),
        (error_after(change(LOG, |log| log.remove(6).map(drop))), "log entry 7 stands where 6 has to"),
        (
            error_after(change(LOG, |log| log.insert(7, [record::VERSION; 20].as_slice()).map(drop))),
            "log entry 7 is unreadable",
        ),
        (error_after(change(LOG, |log| log.insert(9, record::seal(9, &[99]).as_slice()).map(drop))), "is no command"),
        (error_after(change(SNAPSHOT, |pieces| pieces.remove(0).map(drop))), "0 of 1 pieces"),
        (error_after(change(META, |meta| meta.remove("snapshot").map(drop))), "log entry 6 stands where 1 has to"),
    ];
    for (error, expected) in cases {
        assert!(matches!(error, MetadataError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    for error in [
        error_after(change(META, |meta| meta.insert("format", [4].as_slice()).map(drop))),
        error_after(change(LOG, |log| log.insert(9, [4; 20].as_slice()).map(drop))),
    ] {
        assert!(matches!(error, MetadataError::NewerVersion { found: 4, .. }), "{error}");
    }
}

#[test]
fn a_file_of_an_older_version_is_left_alone() {
    let error = error_after(change(LOG, |log| log.insert(6, [1; 20].as_slice()).map(drop)));
    assert!(matches!(error, MetadataError::OlderVersion { found: 1, known: 3, .. }), "{error}");
    assert!(error.to_string().contains("move the file away"), "{error}");
}

#[test]
fn a_command_that_is_refused_now_is_an_error() {
    // The end of an upload that has ended.
    let command = postcard::to_stdvec(&history()[2]).unwrap();
    let error = error_after(change(LOG, |log| log.insert(9, record::seal(9, &command).as_slice()).map(drop)));
    assert!(error.to_string().contains("log entry 9 is refused"), "{error}");
}

#[test]
fn a_foreign_file_is_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.redb");
    for content in ["not a database", ""] {
        std::fs::write(&path, content).unwrap();
        let error = open(&options(&path)).unwrap_err();
        assert!(matches!(error, MetadataError::Corrupt { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), content.as_bytes());
    }
    std::fs::remove_file(&path).unwrap();
    drop(Database::create(&path).unwrap());
    let error = open(&options(&path)).unwrap_err();
    assert!(error.to_string().contains("none of Millrace's tables"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_damage_is_an_error_or_harmless(
        bytes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        use std::sync::LazyLock;
        static INTACT: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let options = write(&folder.path().join("metadata.redb"), 8);
            std::fs::read(&options.path).unwrap()
        });
        let mut image = INTACT.clone();
        for (at, flip) in bytes {
            let at = at.index(image.len());
            image[at] ^= flip;
        }
        if let Some(cut) = cut {
            image.truncate(1 + cut.index(image.len()));
        }
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path().join("metadata.redb"));
        std::fs::write(&options.path, image).unwrap();
        match open(&options) {
            Ok((_service, handle)) => prop_assert_eq!(&*handle.state(), &state_of(&history()[..8])),
            Err(error) => prop_assert!(error.to_string().contains("metadata.redb"), "{}", error),
        }
    }
}
