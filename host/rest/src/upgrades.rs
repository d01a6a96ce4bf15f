//! `/jobs/:id/upgrade`: other code for a job that runs. Millrace's own, in the manner of savepoints.

use axum::Json;
use axum::extract::{Path, State};
use millrace_jobmanager::{Outcome, UpgradeRequest as Request};
use millrace_rest_api::{OperationStatus, UPGRADE_BY_RESTART, UPGRADED_AT_A_BARRIER, UpgradeOutcome, UpgradeRequest};
use millrace_types::{JobId, TriggerId};

use crate::body::Body;
use crate::bundles::bundle_id;
use crate::path::path_parameter;
use crate::savepoints::{Accepted, Answer, accepted, cause_of, trigger_of};
use crate::server::RestState;
use crate::tenant::Tenant;

/// `POST /jobs/:id/upgrade`.
pub(crate) async fn trigger(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Body(request): Body<UpgradeRequest>,
) -> Accepted {
    let job: JobId = path_parameter("jobid", &id)?;
    let request = Request {
        bundle: bundle_id(&request.jar_id)?,
        args: request.program_args_list,
        // A number that is no parallelism is for the planner to refuse, with the same words everywhere.
        parallelism: request.parallelism.map(|stated| u32::try_from(stated).unwrap_or(0)),
        allow_non_restored_state: request.allow_non_restored_state.unwrap_or(false),
        trigger: trigger_of(request.trigger_id)?,
    };
    Ok(accepted(state.dispatcher.upgrade(&tenant, job, request).await?))
}

/// `GET /jobs/:id/upgrade/:trigger`.
pub(crate) async fn outcome(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path((id, trigger)): Path<(String, String)>,
) -> Answer<OperationStatus<UpgradeOutcome>> {
    let (job, trigger): (JobId, TriggerId) = (path_parameter("jobid", &id)?, path_parameter("triggerid", &trigger)?);
    let outcome = state.dispatcher.upgrade_outcome(&tenant, job, trigger)?;
    Ok(Json(OperationStatus::of(outcome.map(|outcome| match outcome {
        Outcome::Upgraded { checkpoint } => UpgradeOutcome {
            mode: Some(UPGRADED_AT_A_BARRIER.to_owned()),
            checkpoint_id: Some(checkpoint),
            ..UpgradeOutcome::default()
        },
        Outcome::RestartNeeded { reason } => UpgradeOutcome {
            mode: Some(UPGRADE_BY_RESTART.to_owned()),
            reason: Some(reason),
            ..UpgradeOutcome::default()
        },
        other => UpgradeOutcome { failure_cause: cause_of(&other), ..UpgradeOutcome::default() },
    }))))
}
