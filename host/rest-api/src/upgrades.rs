//! Upgrades: Millrace's own, in the manner of savepoints.

use serde::{Deserialize, Serialize};

use crate::savepoints::FailureCause;

/// Body of `POST /jobs/:jobid/upgrade`: Millrace's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The bundle with the new code, as `POST /jars/upload` named it.
    pub jar_id: String,
    /// Other arguments of the application; those of the running job unless stated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub program_args_list: Option<Vec<String>>,
    /// Another parallelism of operators that state none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parallelism: Option<i64>,
    /// If it takes a restart: whether state of operators that the new code does not have may be left behind.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allow_non_restored_state: Option<bool>,
    /// The id to ask for the outcome by; a fresh one unless stated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trigger_id: Option<String>,
}

/// The code was replaced at a barrier: the job runs on with it.
pub const UPGRADED_AT_A_BARRIER: &str = "barrier";

/// The code cannot be replaced at a barrier, and nothing was changed: stop the job with a savepoint, and run the bundle
/// from that. The job's state fits the new code.
pub const UPGRADE_BY_RESTART: &str = "savepoint-and-restart";

/// An upgrade's outcome: a mode, or why the job was not upgraded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeOutcome {
    /// [`UPGRADED_AT_A_BARRIER`] or [`UPGRADE_BY_RESTART`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<String>,
    /// The checkpoint behind which the job runs the new code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint_id: Option<u64>,
    /// Why it takes a restart.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Why the job was not upgraded, and whether it runs on as it was or went back to a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_cause: Option<FailureCause>,
}
