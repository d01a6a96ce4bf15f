//! What the coordinator remembers: checkpoints under way, those that are retained, and requests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use millrace_protocol::{SnapshotFigures, SubtaskSnapshot};
use millrace_types::{AttemptId, Barrier, CheckpointId, Failure, SnapshotKind, Timestamp};

use super::completed::{CompletedCheckpoint, StoredCheckpoint};
use super::garbage::Garbage;
use super::ids::IdBlock;
use super::upgrading::Upgrade;
use crate::event::{RequestId, SnapshotLocation, StopMode, WriteId};
use crate::spec::JobSpec;
use crate::tasks::Task;

/// A request for a checkpoint or savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub id: RequestId,
    /// For a savepoint its folder.
    pub folder: Option<Box<str>>,
    pub stop: Option<StopMode>,
}

impl Request {
    pub fn kind(&self) -> SnapshotKind {
        match self.folder {
            Some(_) => SnapshotKind::Savepoint { stop: self.stop.is_some() },
            None => SnapshotKind::Checkpoint,
        }
    }
}

/// What one task acknowledged.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub at: Timestamp,
    pub snapshot: SubtaskSnapshot,
    pub figures: SnapshotFigures,
}

/// How far a checkpoint is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Tasks have yet to acknowledge it.
    Collecting,
    /// Its metadata is being written.
    Storing(Arc<CompletedCheckpoint>),
    /// Its pointer waits until that of another one is settled.
    Stored(StoredCheckpoint),
    /// Its pointer is being written.
    Persisting(StoredCheckpoint, WriteId),
    /// Whether its pointer was written is being read, or will be at a time.
    Reading(StoredCheckpoint, Option<Timestamp>),
}

/// A checkpoint under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub barrier: Barrier,
    pub stage: Stage,
    /// Tasks that have yet to acknowledge it.
    pub awaited: BTreeSet<Task>,
    pub acknowledged: BTreeMap<Task, Acknowledged>,
    /// Tasks that had finished when it was triggered.
    pub finished: BTreeSet<Task>,
    pub request: Option<Request>,
    /// When it is given up, unless its pointer is being written.
    pub deadline: Timestamp,
}

impl Pending {
    /// Whether its pointer may be in the metadata store or not.
    pub fn is_unsettled(&self) -> bool {
        matches!(self.stage, Stage::Persisting(..) | Stage::Reading(..))
    }

    /// Whether tasks run other code behind it.
    pub fn is_upgrade(&self) -> bool {
        self.barrier.kind == SnapshotKind::Upgrade
    }

    /// Whether it is not the user's.
    pub fn is_checkpoint(&self) -> bool {
        !self.barrier.kind.is_savepoint()
    }
}

/// A complete checkpoint that is kept.
#[derive(Debug)]
pub(crate) struct Retained {
    pub stored: StoredCheckpoint,
    /// Regions for which it could not be read.
    pub unreadable: BTreeSet<usize>,
}

impl Retained {
    pub fn new(stored: StoredCheckpoint) -> Self {
        Self { stored, unreadable: BTreeSet::new() }
    }

    pub fn id(&self) -> CheckpointId {
        self.stored.checkpoint.id
    }
}

/// How far the stop of the job behind a savepoint is.
#[derive(Debug)]
pub(crate) struct Stop {
    pub request: RequestId,
    /// The sources have been told to end: without the savepoint they have to be read again from the last checkpoint.
    pub drained: bool,
    /// The savepoint, once it is complete: the tasks are about to finish.
    pub taken: Option<SnapshotLocation>,
}

/// All that is known of a job's checkpoints.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub ids: IdBlock,
    pub pending: BTreeMap<CheckpointId, Pending>,
    /// The newest last.
    pub retained: Vec<Retained>,
    /// What the job started from, as long as it may have to start from it again.
    pub start_from: Option<Retained>,
    /// Whether that is deleted once the job has a checkpoint of its own.
    pub claimed: bool,
    /// Requests that wait.
    pub requests: VecDeque<Request>,
    pub stop: Option<Stop>,
    /// Why there is no savepoint, though the sources were told to end for it: the whole job goes back.
    pub undrain: Option<Failure>,
    pub upgrade: Option<Upgrade>,
    /// How many upgrades were asked for.
    pub upgrades: u64,
    /// Tasks may run code that did not become the job's, for this reason: all are about to restart.
    pub undo: Option<Failure>,
    /// When the last checkpoint was triggered, or tasks were last deployed.
    pub triggered_at: Timestamp,
    /// When the last checkpoint ended.
    pub ended_at: Option<Timestamp>,
    /// When the last one was complete that tasks restart from.
    pub completed_at: Option<Timestamp>,
    /// How many have failed in a row.
    pub failures: u32,
    /// A checkpoint is wanted whatever the interval.
    pub at_once: bool,
    /// Tasks that end with the next checkpoint that they take part in.
    pub awaiting: BTreeSet<AttemptId>,
    pub garbage: Garbage,
    /// Those that were given up while their metadata was being written, until that is answered.
    pub abandoned: BTreeSet<CheckpointId>,
    /// What each region's tasks began with.
    pub restored_from: BTreeMap<usize, CheckpointId>,
}

impl Coordinator {
    pub fn new(spec: &JobSpec, now: Timestamp) -> Self {
        let mut restored: Vec<_> = spec.restored.iter().cloned().map(Retained::new).collect();
        restored.sort_by_key(Retained::id);
        let claimed = spec.start_from.as_ref().is_some_and(|start| start.claim);
        // What is claimed is gone once there is a checkpoint of the job's own.
        let start = spec.start_from.as_ref().filter(|_| !claimed || restored.is_empty());
        let start_from = start.map(|start| Retained::new(start.from.clone()));
        let used = restored.iter().chain(&start_from).map(|retained| retained.id().0).max().unwrap_or(0);
        Self {
            ids: IdBlock::new(spec.recorded_checkpoint, used),
            pending: BTreeMap::new(),
            retained: restored,
            claimed,
            start_from,
            requests: VecDeque::new(),
            stop: None,
            undrain: None,
            upgrade: None,
            upgrades: 0,
            undo: None,
            triggered_at: now,
            ended_at: None,
            completed_at: None,
            failures: 0,
            at_once: false,
            awaiting: BTreeSet::new(),
            garbage: Garbage::default(),
            abandoned: BTreeSet::new(),
            restored_from: BTreeMap::new(),
        }
    }

    /// The checkpoint whose pointer may be written or not.
    pub fn unsettled(&self) -> Option<CheckpointId> {
        self.pending.iter().find(|(_, pending)| pending.is_unsettled()).map(|(id, _)| *id)
    }

    /// What a region may be restored from, the best last.
    pub fn ladder(&self) -> impl DoubleEndedIterator<Item = &Retained> {
        self.start_from.iter().chain(&self.retained)
    }

    /// What a region is restored from: the newest that it can read.
    pub fn best(&self, region: usize) -> Option<&Retained> {
        self.ladder().rev().find(|retained| !retained.unreadable.contains(&region))
    }

    /// Whether there were checkpoints, and a region can read none of them.
    pub fn is_lost(&self, region: usize) -> bool {
        self.ladder().next().is_some() && self.best(region).is_none()
    }
}
