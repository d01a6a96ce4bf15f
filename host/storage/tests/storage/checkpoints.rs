//! The files of checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use millrace_protocol::StateBlob;
use millrace_storage::{CheckpointStore, CheckpointStoreError, ListedFile, StorageLocation};

fn store(folder: &Path) -> CheckpointStore {
    CheckpointStore::create_local(&folder.join("not/yet")).unwrap()
}

fn folder(store: &CheckpointStore) -> PathBuf {
    match store.location() {
        StorageLocation::Local(folder) => folder.clone(),
        other => panic!("{other} is not local"),
    }
}

fn described(blob: StateBlob) -> (String, u64, u64) {
    match blob {
        StateBlob::File { path, bytes, checksum } => (path, bytes, checksum),
        StateBlob::Inline(_) => panic!("a file was written"),
    }
}

fn chunks(sizes: &[usize]) -> Vec<Bytes> {
    sizes.iter().enumerate().map(|(fill, &size)| vec![fill as u8; size].into()).collect()
}

/// All files below a folder, whatever they are called.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(all_files(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test]
async fn a_file_is_there_when_it_is_whole_and_not_before() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let parts = chunks(&[0, 10, 3 << 20, 700_000, 700_000, 1]);
    let mut writer = store.begin("shared/a-1").await.unwrap();
    for part in parts.clone() {
        writer.append(part).await.unwrap();
        assert_eq!(store.list(None).await.unwrap(), []);
        assert!(!folder(&store).join("shared/a-1").exists());
    }
    let (path, bytes, checksum) = described(writer.finish().await.unwrap());
    assert_eq!((path.as_str(), bytes), ("shared/a-1", parts.concat().len() as u64));
    assert_eq!(store.list(Some("shared")).await.unwrap(), [ListedFile { path: path.clone(), bytes }]);

    let reopened = CheckpointStore::open_local(&temp.path().join("not/yet")).unwrap();
    assert_eq!(reopened.read(&path, bytes, checksum).await.unwrap(), parts.concat());
    let ranged = reopened.open_ranged(&path, bytes, checksum).unwrap();
    store.delete([&path]).await.unwrap();
    let mut out = [9; 4];
    ranged.read_at(8, &mut out).unwrap();
    assert_eq!((out, ranged.byte_len()), ([1, 1, 2, 2], bytes));
    for offset in [bytes - 3, bytes, u64::MAX] {
        assert!(matches!(ranged.read_at(offset, &mut out), Err(CheckpointStoreError::Read { .. })));
    }
}

#[tokio::test]
async fn a_writer_that_is_dropped_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let mut writer = store.begin("a").await.unwrap();
    writer.append(vec![7; 2 << 20].into()).await.unwrap();
    assert_eq!(all_files(&folder(&store)).len(), 1);
    drop(writer);
    // The file is removed by a thread of the pool, which a later job of the pool does not wait for.
    while !all_files(&folder(&store)).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn files_that_are_missing_cut_or_changed_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let (path, bytes, checksum) = described(store.write("chk-1/a", chunks(&[5, 5])).await.unwrap());
    let file = folder(&store).join(&path);
    let check = |expected: &'static str| {
        let (store, path, file) = (store.clone(), path.clone(), file.display().to_string());
        async move {
            let whole = store.read(&path, bytes, checksum).await.unwrap_err();
            let ranged = store.open_ranged(&path, bytes, checksum).unwrap_err();
            for error in [whole, ranged] {
                let text = error.to_string();
                assert!(error.is_state_lost() && text.contains(&file) && text.contains(expected), "{text}");
                assert!(error.remedy().unwrap().contains("earlier checkpoint"));
            }
        }
    };
    fs::write(&file, [0; 10]).unwrap();
    check("checksum").await;
    fs::write(&file, [0; 9]).unwrap();
    check("9 bytes").await;
    fs::remove_file(&file).unwrap();
    check("missing").await;
    fs::remove_dir_all(folder(&store)).unwrap();
    check("missing").await;
    assert!(matches!(CheckpointStore::open_local(&folder(&store)), Err(CheckpointStoreError::Missing { .. })));
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let long = "a/".repeat(600);
    for path in ["", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "a/", "a#1", "a\\b", "a b", "\u{e4}", &long] {
        let bad = |error: CheckpointStoreError| matches!(error, CheckpointStoreError::BadPath { .. });
        assert!(bad(store.write(path, []).await.unwrap_err()), "{path}");
        assert!(bad(store.read(path, 0, 0).await.unwrap_err()), "{path}");
        assert!(bad(store.open_ranged(path, 0, 0).unwrap_err()), "{path}");
        assert!(bad(store.delete(["good", path]).await.unwrap_err()), "{path}");
        assert!(bad(store.delete_folder(path).await.unwrap_err()), "{path}");
        assert!(bad(store.list(Some(path)).await.unwrap_err()), "{path}");
        assert!(bad(store.read_metadata(Some(path)).await.unwrap_err()), "{path}");
    }
    assert!(CheckpointStore::create_local(Path::new("relative")).is_err());
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let error = CheckpointStore::create_local(&folder).unwrap_err();
        assert!(matches!(error, CheckpointStoreError::Folder { .. }), "{error}");
        assert!(error.to_string().contains("file") && error.to_string().contains("irectory"), "{error}");
    }
}

#[tokio::test]
async fn deleting_is_idempotent_and_takes_no_more_than_it_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    for path in ["chk-1/a", "chk-1/b", "chk-10/a", "shared/a"] {
        store.write(path, chunks(&[3])).await.unwrap();
    }
    store.delete(["chk-1/a", "never"]).await.unwrap();
    store.delete(["chk-1/a"]).await.unwrap();
    let names = |listed: Vec<ListedFile>| listed.into_iter().map(|file| file.path).collect::<Vec<_>>();
    assert_eq!(names(store.list(Some("chk-1")).await.unwrap()), ["chk-1/b"]);
    // What a dead writer left has no name that is listed, and goes with its folder.
    fs::write(folder(&store).join("chk-1/c#1"), "half").unwrap();
    assert_eq!(names(store.list(None).await.unwrap()), ["chk-1/b", "chk-10/a", "shared/a"]);
    store.delete_folder("chk-1").await.unwrap();
    store.delete_folder("chk-1").await.unwrap();
    assert!(!folder(&store).join("chk-1").exists());
    assert_eq!(names(store.list(None).await.unwrap()), ["chk-10/a", "shared/a"]);
    assert_eq!(store.list(Some("chk-1")).await.unwrap(), []);
    // Something that cannot be deleted does not keep the rest.
    let error = store.delete(["chk-10", "shared/a"]).await.unwrap_err();
    assert!(matches!(&error, CheckpointStoreError::Delete { path, .. } if path.ends_with("chk-10")), "{error}");
    assert_eq!(names(store.list(None).await.unwrap()), ["chk-10/a"]);
}

#[tokio::test]
async fn metadata_is_read_as_it_was_written_or_not_at_all() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    for within in [Some("chk-7"), None] {
        let missing = store.read_metadata(within).await.unwrap_err();
        assert!(matches!(missing, CheckpointStoreError::Missing { .. }), "{missing}");
        for payload in ["first", ""] {
            store.write_metadata(within, payload.into()).await.unwrap();
            assert_eq!(store.read_metadata(within).await.unwrap(), payload);
            store
                .delete([within.map_or("_metadata".to_owned(), |within| format!("{within}/_metadata"))])
                .await
                .unwrap();
        }
        store.write_metadata(within, "again".into()).await.unwrap();
        let file = folder(&store).join(within.unwrap_or_default()).join("_metadata");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        let error = store.read_metadata(within).await.unwrap_err();
        assert!(error.is_state_lost() && error.to_string().contains(&file.display().to_string()), "{error}");
        assert!(error.to_string().contains("it ends after"), "{error}");
    }
}

/// Run by the test below in a process that may write only short files.
#[tokio::test]
#[ignore = "needs a limit on the length of files"]
async fn writes_where_there_is_no_room() {
    let temp = tempfile::tempdir().unwrap();
    let store = store(temp.path());
    let full = store.write("shared/big", chunks(&[600_000; 3])).await.unwrap_err();
    assert!(matches!(full, CheckpointStoreError::Full { .. }) && !full.is_state_lost(), "{full}");
    assert!(full.to_string().contains("shared/big") && full.remedy().unwrap().contains("free space"), "{full}");
    assert_eq!(store.list(None).await.unwrap(), []);
    let full = store.write_metadata(None, vec![0; 600_000].into()).await.unwrap_err();
    assert!(matches!(full, CheckpointStoreError::Full { .. }), "{full}");
    assert!(!folder(&store).join("_metadata").exists());
    let small = store.write("shared/small", chunks(&[100])).await.unwrap();
    assert_eq!(store.read_blob(&small).await.unwrap(), [0; 100].as_slice());
}

#[test]
fn a_full_disk_fails_the_write_that_hit_it_and_nothing_else() {
    let script =
        "trap '' XFSZ; ulimit -f 200; exec \"$0\" --exact checkpoints::writes_where_there_is_no_room --ignored";
    let output = Command::new("sh").arg("-c").arg(script).arg(std::env::current_exe().unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
