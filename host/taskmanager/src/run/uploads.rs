//! Makes a task's snapshots durable while the task goes on, and tells the JobMaster.
//!
//! Invariants:
//! - Snapshots are written and acknowledged in the order in which they were taken; nothing is acknowledged before all its
//!   files are durable.
//! - What was sealed and could not be written stays, and is written with the next snapshot: no change is lost with a
//!   checkpoint that failed.
//! - What is acknowledged names files of the job's own folder, or of the savepoint's: what was restored from another
//!   folder is copied before the first acknowledgement.

mod blob;
mod copies;
mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_protocol::{
    CheckpointAck, CheckpointDecline, CheckpointSettings, InFlight, OperatorSnapshot, StateBlob, StateSegment,
    SubtaskSnapshot, ToJobManager,
};
use millrace_state::{ChainSegment, MergePolicy, MergeTicket, SealedSegment, SegmentChain};
use millrace_storage::StorageAccess;
use millrace_types::{
    AttemptId, CheckpointId, CrashPoint, CrashPoints, Failure, FailureKind, KeyGroupRange, SnapshotKind,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::log::Level;
use crate::run::overtaken;
use crate::run::shared::{TaskError, TaskShared};
use crate::run::snapshot::{OperatorParts, OvertakenRecords, Snapshot};
pub(crate) use copies::TaskCopies;
use writing::{Folder, Writer};

/// Snapshots that were taken and are not durable yet. With more of them the task waits.
const SNAPSHOTS_MAX: usize = 2;

/// Segments of an operator that could not be written. With more of them the task fails.
const UNWRITTEN_MAX: usize = 64;

/// Finds the bytes of a segment.
#[derive(Debug, Clone)]
pub(crate) struct SegmentHandle {
    pub blob: StateBlob,
    /// The folder that its path is within, if not the job's checkpoint folder.
    pub folder: Option<Arc<str>>,
}

/// The state of the operators of a task in files, by uid.
pub(crate) type Chains = BTreeMap<String, SegmentChain<SegmentHandle>>;

/// Where snapshots are handed over.
pub(crate) struct Uploads {
    snapshots: Option<mpsc::Sender<Snapshot>>,
    worker: JoinHandle<()>,
    copies: TaskCopies,
    shared: Arc<TaskShared>,
}

/// What the uploads of a task are started with.
pub(crate) struct UploadPlan {
    /// Opens the folders of checkpoints and savepoints.
    pub storage: StorageAccess,
    pub settings: CheckpointSettings,
    pub key_groups: KeyGroupRange,
    pub max_parallelism: u32,
    /// What was restored.
    pub chains: Chains,
    /// Copies of its files on this machine's disk.
    pub copies: TaskCopies,
    pub outbound: mpsc::Sender<ToJobManager>,
    pub shared: Arc<TaskShared>,
    pub crash_points: CrashPoints,
}

impl Uploads {
    /// Starts a worker for one task, on the runtime that this is called on.
    pub(crate) fn start(plan: UploadPlan) -> Self {
        let (shared, copies) = (Arc::clone(&plan.shared), plan.copies.clone());
        let (snapshots, taken) = mpsc::channel(SNAPSHOTS_MAX);
        let worker = Worker {
            attempt: shared.attempt,
            writer: Writer::new(shared.attempt, &plan),
            operators: plan.chains.into_iter().map(|(uid, chain)| (uid, Files::new(chain))).collect(),
            settings: plan.settings,
            key_groups: plan.key_groups,
            copies: plan.copies,
            outbound: plan.outbound,
            shared: plan.shared,
            crash_points: plan.crash_points,
            merge: None,
        };
        Self { snapshots: Some(snapshots), worker: tokio::spawn(worker.run(taken)), copies, shared }
    }

    /// Takes a snapshot. Waits while too many are under way.
    pub(crate) async fn take(&self, snapshot: Snapshot) -> Result<(), TaskError> {
        let taken = match &self.snapshots {
            Some(snapshots) => snapshots.send(snapshot).await.is_ok(),
            None => false,
        };
        if taken {
            return Ok(());
        }
        let gone = Failure::new(FailureKind::Internal, "nobody is there to write the task's part of a checkpoint");
        Err(self.shared.guest_failed(gone))
    }

    /// A checkpoint is complete.
    pub(crate) fn completed(&self, checkpoint: CheckpointId) {
        self.copies.completed(checkpoint);
    }

    /// Waits until all that was taken has been told.
    pub(crate) async fn finished(&mut self) {
        self.snapshots = None;
        // A worker that crashed has told its failure already.
        let _ = (&mut self.worker).await;
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// What an operator has in files, and what it has yet to write.
struct Files {
    chain: SegmentChain<SegmentHandle>,
    unwritten: Vec<SealedSegment>,
}

impl Files {
    fn new(chain: SegmentChain<SegmentHandle>) -> Self {
        Self { chain, unwritten: Vec::new() }
    }

    fn is_foreign(&self) -> bool {
        self.chain.segments().any(|segment| segment.handle.folder.is_some())
    }
}

/// A merge under way: of which operator, which segments, and what comes of it.
struct Merge {
    uid: String,
    ticket: MergeTicket<SegmentHandle>,
    result: JoinHandle<Result<StateBlob, Failure>>,
}

struct Worker {
    attempt: AttemptId,
    writer: Writer,
    operators: BTreeMap<String, Files>,
    settings: CheckpointSettings,
    key_groups: KeyGroupRange,
    copies: TaskCopies,
    outbound: mpsc::Sender<ToJobManager>,
    shared: Arc<TaskShared>,
    crash_points: CrashPoints,
    merge: Option<Merge>,
}

impl Worker {
    async fn run(mut self, mut taken: mpsc::Receiver<Snapshot>) {
        loop {
            tokio::select! {
                snapshot = taken.recv() => {
                    let Some(snapshot) = snapshot else { break };
                    if let Err(failure) = self.upload(snapshot).await {
                        // The task learns it when it hands over the next snapshot.
                        return self.shared.blame(failure.into());
                    }
                }
                merged = merged(&mut self.merge) => self.end_merge(merged),
            }
            self.begin_merge();
        }
    }

    /// Writes a snapshot and tells what came of it. An error is one that the task cannot go on with.
    async fn upload(&mut self, snapshot: Snapshot) -> Result<(), Failure> {
        let (attempt, checkpoint) = (self.attempt, snapshot.barrier.checkpoint);
        let outcome = self.write(snapshot).await;
        if self.writer.has_lost() {
            // Changes may have been lost with a thread that crashed: no later checkpoint can make up for them.
            return Err(outcome.err().unwrap_or_else(writing::crashed));
        }
        let message = match outcome {
            Ok(ack) => {
                let operators = ack.snapshot.operators.values();
                let segments = operators.flat_map(|operator| &operator.keyed).map(|segment| &segment.blob);
                self.copies.acknowledged(checkpoint, segments);
                self.crash_points.pass(CrashPoint::Prepared);
                ToJobManager::CheckpointAcknowledged(Box::new(ack))
            }
            Err(failure) => {
                self.shared.line(Level::Warn, "", &format!("checkpoint {checkpoint} is declined: {failure}"));
                ToJobManager::CheckpointDeclined(CheckpointDecline { attempt, checkpoint, subsumed: false, failure })
            }
        };
        // Whoever is gone ends this task as well.
        let _ = self.outbound.send(message).await;
        if self.crash_points.is_due(CrashPoint::Acknowledged) {
            tokio::time::sleep(CrashPoints::LINGER).await;
            self.crash_points.die();
        }
        match self.operators.iter().find(|(_, files)| files.unwritten.len() > UNWRITTEN_MAX) {
            None => Ok(()),
            Some((uid, files)) => {
                let count = files.unwritten.len();
                let message = format!("the changes of \"{uid}\" could not be written in {count} checkpoints");
                Err(Failure::new(FailureKind::Checkpoint, message).with_remedy("see to the checkpoint folder's disk"))
            }
        }
    }

    async fn write(&mut self, snapshot: Snapshot) -> Result<CheckpointAck, Failure> {
        let Snapshot { barrier, operators, finished, overtaken, refused, mut figures, taken_at } = snapshot;
        let savepoint = matches!(barrier.kind, SnapshotKind::Savepoint { .. });
        let target = match &barrier.folder {
            Some(folder) if savepoint => Folder::Savepoint(folder.as_ref().into()),
            _ => Folder::Job,
        };
        let mut written = SubtaskSnapshot { finished, ..SubtaskSnapshot::default() };
        let mut operators = operators;
        for uid in self.operators.keys() {
            // Nothing of it was opened again, and what was restored is its state still.
            operators.entry(uid.clone()).or_default();
        }
        // Without periodic checkpoints a seal is all there is, and belongs to this savepoint alone. Otherwise no change is
        // lost, whatever fails from here on.
        let tracked = self.settings.periodic || !savepoint;
        for (uid, parts) in operators.iter_mut().filter(|_| tracked) {
            let sealed = std::mem::take(&mut parts.sealed);
            self.files(uid).unwritten.extend(sealed);
        }
        for (uid, parts) in operators {
            let OperatorParts { sealed, fingerprints, operator_state, reader, committables } = parts;
            let keyed = if tracked {
                figures.checkpointed_bytes += self.write_segments(&uid).await?;
                if savepoint { self.copy_chain(&uid, &target).await? } else { self.own_segments(&uid).await? }
            } else {
                let outcome = self.writer.segments(&target, sealed).await;
                if let Some(failure) = outcome.failure {
                    return Err(failure);
                }
                outcome
                    .written
                    .into_iter()
                    .map(|(blob, _)| StateSegment { key_groups: self.key_groups, blob })
                    .collect()
            };
            let operator_state = match operator_state {
                Some(bytes) => Some(self.writer.bytes(&target, bytes).await?),
                None => None,
            };
            figures.checkpointed_bytes += operator_state.as_ref().map_or(0, StateBlob::byte_len);
            written
                .operators
                .insert(uid, OperatorSnapshot { keyed, fingerprints, operator_state, reader, committables });
        }
        if let Some(failure) = refused {
            return Err(failure);
        }
        for records in overtaken {
            let batches = self.writer.bytes(&target, overtaken::encode(&records.batches)).await?;
            figures.persisted_bytes += batches.byte_len();
            figures.checkpointed_bytes += batches.byte_len();
            let OvertakenRecords { target_uid, target_port, target_subtask, rerouting, .. } = records;
            written.in_flight.push(InFlight { target_uid, target_port, target_subtask, rerouting, batches });
        }
        let of_operator = |operator: &OperatorSnapshot| {
            let keyed: u64 = operator.keyed.iter().map(|segment| segment.blob.byte_len()).sum();
            keyed + operator.operator_state.as_ref().map_or(0, StateBlob::byte_len)
        };
        figures.state_bytes = written.operators.values().map(of_operator).sum::<u64>() + figures.persisted_bytes;
        if savepoint {
            figures.checkpointed_bytes = figures.state_bytes;
        }
        figures.async_ms = u64::try_from(taken_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let checkpoint = barrier.checkpoint;
        Ok(CheckpointAck { attempt: self.attempt, checkpoint, snapshot: written, figures })
    }

    fn files(&mut self, uid: &str) -> &mut Files {
        let key_groups = self.key_groups;
        self.operators.entry(uid.to_owned()).or_insert_with(|| Files::new(SegmentChain::new(key_groups)))
    }

    /// Writes what an operator has sealed and not written yet. Returns how much that was, in bytes.
    async fn write_segments(&mut self, uid: &str) -> Result<u64, Failure> {
        let unwritten = std::mem::take(&mut self.files(uid).unwritten);
        let outcome = self.writer.segments(&Folder::Job, unwritten).await;
        let files = self.files(uid);
        files.unwritten = outcome.left;
        let mut bytes = 0;
        for (blob, base) in outcome.written {
            bytes += blob.byte_len();
            let length = blob.byte_len();
            files.chain.push(SegmentHandle { blob, folder: None }, length, base);
        }
        outcome.failure.map_or(Ok(bytes), Err)
    }

    /// The segments of an operator, all of them in the job's own folder.
    async fn own_segments(&mut self, uid: &str) -> Result<Vec<StateSegment>, Failure> {
        let Some(files) = self.operators.get_mut(uid) else { return Ok(Vec::new()) };
        if files.is_foreign() {
            let segments: Vec<_> = files.chain.segments().cloned().collect();
            let blob = self.writer.merge(&Folder::Job, segments, true).await?;
            let length = blob.byte_len();
            files.chain.push(SegmentHandle { blob, folder: None }, length, true);
        }
        Ok(files.chain.segments().map(state_segment).collect())
    }

    /// The state of an operator as one segment of a savepoint.
    async fn copy_chain(&mut self, uid: &str, target: &Folder) -> Result<Vec<StateSegment>, Failure> {
        let segments: Vec<_> = match self.operators.get(uid) {
            Some(files) => files.chain.segments().cloned().collect(),
            None => Vec::new(),
        };
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let blob = self.writer.merge(target, segments, true).await?;
        Ok(vec![StateSegment { key_groups: self.key_groups, blob }])
    }

    /// Begins the next merge that is due, one at a time: it shares the disk with the checkpoints.
    fn begin_merge(&mut self) {
        if self.merge.is_some() {
            return;
        }
        let policy = MergePolicy::default();
        let due = self.operators.iter_mut().find_map(|(uid, files)| Some((uid, files.chain.begin_merge(&policy)?)));
        if let Some((uid, ticket)) = due {
            let result = self.writer.begin_merge(ticket.segments.clone(), ticket.base);
            self.merge = Some(Merge { uid: uid.clone(), ticket, result });
        }
    }

    fn end_merge(&mut self, result: Result<StateBlob, Failure>) {
        let Some(merge) = self.merge.take() else { return };
        let Some(files) = self.operators.get_mut(&merge.uid) else { return };
        let result = match result {
            Ok(blob) => {
                let length = blob.byte_len();
                Some((SegmentHandle { blob, folder: None }, length))
            }
            Err(failure) => {
                // It is tried again behind the next snapshot: all that was to be merged is still there.
                let uid = &merge.uid;
                self.shared.line(Level::Warn, "", &format!("the segments of \"{uid}\" could not be merged: {failure}"));
                None
            }
        };
        files.chain.end_merge(&merge.ticket, result);
    }
}

/// What a merge came to; without one, never. Cancel-safe.
async fn merged(merge: &mut Option<Merge>) -> Result<StateBlob, Failure> {
    match merge {
        Some(merge) => (&mut merge.result).await.unwrap_or_else(|error| Err(writing::lost(&error))),
        None => std::future::pending().await,
    }
}

fn state_segment(segment: &ChainSegment<SegmentHandle>) -> StateSegment {
    StateSegment { key_groups: segment.key_groups, blob: segment.handle.blob.clone() }
}
