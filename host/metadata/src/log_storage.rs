//! Raft's log and vote, on the store.
//!
//! Invariants:
//! - What is answered to Raft is on disk.
//! - An entry is purged only when a snapshot that has it is on disk. Raft asks for it as soon as it has *begun* to
//!   install a snapshot; a crash in between would leave neither the entries nor the snapshot.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{LogFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{AnyError, OptionalSend, RaftLogId, StorageError, StorageIOError};
use tokio::sync::watch;

use crate::disk::Disk;
use crate::options::APPEND_BYTES_MAX;
use crate::record;
use crate::store::{Loaded, Write, read_entries};
use crate::types::{Entry, LogId, MemberId, RaftTypes, Vote};

type Result<T> = std::result::Result<T, StorageError<MemberId>>;

/// Reads the log; a clone reads the same.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    disk: Disk,
}

/// The log and the vote of one member.
#[derive(Debug)]
pub(crate) struct LogStorage {
    reader: LogReader,
    vote: Option<Vote>,
    committed: Option<LogId>,
    /// What is on disk of `committed`, which is written along with entries.
    committed_on_disk: Option<LogId>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// The newest entry in a snapshot on disk.
    in_snapshot: watch::Receiver<Option<LogId>>,
    /// What was appended since the file was opened, in bytes.
    appended_bytes: Arc<AtomicU64>,
}

impl LogStorage {
    pub(crate) fn new(
        disk: Disk,
        loaded: &Loaded,
        in_snapshot: watch::Receiver<Option<LogId>>,
        appended_bytes: Arc<AtomicU64>,
    ) -> Self {
        Self {
            reader: LogReader { disk },
            vote: loaded.vote,
            committed: loaded.committed,
            committed_on_disk: loaded.committed,
            purged: loaded.purged,
            last: loaded.last,
            in_snapshot,
            appended_bytes,
        }
    }

    async fn write(&self, write: Write) -> std::result::Result<(), AnyError> {
        self.reader.disk.write(write).await.map_err(|cause| AnyError::new(&cause))
    }

    /// Waits until the entries up to `upto` are in a snapshot on disk.
    async fn wait_for_snapshot(&mut self, upto: LogId) -> Result<()> {
        let disk = &self.reader.disk;
        tokio::select! {
            reached = self.in_snapshot.wait_for(|covered| *covered >= Some(upto)) => {
                reached.map(drop).map_err(|_| StorageIOError::write_logs(&std::io::Error::other("it is closed")).into())
            }
            cause = disk.fault.wait() => Err(StorageIOError::write_logs(&cause).into()),
        }
    }
}

impl LogReader {
    fn read(&self, range: impl RangeBounds<u64>, bytes_max: usize) -> Result<Vec<Entry>> {
        let found = read_entries(&self.disk.store, range, bytes_max);
        found.map_err(|cause| StorageIOError::read_logs(&self.disk.fail(cause)).into())
    }
}

impl RaftLogReader<RaftTypes> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>> {
        self.read(range, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>> {
        self.read(start..end, APPEND_BYTES_MAX)
    }
}

impl RaftLogReader<RaftTypes> for LogStorage {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>> {
        self.reader.read(range, usize::MAX)
    }
}

impl RaftLogStorage<RaftTypes> for LogStorage {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<RaftTypes>> {
        Ok(LogState { last_purged_log_id: self.purged, last_log_id: self.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<()> {
        self.write(Write::Vote(*vote)).await.map_err(StorageIOError::write_vote)?;
        self.vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>> {
        Ok(self.vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<()> {
        // Not worth a write of its own: without it a member only learns again what is decided.
        self.committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>> {
        Ok(self.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<RaftTypes>) -> Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut last = self.last;
        let mut bytes = 0;
        let mut sealed = Vec::new();
        for entry in entries {
            let id = *entry.get_log_id();
            let record = record::encode(id.index, &entry);
            let record = record.map_err(|cause| StorageIOError::write_log_entry(id, AnyError::new(&cause)))?;
            bytes += record.len() as u64;
            sealed.push((id.index, record));
            last = Some(id);
        }
        let committed = self.committed.filter(|_| self.committed != self.committed_on_disk);
        let written = self.write(Write::Append { entries: sealed, committed }).await;
        written.map_err(StorageIOError::write_logs)?;
        self.last = last;
        self.committed_on_disk = committed.or(self.committed_on_disk);
        self.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
        callback.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<()> {
        self.write(Write::Truncate { from: since.index }).await.map_err(StorageIOError::write_logs)?;
        let before = since.index.checked_sub(1).map(|index| self.reader.read(index..=index, usize::MAX)).transpose()?;
        let before = before.and_then(|entries| entries.first().map(|entry| *entry.get_log_id()));
        self.last = before.or(self.purged);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> Result<()> {
        self.wait_for_snapshot(upto).await?;
        self.write(Write::Purge { upto }).await.map_err(StorageIOError::write_logs)?;
        self.purged = Some(upto);
        self.last = self.last.max(Some(upto));
        Ok(())
    }
}
