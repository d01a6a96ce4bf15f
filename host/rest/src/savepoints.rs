//! `/jobs/:id/savepoints`, `/jobs/:id/stop`, checkpoints on request, `/savepoint-disposal`: each begins something and
//! answers with an id by which its outcome is asked for.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use millrace_job_core::StopMode;
use millrace_jobmanager::{Outcome, SavepointRequest};
use millrace_rest_api::{
    CheckpointOutcome, CheckpointTriggerRequest, DisposalOutcome, DisposalRequest, FailureCause, OperationStatus,
    SavepointOutcome, SavepointTriggerRequest, StopRequest, TriggerResponse,
};
use millrace_types::{Failure, JobId, TriggerId};

use crate::body::Body;
use crate::error::RestError;
use crate::path::path_parameter;
use crate::server::RestState;
use crate::tenant::Tenant;

pub(crate) type Answer<T> = Result<Json<T>, RestError>;
pub(crate) type Accepted = Result<(StatusCode, Json<TriggerResponse>), RestError>;

/// `POST /jobs/:id/savepoints`.
pub(crate) async fn trigger(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Body(request): Body<SavepointTriggerRequest>,
) -> Accepted {
    let job: JobId = path_parameter("jobid", &id)?;
    check_format(request.format_type.as_deref())?;
    // What runs between the savepoint and a cancellation would be written twice by whoever goes on from the savepoint.
    let stop = request.cancel_job.unwrap_or(false).then_some(StopMode { drain: false });
    let trigger = trigger_of(request.trigger_id)?;
    let request = SavepointRequest { target: request.target_directory, trigger, stop };
    Ok(accepted(state.dispatcher.savepoint(&tenant, job, request).await?))
}

/// `POST /jobs/:id/stop`.
pub(crate) async fn stop(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Body(request): Body<StopRequest>,
) -> Accepted {
    let job: JobId = path_parameter("jobid", &id)?;
    check_format(request.format_type.as_deref())?;
    let stop = Some(StopMode { drain: request.drain.unwrap_or(false) });
    let trigger = trigger_of(request.trigger_id)?;
    let request = SavepointRequest { target: request.target_directory, trigger, stop };
    Ok(accepted(state.dispatcher.savepoint(&tenant, job, request).await?))
}

/// `GET /jobs/:id/savepoints/:trigger`.
pub(crate) async fn outcome(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path((id, trigger)): Path<(String, String)>,
) -> Answer<OperationStatus<SavepointOutcome>> {
    let (job, trigger): (JobId, TriggerId) = (path_parameter("jobid", &id)?, path_parameter("triggerid", &trigger)?);
    let outcome = state.dispatcher.savepoint_outcome(&tenant, job, trigger)?;
    Ok(Json(OperationStatus::of(outcome.map(|outcome| match outcome {
        Outcome::Savepoint { location } => SavepointOutcome { location: Some(location), failure_cause: None },
        other => SavepointOutcome { location: None, failure_cause: cause_of(&other) },
    }))))
}

/// `POST /jobs/:id/checkpoints`.
pub(crate) async fn trigger_checkpoint(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Body(request): Body<CheckpointTriggerRequest>,
) -> Accepted {
    let job: JobId = path_parameter("jobid", &id)?;
    check_one_of("checkpointType", request.checkpoint_type.as_deref(), &["CONFIGURED", "FULL", "INCREMENTAL"])?;
    let trigger = trigger_of(request.trigger_id)?;
    Ok(accepted(state.dispatcher.checkpoint(&tenant, job, trigger).await?))
}

/// `GET /jobs/:id/checkpoints/:trigger`.
pub(crate) async fn checkpoint_outcome(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path((id, trigger)): Path<(String, String)>,
) -> Answer<OperationStatus<CheckpointOutcome>> {
    let (job, trigger): (JobId, TriggerId) = (path_parameter("jobid", &id)?, path_parameter("triggerid", &trigger)?);
    let outcome = state.dispatcher.checkpoint_outcome(&tenant, job, trigger)?;
    Ok(Json(OperationStatus::of(outcome.map(|outcome| match outcome {
        Outcome::Checkpoint { id } => CheckpointOutcome { checkpoint_id: Some(id), failure_cause: None },
        other => CheckpointOutcome { checkpoint_id: None, failure_cause: cause_of(&other) },
    }))))
}

/// `POST /savepoint-disposal`. Flink answers 200, unlike the others.
pub(crate) async fn dispose(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Body(request): Body<DisposalRequest>,
) -> Answer<TriggerResponse> {
    let trigger = state.dispatcher.dispose(&tenant, request.savepoint_path)?;
    Ok(Json(TriggerResponse { request_id: trigger.to_string() }))
}

/// `GET /savepoint-disposal/:trigger`.
pub(crate) async fn disposal_outcome(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(trigger): Path<String>,
) -> Answer<OperationStatus<DisposalOutcome>> {
    let trigger: TriggerId = path_parameter("triggerid", &trigger)?;
    let outcome = state.dispatcher.disposal_outcome(&tenant, trigger)?;
    Ok(Json(OperationStatus::of(outcome.map(|outcome| DisposalOutcome { failure_cause: cause_of(&outcome) }))))
}

pub(crate) fn accepted(trigger: TriggerId) -> (StatusCode, Json<TriggerResponse>) {
    (StatusCode::ACCEPTED, Json(TriggerResponse { request_id: trigger.to_string() }))
}

pub(crate) fn trigger_of(stated: Option<String>) -> Result<Option<TriggerId>, RestError> {
    stated.map(|id| path_parameter("triggerId", &id)).transpose()
}

fn check_format(stated: Option<&str>) -> Result<(), RestError> {
    check_one_of("formatType", stated, &["CANONICAL", "NATIVE"])
}

fn check_one_of(field: &str, stated: Option<&str>, known: &[&str]) -> Result<(), RestError> {
    match stated {
        Some(stated) if !known.contains(&stated) => {
            Err(RestError::bad_request(format!("{field} is not one of {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

pub(crate) fn cause_of(outcome: &Outcome) -> Option<FailureCause> {
    let Outcome::Failed(failure) = outcome else { return None };
    let failure: &Failure = failure;
    Some(FailureCause { class: failure.kind.code().to_owned(), stack_trace: failure.to_string() })
}
