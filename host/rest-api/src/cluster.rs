//! The cluster and its TaskManagers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `GET /config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterConfig {
    /// How often a dashboard should ask, in milliseconds.
    pub refresh_interval: u64,
    /// The server's time zone.
    pub timezone_name: String,
    /// Its distance from UTC, in milliseconds.
    pub timezone_offset: i64,
    /// The version of Flink whose API this is, followed by Millrace's own.
    pub flink_version: String,
    /// What was built.
    pub flink_revision: String,
    /// What the dashboard may offer.
    pub features: Features,
}

/// What the dashboard may offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Features {
    /// Upload and run bundles.
    pub web_submit: bool,
    /// Cancel jobs.
    pub web_cancel: bool,
    /// Change a job's parallelism.
    pub web_rescale: bool,
    /// It shows finished jobs only.
    pub web_history: bool,
}

/// `GET /overview`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterOverview {
    /// How many TaskManagers there are.
    pub taskmanagers: u32,
    /// How many slots they have.
    pub slots_total: u32,
    /// How many of these are free.
    pub slots_available: u32,
    /// Jobs that have not ended.
    pub jobs_running: u32,
    /// Jobs that have processed all their input.
    pub jobs_finished: u32,
    /// Jobs that were cancelled.
    pub jobs_cancelled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
    /// The version of Flink whose API this is.
    pub flink_version: String,
    /// What was built.
    pub flink_commit: String,
}

/// `GET /taskmanagers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskManagerList {
    /// The TaskManagers.
    pub taskmanagers: Vec<TaskManagerInfo>,
}

/// A TaskManager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerInfo {
    /// Its id.
    pub id: String,
    /// Where it takes messages.
    pub path: String,
    /// Where it takes records; 0 where all is one process.
    pub data_port: u16,
    /// -1: there is no JVM.
    pub jmx_port: i32,
    /// When it was last heard of, in milliseconds since 1970.
    pub time_since_last_heartbeat: i64,
    /// Its slots.
    pub slots_number: u32,
    /// Those that are free.
    pub free_slots: u32,
    /// Subtasks that run on it.
    pub assigned_tasks: u32,
    /// What it has.
    pub total_resource: Resource,
    /// What of it is free.
    pub free_resource: Resource,
    /// Its machine.
    pub hardware: Hardware,
    /// Flink's memory model, as far as it has a meaning.
    pub memory_configuration: MemoryConfiguration,
}

/// `GET /taskmanagers/:id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManagerDetails {
    /// What the list says of it.
    #[serde(flatten)]
    pub info: TaskManagerInfo,
    /// The slots that are in use.
    pub allocated_slots: Vec<AllocatedSlot>,
    /// Its figures.
    pub metrics: TaskManagerFigures,
}

/// A slot in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocatedSlot {
    /// The job that has it.
    pub job_id: String,
    /// The slot's share of the TaskManager.
    pub resource: Resource,
    /// Subtasks that run in it.
    pub assigned_tasks: u32,
}

/// An amount of what a TaskManager has; memory in MiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Processor cores.
    pub cpu_cores: f64,
    /// Linear memory of guests.
    pub task_heap_memory: u64,
    /// Flink's field of this name; 0.
    pub task_off_heap_memory: u64,
    /// Flink's field of this name; 0.
    pub managed_memory: u64,
    /// Buffers.
    pub network_memory: u64,
    /// None.
    pub extended_resources: BTreeMap<String, f64>,
}

/// A machine; memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hardware {
    /// Processor cores.
    pub cpu_cores: u32,
    /// Memory.
    pub physical_memory: u64,
    /// Memory that is free.
    pub free_memory: u64,
    /// Flink's field of this name; 0.
    pub managed_memory: u64,
}

/// Flink's memory model in bytes: what has no meaning here is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each field is Flink's of its name")]
pub struct MemoryConfiguration {
    pub framework_heap: u64,
    pub task_heap: u64,
    pub framework_off_heap: u64,
    pub task_off_heap: u64,
    pub network_memory: u64,
    pub managed_memory: u64,
    pub jvm_metaspace: u64,
    pub jvm_overhead: u64,
    pub total_flink_memory: u64,
    pub total_process_memory: u64,
}

/// A TaskManager's figures, by Flink's names: what has no meaning here is 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "each field is Flink's of its name")]
pub struct TaskManagerFigures {
    pub heap_used: u64,
    pub heap_committed: u64,
    pub heap_max: u64,
    pub non_heap_used: u64,
    pub non_heap_committed: u64,
    pub non_heap_max: u64,
    pub direct_count: u64,
    pub direct_used: u64,
    pub direct_max: u64,
    pub mapped_count: u64,
    pub mapped_used: u64,
    pub mapped_max: u64,
    pub netty_shuffle_memory_segments_available: u64,
    pub netty_shuffle_memory_segments_used: u64,
    pub netty_shuffle_memory_segments_total: u64,
    pub netty_shuffle_memory_available: u64,
    pub netty_shuffle_memory_used: u64,
    pub netty_shuffle_memory_total: u64,
    pub garbage_collectors: Vec<serde_json::Value>,
}

/// A metric: its name, and its value if that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub id: String,
    /// Its value, as text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<String>,
}
