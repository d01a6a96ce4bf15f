//! The jobs that have ended: how many are remembered, and for how long.

use std::sync::Arc;

use millrace_types::{JobId, TenantId, Timestamp};

use crate::command::Applied;
use crate::limits::{HISTORY_BYTES_PER_TENANT_MAX, HISTORY_JOBS_PER_TENANT_MAX};
use crate::record::JobRetention;
use crate::state::{MetadataState, TenantState};

impl TenantState {
    /// A job has ended.
    pub(super) fn remember(&mut self, job: JobId, bytes: u64) {
        self.history.insert(self.next_ended, job);
        self.next_ended += 1;
        self.history_bytes += bytes;
    }

    /// Forgets those jobs that ended first until the history is within its bounds.
    pub(super) fn trim_history(&mut self, tenant: &TenantId) -> Vec<(TenantId, JobId)> {
        let mut expired = Vec::new();
        while self.history.len() > HISTORY_JOBS_PER_TENANT_MAX || self.history_bytes > HISTORY_BYTES_PER_TENANT_MAX {
            let Some((&ended, _)) = self.history.first_key_value() else { break };
            expired.extend(self.forget(ended).map(|job| (tenant.clone(), job)));
        }
        expired
    }

    fn forget(&mut self, ended: u64) -> Option<JobId> {
        let id = self.history.remove(&ended)?;
        if let Some(job) = self.jobs.remove(&id) {
            self.history_bytes -= job.bytes();
        }
        Some(id)
    }

    /// The places in the history of the jobs that are beyond their retention.
    fn beyond(&self, now: Timestamp, retention: JobRetention) -> Vec<u64> {
        let excess = self.history.len().saturating_sub(retention.capacity_per_tenant as usize);
        let is_old = |id: &JobId| {
            let ended_at = self.jobs.get(id).and_then(|job| job.ended_at());
            ended_at.is_some_and(|at| now.since_ms(at) >= retention.expiration_ms)
        };
        let history = self.history.iter().enumerate();
        history.filter(|(place, (_, id))| *place < excess || is_old(id)).map(|(_, (&ended, _))| ended).collect()
    }
}

impl MetadataState {
    pub(super) fn expire_jobs(&mut self, now: Timestamp, retention: JobRetention) -> Applied {
        let mut expired = Vec::new();
        for (id, tenant) in &mut self.tenants {
            let beyond = tenant.beyond(now, retention);
            if !beyond.is_empty() {
                let tenant = Arc::make_mut(tenant);
                expired
                    .extend(beyond.into_iter().filter_map(|ended| tenant.forget(ended)).map(|job| (id.clone(), job)));
            }
        }
        if expired.is_empty() {
            return Applied::nothing();
        }
        self.forget_empty_tenants();
        Applied { expired, ..Applied::done() }
    }
}
