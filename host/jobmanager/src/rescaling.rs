//! Another parallelism for a job that runs: Flink's resource requirements.

use std::collections::BTreeMap;

use millrace_job_core::{AdaptiveOptions, Input, check_requirements};
use millrace_metadata_core::Command;
use millrace_types::{JobId, TenantId, VertexId};

use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::job_master::MasterInput;
use crate::jobs::JobInfo;
use crate::run_settings::RunSettings;

impl Dispatcher {
    /// Has a job of the adaptive scheduler run with other numbers of subtasks: for each vertex the least and the desired
    /// one. When this returns the wish is recorded; the job restarts for it behind a checkpoint.
    pub async fn require_parallelism(
        &self,
        tenant: &TenantId,
        job: JobId,
        stated: &BTreeMap<VertexId, (i64, i64)>,
    ) -> Result<(), DispatcherError> {
        let info = self.running(tenant, job)?;
        self.adaptive_options(&info)?;
        let bounds = check_requirements(&info.view.graph, stated);
        let bounds = bounds.map_err(|error| DispatcherError::Invalid(error.to_string()))?;
        let requirements = bounds.iter().map(|bounds| (bounds.lower, bounds.upper)).collect();
        let command = Command::RecordRequirements { tenant: tenant.clone(), job, requirements };
        self.services.metadata.propose(command).await?;
        let gone = || DispatcherError::Conflict(format!("job {job} has ended"));
        let master = self.services.registry.master(job).ok_or_else(gone)?;
        master.send(MasterInput::Core(Input::RequirementsChanged { bounds })).await.map_err(|_| gone())
    }

    /// How the adaptive scheduler treats a job.
    pub fn adaptive_options(&self, job: &JobInfo) -> Result<AdaptiveOptions, DispatcherError> {
        let options = RunSettings::parse(&job.record.submission.settings)?.job_options(&self.services.options)?;
        options.adaptive.ok_or_else(|| {
            DispatcherError::Conflict(format!(
                "job {} runs under the default scheduler, which cannot change its parallelism: run it with \
                 jobmanager.scheduler set to adaptive, or stop it with a savepoint and run it from there",
                job.view.job
            ))
        })
    }
}
