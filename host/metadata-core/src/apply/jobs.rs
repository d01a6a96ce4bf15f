//! Jobs, from their acceptance to their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_types::{Failure, JobId, JobStatus, Takeover, TenantId, Timestamp};

use crate::command::Applied;
use crate::limits::{
    DETAILS_BYTES_MAX, FAILURE_LINE_BYTES_MAX, JOB_BYTES_MAX, NAME_BYTES_MAX, TAKEOVER_REASON_BYTES_MAX,
    UNFINISHED_BYTES_PER_TENANT_MAX, UNFINISHED_JOBS_PER_TENANT_MAX, VERTICES_PER_JOB_MAX,
};
use crate::record::{JobRecord, JobSubmission, blobs_of};
use crate::rejection::{Rejection, check_at_most, check_count, check_size};
use crate::state::MetadataState;

impl MetadataState {
    pub(super) fn add_job(&mut self, tenant: &TenantId, job: JobSubmission) -> Result<Applied, Rejection> {
        let Some(state) = self.tenant_mut(tenant) else { return Err(Rejection::NoSuchBundle(job.bundle)) };
        let Some(bundle) = state.bundles.get(&job.bundle) else { return Err(Rejection::NoSuchBundle(job.bundle)) };
        if state.jobs.contains_key(&job.id) {
            return Err(Rejection::JobExists(job.id));
        }
        check_size("the job's name", job.name.len() as u64, NAME_BYTES_MAX as u64)?;
        check_size("the job's arguments, settings and graphs", job.bytes(), JOB_BYTES_MAX)?;
        let unfinished = state.unfinished_count();
        let remedy = "wait until one has ended, or cancel one";
        check_count("jobs that have not ended", unfinished, UNFINISHED_JOBS_PER_TENANT_MAX, remedy)?;
        let bytes = state.unfinished_bytes + job.bytes();
        check_size("all jobs that have not ended", bytes, UNFINISHED_BYTES_PER_TENANT_MAX)?;

        state.unfinished_bytes = bytes;
        let record = JobRecord {
            components: bundle.components.clone(),
            highest_attempt: 0,
            attempts: Vec::new(),
            takeovers: Vec::new(),
            requirements: Vec::new(),
            status: JobStatus::Initializing,
            status_times: BTreeMap::from([(JobStatus::Initializing, job.submitted_at)]),
            failure: None,
            details: None,
            checkpoints: Vec::new(),
            highest_checkpoint: 0,
            submission: job,
        };
        state.jobs.insert(record.submission.id, Arc::new(record));
        Ok(Applied::done())
    }

    pub(super) fn set_job_status(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        status: JobStatus,
        at: Timestamp,
        failure: Option<Failure>,
    ) -> Result<Applied, Rejection> {
        let current = self.job(tenant, id).ok_or(Rejection::NoSuchJob(id))?.status;
        if current == status && current.is_terminal() {
            // Told again since the first answer was lost.
            return Ok(Applied::nothing());
        }
        if current.is_terminal() {
            return Err(Rejection::JobEnded { job: id, status: current });
        }
        if current == status && failure.is_none() {
            return Ok(Applied::nothing());
        }
        let Some(state) = self.tenant_mut(tenant) else { return Err(Rejection::NoSuchJob(id)) };
        let Some(job) = state.jobs.get_mut(&id).map(Arc::make_mut) else { return Err(Rejection::NoSuchJob(id)) };
        if current != status {
            job.status = status;
            job.status_times.insert(status, at);
        }
        if let Some(failure) = failure {
            job.failure = Some(clipped(failure));
        }
        if !status.is_terminal() {
            return Ok(Applied::done());
        }
        let bytes = job.bytes();
        let blobs: Vec<_> = blobs_of(tenant, &job.submission.bundle, &job.components).collect();
        state.unfinished_bytes -= bytes;
        state.remember(id, bytes);
        let condemned = state.release(tenant, blobs);
        let expired = state.trim_history(tenant);
        Ok(Applied { condemned, expired, ..Applied::done() })
    }

    pub(super) fn record_attempts(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        attempts: Vec<u32>,
    ) -> Result<Applied, Rejection> {
        check_at_most("the number of the job's vertices", attempts.len(), VERTICES_PER_JOB_MAX)?;
        let job = self.unfinished_job(tenant, id)?;
        if job.attempts == attempts {
            return Ok(Applied::nothing());
        }
        job.highest_attempt = attempts.iter().copied().max().unwrap_or(0).max(job.highest_attempt);
        job.attempts = attempts;
        Ok(Applied::done())
    }

    pub(super) fn record_requirements(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        requirements: Vec<(u32, u32)>,
    ) -> Result<Applied, Rejection> {
        check_at_most("the number of the job's vertices", requirements.len(), VERTICES_PER_JOB_MAX)?;
        let job = self.unfinished_job(tenant, id)?;
        if job.requirements == requirements {
            return Ok(Applied::nothing());
        }
        job.requirements = requirements;
        Ok(Applied::done())
    }

    pub(super) fn record_takeover(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        takeover: Takeover,
    ) -> Result<Applied, Rejection> {
        let job = self.unfinished_job(tenant, id)?;
        let mut reason = String::from(takeover.reason);
        clip(&mut reason, TAKEOVER_REASON_BYTES_MAX);
        Takeover { reason: reason.into(), ..takeover }.remember(&mut job.takeovers);
        Ok(Applied::done())
    }

    /// A job that has not ended, to be changed.
    fn unfinished_job(&mut self, tenant: &TenantId, id: JobId) -> Result<&mut JobRecord, Rejection> {
        let job = self.tenant_mut(tenant).and_then(|state| state.jobs.get_mut(&id)).ok_or(Rejection::NoSuchJob(id))?;
        if job.status.is_terminal() {
            return Err(Rejection::JobEnded { job: id, status: job.status });
        }
        Ok(Arc::make_mut(job))
    }

    pub(super) fn archive_job(&mut self, tenant: &TenantId, id: JobId, details: &Bytes) -> Result<Applied, Rejection> {
        let job = self.job(tenant, id).ok_or(Rejection::NoSuchJob(id))?;
        if !job.status.is_terminal() {
            return Err(Rejection::JobNotEnded { job: id, status: job.status });
        }
        check_size("the job's details", details.len() as u64, DETAILS_BYTES_MAX as u64)?;
        if job.details.as_ref() == Some(details) {
            return Ok(Applied::nothing());
        }
        let Some(state) = self.tenant_mut(tenant) else { return Err(Rejection::NoSuchJob(id)) };
        let Some(job) = state.jobs.get_mut(&id).map(Arc::make_mut) else { return Err(Rejection::NoSuchJob(id)) };
        let before = job.bytes();
        // The buffer that the details came in may be a larger one: keep them alone.
        job.details = Some(Bytes::copy_from_slice(details));
        state.history_bytes = state.history_bytes - before + job.bytes();
        let expired = state.trim_history(tenant);
        Ok(Applied { expired, ..Applied::done() })
    }
}

/// The failure, no longer than it may be: a guest wrote parts of it.
fn clipped(mut failure: Failure) -> Failure {
    clip(&mut failure.message, Failure::MESSAGE_BYTES_MAX + '…'.len_utf8());
    failure.backtrace.truncate(Failure::BACKTRACE_FRAMES_MAX);
    let lines = failure.backtrace.iter_mut().chain(failure.operator.as_mut()).chain(failure.remedy.as_mut());
    lines.for_each(|line| clip(line, FAILURE_LINE_BYTES_MAX));
    failure
}

fn clip(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}
