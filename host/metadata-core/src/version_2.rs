//! The state as version 2 of the log's records has it in a snapshot: jobs had no checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use millrace_types::{BlobKey, BundleId, Digest, Failure, JobId, JobStatus, LeaderEpoch, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::command::UploadId;
use crate::record::{BundleRecord, JobRecord, JobSubmission};
use crate::state::{MetadataState, TenantState};

/// The state of version 2, to be turned into that of today.
#[derive(Debug, Serialize, Deserialize)]
pub struct MetadataStateV2 {
    epoch: LeaderEpoch,
    next_id: u64,
    next_upload: u64,
    tenants: BTreeMap<TenantId, Tenant>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tenant {
    bundles: BTreeMap<BundleId, Arc<BundleRecord>>,
    jobs: BTreeMap<JobId, Job>,
    uploads: BTreeMap<UploadId, BTreeSet<BlobKey>>,
    condemned: BTreeSet<BlobKey>,
    history: BTreeMap<u64, JobId>,
    next_ended: u64,
    unfinished_bytes: u64,
    history_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    submission: JobSubmission,
    components: BTreeMap<String, Digest>,
    highest_attempt: u32,
    status: JobStatus,
    status_times: BTreeMap<JobStatus, Timestamp>,
    failure: Option<Failure>,
    details: Option<Bytes>,
}

impl From<MetadataStateV2> for MetadataState {
    fn from(old: MetadataStateV2) -> Self {
        let tenants = old.tenants.into_iter().map(|(id, tenant)| (id, Arc::new(tenant.into())));
        Self { epoch: old.epoch, next_id: old.next_id, next_upload: old.next_upload, tenants: tenants.collect() }
    }
}

impl From<Tenant> for TenantState {
    fn from(old: Tenant) -> Self {
        Self {
            bundles: old.bundles,
            jobs: old.jobs.into_iter().map(|(id, job)| (id, Arc::new(job.into()))).collect(),
            uploads: old.uploads,
            condemned: old.condemned,
            history: old.history,
            next_ended: old.next_ended,
            unfinished_bytes: old.unfinished_bytes,
            history_bytes: old.history_bytes,
        }
    }
}

impl From<Job> for JobRecord {
    fn from(old: Job) -> Self {
        Self {
            submission: old.submission,
            components: old.components,
            highest_attempt: old.highest_attempt,
            attempts: Vec::new(),
            takeovers: Vec::new(),
            status: old.status,
            status_times: old.status_times,
            failure: old.failure,
            details: old.details,
            checkpoints: Vec::new(),
            highest_checkpoint: 0,
        }
    }
}
