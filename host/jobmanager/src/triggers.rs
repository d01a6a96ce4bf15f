//! What clients ask of a job and ask about later, by the id of a trigger: savepoints, checkpoints, upgrades.

use millrace_job_core::RequestId;
use millrace_types::{JobId, TenantId, TriggerId};

use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::job_master::MasterInput;
use crate::jobs::JobInfo;
use crate::operations::{Kind, OperationKey, Outcome};

impl Dispatcher {
    /// A job that can be asked for something.
    pub(crate) fn running(&self, tenant: &TenantId, job: JobId) -> Result<JobInfo, DispatcherError> {
        let info = self.job(tenant, job)?;
        let status = info.record.status;
        if status.is_terminal() || self.services.registry.of_tenant(tenant, job).is_none() {
            return Err(DispatcherError::Conflict(format!("job {job} does not run: it is {status}")));
        }
        Ok(info)
    }

    /// Asks a job for something, unless that was asked for by the same id before.
    pub(crate) async fn ask(
        &self,
        tenant: &TenantId,
        job: JobId,
        kind: Kind,
        trigger: Option<TriggerId>,
        input: impl FnOnce(RequestId) -> MasterInput,
    ) -> Result<TriggerId, DispatcherError> {
        let trigger = trigger.unwrap_or_else(|| TriggerId::from_bytes(rand::random()));
        let key = OperationKey { tenant: tenant.clone(), job: Some(job), trigger };
        if !self.services.operations.begin(key, kind)? {
            return Ok(trigger);
        }
        match self.services.registry.master(job) {
            Some(master) => {
                let request = RequestId(u128::from_be_bytes(*trigger.as_bytes()));
                if master.send(input(request)).await.is_err() {
                    self.services.operations.job_ended(job);
                }
            }
            None => self.services.operations.job_ended(job),
        }
        Ok(trigger)
    }

    /// What came of it; `None`: it goes on.
    pub(crate) fn outcome(
        &self,
        tenant: &TenantId,
        job: Option<JobId>,
        trigger: TriggerId,
        kind: Kind,
    ) -> Result<Option<Outcome>, DispatcherError> {
        self.services.operations.outcome(&OperationKey { tenant: tenant.clone(), job, trigger }, kind)
    }
}
