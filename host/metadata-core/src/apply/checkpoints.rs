//! Which checkpoint ids of a job are given out, which checkpoints it retains, and with which of them its code became
//! another one.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_types::{CheckpointId, JobId, LeaderEpoch, TenantId};

use crate::command::Applied;
use crate::limits::{
    CHECKPOINT_FOLDER_BYTES_MAX, CHECKPOINTS_PER_JOB_MAX, JOB_BYTES_MAX, UNFINISHED_BYTES_PER_TENANT_MAX,
};
use crate::record::{CheckpointPointer, JobCode, JobRecord, blobs_of};
use crate::rejection::{Rejection, check_at_most, check_size};
use crate::state::MetadataState;

impl MetadataState {
    pub(super) fn record_checkpoint_id(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        epoch: LeaderEpoch,
        checkpoint: u64,
    ) -> Result<Applied, Rejection> {
        self.check_epoch(epoch)?;
        let job = self.job(tenant, id).ok_or(Rejection::NoSuchJob(id))?;
        if job.status.is_terminal() {
            return Err(Rejection::JobEnded { job: id, status: job.status });
        }
        if job.highest_checkpoint >= checkpoint {
            return Ok(Applied::nothing());
        }
        self.job_mut(tenant, id)?.highest_checkpoint = checkpoint;
        Ok(Applied::done())
    }

    pub(super) fn set_checkpoints(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        epoch: LeaderEpoch,
        add: Option<CheckpointPointer>,
        retained: &BTreeSet<CheckpointId>,
    ) -> Result<Applied, Rejection> {
        self.check_epoch(epoch)?;
        check_at_most("the number of retained checkpoints", retained.len(), CHECKPOINTS_PER_JOB_MAX)?;
        let job = self.job(tenant, id).ok_or(Rejection::NoSuchJob(id))?;
        let next = next_checkpoints(job, add, retained)?;
        let highest = next.last().map_or(0, |pointer| pointer.id.0).max(job.highest_checkpoint);
        if next == job.checkpoints && highest == job.highest_checkpoint {
            return Ok(Applied::nothing());
        }
        let job = self.job_mut(tenant, id)?;
        job.checkpoints = next;
        job.highest_checkpoint = highest;
        Ok(Applied::done())
    }

    /// A checkpoint is complete and other code is the job's: both or neither.
    pub(super) fn complete_upgrade(
        &mut self,
        tenant: &TenantId,
        id: JobId,
        epoch: LeaderEpoch,
        add: CheckpointPointer,
        retained: &BTreeSet<CheckpointId>,
        code: JobCode,
    ) -> Result<Applied, Rejection> {
        self.check_epoch(epoch)?;
        check_at_most("the number of retained checkpoints", retained.len(), CHECKPOINTS_PER_JOB_MAX)?;
        let old = self.job(tenant, id).ok_or(Rejection::NoSuchJob(id))?;
        let checkpoints = next_checkpoints(old, Some(add), retained)?;
        let submission = old.submission.with_code(code);
        if checkpoints == old.checkpoints && submission == old.submission {
            return Ok(Applied::nothing());
        }
        let bundle = self.bundle(tenant, &submission.bundle);
        let components = bundle.ok_or_else(|| Rejection::NoSuchBundle(submission.bundle.clone()))?.components.clone();
        check_size("the job's arguments, settings and graphs", submission.bytes(), JOB_BYTES_MAX)?;
        let (old_bytes, old_blobs) = (old.bytes(), blobs_of(tenant, &old.submission.bundle, &old.components));
        let old_blobs: Vec<_> = old_blobs.collect();
        let highest = checkpoints.last().map_or(0, |pointer| pointer.id.0).max(old.highest_checkpoint);

        let Some(state) = self.tenant_mut(tenant) else { return Err(Rejection::NoSuchJob(id)) };
        let Some(job) = state.jobs.get_mut(&id).map(Arc::make_mut) else { return Err(Rejection::NoSuchJob(id)) };
        let mut next = job.clone();
        (next.submission, next.components) = (submission, components);
        (next.checkpoints, next.highest_checkpoint) = (checkpoints, highest);
        let bytes = state.unfinished_bytes - old_bytes + next.bytes();
        check_size("all jobs that have not ended", bytes, UNFINISHED_BYTES_PER_TENANT_MAX)?;
        *job = next;
        state.unfinished_bytes = bytes;
        let condemned = state.release(tenant, old_blobs);
        Ok(Applied { condemned, ..Applied::done() })
    }

    fn job_mut(&mut self, tenant: &TenantId, id: JobId) -> Result<&mut JobRecord, Rejection> {
        let job = self.tenant_mut(tenant).and_then(|state| state.jobs.get_mut(&id));
        job.map(Arc::make_mut).ok_or(Rejection::NoSuchJob(id))
    }
}

/// The checkpoints that a job has after the command: exactly those that are named.
fn next_checkpoints(
    job: &JobRecord,
    add: Option<CheckpointPointer>,
    retained: &BTreeSet<CheckpointId>,
) -> Result<Vec<CheckpointPointer>, Rejection> {
    let id = job.submission.id;
    let mut all = job.checkpoints.clone();
    if let Some(pointer) = add {
        if job.status.is_terminal() {
            return Err(Rejection::JobEnded { job: id, status: job.status });
        }
        check_size(
            "the path of a checkpoint's folder",
            pointer.folder.len() as u64,
            CHECKPOINT_FOLDER_BYTES_MAX as u64,
        )?;
        match all.binary_search_by_key(&pointer.id, |known| known.id) {
            // Told again since the first answer was lost.
            Ok(at) if all[at] == pointer => {}
            Ok(_) => return Err(Rejection::NoSuchCheckpoint { job: id, checkpoint: pointer.id }),
            Err(at) if at == all.len() => all.push(pointer),
            Err(_) => return Err(Rejection::OlderCheckpoint { job: id, checkpoint: pointer.id }),
        }
    }
    if let Some(missing) = retained.iter().find(|wanted| all.iter().all(|pointer| pointer.id != **wanted)) {
        return Err(Rejection::NoSuchCheckpoint { job: id, checkpoint: *missing });
    }
    all.retain(|pointer| retained.contains(&pointer.id));
    Ok(all)
}
