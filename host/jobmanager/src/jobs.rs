//! The Dispatcher's jobs: run, list, details, cancel, results, logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millrace_job_core::{Input, JobSpec, JobView, fit_graph};
use millrace_metadata::MetadataError;
use millrace_metadata_core::{Command, JobRecord, JobSubmission, Rejection};
use millrace_protocol::LogRequest;
use millrace_types::{BundleId, JobId, JobStatus, SAVEPOINT_FOLDER_BYTES_MAX, StateBackendKind, TenantId, VertexId};
use tokio::time::Instant;

use crate::clock;
use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::job_master::{self, MasterInput};
use crate::results::{ResultRows, ResultsError};
use crate::run_settings::{RunSettings, is_path_option};
use crate::start;
use crate::views::{note_earlier, view_of_record};

/// The longest value of an option of a run, such as the job's name, in bytes.
const OPTION_BYTES_MAX: usize = 512;

/// The most arguments of a run, and the most bytes of all of them.
const ARGS_MAX: usize = 1_000;
const ARGS_BYTES_MAX: usize = 256 * 1024;

/// The longest that a request for results waits.
const RESULTS_WAIT_MS_MAX: u64 = 30_000;

/// What is read of a job's log on each TaskManager.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// A request to run a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunRequest {
    /// The id that the job is to have; a fresh one unless stated.
    pub job: Option<JobId>,
    /// The component with the builder, if the client names one.
    pub entry: Option<String>,
    /// The application's arguments.
    pub args: Vec<String>,
    /// The parallelism of operators that state none.
    pub parallelism: Option<u32>,
    /// Options of the run.
    pub options: BTreeMap<String, String>,
}

/// A job: what was submitted, and how it stands.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// What was submitted.
    pub record: Arc<JobRecord>,
    /// How it stands.
    pub view: JobView,
}

impl Dispatcher {
    /// Runs a bundle. When this returns the job is in the metadata log: it outlives the client and this process.
    pub async fn run(&self, tenant: &TenantId, id: &BundleId, request: RunRequest) -> Result<JobId, DispatcherError> {
        let services = &self.services;
        let settings = RunSettings::parse(&request.options)?;
        let options = settings.job_options(&services.options)?;
        let checkpoints = settings.checkpoint_options(&services.options)?;
        let start_from = start::start_from(services, tenant, &settings).await?;
        let (plan, parallelism) = self.planned(tenant, id, &request, &settings).await?;
        if let Some(start) = &start_from {
            // The JobMaster fits the graph again; here it is about the client, who is to learn of it at once.
            fit_graph(&plan.job_graph, &start.from.checkpoint, start.allow_non_restored_state)?;
        }
        let job = request.job.unwrap_or_else(|| JobId::from_bytes(rand::random()));
        let folder = start::checkpoint_folder(services, &settings, job).await?;
        let name = settings.name().unwrap_or(&plan.stream_graph.name).to_owned();
        let encode = |error: postcard::Error| DispatcherError::Internal(format!("a graph cannot be encoded: {error}"));
        let submitted_at = clock::now();
        let submission = JobSubmission {
            id: job,
            name: name.clone(),
            bundle: id.clone(),
            args: request.args.clone(),
            default_parallelism: parallelism,
            settings: request.options,
            graph_digest: plan.graph_digest,
            stream_graph: Bytes::from(postcard::to_stdvec(&plan.stream_graph).map_err(encode)?),
            job_graph: Bytes::from(postcard::to_stdvec(&plan.job_graph).map_err(encode)?),
            submitted_at,
            submitted_in: services.epoch,
        };
        let again = submission.clone();
        let command = Command::AddJob { tenant: tenant.clone(), job: Box::new(submission) };
        match services.metadata.propose(command).await {
            Ok(_) => {}
            // A client that did not hear the answer asks again under the id that it chose.
            Err(MetadataError::Rejected(Rejection::JobExists(_))) if self.is_run_again(tenant, &again) => {
                tracing::info!(%tenant, %job, "a job was submitted again");
                let ended = self.job(tenant, job)?.record.status.is_terminal();
                if ended || services.unready.because(job).is_some() || services.registry.get(job).is_some() {
                    return Ok(job);
                }
                // It was stored without this leader's learning of it: nobody runs it yet.
            }
            Err(MetadataError::OutcomeUnknown(reason)) => {
                if services.metadata.barrier().await?.job(tenant, job).is_none() {
                    let text = format!("the job could not be stored and does not run ({reason}): run it again");
                    return Err(DispatcherError::Unavailable(text));
                }
            }
            Err(error) => return Err(error.into()),
        }
        let recorded_attempts = vec![0; plan.job_graph.vertices.len()];
        let spec = JobSpec {
            job,
            tenant: tenant.clone(),
            name,
            graph: Arc::new(plan.job_graph),
            requirements: None,
            components: plan.components,
            graph_digest: plan.graph_digest,
            args: request.args,
            default_parallelism: parallelism,
            // Recorded with the job itself.
            first_attempt: 0,
            recorded_attempts,
            submitted_at,
            adoption: None,
            takeovers: Vec::new(),
            settings: settings.task_settings(&services.options, &checkpoints, &folder),
            checkpoints,
            restored: Vec::new(),
            lost: None,
            // Ids go on behind that of what the job begins with.
            recorded_checkpoint: start_from.as_ref().map_or(0, |start| start.from.checkpoint.id.0),
            start_from,
            options,
        };
        job_master::spawn(services, spec);
        tracing::info!(%tenant, %job, "a job was submitted");
        Ok(job)
    }

    /// Whether a job of the same id was submitted with the same words.
    fn is_run_again(&self, tenant: &TenantId, again: &JobSubmission) -> bool {
        let state = self.services.metadata.state();
        state.job(tenant, again.id).is_some_and(|record| {
            let first = &record.submission;
            let told = (again.submitted_at, again.submitted_in);
            *again == JobSubmission { submitted_at: told.0, submitted_in: told.1, ..first.clone() }
        })
    }

    /// The jobs of a tenant, newest first.
    pub fn jobs(&self, tenant: &TenantId) -> Vec<JobInfo> {
        let state = self.services.metadata.state();
        let mut jobs: Vec<_> = state.jobs(tenant).map(|record| self.job_of(tenant, record)).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.record.submission.submitted_at));
        jobs
    }

    /// What is recorded of the jobs of a tenant: how those stand that have not ended, [`Self::job_of`] says.
    pub fn job_records(&self, tenant: &TenantId) -> Vec<Arc<JobRecord>> {
        self.services.metadata.state().jobs(tenant).cloned().collect()
    }

    /// One job.
    pub fn job(&self, tenant: &TenantId, job: JobId) -> Result<JobInfo, DispatcherError> {
        let state = self.services.metadata.state();
        let record = state.job(tenant, job).ok_or_else(|| no_such_job(job))?;
        Ok(self.job_of(tenant, record))
    }

    /// What a job's keyed state is kept in.
    pub fn state_backend(&self, job: &JobInfo) -> StateBackendKind {
        let stated =
            RunSettings::parse(&job.record.submission.settings).ok().and_then(|settings| settings.state_backend());
        stated.unwrap_or(self.services.options.state_backend)
    }

    /// The job of a record.
    pub fn job_of(&self, tenant: &TenantId, record: &Arc<JobRecord>) -> JobInfo {
        let submission = &record.submission;
        let live = self.services.registry.of_tenant(tenant, submission.id).map(|entry| entry.view.borrow().clone());
        let archived = || record.details.as_ref().and_then(|details| postcard::from_bytes::<JobView>(details).ok());
        let unready = if live.is_none() { self.services.unready.because(submission.id) } else { None };
        let mut view = live.or_else(archived).unwrap_or_else(|| view_of_record(tenant, record));
        if let Some(because) = unready {
            if view.status != JobStatus::Cancelling {
                view.status = JobStatus::Initializing;
            }
            note_earlier(&mut view, &because);
        }
        if let Some(failure) = &record.failure
            && !view.status.is_terminal()
        {
            note_earlier(&mut view, failure);
        }
        // A client that saw the end written must not see the job go on.
        if record.status.is_terminal() && !view.status.is_terminal() {
            view.status = record.status;
            view.timestamps.extend(record.status_times.iter().map(|(status, at)| (*status, *at)));
        }
        JobInfo { record: record.clone(), view }
    }

    /// Cancels a job. The wish is durable when this returns; the job's status tells when its tasks have stopped.
    /// Cancelling a job that has ended does nothing.
    pub async fn cancel(&self, tenant: &TenantId, job: JobId) -> Result<(), DispatcherError> {
        let info = self.job(tenant, job)?;
        if info.record.status.is_terminal() {
            return Ok(());
        }
        let (tenant_id, at) = (tenant.clone(), clock::now());
        let command =
            Command::SetJobStatus { tenant: tenant_id, job, status: JobStatus::Cancelling, at, failure: None };
        if let Err(error) = self.services.metadata.propose(command).await {
            // It may have ended meanwhile, which is as good.
            let ended = self.job(tenant, job).is_ok_and(|info| info.record.status.is_terminal());
            return if ended { Ok(()) } else { Err(error.into()) };
        }
        if let Some(master) = self.services.registry.master(job) {
            job_master::tell(&master, job, Input::CancelRequested).await;
        }
        Ok(())
    }

    /// Waits until a job's end is durable, and says how it ended.
    ///
    /// # Errors
    /// If there is no such job.
    pub async fn wait_until_ended(&self, tenant: &TenantId, job: JobId) -> Result<JobStatus, DispatcherError> {
        loop {
            let status = self.job(tenant, job)?.record.status;
            if status.is_terminal() {
                return Ok(status);
            }
            self.services.unready.wait_for(job).await;
            let Some(mut entry) = self.services.registry.of_tenant(tenant, job) else {
                if self.job(tenant, job)?.record.status.is_terminal() {
                    continue;
                }
                return Err(DispatcherError::Internal(format!("job {job} has no JobMaster and has not ended")));
            };
            // An error means that the JobMaster is gone: then the record tells.
            let _ = entry.view.wait_for(|view| view.status.is_terminal()).await;
            if !self.job(tenant, job)?.record.status.is_terminal() {
                return Err(DispatcherError::Internal(format!("the JobMaster of job {job} is gone")));
            }
        }
    }

    /// Rows of a job's `collect` sinks from a position on; waits up to `wait_ms` until there are any.
    pub async fn results(
        &self,
        tenant: &TenantId,
        job: JobId,
        from: u64,
        wait_ms: u64,
    ) -> Result<ResultRows, DispatcherError> {
        self.job(tenant, job)?;
        let deadline = Instant::now() + Duration::from_millis(wait_ms.min(RESULTS_WAIT_MS_MAX));
        let ready = tokio::time::timeout_at(deadline, self.services.unready.wait_for(job)).await;
        let Some(entry) = self.services.registry.of_tenant(tenant, job) else {
            return Ok(ResultRows { rows: Vec::new(), next: from, end: ready.is_ok() });
        };
        let found = entry.results.fetch(from, deadline).await;
        let found = found.map_err(|error| match error {
            ResultsError::Gone { .. } => DispatcherError::Invalid(error.to_string()),
            ResultsError::Restarted => DispatcherError::Conflict(error.to_string()),
        })?;
        // A JobMaster that has ended has no sinks that wait.
        let _ = entry.master.send(MasterInput::ResultsFetched).await;
        Ok(found)
    }

    /// The newest lines of the logs of a job's tasks, TaskManager by TaskManager: of all of them, of those of one vertex,
    /// or of one subtask.
    pub async fn task_log(
        &self,
        tenant: &TenantId,
        job: JobId,
        vertex: Option<VertexId>,
        subtask: Option<u32>,
    ) -> Result<String, DispatcherError> {
        self.job(tenant, job)?;
        let wanted = LogRequest { tenant: tenant.clone(), job, vertex, subtask, bytes_max: LOG_BYTES_MAX };
        let mut log = String::new();
        for gateway in self.services.gateways.all() {
            match gateway.task_log(&wanted).await {
                Ok(found) => log.push_str(&found),
                Err(error) => tracing::warn!(%error, "logs could not be fetched"),
            }
        }
        Ok(log)
    }
}

fn option_bytes_max(key: &str) -> usize {
    if is_path_option(key) { SAVEPOINT_FOLDER_BYTES_MAX } else { OPTION_BYTES_MAX }
}

fn no_such_job(job: JobId) -> DispatcherError {
    DispatcherError::NotFound(format!("Job {job} not found"))
}

impl RunRequest {
    /// Bounds what is recorded of a run.
    pub(crate) fn check_size(&self) -> Result<(), DispatcherError> {
        let bytes: usize = self.args.iter().map(String::len).sum();
        if self.args.len() > ARGS_MAX || bytes > ARGS_BYTES_MAX {
            return Err(DispatcherError::Invalid(format!(
                "the run has {} arguments of {bytes} bytes: there may be {ARGS_MAX} of {ARGS_BYTES_MAX} bytes in all; \
                 put long input into a file and name that",
                self.args.len()
            )));
        }
        for (key, value) in &self.options {
            let (length, max) = (value.len(), option_bytes_max(key));
            if length > max {
                let text = format!("an option of the run is {length} bytes long: {max} are allowed");
                return Err(DispatcherError::Invalid(text));
            }
        }
        Ok(())
    }

    /// Checks the entry component that a client names against the bundle's.
    pub(crate) fn check_entry(&self, entry: Option<&str>) -> Result<(), DispatcherError> {
        let Some(stated) = self.entry.as_deref().filter(|stated| Some(*stated) != entry) else { return Ok(()) };
        let there = entry
            .map_or_else(|| "its manifest states the graph".to_owned(), |entry| format!("its entry is \"{entry}\""));
        Err(DispatcherError::Invalid(format!("the bundle has no entry component \"{stated}\"; {there}")))
    }
}
