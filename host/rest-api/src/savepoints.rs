//! Savepoints, and checkpoints on request: operations that go on after they were asked for.

use serde::{Deserialize, Serialize};

/// Body of `POST /jobs/:jobid/savepoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SavepointTriggerRequest {
    /// Where to make the savepoint's folder.
    #[serde(rename = "target-directory", skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    /// Cancel the job when the savepoint is complete.
    #[serde(rename = "cancel-job", skip_serializing_if = "Option::is_none")]
    pub cancel_job: Option<bool>,
    /// `CANONICAL` or `NATIVE`: Millrace has one format, which is both.
    #[serde(rename = "formatType", skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// The id to ask for the outcome by; a fresh one unless stated. Asking twice by one id makes one savepoint.
    #[serde(rename = "triggerId", skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
}

/// Body of `POST /jobs/:jobid/stop`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StopRequest {
    /// Where to make the savepoint's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
    /// First end the sources as if they were read to their end, so that all windows fire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
    /// `CANONICAL` or `NATIVE`: Millrace has one format, which is both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_type: Option<String>,
    /// The id to ask for the outcome by; a fresh one unless stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
}

/// Body of `POST /jobs/:jobid/checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CheckpointTriggerRequest {
    /// `CONFIGURED`, `FULL` or `INCREMENTAL`: each checkpoint is a base and what changed behind it, whichever is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_type: Option<String>,
    /// The id to ask for the outcome by; a fresh one unless stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
}

/// Body of `POST /savepoint-disposal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DisposalRequest {
    /// The savepoint's folder.
    pub savepoint_path: String,
}

/// What each of these is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TriggerResponse {
    /// The id to ask for the outcome by.
    pub request_id: String,
}

/// How an operation stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStatus<T> {
    /// Whether it goes on.
    pub status: OperationState,
    /// Its outcome, once it is there.
    pub operation: Option<T>,
}

/// Whether an operation goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationState {
    /// `IN_PROGRESS` or `COMPLETED`.
    pub id: String,
}

impl<T> OperationStatus<T> {
    /// How it stands, by its outcome.
    pub fn of(operation: Option<T>) -> Self {
        let id = if operation.is_some() { "COMPLETED" } else { "IN_PROGRESS" };
        Self { status: OperationState { id: id.to_owned() }, operation }
    }
}

/// A savepoint's outcome: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SavepointOutcome {
    /// Where the savepoint is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub location: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_cause: Option<FailureCause>,
}

/// The outcome of a checkpoint that was asked for: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointOutcome {
    /// The checkpoint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint_id: Option<u64>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_cause: Option<FailureCause>,
}

/// The outcome of a disposal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DisposalOutcome {
    /// Why the savepoint is still there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_cause: Option<FailureCause>,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureCause {
    /// The kind of failure, such as `MR-CHECKPOINT`.
    pub class: String,
    /// What went wrong and what to do.
    pub stack_trace: String,
}
