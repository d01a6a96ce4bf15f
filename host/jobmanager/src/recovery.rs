//! What a JobManager does when it starts: finish what an earlier life left undone.
//!
//! Invariant: a job does not fail because its bundle, its checkpoints or what it began with cannot be read for a while.
//! Such a job waits for its JobMaster ([`unready`]).

mod unready;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use millrace_graph::JobGraph;
use millrace_job_core::{AdoptionOptions, JobSpec, ParallelismBounds, Retention};
use millrace_metadata::MetadataError;
use millrace_metadata_core::{Applied, Command, JobRecord};
use millrace_protocol::ComponentRef;
use millrace_types::{Digest, Failure, FailureKind, JobStatus, TenantId};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::cluster::Services;
use crate::error::DispatcherError;
use crate::run_settings::RunSettings;
use crate::{bundles, clock, job_master, start};
pub(crate) use unready::Unready;
use unready::UnreadyJob;

/// Jobs that are made ready to run again at once.
const RESUMED_AT_ONCE: usize = 32;

/// How long a new leader waits for its jobs to be ready before it begins without the others: less than TaskManagers wait
/// for it (`taskmanager.leader-loss.timeout`) before they stop all tasks.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// How long to wait before the end of a job that could not be written is written again.
const WRITE_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Deletes what an earlier leader left. Nobody waits for that: it takes long where storage does not answer.
pub(crate) fn clean_up(services: &Arc<Services>) {
    let services = services.clone();
    tokio::spawn(async move {
        delete_condemned(&services).await;
        delete_leftovers(&services).await;
    });
}

/// Deletes blobs whose deletion was decided but perhaps not carried out.
async fn delete_condemned(services: &Services) {
    let condemned: Vec<_> = services.metadata.state().condemned().cloned().collect();
    bundles::delete_blobs(services, condemned).await;
}

/// Lets go of ended jobs beyond the retention, here and in memory.
pub(crate) async fn expire_jobs(services: &Services) {
    let command = Command::ExpireJobs { now: clock::now(), retention: services.options.retention };
    match services.metadata.propose(command).await {
        Ok(applied) => settle(services, applied).await,
        Err(error) => tracing::warn!(%error, "old jobs could not be expired"),
    }
}

/// Carries out what a command has decided to let go of.
pub(crate) async fn settle(services: &Services, applied: Applied) {
    for (_, job) in &applied.expired {
        services.registry.forget(*job);
    }
    bundles::delete_blobs(services, applied.condemned).await;
}

/// Deletes the checkpoints of jobs that had finished or were cancelled and keep none. Those of a job that failed are left
/// where a crash came between its end and their deletion: they may be all that is left of its state.
async fn delete_leftovers(services: &Services) {
    let state = services.metadata.state();
    for tenant in state.tenants() {
        for record in state.jobs(tenant).filter(|record| !record.checkpoints.is_empty()) {
            let Ok(settings) = RunSettings::parse(&record.submission.settings) else { continue };
            let retention = settings.checkpoint_options(&services.options).map(|options| options.retention);
            let keeps = match record.status {
                JobStatus::Finished => false,
                JobStatus::Canceled => retention.is_ok_and(|retention| retention == Retention::RetainOnCancellation),
                _ => true,
            };
            let job = record.submission.id;
            if let (false, Ok(folder)) = (keeps, start::checkpoint_folder(services, &settings, job).await) {
                job_master::delete_all(services, tenant, job, &folder).await;
            }
        }
    }
}

/// Runs every job again that had not ended, from its newest checkpoint if it has any.
///
/// All of them have their JobMasters when this returns, but for those whose storage does not answer: what a TaskManager says
/// of a job that has none is taken for a stray's. Clients wait for this, so it is done for many jobs at once.
pub(crate) async fn resume_jobs(services: &Arc<Services>) {
    let state = services.metadata.state();
    let known = Arc::new(KnownComponents::default());
    let deadline = Instant::now() + READY_WITHIN;
    let jobs = state.unfinished_jobs().map(|(tenant, record)| {
        let (services, known) = (services.clone(), known.clone());
        let (tenant, record) = (tenant.clone(), record.clone());
        async move {
            let job = record.submission.id;
            let resumed = tokio::time::timeout_at(deadline, resume(&services, &known, &tenant, &record)).await;
            let late = || {
                let message = format!("what it needs could not be read within {} s", READY_WITHIN.as_secs());
                Failure::new(FailureKind::Storage, message)
            };
            let because = resumed.unwrap_or_else(|_| Err(late())).err()?;
            Some(UnreadyJob { tenant, job, because })
        }
    });
    let unready = futures::stream::iter(jobs.collect::<Vec<_>>()).buffer_unordered(RESUMED_AT_ONCE);
    let unready: Vec<_> = unready.filter_map(std::future::ready).collect().await;
    unready::resume_later(services, unready);
}

/// What is known of a bundle's components, by their names.
type Components = BTreeMap<String, ComponentRef>;

/// What one look at a bundle brings: all who need it wait for the first.
type Look = Arc<OnceCell<Result<Components, Failure>>>;

/// The components of the bundles that were looked at: many jobs may run one.
#[derive(Default)]
struct KnownComponents(Mutex<BTreeMap<(TenantId, Digest), Look>>);

impl KnownComponents {
    async fn of(&self, services: &Services, tenant: &TenantId, bundle: Digest) -> Result<Components, Failure> {
        let cell = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry((tenant.clone(), bundle)).or_default().clone()
        };
        let looked_at = cell.get_or_init(|| async {
            let bundle = bundles::stored_bundle(services, tenant, bundle).await?;
            services.planner.component_refs(&bundle).await
        });
        looked_at.await.clone()
    }
}

/// Makes a job run again, or ends it if it cannot.
///
/// # Errors
/// What keeps it from either for now.
async fn resume(
    services: &Arc<Services>,
    known: &KnownComponents,
    tenant: &TenantId,
    record: &JobRecord,
) -> Result<(), Failure> {
    let job = record.submission.id;
    if record.status == JobStatus::Cancelling {
        end(services, tenant, record, JobStatus::Canceled, None).await;
        return Ok(());
    }
    match spec_of(services, known, tenant, record).await {
        Ok(spec) => {
            tracing::info!(%job, name = %spec.name, "an unfinished job runs again");
            job_master::spawn(services, spec);
        }
        Err(failure) if may_pass(&failure) => return Err(failure),
        Err(failure) => {
            tracing::error!(%job, %failure, "an unfinished job cannot run again");
            end(services, tenant, record, JobStatus::Failed, Some(failure)).await;
        }
    }
    Ok(())
}

/// Whether what was to be read may well be there. What is missing or damaged is of other kinds.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Storage | FailureKind::Checkpoint)
}

/// Writes the end of a job that has no JobMaster: nobody else would.
async fn end(services: &Services, tenant: &TenantId, record: &JobRecord, status: JobStatus, failure: Option<Failure>) {
    let (at, job) = (clock::now(), record.submission.id);
    let command = Command::SetJobStatus { tenant: tenant.clone(), job, status, at, failure };
    // The tenure ends this if the group does not come back.
    while let Err(error) = services.metadata.propose(command.clone()).await {
        tracing::error!(%job, %error, "the end of a job could not be written");
        if matches!(error, MetadataError::Rejected(_)) {
            return;
        }
        tokio::time::sleep(WRITE_RETRY_DELAY).await;
    }
}

/// The attempt numbers that were given out last, by vertex.
fn recorded_attempts(record: &JobRecord, graph: &JobGraph) -> Vec<u32> {
    let recorded = record.attempts.iter().copied().chain(std::iter::repeat(0));
    recorded.take(graph.vertices.len()).collect()
}

/// What the user wanted of the job's parallelism, if that still names the vertices that there are.
fn requirements(record: &JobRecord, graph: &JobGraph) -> Option<Vec<ParallelismBounds>> {
    let recorded = record.requirements.iter().map(|(lower, upper)| ParallelismBounds { lower: *lower, upper: *upper });
    Some(recorded.collect::<Vec<_>>()).filter(|bounds| bounds.len() == graph.vertices.len())
}

/// What a JobMaster needs, from what was written about the job.
async fn spec_of(
    services: &Services,
    known: &KnownComponents,
    tenant: &TenantId,
    record: &JobRecord,
) -> Result<JobSpec, Failure> {
    let submission = &record.submission;
    let graph: JobGraph = postcard::from_bytes(&submission.job_graph).map_err(|error| {
        Failure::new(FailureKind::Internal, format!("the stored graph cannot be read: {error}"))
            .with_remedy("it was written by another version of Millrace: submit the job again")
    })?;
    let unusable = |error: DispatcherError| Failure::new(FailureKind::Internal, error.to_string());
    let unreadable = |error: DispatcherError| {
        Failure::new(FailureKind::StateUnreadable, error.to_string()).with_remedy(
            "the job had no checkpoint of its own yet: see to the savepoint that it began with, and run it again",
        )
    };
    let settings = RunSettings::parse(&submission.settings).map_err(unusable)?;
    let options = settings.job_options(&services.options).map_err(unusable)?;
    let used_up = || Failure::new(FailureKind::Internal, "the job has used up its attempt numbers");
    let checkpoints = settings.checkpoint_options(&services.options).map_err(unusable)?;
    let folder = start::checkpoint_folder(services, &settings, submission.id).await.map_err(unusable)?;
    let (restored, lost) = start::retained(&services.options.storage, record).await?;
    let start_from = match start::start_from(services, tenant, &settings).await {
        Err(DispatcherError::Unavailable(reason)) if restored.is_empty() => {
            return Err(Failure::new(FailureKind::Storage, reason));
        }
        Err(error) if restored.is_empty() => return Err(unreadable(error)),
        // A job with checkpoints of its own needs it only if none of them can be restored.
        Err(error) => {
            tracing::info!(job = %submission.id, %error, "what the job began with is gone");
            None
        }
        Ok(start_from) => start_from,
    };
    let begun_at = start_from.as_ref().map_or(0, |start| start.from.checkpoint.id.0);
    let components = known.of(services, tenant, submission.bundle.digest()).await?;
    let recorded_attempts = recorded_attempts(record, &graph);
    Ok(JobSpec {
        job: submission.id,
        tenant: tenant.clone(),
        name: submission.name.clone(),
        requirements: requirements(record, &graph),
        graph: Arc::new(graph),
        components,
        graph_digest: submission.graph_digest,
        args: submission.args.clone(),
        default_parallelism: submission.default_parallelism,
        first_attempt: record.highest_attempt.checked_add(1).ok_or_else(used_up)?,
        recorded_attempts,
        submitted_at: submission.submitted_at,
        adoption: services
            .options
            .adoption_timeout_ms
            .map(|timeout_ms| AdoptionOptions { epoch: services.epoch, timeout_ms }),
        takeovers: record.takeovers.clone(),
        settings: settings.task_settings(&services.options, &checkpoints, &folder),
        checkpoints,
        restored,
        lost,
        start_from,
        recorded_checkpoint: record.highest_checkpoint.max(begun_at),
        options,
    })
}
