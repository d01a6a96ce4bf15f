//! The parallelism of a job that runs, and its history: jobs of the adaptive scheduler.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Resource, Spread};

/// `GET` and `PUT /jobs/:jobid/resource-requirements`, by vertex.
pub type ResourceRequirements = BTreeMap<String, VertexRequirements>;

/// What a vertex is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VertexRequirements {
    /// Its number of subtasks.
    pub parallelism: ParallelismRange,
}

/// A number of subtasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParallelismRange {
    /// The least one: with fewer the job waits for slots.
    pub lower_bound: i64,
    /// The one that it has where the slots suffice.
    pub upper_bound: i64,
}

/// `GET /jobs/:jobid/rescales/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescaleConfig {
    /// So many rescales are remembered.
    pub rescale_history_max: u32,
    /// `null`: the job has the parallelism that was asked for, not all that there is.
    pub scheduler_execution_mode: Option<String>,
    /// How long a job waits for the least slots, in milliseconds; -1: as long as it takes.
    pub submission_resource_wait_timeout_in_millis: i64,
    /// How long it then waits for more, in milliseconds.
    pub submission_resource_stabilization_timeout_in_millis: u64,
    /// `null`: slots that a job needs no longer are given back at once.
    pub slot_idle_timeout_in_millis: Option<u64>,
    /// How long a job runs at least before it takes up more slots, in milliseconds.
    pub executing_cooldown_timeout_in_millis: u64,
    /// How long it waits for still more of them, in milliseconds.
    pub executing_resource_stabilization_timeout_in_millis: u64,
    /// How long it then waits for a checkpoint, in milliseconds.
    pub maximum_delay_for_triggering_rescale_in_millis: u64,
    /// Flink's field of this name; `null`.
    pub rescale_on_failed_checkpoint_count: Option<u32>,
}

/// How many rescales there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescaleCounts {
    /// Those that came to nothing.
    pub ignored: u64,
    /// Those that go on.
    pub in_progress: u64,
    /// Those that succeeded.
    pub completed: u64,
    /// Those that failed.
    pub failed: u64,
}

/// `GET /jobs/:jobid/rescales/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescalesOverview {
    /// How many there were.
    pub rescales_counts: RescaleCounts,
    /// The newest of each end.
    pub latest: LatestRescales,
}

/// The newest rescale of each end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatestRescales {
    /// One that succeeded.
    pub completed: Option<RescaleDetails>,
    /// One that failed.
    pub failed: Option<RescaleDetails>,
    /// One that came to nothing.
    pub ignored: Option<RescaleDetails>,
}

/// `GET /jobs/:jobid/rescales/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescalesSummary {
    /// How many there were.
    pub rescales_counts: RescaleCounts,
    /// How long those took that have ended.
    pub rescales_duration_stats_in_millis: Spread,
    /// Those that succeeded.
    pub completed_rescales_duration_stats_in_millis: Spread,
    /// Those that came to nothing.
    pub ignored_rescales_duration_stats_in_millis: Spread,
    /// Those that failed.
    pub failed_rescales_duration_stats_in_millis: Spread,
}

/// `GET /jobs/:jobid/rescales/details/:rescaleuuid`; in lists without vertices, slots and states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescaleDetails {
    /// Its id.
    pub rescale_uuid: String,
    /// That of the requirements that it is for.
    pub resource_requirements_uuid: String,
    /// Its number among those for these requirements.
    pub rescale_attempt_id: u64,
    /// Its vertices.
    pub vertices: BTreeMap<String, RescaledVertex>,
    /// Its slot sharing groups.
    pub slots: BTreeMap<String, RescaledSlots>,
    /// What the scheduler did meanwhile.
    pub scheduler_states: Vec<SchedulerStateSpan>,
    /// When it began, in milliseconds since 1970.
    pub start_timestamp_in_millis: i64,
    /// When it ended.
    pub end_timestamp_in_millis: Option<i64>,
    /// `COMPLETED`, `FAILED` or `IGNORED`; `null` while it goes on.
    pub terminal_state: Option<String>,
    /// Why it began.
    pub trigger_cause: String,
    /// Why it ended.
    pub terminated_reason: Option<String>,
}

/// A vertex in a rescale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescaledVertex {
    /// The vertex.
    pub job_vertex_id: String,
    /// Its chain's name.
    pub job_vertex_name: String,
    /// Its slot sharing group.
    pub slot_sharing_group_id: String,
    /// That one's name.
    pub slot_sharing_group_name: String,
    /// The number of subtasks that is wanted.
    pub desired_parallelism: u32,
    /// The number that is enough.
    pub sufficient_parallelism: u32,
    /// The number before.
    pub pre_rescale_parallelism: Option<u32>,
    /// The number after.
    pub post_rescale_parallelism: Option<u32>,
}

/// A slot sharing group in a rescale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescaledSlots {
    /// The group.
    pub slot_sharing_group_id: String,
    /// Its name.
    pub slot_sharing_group_name: String,
    /// What a slot is asked to have: nothing is stated.
    pub request_resource_profile: Resource,
    /// The slots that are wanted.
    pub desired_slots: u32,
    /// The slots that are enough.
    pub minimal_required_slots: u32,
    /// The slots before.
    pub pre_rescale_slots: Option<u32>,
    /// The slots after.
    pub post_rescale_slots: Option<u32>,
    /// What the slots have: nothing is stated.
    pub acquired_resource_profile: Resource,
}

/// What the scheduler did for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerStateSpan {
    /// `Executing`, `Restarting` or `WaitingForResources`.
    pub state: String,
    /// From when, in milliseconds since 1970.
    pub enter_timestamp_in_millis: i64,
    /// Until when.
    pub leave_timestamp_in_millis: Option<i64>,
    /// How long.
    pub duration_in_millis: Option<i64>,
    /// Flink's field of this name; `null`.
    pub stringified_exception: Option<String>,
}
