//! The Dispatcher's bundles: upload, list, delete, plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_metadata_core::{BundleRecord, Command, Response};
use millrace_storage::{BlobStore, Bundle, BundleError, Manifest, StorageError, read_bundle};
use millrace_types::{BlobKey, BlobKind, BundleId, Digest, Failure, FailureKind, TenantId};

use crate::cluster::Services;
use crate::dispatcher::Dispatcher;
use crate::error::{DispatcherError, lost_task};
use crate::jobs::RunRequest;
use crate::planner::Plan;
use crate::run_settings::RunSettings;
use crate::{clock, recovery};

impl Dispatcher {
    /// Takes a bundle: checks and compiles it, stores its bytes, then enters it. The same bytes under the same name give
    /// the same bundle again.
    pub async fn upload_bundle(
        &self,
        tenant: &TenantId,
        file_name: &str,
        bytes: Bytes,
    ) -> Result<Arc<BundleRecord>, DispatcherError> {
        let services = &self.services;
        let bundle = read(services, file_name.to_owned(), bytes).await?;
        services.planner.check(tenant, &bundle).await?;
        let id = BundleId::new(bundle.digest, file_name);
        let blobs = blobs_of(tenant, &bundle);
        let keys = blobs.iter().map(|(key, _)| key.clone()).collect();
        let begun = services.metadata.propose(Command::BeginUpload { tenant: tenant.clone(), blobs: keys }).await?;
        let Response::Upload(upload) = begun.response else {
            return Err(DispatcherError::Internal("an upload was not given an id".to_owned()));
        };
        let record = BundleRecord {
            id: id.clone(),
            size_bytes: bundle.bytes.len() as u64,
            uploaded_at: clock::now(),
            name: bundle.manifest.application.name.clone(),
            version: bundle.manifest.application.version.clone(),
            entry: bundle.manifest.application.entry.clone(),
            components: bundle.components.iter().map(|(name, part)| (name.clone(), part.digest)).collect(),
        };
        let entered = async {
            for (key, bytes) in blobs {
                services.blobs.put(tenant, key.kind, bytes).await?;
            }
            let command = Command::AddBundle { tenant: tenant.clone(), upload, bundle: record };
            Ok::<_, DispatcherError>(services.metadata.propose(command).await?)
        };
        if let Err(error) = entered.await {
            let abandon = Command::AbandonUpload { tenant: tenant.clone(), upload };
            match services.metadata.propose(abandon).await {
                Ok(applied) => recovery::settle(services, applied).await,
                // The next start abandons it.
                Err(abandoned) => tracing::warn!(error = %abandoned, "a failed upload could not be abandoned"),
            }
            return Err(error);
        }
        self.bundle(tenant, &id)
    }

    /// A bundle.
    pub fn bundle(&self, tenant: &TenantId, id: &BundleId) -> Result<Arc<BundleRecord>, DispatcherError> {
        let state = self.services.metadata.state();
        state.bundle(tenant, id).cloned().ok_or_else(|| no_such_bundle(&id.to_string()))
    }

    /// The bundles of a tenant, newest first.
    pub fn bundles(&self, tenant: &TenantId) -> Vec<Arc<BundleRecord>> {
        let mut bundles: Vec<_> = self.services.metadata.state().bundles(tenant).cloned().collect();
        bundles.sort_by_key(|bundle| std::cmp::Reverse(bundle.uploaded_at));
        bundles
    }

    /// Removes a bundle; jobs that run from it go on.
    pub async fn delete_bundle(&self, tenant: &TenantId, id: &BundleId) -> Result<(), DispatcherError> {
        let command = Command::RemoveBundle { tenant: tenant.clone(), bundle: id.clone() };
        let applied = self.services.metadata.propose(command).await?;
        recovery::settle(&self.services, applied).await;
        Ok(())
    }

    /// What a bundle says of itself.
    pub async fn manifest(&self, tenant: &TenantId, id: &BundleId) -> Result<Manifest, DispatcherError> {
        self.bundle(tenant, id)?;
        Ok(stored_bundle(&self.services, tenant, id.digest()).await?.manifest)
    }

    /// What a run of a bundle would do.
    pub async fn plan(&self, tenant: &TenantId, id: &BundleId, request: &RunRequest) -> Result<Plan, DispatcherError> {
        let settings = RunSettings::parse(&request.options)?;
        self.planned(tenant, id, request, &settings).await.map(|(plan, _)| plan)
    }

    /// The plan of a run, and its parallelism: the run's own, else the manifest's, else the cluster's.
    pub(crate) async fn planned(
        &self,
        tenant: &TenantId,
        id: &BundleId,
        request: &RunRequest,
        settings: &RunSettings,
    ) -> Result<(Plan, u32), DispatcherError> {
        request.check_size()?;
        self.bundle(tenant, id)?;
        let bundle = stored_bundle(&self.services, tenant, id.digest()).await?;
        let application = &bundle.manifest.application;
        request.check_entry(application.entry.as_deref())?;
        let stated = request.parallelism.or(settings.parallelism()).or(application.parallelism);
        let parallelism = stated.unwrap_or(self.services.options.default_parallelism);
        let plan = self.services.planner.plan(tenant, &bundle, &request.args, parallelism).await?;
        Ok((plan, parallelism))
    }
}

pub(crate) fn no_such_bundle(id: &str) -> DispatcherError {
    DispatcherError::NotFound(format!("Bundle {id} does not exist: GET /jars lists those that do"))
}

/// Reads a bundle, which takes processor time.
async fn read(services: &Services, file_name: String, bytes: Bytes) -> Result<Bundle, DispatcherError> {
    let limits = services.options.bundle_limits.clone();
    let read = tokio::task::spawn_blocking(move || read_bundle(bytes, &file_name, &limits)).await;
    let refused = |error: BundleError| DispatcherError::Invalid(format!("{}: {error}", error.code()));
    read.map_err(|error| lost_task(&error))?.map_err(refused)
}

/// The bytes of a bundle and of each of its components, by the keys under which they are stored.
fn blobs_of(tenant: &TenantId, bundle: &Bundle) -> Vec<(BlobKey, Bytes)> {
    let mut blobs = BTreeMap::new();
    let key = |kind, digest| BlobKey { tenant: tenant.clone(), kind, digest };
    blobs.insert(key(BlobKind::Bundle, bundle.digest), bundle.bytes.clone());
    for component in bundle.components.values() {
        blobs.insert(key(BlobKind::Component, component.digest), component.bytes.clone());
    }
    blobs.into_iter().collect()
}

/// Reads a stored bundle again.
pub(crate) async fn stored_bundle(services: &Services, tenant: &TenantId, digest: Digest) -> Result<Bundle, Failure> {
    let key = BlobKey { tenant: tenant.clone(), kind: BlobKind::Bundle, digest };
    let bytes = services.blobs.get(&key).await.map_err(|error| lost_blob(&error))?;
    // The name matters for bare components only, whose application is named by the record.
    let name = services
        .metadata
        .state()
        .bundles(tenant)
        .find(|bundle| bundle.id.digest() == digest)
        .map_or_else(|| "bundle.mrb".to_owned(), |bundle| bundle.id.file_name().to_owned());
    read(services, name, bytes).await.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))
}

/// The bytes of a component.
pub(crate) async fn component_bytes(blobs: &BlobStore, tenant: &TenantId, digest: Digest) -> Result<Bytes, Failure> {
    let key = BlobKey { tenant: tenant.clone(), kind: BlobKind::Component, digest };
    blobs.get(&key).await.map_err(|error| lost_blob(&error))
}

fn lost_blob(error: &StorageError) -> Failure {
    match error {
        StorageError::Missing { .. } | StorageError::Corrupt { .. } => {
            Failure::new(FailureKind::Internal, error.to_string()).with_remedy("upload the bundle again")
        }
        // It may well be there.
        _ => Failure::new(FailureKind::Storage, error.to_string()),
    }
}

/// Deletes blobs whose deletion the metadata has decided, and says so.
pub(crate) async fn delete_blobs(services: &Services, condemned: Vec<BlobKey>) {
    let mut deleted = Vec::new();
    for key in condemned {
        match services.blobs.delete(&key).await {
            Ok(()) => deleted.push(key),
            // The next start tries again.
            Err(error) => tracing::warn!(blob = %key, %error, "a blob could not be deleted"),
        }
    }
    if deleted.is_empty() {
        return;
    }
    if let Err(error) = services.metadata.propose(Command::BlobsDeleted { blobs: deleted }).await {
        tracing::warn!(%error, "deleted blobs could not be marked as deleted");
    }
}
