//! What a JobManager does when it starts: finish what an earlier life left undone.

use std::sync::Arc;

use millrace_job_core::JobSpec;
use millrace_metadata_core::{Applied, Command, JobRecord};
use millrace_types::{Failure, FailureKind, JobStatus, TenantId};

use crate::cluster::Services;
use crate::error::DispatcherError;
use crate::run_settings::RunSettings;
use crate::{bundles, clock, job_master};

/// Deletes blobs whose deletion was decided but perhaps not carried out.
pub(crate) async fn delete_condemned(services: &Services) {
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

/// Runs every job again that had not ended. Until there are checkpoints that is from its beginning.
pub(crate) async fn resume_jobs(services: &Arc<Services>) {
    let state = services.metadata.state();
    for (tenant, record) in state.unfinished_jobs() {
        let job = record.submission.id;
        if record.status == JobStatus::Cancelling {
            end(services, tenant, record, JobStatus::Canceled, None).await;
            continue;
        }
        match spec_of(services, tenant, record).await {
            Ok(spec) => {
                tracing::info!(%job, name = %spec.name, "an unfinished job runs again");
                job_master::spawn(services, spec);
            }
            Err(failure) => {
                tracing::error!(%job, %failure, "an unfinished job cannot run again");
                end(services, tenant, record, JobStatus::Failed, Some(failure)).await;
            }
        }
    }
}

async fn end(services: &Services, tenant: &TenantId, record: &JobRecord, status: JobStatus, failure: Option<Failure>) {
    let (tenant, job) = (tenant.clone(), record.submission.id);
    let command = Command::SetJobStatus { tenant, job, status, at: clock::now(), failure };
    if let Err(error) = services.metadata.propose(command).await {
        tracing::error!(%job, %error, "the end of a job could not be written");
    }
}

/// What a JobMaster needs, from what was written about the job.
async fn spec_of(services: &Services, tenant: &TenantId, record: &JobRecord) -> Result<JobSpec, Failure> {
    let submission = &record.submission;
    let graph = postcard::from_bytes(&submission.job_graph).map_err(|error| {
        Failure::new(FailureKind::Internal, format!("the stored graph cannot be read: {error}"))
            .with_remedy("it was written by another version of Millrace: submit the job again")
    })?;
    let unusable = |error: DispatcherError| Failure::new(FailureKind::Internal, error.to_string());
    let settings = RunSettings::parse(&submission.settings).map_err(unusable)?;
    let options = settings.job_options(&services.options).map_err(unusable)?;
    let used_up = || Failure::new(FailureKind::Internal, "the job has used up its attempt numbers");
    let bundle = bundles::stored_bundle(services, tenant, submission.bundle.digest()).await?;
    let components = services.planner.component_refs(&bundle).await?;
    Ok(JobSpec {
        job: submission.id,
        tenant: tenant.clone(),
        name: submission.name.clone(),
        graph: Arc::new(graph),
        components,
        graph_digest: submission.graph_digest,
        args: submission.args.clone(),
        default_parallelism: submission.default_parallelism,
        first_attempt: record.highest_attempt.checked_add(1).ok_or_else(used_up)?,
        recorded_attempt: record.highest_attempt,
        settings: settings.task_settings(&services.options),
        options,
    })
}
