//! Why a command is refused.

use millrace_types::{BlobKey, BundleId, CheckpointId, JobId, JobStatus, LeaderEpoch};

use crate::command::UploadId;

/// Why a command is refused. It has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The tenant has no such bundle.
    #[error("there is no bundle {0}: upload it first")]
    NoSuchBundle(BundleId),
    /// The tenant has no such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The tenant has no such upload, or it belonged to an earlier leader.
    #[error("there is no upload {0}: it was ended or a new leader has begun; upload the bundle again")]
    NoSuchUpload(UploadId),
    /// A bundle or an upload names a blob that its upload does not have.
    #[error("the blob {0} is not part of the upload")]
    NotUploaded(BlobKey),
    /// A blob of another tenant.
    #[error("the blob {0} belongs to another tenant")]
    ForeignBlob(BlobKey),
    /// The blob is condemned and its deletion not yet reported.
    #[error("the blob {0} is being deleted: try again in a moment")]
    BlobBeingDeleted(BlobKey),
    /// The id is taken.
    #[error("there is already a job {0}")]
    JobExists(JobId),
    /// The job has ended, which is final.
    #[error("the job {job} has ended as {status}, which is final")]
    JobEnded {
        /// The job.
        job: JobId,
        /// How it ended.
        status: JobStatus,
    },
    /// The job has not ended.
    #[error("the job {job} is {status}: only a job that has ended is archived")]
    JobNotEnded {
        /// The job.
        job: JobId,
        /// Its status.
        status: JobStatus,
    },
    /// Another process leads by now.
    #[error("the leader of epoch {} has been replaced by that of epoch {}", stale.0, newest.0)]
    StaleEpoch {
        /// Who asks.
        stale: LeaderEpoch,
        /// The newest.
        newest: LeaderEpoch,
    },
    /// A checkpoint that is to be retained is not there, or another one of its id is.
    #[error("the job {job} has no such checkpoint {checkpoint} to retain")]
    NoSuchCheckpoint {
        /// The job.
        job: JobId,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// A later checkpoint is there already.
    #[error("the job {job} has a later checkpoint than {checkpoint}")]
    OlderCheckpoint {
        /// The job.
        job: JobId,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Something is larger than it may be.
    #[error("{what}: {actual} bytes, where {limit} are allowed")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size, in bytes.
        actual: u64,
        /// Its limit, in bytes.
        limit: u64,
    },
    /// There are as many as there may be.
    #[error("there are already {limit} {what}: {remedy}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What makes room.
        remedy: &'static str,
    },
    /// A value that no caller should send.
    #[error("{what} is {actual}, and has to be from {min} to {max}")]
    OutOfRange {
        /// What it is.
        what: &'static str,
        /// Its value.
        actual: u64,
        /// The smallest that is allowed.
        min: u64,
        /// The largest that is allowed.
        max: u64,
    },
}

impl Rejection {
    /// Whether the command names something that is not there.
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NoSuchBundle(_) | Self::NoSuchJob(_) | Self::NoSuchUpload(_))
    }

    /// Whether the same command can be accepted a moment later without anybody's doing.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::BlobBeingDeleted(_))
    }
}

/// Refuses more than `limit` bytes.
pub(crate) fn check_size(what: &'static str, actual: u64, limit: u64) -> Result<(), Rejection> {
    if actual > limit { Err(Rejection::TooLarge { what, actual, limit }) } else { Ok(()) }
}

/// Refuses more than `max` of something.
pub(crate) fn check_at_most(what: &'static str, actual: usize, max: usize) -> Result<(), Rejection> {
    let (actual, max) = (actual as u64, max as u64);
    if actual > max { Err(Rejection::OutOfRange { what, actual, min: 0, max }) } else { Ok(()) }
}

/// Refuses one more where there are `limit` already.
pub(crate) fn check_count(
    what: &'static str,
    count: usize,
    limit: usize,
    remedy: &'static str,
) -> Result<(), Rejection> {
    if count >= limit { Err(Rejection::TooMany { what, limit: limit as u64, remedy }) } else { Ok(()) }
}
