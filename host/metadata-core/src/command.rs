//! What can be decided, and what a decision answers.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use millrace_types::{
    BlobKey, BundleId, CheckpointId, Failure, JobId, JobStatus, LeaderEpoch, Takeover, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::record::{BundleRecord, CheckpointPointer, JobCode, JobRetention, JobSubmission};

/// An upload on its way: it keeps its blobs from being condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub u64);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A decision to be made. Logs hold these: variants are only ever added at the end, and another change of their shape
/// needs a new version of the log's records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A process has become the leader. Uploads of earlier epochs are over. Answers [`Response::Epoch`].
    BeginEpoch,
    /// Reserves ids that nobody else is ever given. Answers [`Response::Ids`].
    ReserveIds {
        /// How many.
        count: u32,
    },
    /// Blobs are about to be written; they are not condemned from here on. Answers [`Response::Upload`].
    BeginUpload {
        /// Who uploads.
        tenant: TenantId,
        /// The blobs.
        blobs: Vec<BlobKey>,
    },
    /// The blobs of an upload are written: they are this bundle. Answers [`Response::BundleAdded`].
    AddBundle {
        /// Who owns it.
        tenant: TenantId,
        /// The upload, which ends.
        upload: UploadId,
        /// The bundle.
        bundle: BundleRecord,
    },
    /// An upload has failed.
    AbandonUpload {
        /// Who uploads.
        tenant: TenantId,
        /// The upload.
        upload: UploadId,
    },
    /// Forgets a bundle. Its blobs stay while a job that has not ended needs them.
    RemoveBundle {
        /// Who owns it.
        tenant: TenantId,
        /// The bundle.
        bundle: BundleId,
    },
    /// Accepts a job, in `INITIALIZING`, with attempt number 0 given out.
    AddJob {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: Box<JobSubmission>,
    },
    /// A job's status has changed.
    SetJobStatus {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The new status.
        status: JobStatus,
        /// When.
        at: Timestamp,
        /// Why, if there was a failure; `None` keeps the one that is recorded.
        failure: Option<Failure>,
    },
    /// What is to be shown of a job that has ended.
    ArchiveJob {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The details.
        details: Bytes,
    },
    /// Forgets ended jobs that are beyond their retention.
    ExpireJobs {
        /// The time by the proposer's clock.
        now: Timestamp,
        /// How long they stay.
        retention: JobRetention,
    },
    /// Condemned blobs have been deleted.
    BlobsDeleted {
        /// The blobs.
        blobs: Vec<BlobKey>,
    },
    /// A job's tasks run under these attempt numbers from now on.
    RecordAttempts {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The numbers, by vertex: at most [`crate::limits::VERTICES_PER_JOB_MAX`].
        attempts: Vec<u32>,
    },
    /// Checkpoint ids of a job up to this one are given out, if they were not.
    RecordCheckpointId {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The leader that gives them out; refused to an earlier one than the newest.
        epoch: LeaderEpoch,
        /// The highest id.
        checkpoint: u64,
    },
    /// A job's retained checkpoints are these: one may come, and those that are not named go. Once a job has ended none
    /// comes.
    SetCheckpoints {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The leader that decides; refused to an earlier one than the newest.
        epoch: LeaderEpoch,
        /// The checkpoint that is complete now.
        add: Option<Box<CheckpointPointer>>,
        /// Those that are retained from now on, by id.
        retained: BTreeSet<CheckpointId>,
    },
    /// A leader has taken a job over.
    RecordTakeover {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// How.
        takeover: Takeover,
    },
    /// As [`Command::SetCheckpoints`], and the job's code is another one from this checkpoint on.
    CompleteUpgrade {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The leader that decides; refused to an earlier one than the newest.
        epoch: LeaderEpoch,
        /// The checkpoint behind which the code runs.
        add: Box<CheckpointPointer>,
        /// Those that are retained from now on, by id.
        retained: BTreeSet<CheckpointId>,
        /// The code.
        code: Box<JobCode>,
    },
    /// The user wants another parallelism of a job that runs.
    RecordRequirements {
        /// Who owns it.
        tenant: TenantId,
        /// The job.
        job: JobId,
        /// The least and the desired number of subtasks, by vertex: at most [`crate::limits::VERTICES_PER_JOB_MAX`].
        requirements: Vec<(u32, u32)>,
    },
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// Done.
    Done,
    /// The new leader's epoch.
    Epoch(LeaderEpoch),
    /// The reserved ids.
    Ids(Range<u64>),
    /// The upload.
    Upload(UploadId),
    /// The bundle is there.
    BundleAdded {
        /// Whether it was not there before.
        new: bool,
    },
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its answer.
    pub response: Response,
    /// Blobs that nothing needs any more: to be deleted, and then reported by [`Command::BlobsDeleted`].
    pub condemned: Vec<BlobKey>,
    /// Jobs that left the history.
    pub expired: Vec<(TenantId, JobId)>,
    /// Whether the state is another one now.
    pub changed: bool,
}

impl Applied {
    pub(crate) fn new(response: Response) -> Self {
        Self { response, condemned: Vec::new(), expired: Vec::new(), changed: true }
    }

    pub(crate) fn done() -> Self {
        Self::new(Response::Done)
    }

    /// What a decision does that decides nothing.
    pub fn nothing() -> Self {
        Self { changed: false, ..Self::done() }
    }
}
