//! The state machine that Raft drives: decided entries in, the state out.
//!
//! Invariants:
//! - Readers see what is decided, and only that.
//! - The state is in memory. What is durable of it is the newest snapshot, and the log behind that.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_metadata_core::MetadataState;
use openraft::entry::EntryPayload;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine, Snapshot};
use openraft::{AnyError, OptionalSend, StorageError, StorageIOError};
use tokio::sync::{Mutex, watch};

use crate::disk::Disk;
use crate::error::MetadataError;
use crate::store::{Loaded, PIECE_BYTES, Write, decode_state, read_snapshot_bytes};
use crate::types::{Answers, Entry, LogId, MemberId, RaftTypes, SnapshotMeta, StoredMembership};

type Result<T> = std::result::Result<T, StorageError<MemberId>>;

/// The pieces of a snapshot that one transaction writes: entries of the log wait no longer than that.
const PIECES_PER_WRITE: usize = 16;

/// Writes snapshots, one at a time.
#[derive(Debug)]
pub(crate) struct Snapshots {
    disk: Disk,
    /// The generation that was written last.
    generation: Mutex<u64>,
    /// The newest entry in a snapshot on disk.
    covered: watch::Sender<Option<LogId>>,
    /// The size of the newest snapshot, in bytes.
    bytes: AtomicU64,
}

impl Snapshots {
    pub(crate) fn new(disk: Disk, loaded: &Loaded) -> Self {
        let covered = loaded.snapshot.as_ref().and_then(|snapshot| snapshot.last_log_id);
        let (generation, bytes) = (Mutex::new(loaded.generation), AtomicU64::new(loaded.snapshot_bytes));
        Self { disk, generation, covered: watch::channel(covered).0, bytes }
    }

    /// The newest entry in a snapshot on disk.
    pub(crate) fn covered(&self) -> watch::Receiver<Option<LogId>> {
        self.covered.subscribe()
    }

    /// The size of the newest snapshot, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes a snapshot, unless there is a newer one: building one may be overtaken by installing another.
    async fn write(&self, meta: &SnapshotMeta, bytes: &[u8]) -> std::result::Result<(), MetadataError> {
        let mut generation = self.generation.lock().await;
        if meta.last_log_id < *self.covered.borrow() {
            return Ok(());
        }
        *generation += 1;
        let mut first = 0;
        for some in bytes.chunks(PIECES_PER_WRITE * PIECE_BYTES) {
            self.disk.write(Write::pieces(*generation, first, some)).await?;
            first += some.len().div_ceil(PIECE_BYTES) as u64;
        }
        self.disk.write(Write::snapshot(*generation, meta.clone(), bytes)).await?;
        self.bytes.store(bytes.len() as u64, Ordering::Relaxed);
        self.covered.send_replace(meta.last_log_id);
        tracing::debug!(last = ?meta.last_log_id, bytes = bytes.len(), "wrote a snapshot of the metadata");
        Ok(())
    }
}

/// The state machine of one member.
#[derive(Debug)]
pub(crate) struct Machine {
    disk: Disk,
    snapshots: Arc<Snapshots>,
    state: MetadataState,
    applied: Option<LogId>,
    membership: StoredMembership,
    published: watch::Sender<Arc<MetadataState>>,
}

impl Machine {
    pub(crate) fn new(
        disk: Disk,
        snapshots: Arc<Snapshots>,
        loaded: Loaded,
        published: watch::Sender<Arc<MetadataState>>,
    ) -> Self {
        let Loaded { snapshot, state, .. } = loaded;
        let (applied, membership) = snapshot.map(|meta| (meta.last_log_id, meta.last_membership)).unwrap_or_default();
        published.send_replace(Arc::new(state.clone()));
        Self { disk, snapshots, state, applied, membership, published }
    }

    fn apply_entry(&mut self, entry: Entry) -> Answers {
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Answers::default(),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Answers::default()
            }
            EntryPayload::Normal(batch) => {
                let commands = batch.commands.into_iter();
                let of_commands = commands.map(|proposed| self.state.apply_in(proposed.epoch, proposed.command));
                Answers { of_commands: of_commands.collect() }
            }
        }
    }
}

impl RaftStateMachine<RaftTypes> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answers>>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        if let Some(cause) = self.disk.fault.cause() {
            // Never from a broken store: what is on this disk is unknown.
            return Err(StorageIOError::write_state_machine(&cause).into());
        }
        let answers: Vec<Answers> = entries.into_iter().map(|entry| self.apply_entry(entry)).collect();
        if answers.iter().flat_map(|answers| &answers.of_commands).flatten().any(|applied| applied.changed) {
            self.published.send_replace(Arc::new(self.state.clone()));
        }
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            snapshots: Arc::clone(&self.snapshots),
            state: self.state.clone(),
            applied: self.applied,
            membership: self.membership.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Box<Cursor<Vec<u8>>>) -> Result<()> {
        let failed = |cause: &MetadataError| StorageIOError::write_snapshot(Some(meta.signature()), cause);
        let bytes = snapshot.into_inner();
        let state = decode_state(&bytes).map_err(|what| {
            let cause = MetadataError::Internal(format!("another member sent an unreadable snapshot: {what}"));
            failed(&self.disk.fail(cause))
        })?;
        self.snapshots.write(meta, &bytes).await.map_err(|cause| failed(&self.disk.fail(cause)))?;
        self.state = state;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        self.published.send_replace(Arc::new(self.state.clone()));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<RaftTypes>>> {
        let found = read_snapshot_bytes(&self.disk.store);
        let found = found.map_err(|cause| StorageIOError::read_snapshot(None, &self.disk.fail(cause)))?;
        Ok(found.map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
    }
}

/// Takes a snapshot of the state as it was when the builder was made.
#[derive(Debug)]
pub(crate) struct Builder {
    snapshots: Arc<Snapshots>,
    state: MetadataState,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl RaftSnapshotBuilder<RaftTypes> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<RaftTypes>> {
        let state = self.state.clone();
        // Large states take a while, and elections wait for no one.
        let encoded = tokio::task::spawn_blocking(move || encode_state(&state)).await;
        let encoded = encoded.unwrap_or_else(|_| Err("its encoding has panicked".to_owned()));
        let failed = |cause: MetadataError| {
            let cause = self.snapshots.disk.fail(cause);
            StorageIOError::write_snapshot(None, AnyError::new(&cause))
        };
        let bytes =
            encoded.map_err(|what| failed(MetadataError::Internal(format!("a snapshot of the state: {what}"))))?;
        let (last_log_id, last_membership) = (self.applied, self.membership.clone());
        let snapshot_id = last_log_id.map_or_else(|| "0".to_owned(), |id| format!("{}-{}", id.leader_id, id.index));
        let meta = SnapshotMeta { last_log_id, last_membership, snapshot_id };
        self.snapshots.write(&meta, &bytes).await.map_err(failed)?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}

/// The bytes of a state that keeps its promises: nothing else is made durable, nor sent to others.
fn encode_state(state: &MetadataState) -> std::result::Result<Vec<u8>, String> {
    state.check()?;
    postcard::to_stdvec(state).map_err(|cause| cause.to_string())
}
