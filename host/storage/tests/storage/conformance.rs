//! What every store of checkpoints does: one suite, for a local folder and for a real S3 server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use millrace_protocol::StateBlob;
use millrace_storage::{
    CheckpointStore, CheckpointStoreError, RangedFile, S3Options, StorageAccess, StorageError, StorageLocation,
    digest_of,
};
use millrace_types::{BlobKey, BlobKind, TenantId};

use crate::s3_server::S3Server;

/// More than one part, wherever it is written, and not a whole number of them.
const BIG: usize = 20 * 1024 * 1024 + 77;

/// More than one page of a listing.
const MANY: usize = 1_050;

fn pattern(bytes: usize, seed: u64) -> Bytes {
    let mut random = 2 * seed + 1;
    let words = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random.to_le_bytes()
    });
    words.take(bytes.div_ceil(8)).flatten().take(bytes).collect::<Vec<u8>>().into()
}

fn described(blob: StateBlob) -> (String, u64, u64) {
    match blob {
        StateBlob::File { path, bytes, checksum } => (path, bytes, checksum),
        StateBlob::Inline(_) => panic!("a file was written"),
    }
}

async fn ranged(store: &CheckpointStore, file: (String, u64, u64)) -> Result<RangedFile, CheckpointStoreError> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || store.open_ranged(&file.0, file.1, file.2)).await.unwrap()
}

fn chunks(content: &Bytes, length: usize) -> Vec<Bytes> {
    (0..content.len()).step_by(length).map(|at| content.slice(at..content.len().min(at + length))).collect()
}

async fn conforms(access: &StorageAccess, location: &StorageLocation) {
    let store = access.create(location).unwrap();
    files_are_whole_or_not_there(&store).await;
    names_are_written_once(&store).await;
    one_of_many_creators_wins(&store).await;
    what_is_missing_or_damaged_is_named(&store).await;
    files_and_folders_are_listed_and_deleted(access, &store).await;
    metadata_is_written_once(&store).await;
    blobs_are_named_by_their_bytes(access, &location.join("blob")).await;
}

async fn files_are_whole_or_not_there(store: &CheckpointStore) {
    for (name, bytes) in [("shared/empty", 0), ("shared/small", 1_000), ("shared/big", BIG)] {
        let content = pattern(bytes, 1);
        let mut writer = store.begin(name).await.unwrap();
        for chunk in chunks(&content, 3 * 1024 * 1024 + 1) {
            writer.append(chunk).await.unwrap();
            assert!(!store.list(None).await.unwrap().iter().any(|file| file.path == name), "{name}");
        }
        let file = described(writer.finish().await.unwrap());
        assert_eq!((file.0.as_str(), file.1), (name, bytes as u64));
        assert_eq!(store.read(&file.0, file.1, file.2).await.unwrap(), content, "{name}");
        let open = ranged(store, file.clone()).await.unwrap();
        // Whoever reads it goes on when it is deleted.
        store.delete([name]).await.unwrap();
        for offset in [0, bytes / 2, (8 << 20) - 5, bytes.saturating_sub(10)].into_iter().filter(|at| at + 10 <= bytes)
        {
            let mut out = [0; 10];
            open.read_at(offset as u64, &mut out).unwrap();
            assert_eq!(out, content[offset..offset + 10], "{name} at {offset}");
        }
        assert!(open.read_at(bytes as u64, &mut [0]).is_err());
    }
    // One that is given up leaves nothing.
    let mut writer = store.begin("shared/never").await.unwrap();
    writer.append(pattern(BIG, 2)).await.unwrap();
    drop(writer);
    assert_eq!(store.list(None).await.unwrap(), []);
}

async fn names_are_written_once(store: &CheckpointStore) {
    for (name, bytes) in [("once/small", 1_000), ("once/big", BIG)] {
        let (first, second) = (pattern(bytes, 3), pattern(bytes, 4));
        let file = described(store.write(name, chunks(&first, 1 << 20)).await.unwrap());
        let taken = store.write(name, chunks(&second, 1 << 20)).await.unwrap_err();
        assert!(matches!(&taken, CheckpointStoreError::Taken { .. }) && !taken.is_state_lost(), "{name}: {taken}");
        assert!(taken.to_string().contains(&store.full_name(name)) && taken.remedy().is_some(), "{taken}");
        // Who repeats what it wrote finds it written.
        assert_eq!(described(store.write(name, [first.clone()]).await.unwrap()), file);
        assert_eq!(store.read(&file.0, file.1, file.2).await.unwrap(), first, "{name}");
    }
    store.delete_folder("once").await.unwrap();
}

/// Creators of one name at the same moment: one wins, and its bytes are there.
async fn one_of_many_creators_wins(store: &CheckpointStore) {
    for round in 0..10 {
        let name = format!("race/{round}");
        let contents: Vec<Bytes> = (0..8).map(|creator| pattern(100, 100 + creator)).collect();
        let creators = contents.iter().map(|content| {
            let (store, name, content) = (store.clone(), name.clone(), content.clone());
            tokio::spawn(async move { store.write(&name, [content]).await })
        });
        let outcomes: Vec<_> = join_all(creators).await.into_iter().map(Result::unwrap).collect();
        let won: Vec<_> = outcomes.iter().enumerate().filter(|(_, outcome)| outcome.is_ok()).collect();
        assert_eq!(won.len(), 1, "{name}: {outcomes:?}");
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(_) | Err(CheckpointStoreError::Taken { .. })), "{name}: {outcome:?}");
        }
        let (winner, blob) = won[0];
        let blob = blob.as_ref().unwrap();
        assert_eq!(store.read_blob(blob).await.unwrap(), contents[winner], "{name}");
    }
    store.delete_folder("race").await.unwrap();
}

async fn what_is_missing_or_damaged_is_named(store: &CheckpointStore) {
    for bytes in [1_000, BIG] {
        let name = format!("chk-1/{bytes}");
        let (_, bytes, checksum) = described(store.write(&name, [pattern(bytes, 5)]).await.unwrap());
        for (length, sum, says) in
            [(bytes - 1, checksum, "bytes"), (bytes + 1, checksum, "bytes"), (bytes, 1, "checksum")]
        {
            let file = (name.clone(), length, sum);
            let errors = [store.read(&name, length, sum).await.unwrap_err(), ranged(store, file).await.unwrap_err()];
            for error in errors {
                let text = error.to_string();
                assert!(matches!(error, CheckpointStoreError::Damaged { .. }) && error.is_state_lost(), "{text}");
                assert!(text.contains(&store.full_name(&name)) && text.contains(says), "{text}");
            }
        }
        store.delete([&name]).await.unwrap();
        store.delete([&name]).await.unwrap();
        for error in [
            store.read(&name, bytes, checksum).await.unwrap_err(),
            ranged(store, (name.clone(), bytes, checksum)).await.unwrap_err(),
        ] {
            assert!(matches!(&error, CheckpointStoreError::Missing { path } if path.contains(&name)), "{error}");
            assert!(error.remedy().unwrap().contains("earlier checkpoint"));
        }
    }
    assert!(matches!(store.read("../x", 0, 0).await, Err(CheckpointStoreError::BadPath { .. })));
}

async fn files_and_folders_are_listed_and_deleted(access: &StorageAccess, store: &CheckpointStore) {
    for first in (0..MANY).step_by(50) {
        let writes =
            (first..first + 50).map(|n| async move { store.write(&format!("chk-1/{n:05}"), [pattern(9, 6)]).await });
        join_all(writes).await.into_iter().for_each(|written| drop(written.unwrap()));
    }
    for name in ["chk-10/a", "shared/a", "top"] {
        store.write(name, [pattern(9, 6)]).await.unwrap();
    }
    let names = |listed: Vec<millrace_storage::ListedFile>| -> Vec<String> {
        listed.into_iter().map(|file| file.path).collect()
    };
    let expected: Vec<String> = (0..MANY).map(|n| format!("chk-1/{n:05}")).collect();
    assert_eq!(names(store.list(Some("chk-1")).await.unwrap()), expected);
    let mut folders = store.folders().await.unwrap();
    for gone in ["once", "race"] {
        // A server that keeps folders may name one for a while that has become empty.
        assert_eq!(store.list(Some(gone)).await.unwrap(), []);
        folders.retain(|folder| folder != gone);
    }
    assert_eq!(folders, ["chk-1", "chk-10", "shared"]);
    let inner = access.open(&store.location().join("chk-10")).unwrap();
    assert_eq!(names(inner.list(None).await.unwrap()), ["a"]);
    store.delete(&expected[..MANY / 2]).await.unwrap();
    assert_eq!(names(store.list(Some("chk-1")).await.unwrap()), expected[MANY / 2..]);
    store.delete_folder("chk-1").await.unwrap();
    store.delete_folder("chk-1").await.unwrap();
    assert_eq!(names(store.list(None).await.unwrap()), ["chk-10/a", "shared/a", "top"]);
    for _ in 0..2 {
        access.delete_folder(&store.location().join("chk-10")).await.unwrap();
    }
    store.delete(["shared/a", "top", "never"]).await.unwrap();
    assert_eq!(names(store.list(None).await.unwrap()), [] as [&str; 0]);
}

async fn metadata_is_written_once(store: &CheckpointStore) {
    for folder in [Some("chk-7"), None] {
        assert!(matches!(store.read_metadata(folder).await, Err(CheckpointStoreError::Missing { .. })));
        store.write_metadata(folder, "of this leader".into()).await.unwrap();
        store.write_metadata(folder, "of this leader".into()).await.unwrap();
        let late = store.write_metadata(folder, "of an old leader".into()).await.unwrap_err();
        assert!(matches!(late, CheckpointStoreError::Taken { .. }), "{late}");
        assert_eq!(store.read_metadata(folder).await.unwrap(), "of this leader");
    }
}

async fn blobs_are_named_by_their_bytes(access: &StorageAccess, location: &StorageLocation) {
    let (blobs, tenant) = (access.blobs(location).unwrap(), TenantId::default_tenant());
    let content = pattern(BIG, 7);
    let key = blobs.put(&tenant, BlobKind::Component, content.clone()).await.unwrap();
    assert_eq!(blobs.put(&tenant, BlobKind::Component, content.clone()).await.unwrap(), key);
    assert_eq!((blobs.get(&key).await.unwrap(), blobs.contains(&key).await.unwrap()), (content, true));
    assert_eq!(blobs.list(&tenant, BlobKind::Component).await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(blobs.list(&tenant, BlobKind::Bundle).await.unwrap(), []);
    for _ in 0..2 {
        blobs.delete(&key).await.unwrap();
    }
    assert!(matches!(blobs.get(&key).await, Err(StorageError::Missing { .. })));
    let other = BlobKey { digest: digest_of(b"x"), ..key };
    assert!(!blobs.contains(&other).await.unwrap());
}

#[tokio::test]
async fn a_local_folder_conforms() {
    let temp = tempfile::tempdir().unwrap();
    let access = StorageAccess::new(S3Options::default(), temp.path().to_owned());
    conforms(&access, &StorageLocation::from(temp.path().join("store").as_path())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms() {
    // On this thread: the server dies with the one that started it.
    let server = S3Server::start().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let options = S3Options {
        endpoint: Some(server.endpoint()),
        access_key: Some(S3Server::ACCESS_KEY.to_owned()),
        secret_key: Some(S3Server::SECRET_KEY.to_owned()),
        path_style: true,
        retry_timeout: Some(Duration::from_secs(1)),
        ..S3Options::default()
    };
    let access = StorageAccess::new(options.clone(), scratch.path().to_owned());
    let at = |name: &str| StorageLocation::parse(&server.prefix(name)).unwrap();
    conforms(&access, &at("cluster/store")).await;
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

    let wrong = S3Options { secret_key: Some("wrong-secret".to_owned()), ..options.clone() };
    let gone = S3Options { endpoint: Some(nobody()), ..options.clone() };
    for (options, says) in [(wrong, "403"), (gone, "onnect")] {
        let shown = format!("{options:?}");
        assert!(!shown.contains(S3Server::ACCESS_KEY) && !shown.contains("secret\""), "{shown}");
        let access = StorageAccess::new(options, scratch.path().to_owned());
        let store = access.create(&at("cluster/other")).unwrap();
        let error = Arc::new(store.write("chk-1/a", [Bytes::from_static(b"x")]).await.unwrap_err());
        let text = format!("{error} {}", error.remedy().unwrap());
        assert!(text.contains("s3://millrace-test/cluster/other/chk-1/a") && text.contains("s3.endpoint"), "{text}");
        assert!(text.contains(says) && !text.contains("wrong-secret"), "{text}");
    }
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
