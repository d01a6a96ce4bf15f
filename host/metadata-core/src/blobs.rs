//! Which blobs are needed, and which are condemned.

use std::collections::BTreeSet;

use millrace_types::{BlobKey, TenantId};

use crate::record::blobs_of;
use crate::state::TenantState;

impl TenantState {
    /// The blobs that a bundle, an unfinished job or an upload needs.
    pub(crate) fn needed_blobs(&self, tenant: &TenantId) -> BTreeSet<BlobKey> {
        let bundles = self.bundles.values().flat_map(|bundle| blobs_of(tenant, &bundle.id, &bundle.components));
        let jobs = self.jobs.values().filter(|job| !job.status.is_terminal());
        let jobs = jobs.flat_map(|job| blobs_of(tenant, &job.submission.bundle, &job.components));
        bundles.chain(jobs).chain(self.uploads.values().flatten().cloned()).collect()
    }

    /// Condemns those of the blobs that nothing needs, now that somebody needs them no longer. Returns these.
    pub(crate) fn release(&mut self, tenant: &TenantId, blobs: impl IntoIterator<Item = BlobKey>) -> Vec<BlobKey> {
        let needed = self.needed_blobs(tenant);
        let blobs: BTreeSet<BlobKey> = blobs.into_iter().filter(|blob| !needed.contains(blob)).collect();
        blobs.into_iter().filter(|blob| self.condemned.insert(blob.clone())).collect()
    }
}
