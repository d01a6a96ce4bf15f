//! What is known to go wrong with stores of a replicated log.

use std::io::Cursor;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::{CommittedLeaderId, EntryPayload, StoredMembership};
use tokio::sync::watch;

use super::disk::{Disk as TestDisk, Fault as DiskFault};
use super::{history, options, state_of};
use crate::MetadataError;
use crate::disk::{Disk, Fault};
use crate::log_storage::LogStorage;
use crate::machine::{Machine, Snapshots};
use crate::store::{Loaded, Store, create_on};
use crate::types::{Entry, LogId, SnapshotMeta};

fn log_id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, 1), index)
}

fn blank(index: u64) -> Entry {
    Entry { log_id: log_id(index), payload: EntryPayload::Blank }
}

/// A member's parts on a disk, and what it held.
fn parts(disk: &TestDisk) -> Result<(LogStorage, Machine, Loaded, Fault), MetadataError> {
    let (store, loaded) = Store::open_on(disk.clone(), &options("disk"))?;
    let fault = Fault::default();
    let (disk, _) = Disk::start(store, fault.clone()).unwrap();
    let snapshots = Arc::new(Snapshots::new(disk.clone(), &loaded));
    let log = LogStorage::new(disk.clone(), &loaded, snapshots.covered(), Arc::default());
    let machine = Machine::new(disk, snapshots, loaded.clone(), watch::channel(Arc::default()).0);
    Ok((log, machine, loaded, fault))
}

/// A disk with five entries that nothing has decided.
async fn lagging() -> Vec<u8> {
    let disk = TestDisk::with_image(Vec::new(), DiskFault::Never);
    drop(create_on(disk.clone(), &options("disk")).unwrap());
    let (mut log, ..) = parts(&disk).unwrap();
    log.blocking_append((0..5).map(blank)).await.unwrap();
    disk.image()
}

fn snapshot() -> (SnapshotMeta, Vec<u8>) {
    let meta = SnapshotMeta {
        last_log_id: Some(log_id(100)),
        last_membership: StoredMembership::default(),
        snapshot_id: "1".to_owned(),
    };
    // Pieces enough for more than one transaction.
    let mut state = state_of(&history());
    for _ in 0..200 {
        let _ = state.apply(millrace_metadata_core::Command::BeginEpoch).unwrap();
    }
    (meta, postcard::to_stdvec(&state).unwrap())
}

/// Installs a snapshot while the log is purged up to it, which is what Raft does, and goes on behind it.
async fn install(disk: &TestDisk) -> bool {
    let Ok((mut log, mut machine, ..)) = parts(disk) else { return false };
    let (meta, bytes) = snapshot();
    let purging = tokio::spawn(async move {
        log.purge(log_id(100)).await?;
        log.blocking_append([blank(101)]).await
    });
    let installed = machine.install_snapshot(&meta, Box::new(Cursor::new(bytes))).await;
    let purged = purging.await.unwrap();
    installed.is_ok() && purged.is_ok()
}

/// Raft purges as soon as it has begun to install. A crash at any step in between must leave the entries or the snapshot.
#[tokio::test]
async fn a_crash_while_a_snapshot_is_installed_leaves_the_log_or_the_snapshot() {
    let image = lagging().await;
    let whole = TestDisk::with_image(image.clone(), DiskFault::Never);
    assert!(install(&whole).await);
    let mut seen = [0; 3];
    for step in 0..whole.steps() {
        let disk = TestDisk::with_image(image.clone(), DiskFault::PowerLoss { step });
        assert!(!install(&disk).await, "the power is lost at step {step}");
        for seed in 0..3 {
            let after = TestDisk::with_image(disk.image_after_power_loss(seed), DiskFault::Never);
            let (_, mut machine, loaded, _) = parts(&after).unwrap_or_else(|error| panic!("step {step}: {error}"));
            let applied = machine.applied_state().await.unwrap().0;
            match (applied, loaded.purged, loaded.last) {
                (None, None, Some(last)) if last == log_id(4) => seen[0] += 1,
                (Some(_), None, Some(last)) if last == log_id(4) => seen[1] += 1,
                (Some(_), Some(_), Some(last)) if last == log_id(100) || last == log_id(101) => seen[2] += 1,
                other => panic!("step {step}, seed {seed}: {other:?}"),
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}: a crash before, between and after");
}

/// A purge beyond the snapshot on disk waits for that, and ends with the cause if it never comes.
#[tokio::test]
async fn nothing_is_purged_that_no_snapshot_on_disk_has() {
    let disk = TestDisk::with_image(lagging().await, DiskFault::Never);
    let (mut log, _machine, _, fault) = parts(&disk).unwrap();
    let purging = tokio::spawn(async move { (log.purge(log_id(3)).await, log) });
    tokio::task::yield_now().await;
    assert!(!purging.is_finished());
    fault.report(&MetadataError::Internal("the end".to_owned()));
    let (purged, mut log) = purging.await.unwrap();
    assert!(purged.unwrap_err().to_string().contains("the end"));
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, None);
}

/// A follower's log that another leader's replaces.
#[tokio::test]
async fn what_was_truncated_is_gone_and_replaced() {
    let disk = TestDisk::with_image(lagging().await, DiskFault::Never);
    {
        let (mut log, ..) = parts(&disk).unwrap();
        log.truncate(log_id(2)).await.unwrap();
        let next = LogId::new(CommittedLeaderId::new(2, 2), 2);
        log.blocking_append([Entry { log_id: next, payload: EntryPayload::Blank }]).await.unwrap();
        assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(next));
    }
    let disk = TestDisk::with_image(disk.image(), DiskFault::Never);
    let (_, _, loaded, _) = parts(&disk).unwrap();
    assert_eq!(loaded.last, Some(LogId::new(CommittedLeaderId::new(2, 2), 2)));
}
