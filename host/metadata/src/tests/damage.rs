//! A file that is not what was written is an error that says so, never another state.

use std::path::Path;

use proptest::prelude::*;
use redb::{Database, TableDefinition};

use super::{history, open, options, state_of, until};
use crate::{MetadataError, MetadataOptions, record};

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const SNAPSHOT: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("snapshot");

/// Writes the history's first commands to a new file, the first three into a snapshot: entry 0 has the members, and
/// entry 1 nothing.
fn write(path: &Path, count: usize) -> MetadataOptions {
    let options = options(path);
    // On a busy machine a member may lose its lead and gain it anew, which is one entry more: then from the beginning.
    while !is_written(&options, count) {
        std::fs::remove_file(path).unwrap();
    }
    options
}

/// Whether the member led all the time.
fn is_written(options: &MetadataOptions, count: usize) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (service, handle) = open(options).unwrap();
    let led = runtime.block_on(async {
        for (done, command) in (1..).zip(history().into_iter().take(count)) {
            match handle.propose(command).await {
                Err(MetadataError::NotLeader { .. }) => return false,
                accepted => drop(accepted.unwrap()),
            }
            if done == 3 {
                until(|| handle.status().snapshot_index == Some(4)).await;
            }
        }
        true
    });
    service.close();
    led
}

/// Writes a file of 7 commands, the first 3 in the snapshot, lets `damage` change it, and opens it.
fn error_after(damage: impl FnOnce(&Database) -> Result<(), redb::Error>) -> MetadataError {
    let folder = tempfile::tempdir().unwrap();
    let options = write(&folder.path().join("metadata.redb"), 7);
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
    let cases: [(MetadataError, &str); 8] = [
        (error_after(change(LOG, |log| log.remove(6).map(drop))), "log entry 7 stands where 6 has to"),
        (error_after(change(LOG, |log| log.remove(5).map(drop))), "log entry 6 stands where 5 has to"),
        (
            error_after(change(LOG, |log| log.insert(7, [record::VERSION; 20].as_slice()).map(drop))),
            "log entry 7 is unreadable",
        ),
        (
            error_after(change(LOG, |log| log.insert(9, record::seal(9, &[99]).as_slice()).map(drop))),
            "log entry 9 is unreadable",
        ),
        (error_after(change(SNAPSHOT, |pieces| pieces.remove((1, 0)).map(drop))), "0 of 1 pieces"),
        (error_after(change(META, |meta| meta.remove("snapshot").map(drop))), "purged that are in no snapshot"),
        (error_after(change(META, |meta| meta.remove("purged").map(drop))), "log entry 5 stands where 0 has to"),
        (error_after(change(META, |meta| meta.remove("member").map(drop))), "does not say whose it is"),
    ];
    for (error, expected) in cases {
        assert!(matches!(error, MetadataError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}, not {expected}");
    }
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    const NEWER: u8 = record::VERSION + 1;
    for error in [
        error_after(change(META, |meta| meta.insert("format", [NEWER].as_slice()).map(drop))),
        error_after(change(LOG, |log| log.insert(9, [NEWER; 20].as_slice()).map(drop))),
    ] {
        assert!(matches!(error, MetadataError::NewerVersion { found: NEWER, .. }), "{error}");
    }
}

#[test]
fn a_file_of_an_older_version_is_left_alone() {
    for (error, version) in [
        (error_after(change(LOG, |log| log.insert(6, [3; 20].as_slice()).map(drop))), 3),
        // That of a log without members.
        (error_after(change(META, |meta| meta.insert("format", [1].as_slice()).map(drop))), 1),
    ] {
        assert!(matches!(error, MetadataError::OlderVersion { found, .. } if found == version), "{error}");
        assert!(error.to_string().contains("move the file away"), "{error}");
    }
}

#[test]
fn the_file_of_another_member_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = write(&folder.path().join("metadata.redb"), 1);
    let other = MetadataOptions { member: 2, formation: crate::Formation::Join, ..options };
    let error = open(&other).unwrap_err();
    assert!(matches!(error, MetadataError::OtherMember { found: 1, expected: 2, .. }), "{error}");
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
            let options = write(&folder.path().join("metadata.redb"), 7);
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
            Ok((_service, handle)) => prop_assert_eq!(&*handle.state(), &state_of(&history()[..7])),
            Err(error) => prop_assert!(error.to_string().contains("metadata.redb"), "{}", error),
        }
    }
}
