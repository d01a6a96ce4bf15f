//! The Dispatcher's savepoints: taken, with or without stopping the job, and disposed of; and checkpoints on request.

use millrace_job_core::{Input, StopMode};
use millrace_types::{Failure, FailureKind, JobId, TenantId, TriggerId};

use crate::checkpoint_files;
use crate::checkpoint_folders;
use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::job_master::MasterInput;
use crate::operations::{Kind, OperationKey, Outcome};
use crate::run_settings::RunSettings;
use crate::start;

/// A request for a savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SavepointRequest {
    /// Where its folder is made; the run's or the cluster's folder of savepoints unless stated.
    pub target: Option<String>,
    /// The id to ask for its outcome by; a fresh one unless stated.
    pub trigger: Option<TriggerId>,
    /// Whether the job stops behind it, and whether its sources are drained before.
    pub stop: Option<StopMode>,
}

impl Dispatcher {
    /// Asks for a savepoint. Asking again by the same id begins nothing.
    pub async fn savepoint(
        &self,
        tenant: &TenantId,
        job: JobId,
        request: SavepointRequest,
    ) -> Result<TriggerId, DispatcherError> {
        let info = self.running(tenant, job)?;
        let settings = RunSettings::parse(&info.record.submission.settings)?;
        let options = &self.services.options;
        let configured = match settings.savepoint_dir() {
            Some(stated) => Some(checkpoint_folders::within_roots(&options.file_roots, stated).await?),
            None => options.savepoint_dir.clone(),
        };
        let stated = request.target.as_deref();
        let folder = checkpoint_folders::savepoint_folder(options, configured.as_deref(), stated, job).await?;
        let folder = folder.to_string_lossy().into();
        let stop = request.stop;
        let input = |request| MasterInput::Core(Input::SavepointRequested { request, folder, stop });
        self.ask(tenant, job, Kind::Savepoint, request.trigger, input).await
    }

    /// Asks for a checkpoint now.
    pub async fn checkpoint(
        &self,
        tenant: &TenantId,
        job: JobId,
        trigger: Option<TriggerId>,
    ) -> Result<TriggerId, DispatcherError> {
        self.running(tenant, job)?;
        let input = |request| MasterInput::Core(Input::CheckpointRequested { request });
        self.ask(tenant, job, Kind::Checkpoint, trigger, input).await
    }

    /// What came of a savepoint; `None`: it goes on.
    pub fn savepoint_outcome(
        &self,
        tenant: &TenantId,
        job: JobId,
        trigger: TriggerId,
    ) -> Result<Option<Outcome>, DispatcherError> {
        self.outcome(tenant, Some(job), trigger, Kind::Savepoint)
    }

    /// What came of a checkpoint that was asked for; `None`: it goes on.
    pub fn checkpoint_outcome(
        &self,
        tenant: &TenantId,
        job: JobId,
        trigger: TriggerId,
    ) -> Result<Option<Outcome>, DispatcherError> {
        self.outcome(tenant, Some(job), trigger, Kind::Checkpoint)
    }

    /// Begins to delete a savepoint, or a checkpoint that no job retains any more.
    pub fn dispose(&self, tenant: &TenantId, path: String) -> Result<TriggerId, DispatcherError> {
        let trigger = TriggerId::from_bytes(rand::random());
        let key = OperationKey { tenant: tenant.clone(), job: None, trigger };
        self.services.operations.begin(key.clone(), Kind::Disposal)?;
        let dispatcher = self.clone();
        tokio::spawn(async move {
            let deleted = dispatcher.delete_savepoint(&key.tenant, &path).await;
            dispatcher.services.operations.end(&key, |_| match deleted {
                Ok(()) => Outcome::Disposed,
                Err(error) => Outcome::Failed(Box::new(Failure::new(FailureKind::Checkpoint, error.to_string()))),
            });
        });
        Ok(trigger)
    }

    /// What came of a disposal; `None`: it goes on.
    pub fn disposal_outcome(&self, tenant: &TenantId, trigger: TriggerId) -> Result<Option<Outcome>, DispatcherError> {
        self.outcome(tenant, None, trigger, Kind::Disposal)
    }

    async fn delete_savepoint(&self, tenant: &TenantId, path: &str) -> Result<(), DispatcherError> {
        let (folder, description) = start::named(&self.services, tenant, path).await?;
        if let Some(job) = self.user_of(&folder.to_string_lossy()) {
            return Err(DispatcherError::Conflict(format!(
                "job {job} needs {}: wait until it has ended, or cancel it",
                folder.display()
            )));
        }
        Ok(checkpoint_files::delete_foreign(&folder, &description.checkpoint).await?)
    }

    /// A job that has not ended and that restores from this folder if it fails.
    fn user_of(&self, folder: &str) -> Option<JobId> {
        let state = self.services.metadata.state();
        let uses = |record: &millrace_metadata_core::JobRecord| {
            let own = record.checkpoints.iter().any(|pointer| pointer.folder == folder);
            let settings = RunSettings::parse(&record.submission.settings).unwrap_or_default();
            let named = settings.recovery().path.as_deref().map(|path| path.trim_end_matches("/_metadata"));
            own || (record.checkpoints.is_empty() && named.is_some_and(|named| named.ends_with(folder)))
        };
        state.unfinished_jobs().find(|(_, record)| uses(record)).map(|(_, record)| record.submission.id)
    }
}
