//! One command after the other.

mod bundles;
mod checkpoints;
mod history;
mod jobs;

use std::sync::Arc;

use millrace_types::{BlobKey, LeaderEpoch, TenantId};

use crate::command::{Applied, Command, Response, UploadId};
use crate::limits::IDS_PER_BLOCK_MAX;
use crate::rejection::Rejection;
use crate::state::{MetadataState, TenantState};

impl MetadataState {
    /// Carries out a command of the leader of `epoch`; `None`: of whoever asks.
    ///
    /// # Errors
    /// [`Rejection::StaleEpoch`] if another epoch has begun since, or else as [`MetadataState::apply`].
    pub fn apply_in(&mut self, epoch: Option<LeaderEpoch>, command: Command) -> Result<Applied, Rejection> {
        epoch.map_or(Ok(()), |epoch| self.check_epoch(epoch))?;
        self.apply(command)
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// Why the command is refused; the state is then what it was.
    pub fn apply(&mut self, command: Command) -> Result<Applied, Rejection> {
        match command {
            Command::BeginEpoch => Ok(self.begin_epoch()),
            Command::ReserveIds { count } => self.reserve_ids(count),
            Command::BeginUpload { tenant, blobs } => self.begin_upload(tenant, blobs),
            Command::AddBundle { tenant, upload, bundle } => self.add_bundle(&tenant, upload, bundle),
            Command::AbandonUpload { tenant, upload } => self.abandon_upload(&tenant, upload),
            Command::RemoveBundle { tenant, bundle } => self.remove_bundle(&tenant, bundle),
            Command::AddJob { tenant, job } => self.add_job(&tenant, *job),
            Command::SetJobStatus { tenant, job, status, at, failure } => {
                self.set_job_status(&tenant, job, status, at, failure)
            }
            Command::ArchiveJob { tenant, job, details } => self.archive_job(&tenant, job, &details),
            Command::ExpireJobs { now, retention } => Ok(self.expire_jobs(now, retention)),
            Command::BlobsDeleted { blobs } => Ok(self.blobs_deleted(&blobs)),
            Command::RecordAttempts { tenant, job, attempts } => self.record_attempts(&tenant, job, attempts),
            Command::RecordRequirements { tenant, job, requirements } => {
                self.record_requirements(&tenant, job, requirements)
            }
            Command::RecordTakeover { tenant, job, takeover } => self.record_takeover(&tenant, job, takeover),
            Command::RecordCheckpointId { tenant, job, epoch, checkpoint } => {
                self.record_checkpoint_id(&tenant, job, epoch, checkpoint)
            }
            Command::SetCheckpoints { tenant, job, epoch, add, retained } => {
                self.set_checkpoints(&tenant, job, epoch, add.map(|pointer| *pointer), &retained)
            }
            Command::CompleteUpgrade { tenant, job, epoch, add, retained, code } => {
                self.complete_upgrade(&tenant, job, epoch, *add, &retained, *code)
            }
        }
    }

    /// Refuses whoever is not the newest leader.
    fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), Rejection> {
        let newest = self.epoch();
        if epoch == newest { Ok(()) } else { Err(Rejection::StaleEpoch { stale: epoch, newest }) }
    }

    fn begin_epoch(&mut self) -> Applied {
        // The counter of 64 bits outlives any cluster; saturating keeps replay total.
        self.epoch = LeaderEpoch(self.epoch.0.saturating_add(1));
        let mut applied = Applied::new(Response::Epoch(self.epoch));
        // Whoever uploaded was a process that is no longer the leader: nobody will end its uploads.
        for (id, tenant) in &mut self.tenants {
            if !tenant.uploads.is_empty() {
                let tenant = Arc::make_mut(tenant);
                let pinned: Vec<BlobKey> = std::mem::take(&mut tenant.uploads).into_values().flatten().collect();
                applied.condemned.extend(tenant.release(id, pinned));
            }
        }
        self.forget_empty_tenants();
        applied
    }

    fn reserve_ids(&mut self, count: u32) -> Result<Applied, Rejection> {
        if !(1..=IDS_PER_BLOCK_MAX).contains(&count) {
            let (actual, max) = (u64::from(count), u64::from(IDS_PER_BLOCK_MAX));
            return Err(Rejection::OutOfRange { what: "the number of ids", actual, min: 1, max });
        }
        let first = self.next_id;
        let exhausted = Rejection::TooMany { what: "ids reserved", limit: u64::MAX, remedy: "none are left" };
        self.next_id = first.checked_add(u64::from(count)).ok_or(exhausted)?;
        Ok(Applied::new(Response::Ids(first..self.next_id)))
    }

    fn blobs_deleted(&mut self, blobs: &[BlobKey]) -> Applied {
        let mut changed = false;
        for blob in blobs {
            let condemned = self.tenants.get(&blob.tenant).is_some_and(|tenant| tenant.condemned.contains(blob));
            if condemned && let Some(tenant) = self.tenant_mut(&blob.tenant) {
                tenant.condemned.remove(blob);
                changed = true;
            }
        }
        if changed {
            self.forget_empty_tenants();
            Applied::done()
        } else {
            Applied::nothing()
        }
    }

    /// What a tenant owns, to be changed; readers of older clones keep what they have.
    fn tenant_mut(&mut self, tenant: &TenantId) -> Option<&mut TenantState> {
        self.tenants.get_mut(tenant).map(Arc::make_mut)
    }

    fn tenant_with_upload(&mut self, tenant: &TenantId, upload: UploadId) -> Result<&mut TenantState, Rejection> {
        match self.tenant_mut(tenant) {
            Some(state) if state.uploads.contains_key(&upload) => Ok(state),
            _ => Err(Rejection::NoSuchUpload(upload)),
        }
    }

    fn forget_empty_tenants(&mut self) {
        self.tenants.retain(|_, tenant| !tenant.is_empty());
    }
}
