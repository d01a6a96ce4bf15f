//! Uploads and bundles.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_types::{BlobKey, BundleId, TenantId};

use crate::command::{Applied, Response, UploadId};
use crate::limits::{
    BUNDLES_PER_TENANT_MAX, COMPONENTS_PER_BUNDLE_MAX, CONDEMNED_PER_TENANT_MAX, NAME_BYTES_MAX, TENANTS_MAX,
    UPLOADS_PER_TENANT_MAX,
};
use crate::record::{BundleRecord, blobs_of};
use crate::rejection::{Rejection, check_at_most, check_count, check_size};
use crate::state::{MetadataState, TenantState};

impl MetadataState {
    pub(super) fn begin_upload(&mut self, tenant: TenantId, blobs: Vec<BlobKey>) -> Result<Applied, Rejection> {
        let blobs: BTreeSet<BlobKey> = blobs.into_iter().collect();
        match self.tenants.get(&tenant) {
            Some(state) => check_upload(state, &blobs)?,
            None => check_count("tenants", self.tenants.len(), TENANTS_MAX, "remove what a tenant owns")?,
        }
        if let Some(foreign) = blobs.iter().find(|blob| blob.tenant != tenant) {
            return Err(Rejection::ForeignBlob(foreign.clone()));
        }
        // The bundle itself is a blob, too.
        check_at_most("the number of blobs", blobs.len(), COMPONENTS_PER_BUNDLE_MAX + 1)?;
        let upload = UploadId(self.next_upload);
        self.next_upload = self.next_upload.saturating_add(1);
        let state = Arc::make_mut(self.tenants.entry(tenant).or_default());
        state.uploads.insert(upload, blobs);
        Ok(Applied::new(Response::Upload(upload)))
    }

    pub(super) fn add_bundle(
        &mut self,
        tenant: &TenantId,
        upload: UploadId,
        bundle: BundleRecord,
    ) -> Result<Applied, Rejection> {
        let state = self.tenant_with_upload(tenant, upload)?;
        check_bundle(&bundle)?;
        let new = !state.bundles.contains_key(&bundle.id);
        if new {
            check_count("bundles", state.bundles.len(), BUNDLES_PER_TENANT_MAX, "delete some that no job needs")?;
        }
        let pinned = state.uploads.get(&upload).cloned().unwrap_or_default();
        if let Some(missing) = blobs_of(tenant, &bundle.id, &bundle.components).find(|blob| !pinned.contains(blob)) {
            return Err(Rejection::NotUploaded(missing));
        }
        state.uploads.remove(&upload);
        // The same bytes under the same name are the same bundle: the first upload's record stays.
        state.bundles.entry(bundle.id.clone()).or_insert_with(|| Arc::new(bundle));
        let condemned = state.release(tenant, pinned);
        Ok(Applied { condemned, ..Applied::new(Response::BundleAdded { new }) })
    }

    pub(super) fn abandon_upload(&mut self, tenant: &TenantId, upload: UploadId) -> Result<Applied, Rejection> {
        let state = self.tenant_with_upload(tenant, upload)?;
        let pinned = state.uploads.remove(&upload).unwrap_or_default();
        let condemned = state.release(tenant, pinned);
        self.forget_empty_tenants();
        Ok(Applied { condemned, ..Applied::done() })
    }

    pub(super) fn remove_bundle(&mut self, tenant: &TenantId, id: BundleId) -> Result<Applied, Rejection> {
        let Some(state) = self.tenant_mut(tenant) else { return Err(Rejection::NoSuchBundle(id)) };
        let Some(bundle) = state.bundles.remove(&id) else { return Err(Rejection::NoSuchBundle(id)) };
        let condemned = state.release(tenant, blobs_of(tenant, &id, &bundle.components));
        self.forget_empty_tenants();
        Ok(Applied { condemned, ..Applied::done() })
    }
}

fn check_upload(state: &TenantState, blobs: &BTreeSet<BlobKey>) -> Result<(), Rejection> {
    check_count("uploads under way", state.uploads.len(), UPLOADS_PER_TENANT_MAX, "wait until one has ended")?;
    let condemned = state.condemned.len();
    check_count("blobs to be deleted", condemned, CONDEMNED_PER_TENANT_MAX, "wait, or see why the deletion fails")?;
    match blobs.iter().find(|blob| state.condemned.contains(blob)) {
        Some(blob) => Err(Rejection::BlobBeingDeleted(blob.clone())),
        None => Ok(()),
    }
}

fn check_bundle(bundle: &BundleRecord) -> Result<(), Rejection> {
    let names = [("the application's name", &bundle.name), ("the application's version", &bundle.version)];
    let components = bundle.components.keys().map(|name| ("a component's name", name));
    let entry = bundle.entry.iter().map(|name| ("the entry component's name", name));
    for (what, name) in names.into_iter().chain(components).chain(entry) {
        check_size(what, name.len() as u64, NAME_BYTES_MAX as u64)?;
    }
    let count = bundle.components.len();
    check_at_most("the number of components", count, COMPONENTS_PER_BUNDLE_MAX)
}
