//! The Dispatcher's upgrades: other code for a job that runs.
//!
//! Invariant: whatever is refused here leaves the job as it is.

use std::sync::Arc;

use bytes::Bytes;
use millrace_graph::{GuestCode, JobGraph, NodeKind};
use millrace_job_core::{Input, JobCode, RequestId};
use millrace_metadata_core::JobCode as RecordedCode;
use millrace_types::{BundleId, Failure, FailureKind, JobId, NodeId, TenantId, TriggerId};

use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::job_master::{MasterInput, UpgradeOrder, enumerate_guest};
use crate::jobs::RunRequest;
use crate::operations::{Kind, Outcome};
use crate::planner::Plan;
use crate::run_settings::RunSettings;
use crate::{bundles, trial};

/// A request for an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// The bundle with the new code.
    pub bundle: BundleId,
    /// Other arguments of the application.
    pub args: Option<Vec<String>>,
    /// Another parallelism of operators that state none.
    pub parallelism: Option<u32>,
    /// If it takes a restart: whether state of operators that the new code does not have may be left behind.
    pub allow_non_restored_state: bool,
    /// The id to ask for its outcome by; a fresh one unless stated.
    pub trigger: Option<TriggerId>,
}

impl Dispatcher {
    /// Asks for an upgrade: at a barrier if the new graph has the shape of the running one, else only whether the job's
    /// state fits the new code. Asking again by the same id begins nothing.
    pub async fn upgrade(
        &self,
        tenant: &TenantId,
        job: JobId,
        request: UpgradeRequest,
    ) -> Result<TriggerId, DispatcherError> {
        let info = self.running(tenant, job)?;
        let submission = &info.record.submission;
        let settings = RunSettings::parse(&submission.settings)?;
        let run = RunRequest {
            args: request.args.unwrap_or_else(|| submission.args.clone()),
            parallelism: Some(request.parallelism.unwrap_or(submission.default_parallelism)),
            options: submission.settings.clone(),
            ..RunRequest::default()
        };
        let (plan, parallelism) = self.planned(tenant, &request.bundle, &run, &settings).await?;
        let states = trial::declared_states(&self.services, tenant, &plan, &run.args, parallelism).await?;
        let encode = |error: postcard::Error| DispatcherError::Internal(format!("a graph cannot be encoded: {error}"));
        let recorded = RecordedCode {
            bundle: request.bundle,
            args: run.args.clone(),
            default_parallelism: parallelism,
            graph_digest: plan.graph_digest,
            stream_graph: Bytes::from(postcard::to_stdvec(&plan.stream_graph).map_err(encode)?),
            job_graph: Bytes::from(postcard::to_stdvec(&plan.job_graph).map_err(encode)?),
        };
        let old: JobGraph = postcard::from_bytes(&submission.job_graph)
            .map_err(|error| DispatcherError::Internal(format!("the stored graph cannot be read: {error}")))?;
        let restart_because = match old.with_code_of(&plan.job_graph, false) {
            Err(what) => Some(what),
            Ok(_) => self.other_splits(tenant, submission, &old, &plan, &recorded).await?,
        };
        let code = JobCode {
            graph: Arc::new(plan.job_graph),
            components: plan.components,
            graph_digest: plan.graph_digest,
            args: run.args,
            default_parallelism: parallelism,
            states,
        };
        let (in_place, allow_non_restored_state) = (restart_because.is_none(), request.allow_non_restored_state);
        let input = |request: RequestId| {
            let (kept, code) = (Box::new(code.clone()), Box::new(code));
            let input = Input::UpgradeRequested { request, code, in_place, allow_non_restored_state };
            let order = Box::new(UpgradeOrder { recorded, code: kept, restart_because });
            MasterInput::Upgrade { request, order, input: Box::new(input) }
        };
        self.ask(tenant, job, Kind::Upgrade, request.trigger, input).await
    }

    /// What came of an upgrade; `None`: it goes on.
    pub fn upgrade_outcome(
        &self,
        tenant: &TenantId,
        job: JobId,
        trigger: TriggerId,
    ) -> Result<Option<Outcome>, DispatcherError> {
        self.outcome(tenant, Some(job), trigger, Kind::Upgrade)
    }

    /// Sources in the guest have to have the splits that they had: those that run go on. The first one that has others.
    async fn other_splits(
        &self,
        tenant: &TenantId,
        submission: &millrace_metadata_core::JobSubmission,
        old: &JobGraph,
        plan: &Plan,
        recorded: &RecordedCode,
    ) -> Result<Option<String>, DispatcherError> {
        let services = &self.services;
        let guest = |graph: &JobGraph| -> Vec<(usize, NodeId, String, GuestCode)> {
            let sources = graph.sources().filter_map(|(vertex, id, node)| match &node.kind {
                NodeKind::Source(code) => Some((vertex, id, node.uid.clone(), code.clone())),
                _ => None,
            });
            sources.collect()
        };
        let (before, after) = (guest(old), guest(&plan.job_graph));
        if before.is_empty() {
            return Ok(None);
        }
        let bundle = bundles::stored_bundle(services, tenant, submission.bundle.digest()).await?;
        let components = services.planner.component_refs(&bundle).await?;
        for ((vertex, node, uid, old_code), (_, _, _, new_code)) in before.into_iter().zip(after) {
            let readers = old.vertices[vertex].parallelism;
            let (args, parallelism) = (submission.args.as_slice(), submission.default_parallelism);
            let listed =
                enumerate_guest(services, tenant, &components, (args, parallelism), (node, &old_code), readers);
            let known = listed.await?;
            let (args, parallelism) = (recorded.args.as_slice(), recorded.default_parallelism);
            let listed =
                enumerate_guest(services, tenant, &plan.components, (args, parallelism), (node, &new_code), readers);
            if listed.await? != known {
                return Ok(Some(format!("the source \"{uid}\" has other splits")));
            }
        }
        Ok(None)
    }
}

/// An upgrade that was not asked of a job in the end.
pub(crate) fn not_recorded(request: RequestId) -> Failure {
    Failure::new(FailureKind::Internal, format!("the code of upgrade {:032x} is not known", request.0))
}
