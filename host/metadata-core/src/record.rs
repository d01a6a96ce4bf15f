//! What is recorded of bundles and jobs.

use std::collections::BTreeMap;

use bytes::Bytes;
use millrace_types::{
    BlobKey, BlobKind, BundleId, CheckpointId, Digest, Failure, JobId, JobStatus, LeaderEpoch, SnapshotKind, Takeover,
    TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::limits::CHECKPOINTS_PER_JOB_MAX;

/// An uploaded bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleRecord {
    /// Its id: the digest of its bytes and the file name that it was uploaded under.
    pub id: BundleId,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// When it was uploaded.
    pub uploaded_at: Timestamp,
    /// The application's name in the manifest.
    pub name: String,
    /// The application's version in the manifest.
    pub version: String,
    /// The component with the builder; `None`: the manifest states the graph.
    pub entry: Option<String>,
    /// The digests of its components, by their names in the manifest.
    pub components: BTreeMap<String, Digest>,
}

/// A job as it was submitted: all that a new leader needs to run it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSubmission {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// The bundle that it runs.
    pub bundle: BundleId,
    /// The arguments of its builder.
    pub args: Vec<String>,
    /// The parallelism of nodes that state none.
    pub default_parallelism: u32,
    /// What else the run set, by option name.
    pub settings: BTreeMap<String, String>,
    /// The digest of the StreamGraph.
    pub graph_digest: Digest,
    /// The StreamGraph, opaque here.
    pub stream_graph: Bytes,
    /// The JobGraph, opaque here.
    pub job_graph: Bytes,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// By which leader.
    pub submitted_in: LeaderEpoch,
}

impl JobSubmission {
    /// What it takes, in bytes.
    pub fn bytes(&self) -> u64 {
        let args: usize = self.args.iter().map(String::len).sum();
        let settings: usize = self.settings.iter().map(|(key, value)| key.len() + value.len()).sum();
        (self.name.len() + args + settings + self.stream_graph.len() + self.job_graph.len()) as u64
    }
}

/// The code of a job: what an upgrade replaces of its submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobCode {
    /// The bundle that it runs.
    pub bundle: BundleId,
    /// The arguments of its builder.
    pub args: Vec<String>,
    /// The parallelism of nodes that state none.
    pub default_parallelism: u32,
    /// The digest of the StreamGraph.
    pub graph_digest: Digest,
    /// The StreamGraph, opaque here.
    pub stream_graph: Bytes,
    /// The JobGraph, opaque here.
    pub job_graph: Bytes,
}

impl JobSubmission {
    /// The submission with other code.
    pub(crate) fn with_code(&self, code: JobCode) -> Self {
        let JobCode { bundle, args, default_parallelism, graph_digest, stream_graph, job_graph } = code;
        Self { bundle, args, default_parallelism, graph_digest, stream_graph, job_graph, ..self.clone() }
    }
}

/// A complete checkpoint: all its bytes were durable before this was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPointer {
    /// Its number.
    pub id: CheckpointId,
    /// What it is: a job that claimed a savepoint retains that, too.
    pub kind: SnapshotKind,
    /// The folder that has its metadata, an absolute path.
    pub folder: String,
    /// The size of its metadata, in bytes.
    pub metadata_bytes: u64,
    /// The xxh3_64 of its metadata, with seed 0.
    pub metadata_checksum: u64,
    /// When its last part was acknowledged.
    pub completed_at: Timestamp,
}

/// A job and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job as it was submitted.
    pub submission: JobSubmission,
    /// The digests of its bundle's components: they outlive the bundle's removal while the job runs.
    pub components: BTreeMap<String, Digest>,
    /// The highest attempt number of its tasks that was given out: later ones are higher, whoever the leader is.
    pub highest_attempt: u32,
    /// The attempt numbers of its vertices' tasks that were given out last, in the order of its graph; one that is
    /// missing is 0. A leader adopts no others.
    pub attempts: Vec<u32>,
    /// How leaders took it over, the newest last.
    pub takeovers: Vec<Takeover>,
    /// The least and the desired number of subtasks of each vertex that its user wanted while it ran, in the order of its
    /// graph; empty: those that the graph says.
    pub requirements: Vec<(u32, u32)>,
    /// Its status.
    pub status: JobStatus,
    /// When it last entered each status.
    pub status_times: BTreeMap<JobStatus, Timestamp>,
    /// The last failure that was reported.
    pub failure: Option<Failure>,
    /// What is shown of it once it has ended, opaque here.
    pub details: Option<Bytes>,
    /// Its retained checkpoints, the oldest first. They stay when it has ended until their files are deleted.
    pub checkpoints: Vec<CheckpointPointer>,
    /// The highest checkpoint id that was given out: later ones are higher, whoever the leader is.
    pub highest_checkpoint: u64,
}

impl JobRecord {
    /// When it ended; `None` while it has not.
    pub fn ended_at(&self) -> Option<Timestamp> {
        if self.status.is_terminal() { self.status_times.get(&self.status).copied() } else { None }
    }

    /// What it takes, in bytes; its failure and its checkpoints, bounded by themselves, are not counted.
    pub fn bytes(&self) -> u64 {
        self.submission.bytes() + self.details.as_ref().map_or(0, Bytes::len) as u64
    }
}

impl JobRecord {
    /// Whether the retained checkpoints are in order, within their bounds, and of ids that were given out.
    pub(crate) fn checkpoints_hold(&self) -> bool {
        self.checkpoints.len() <= CHECKPOINTS_PER_JOB_MAX
            && self.checkpoints.is_sorted_by(|a, b| a.id < b.id)
            && self.checkpoints.iter().all(|pointer| pointer.id.0 <= self.highest_checkpoint)
    }
}

/// How long ended jobs are remembered: Flink's `jobstore.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRetention {
    /// The most ended jobs of a tenant: `jobstore.max-capacity`.
    pub capacity_per_tenant: u32,
    /// How long an ended job stays, in milliseconds: `jobstore.expiration-time`.
    pub expiration_ms: u64,
}

impl Default for JobRetention {
    fn default() -> Self {
        Self { capacity_per_tenant: u32::MAX, expiration_ms: 3_600_000 }
    }
}

/// The blobs that a bundle of these components consists of.
pub(crate) fn blobs_of<'a>(
    tenant: &'a TenantId,
    bundle: &BundleId,
    components: &'a BTreeMap<String, Digest>,
) -> impl Iterator<Item = BlobKey> + 'a {
    let key = |kind, digest| BlobKey { tenant: tenant.clone(), kind, digest };
    let whole = key(BlobKind::Bundle, bundle.digest());
    std::iter::once(whole).chain(components.values().map(move |digest| key(BlobKind::Component, *digest)))
}
