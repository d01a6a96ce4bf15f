//! What openraft expects of any store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;
use tokio::sync::watch;

use super::options;
use crate::disk::{Disk, Fault};
use crate::log_storage::LogStorage;
use crate::machine::{Machine, Snapshots};
use crate::store::Store;
use crate::types::{LogId, MemberId, RaftTypes};

#[derive(Default)]
struct Builder {
    built: AtomicUsize,
}

/// What a store needs to live.
struct Guard {
    _folder: TempDir,
    _covered: watch::Sender<Option<LogId>>,
}

impl StoreBuilder<RaftTypes, LogStorage, Machine, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, LogStorage, Machine), StorageError<MemberId>> {
        self.built.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path().join("metadata.redb"));
        let (store, loaded) = Store::open(&options).unwrap();
        let (disk, _) = Disk::start(store, Fault::default()).unwrap();
        let snapshots = Arc::new(Snapshots::new(disk.clone(), &loaded));
        // The suite purges what no snapshot has, and that is waited for elsewhere.
        let everything = openraft::CommittedLeaderId::new(u64::MAX, u64::MAX);
        let (covered, in_snapshot) = watch::channel(Some(LogId::new(everything, u64::MAX)));
        let log = LogStorage::new(disk.clone(), &loaded, in_snapshot, Arc::default());
        let machine = Machine::new(disk, snapshots, loaded, watch::channel(Arc::default()).0);
        Ok((Guard { _folder: folder, _covered: covered }, log, machine))
    }
}

#[test]
fn openraft_is_content_with_the_store() {
    let builder = Builder::default();
    Suite::test_store(&builder).unwrap();
    assert!(builder.built.load(Ordering::Relaxed) > 30, "the suite has run");
}
