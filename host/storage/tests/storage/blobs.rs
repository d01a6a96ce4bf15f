//! The store of blobs.

use bytes::Bytes;
use millrace_storage::{BlobStore, StorageError, digest_of};
use millrace_types::{BlobKey, BlobKind, TenantId};

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

#[tokio::test]
async fn a_blob_is_kept_under_its_digest_until_it_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Bytes::from_static(b"bytes");
    let store = BlobStore::open_local(&folder.path().join("not/yet")).unwrap();
    let key = store.put(&tenant("a"), BlobKind::Bundle, bytes.clone()).await.unwrap();
    assert_eq!(key, BlobKey { tenant: tenant("a"), kind: BlobKind::Bundle, digest: digest_of(b"bytes") });
    assert_eq!(store.put(&tenant("a"), BlobKind::Bundle, bytes.clone()).await.unwrap(), key, "idempotent");

    let reopened = BlobStore::open_local(&folder.path().join("not/yet")).unwrap();
    assert_eq!(reopened.get(&key).await.unwrap(), bytes);
    assert!(reopened.contains(&key).await.unwrap());
    reopened.delete(&key).await.unwrap();
    reopened.delete(&key).await.unwrap();
    assert!(!store.contains(&key).await.unwrap());
    assert!(matches!(store.get(&key).await, Err(StorageError::Missing { .. })));
}

#[tokio::test]
async fn tenants_and_kinds_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open_local(folder.path()).unwrap();
    let mut ours = Vec::new();
    for content in [&b"1"[..], b"2", b"3"] {
        ours.push(store.put(&tenant("a"), BlobKind::Component, Bytes::from(content)).await.unwrap());
    }
    ours.sort();
    let theirs = store.put(&tenant("b"), BlobKind::Component, Bytes::from_static(b"1")).await.unwrap();
    std::fs::write(folder.path().join("a/components/notes.txt"), "by hand").unwrap();
    assert_eq!(store.list(&tenant("a"), BlobKind::Component).await.unwrap(), ours);
    assert_eq!(store.list(&tenant("a"), BlobKind::Bundle).await.unwrap(), []);
    for key in ours {
        store.delete(&key).await.unwrap();
    }
    assert_eq!(store.get(&theirs).await.unwrap(), Bytes::from_static(b"1"));
}

#[tokio::test]
async fn damaged_bytes_are_found_out_and_healed_by_writing_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::open_local(folder.path()).unwrap();
    let bytes = Bytes::from_static(b"bytes");
    let key = store.put(&tenant("a"), BlobKind::Bundle, bytes.clone()).await.unwrap();
    std::fs::write(folder.path().join(key.to_string()), "other").unwrap();
    let error = store.get(&key).await.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt { found, .. } if *found == digest_of(b"other")), "{error}");
    store.put(&tenant("a"), BlobKind::Bundle, bytes.clone()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = BlobStore::open_local(&file.join("store")).unwrap_err().to_string();
    assert!(error.contains("file/store") && error.contains("Not a directory"), "{error}");

    let store = BlobStore::open_local(folder.path()).unwrap();
    std::fs::write(folder.path().join("a"), "a file where the tenant's folder has to be").unwrap();
    let error = store.put(&tenant("a"), BlobKind::Bundle, Bytes::new()).await.unwrap_err();
    assert!(matches!(error, StorageError::Write { .. }) && error.to_string().contains("a/bundles/"), "{error}");
}

#[tokio::test]
async fn blobs_move_to_another_store_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| BlobStore::open_local(&folder.path().join(name)).unwrap());
    let mut keys = Vec::new();
    for (whose, kind) in [("a", BlobKind::Bundle), ("a", BlobKind::Component), ("b", BlobKind::Component)] {
        keys.push(old.put(&tenant(whose), kind, Bytes::from(whose.to_owned())).await.unwrap());
    }
    let damaged = old.put(&tenant("b"), BlobKind::Bundle, Bytes::from_static(b"whole")).await.unwrap();
    std::fs::write(folder.path().join("old").join(damaged.to_string()), "decayed").unwrap();
    std::fs::write(folder.path().join("old/b/bundles/notes.txt"), "by hand").unwrap();

    assert_eq!(new.take_over(&old).await.unwrap(), keys.len());
    for key in &keys {
        assert_eq!(new.get(key).await.unwrap(), Bytes::from(key.tenant.to_string()));
        assert!(!old.contains(key).await.unwrap(), "{key}");
    }
    assert!(!new.contains(&damaged).await.unwrap(), "what is damaged is not spread");
    assert!(old.contains(&damaged).await.unwrap(), "nor lost");
    assert_eq!(new.take_over(&old).await.unwrap(), 0, "there is nothing left to move");
}
