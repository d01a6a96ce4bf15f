//! What a JobMaster does for upgrades of its job: keeps what is to be written of the new code until it is, and runs by it
//! from then on.

use std::sync::Arc;

use millrace_job_core::{JobCode, JobSpec, RequestId, UpgradeEnd};
use millrace_metadata_core::JobCode as RecordedCode;
use millrace_types::{Failure, TriggerId};

use super::JobMaster;
use crate::operations::{OperationKey, Outcome};

/// The code of an upgrade.
#[derive(Debug, Clone)]
pub(crate) struct UpgradeOrder {
    /// As it is to be recorded.
    pub recorded: RecordedCode,
    /// As it was planned.
    pub code: Box<JobCode>,
    /// Why it takes a restart, if it does.
    pub restart_because: Option<String>,
}

impl JobMaster {
    pub(super) fn upgrade_ended(&mut self, request: RequestId, result: Result<UpgradeEnd, Failure>) {
        let Some(order) = self.upgrades.remove(&request) else { return };
        let outcome = match result {
            Ok(UpgradeEnd::Upgraded { checkpoint }) => {
                tracing::info!(job = %self.spec.job, %checkpoint, bundle = %order.recorded.bundle, "the job was upgraded");
                let JobCode { graph, components, graph_digest, args, default_parallelism, states: _ } = *order.code;
                let old = (*self.spec).clone();
                self.spec = Arc::new(JobSpec { graph, components, graph_digest, args, default_parallelism, ..old });
                // Spares have compiled the old code.
                self.services.warming.job_runs(&self.spec);
                Outcome::Upgraded { checkpoint: checkpoint.0 }
            }
            Ok(UpgradeEnd::Fits) => Outcome::RestartNeeded { reason: order.restart_because.unwrap_or_default() },
            Err(failure) => {
                tracing::warn!(job = %self.spec.job, %failure, "an upgrade failed");
                Outcome::Failed(Box::new(failure))
            }
        };
        let trigger = TriggerId::from_bytes(request.0.to_be_bytes());
        let key = OperationKey { tenant: self.spec.tenant.clone(), job: Some(self.spec.job), trigger };
        self.services.operations.end(&key, |_| outcome);
    }
}
