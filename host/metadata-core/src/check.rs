//! The invariants, as a check: whoever restores a state from a disk or a peer calls it, and so do the tests.

use std::collections::BTreeSet;

use millrace_types::{JobId, TenantId};

use crate::limits::{
    BUNDLES_PER_TENANT_MAX, HISTORY_BYTES_PER_TENANT_MAX, HISTORY_JOBS_PER_TENANT_MAX, TENANTS_MAX,
    UNFINISHED_BYTES_PER_TENANT_MAX, UNFINISHED_JOBS_PER_TENANT_MAX, UPLOADS_PER_TENANT_MAX,
};
use crate::state::{MetadataState, TenantState};

impl MetadataState {
    /// Whether the state keeps its promises.
    ///
    /// # Errors
    /// Which promise is broken, and for whom.
    pub fn check(&self) -> Result<(), String> {
        if self.tenants.len() > TENANTS_MAX {
            return Err(format!("{} tenants", self.tenants.len()));
        }
        for (id, tenant) in &self.tenants {
            tenant.check(id).map_err(|broken| format!("tenant {id}: {broken}"))?;
            if let Some((upload, _)) = tenant.uploads.last_key_value()
                && upload.0 >= self.next_upload
            {
                return Err(format!("tenant {id}: upload {upload} is yet to come"));
            }
        }
        Ok(())
    }
}

impl TenantState {
    fn check(&self, tenant: &TenantId) -> Result<(), String> {
        let hold = |holds: bool, promise: &str| if holds { Ok(()) } else { Err(promise.to_owned()) };
        hold(!self.is_empty(), "it owns nothing")?;
        hold(self.bundles.iter().all(|(id, bundle)| *id == bundle.id), "a bundle under another id")?;
        hold(self.jobs.iter().all(|(id, job)| *id == job.submission.id), "a job under another id")?;
        hold(self.needed_blobs(tenant).is_disjoint(&self.condemned), "a condemned blob is needed")?;
        let blobs = self.uploads.values().flatten().chain(&self.condemned);
        hold(blobs.into_iter().all(|blob| blob.tenant == *tenant), "a blob of another tenant")?;

        let ended = self.jobs.values().filter(|job| job.status.is_terminal());
        let ended: BTreeSet<JobId> = ended.map(|job| job.submission.id).collect();
        let remembered: BTreeSet<JobId> = self.history.values().copied().collect();
        hold(ended == remembered && remembered.len() == self.history.len(), "the history is not that of its jobs")?;
        hold(self.history.keys().all(|place| *place < self.next_ended), "the history is ahead of itself")?;
        hold(self.jobs.values().all(|job| job.status_times.contains_key(&job.status)), "a job's status has no time")?;
        hold(
            self.jobs.values().all(|job| job.details.is_none() || job.status.is_terminal()),
            "a job is archived that has not ended",
        )?;
        hold(self.jobs.values().all(|job| job.checkpoints_hold()), "a job's checkpoints are not in order")?;
        let bytes = |terminal: bool| -> u64 {
            self.jobs.values().filter(|job| job.status.is_terminal() == terminal).map(|job| job.bytes()).sum()
        };
        hold(bytes(false) == self.unfinished_bytes, "the unfinished jobs' bytes are miscounted")?;
        hold(bytes(true) == self.history_bytes, "the history's bytes are miscounted")?;

        hold(self.bundles.len() <= BUNDLES_PER_TENANT_MAX, "too many bundles")?;
        hold(self.uploads.len() <= UPLOADS_PER_TENANT_MAX, "too many uploads")?;
        hold(self.unfinished_count() <= UNFINISHED_JOBS_PER_TENANT_MAX, "too many unfinished jobs")?;
        hold(self.unfinished_bytes <= UNFINISHED_BYTES_PER_TENANT_MAX, "too large unfinished jobs")?;
        hold(self.history.len() <= HISTORY_JOBS_PER_TENANT_MAX, "too long a history")?;
        hold(self.history_bytes <= HISTORY_BYTES_PER_TENANT_MAX, "too large a history")
    }
}
