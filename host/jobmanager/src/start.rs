//! What a job begins with: a savepoint or retained checkpoint that its run names, or its own newest checkpoint.

use std::sync::Arc;

use millrace_job_core::{StartFrom, StoredCheckpoint};
use millrace_metadata_core::JobRecord;
use millrace_storage::{StorageAccess, StorageLocation};
use millrace_types::{Failure, FailureKind, JobId, TenantId};

use crate::checkpoint_files::{self, Description};
use crate::checkpoint_folders::{self, RestoreFolder};
use crate::cluster::Services;
use crate::error::DispatcherError;
use crate::run_settings::{ClaimMode, RunSettings};

/// The folder that a run's checkpoints are written into.
pub(crate) async fn checkpoint_folder(
    services: &Services,
    settings: &RunSettings,
    job: JobId,
) -> Result<StorageLocation, DispatcherError> {
    let options = &services.options;
    let parent = match settings.checkpoint_dir() {
        Some(stated) => checkpoint_folders::within_roots(options, stated).await?,
        None => options.checkpoint_dir.clone(),
    };
    Ok(parent.join(&job.to_string()))
}

/// Reads what a client named as a savepoint.
pub(crate) async fn named(
    services: &Services,
    tenant: &TenantId,
    path: &str,
) -> Result<(StorageLocation, Description), DispatcherError> {
    let RestoreFolder { location: folder, own_only } =
        checkpoint_folders::restore_folder(&services.options, path).await?;
    let missing =
        |why: String| DispatcherError::Invalid(format!("there is no savepoint or checkpoint at {path}: {why}"));
    let found = checkpoint_files::read_foreign(&services.options.storage, &folder).await;
    let found = found.map_err(|failure| match (&folder, failure.kind) {
        // It may well be there.
        (StorageLocation::S3 { .. }, FailureKind::Checkpoint) => DispatcherError::Unavailable(failure.to_string()),
        _ => missing(failure.to_string()),
    })?;
    if own_only && found.tenant != *tenant {
        // As if it were not there.
        return Err(missing(format!("{folder}/_metadata is missing")));
    }
    Ok((folder, found))
}

/// What a run begins with, if it names anything.
pub(crate) async fn start_from(
    services: &Services,
    tenant: &TenantId,
    settings: &RunSettings,
) -> Result<Option<StartFrom>, DispatcherError> {
    let recovery = settings.recovery();
    let Some(path) = recovery.path.as_deref() else { return Ok(None) };
    let (folder, description) = named(services, tenant, path).await?;
    let location = folder.to_string().into();
    Ok(Some(StartFrom {
        from: StoredCheckpoint { checkpoint: Arc::new(description.checkpoint), location },
        allow_non_restored_state: recovery.allow_non_restored_state,
        claim: recovery.claim == ClaimMode::Claim,
    }))
}

/// A job's own checkpoints that can be read, the newest last. One that cannot is passed over, and the job goes back to
/// the one before: then also what is to be said of that.
///
/// # Errors
/// It had some and none can be read: to begin anew would lose its state without a word. Or one could not be read just now.
pub(crate) async fn retained(
    storage: &StorageAccess,
    record: &JobRecord,
) -> Result<(Vec<StoredCheckpoint>, Option<Failure>), Failure> {
    let job = record.submission.id;
    let mut found = Vec::with_capacity(record.checkpoints.len());
    let mut lost = None;
    for pointer in &record.checkpoints {
        match checkpoint_files::read_pointer(storage, job, pointer).await {
            Ok(stored) => found.push(stored),
            // It may well be whole. What came after an earlier one may be visible to others already.
            Err(failure) if failure.kind != FailureKind::StateUnreadable => return Err(failure),
            Err(failure) => {
                tracing::error!(%job, checkpoint = %pointer.id, %failure, "a retained checkpoint cannot be restored");
                lost = Some((pointer.id, failure));
            }
        }
    }
    match lost {
        Some((id, failure)) if found.is_empty() => {
            let message = format!(
                "none of the job's {} retained checkpoints can be read; the newest, {id}: {}",
                record.checkpoints.len(),
                failure.message
            );
            Err(Failure::new(FailureKind::StateUnreadable, message).with_remedy(
                "see that the checkpoint folder is there and whole, then run the job again with -s and a checkpoint's \
                 or savepoint's folder, or without it to begin anew",
            ))
        }
        Some((id, failure)) => {
            let message = format!("checkpoint {id} cannot be restored, and an earlier one is: {}", failure.message);
            Ok((found, Some(Failure::new(FailureKind::StateUnreadable, message))))
        }
        None => Ok((found, None)),
    }
}
