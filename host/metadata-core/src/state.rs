//! The state, and how it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_types::{BlobKey, BundleId, JobId, LeaderEpoch, TenantId};
use serde::{Deserialize, Serialize};

use crate::command::UploadId;
use crate::record::{BundleRecord, JobRecord};

/// What the cluster has decided. A clone is cheap: it shares what neither of the two changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataState {
    pub(crate) epoch: LeaderEpoch,
    pub(crate) next_id: u64,
    pub(crate) next_upload: u64,
    /// Tenants that own anything.
    pub(crate) tenants: BTreeMap<TenantId, Arc<TenantState>>,
}

impl Default for MetadataState {
    fn default() -> Self {
        // Ids start at 1, as Flink's checkpoint ids do.
        Self { epoch: LeaderEpoch(0), next_id: 1, next_upload: 1, tenants: BTreeMap::new() }
    }
}

/// What a tenant owns.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TenantState {
    pub(crate) bundles: BTreeMap<BundleId, Arc<BundleRecord>>,
    pub(crate) jobs: BTreeMap<JobId, Arc<JobRecord>>,
    pub(crate) uploads: BTreeMap<UploadId, BTreeSet<BlobKey>>,
    /// Blobs that nothing needs and whose deletion has not been reported.
    pub(crate) condemned: BTreeSet<BlobKey>,
    /// The jobs that have ended, in the order in which they did: no clock is trusted with it.
    pub(crate) history: BTreeMap<u64, JobId>,
    pub(crate) next_ended: u64,
    pub(crate) unfinished_bytes: u64,
    pub(crate) history_bytes: u64,
}

impl TenantState {
    pub(crate) fn is_empty(&self) -> bool {
        self.bundles.is_empty() && self.jobs.is_empty() && self.uploads.is_empty() && self.condemned.is_empty()
    }

    pub(crate) fn unfinished_count(&self) -> usize {
        self.jobs.len() - self.history.len()
    }
}

impl MetadataState {
    /// The newest leader's epoch; 0 before there was one.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The tenants that own anything.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    /// A tenant's bundle.
    pub fn bundle(&self, tenant: &TenantId, id: &BundleId) -> Option<&Arc<BundleRecord>> {
        self.tenants.get(tenant)?.bundles.get(id)
    }

    /// A tenant's bundles, by id.
    pub fn bundles(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<BundleRecord>> {
        self.tenants.get(tenant).into_iter().flat_map(|tenant| tenant.bundles.values())
    }

    /// A tenant's job.
    pub fn job(&self, tenant: &TenantId, id: JobId) -> Option<&Arc<JobRecord>> {
        self.tenants.get(tenant)?.jobs.get(&id)
    }

    /// A tenant's jobs, ended ones included, by id.
    pub fn jobs(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<JobRecord>> {
        self.tenants.get(tenant).into_iter().flat_map(|tenant| tenant.jobs.values())
    }

    /// All jobs that have not ended: a new leader runs them again.
    pub fn unfinished_jobs(&self) -> impl Iterator<Item = (&TenantId, &Arc<JobRecord>)> {
        let jobs = self.tenants.iter().flat_map(|(id, tenant)| tenant.jobs.values().map(move |job| (id, job)));
        jobs.filter(|(_, job)| !job.status.is_terminal())
    }

    /// All blobs whose deletion has been decided but not reported.
    pub fn condemned(&self) -> impl Iterator<Item = &BlobKey> {
        self.tenants.values().flat_map(|tenant| &tenant.condemned)
    }
}
