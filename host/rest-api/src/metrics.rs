//! Metrics over several tasks or processes, backpressure, accumulators and flame graphs.

use serde::{Deserialize, Serialize};

/// A metric over several tasks, jobs or TaskManagers: the statistics that were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregatedMetric {
    /// Its name.
    pub id: String,
    /// The least value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min: Option<f64>,
    /// The largest value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max: Option<f64>,
    /// The average.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub avg: Option<f64>,
    /// The sum.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sum: Option<f64>,
    /// How far values are from the average, on average, in percent of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skew: Option<f64>,
}

/// `GET /jobs/:jobid/vertices/:vertexid/backpressure`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexBackpressure {
    /// `ok`, or `deprecated` while no task runs.
    pub status: String,
    /// The worst level of all subtasks: `ok`, `low` or `high`.
    #[serde(rename = "backpressureLevel", skip_serializing_if = "Option::is_none", default)]
    pub level: Option<String>,
    /// When it was measured.
    #[serde(rename = "end-timestamp", skip_serializing_if = "Option::is_none", default)]
    pub end_timestamp: Option<i64>,
    /// The subtasks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subtasks: Option<Vec<SubtaskBackpressure>>,
    /// The level again, under its former name.
    #[serde(rename = "backpressure-level", skip_serializing_if = "Option::is_none", default)]
    pub level_again: Option<String>,
}

/// Where a subtask's time goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskBackpressure {
    /// The subtask, from 0.
    pub subtask: u32,
    /// `ok`, `low` or `high`.
    #[serde(rename = "backpressureLevel")]
    pub level: String,
    /// The share of time spent waiting for output buffers.
    pub ratio: f64,
    /// The share of time spent waiting for input.
    #[serde(rename = "idleRatio")]
    pub idle_ratio: f64,
    /// The share of time spent working.
    #[serde(rename = "busyRatio")]
    pub busy_ratio: f64,
    /// The level again, under its former name.
    #[serde(rename = "backpressure-level")]
    pub level_again: String,
}

/// `GET /jobs/:jobid/accumulators`: programs have no accumulators here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobAccumulators {
    /// None.
    pub job_accumulators: Vec<serde_json::Value>,
    /// None.
    pub user_task_accumulators: Vec<serde_json::Value>,
    /// None.
    pub serialized_user_task_accumulators: serde_json::Map<String, serde_json::Value>,
}

/// `GET /jobs/:jobid/vertices/:vertexid/accumulators`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VertexAccumulators {
    /// The vertex.
    pub id: String,
    /// None.
    pub user_accumulators: Vec<serde_json::Value>,
}

/// `GET /jobs/:jobid/vertices/:vertexid/subtasks/accumulators`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtasksAccumulators {
    /// The vertex.
    pub id: String,
    /// Its number of subtasks.
    pub parallelism: u32,
    /// The subtasks.
    pub subtasks: Vec<SubtaskAccumulators>,
}

/// The accumulators of a subtask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubtaskAccumulators {
    /// The subtask, from 0.
    pub subtask: u32,
    /// Its attempt, from 0.
    pub attempt: u32,
    /// Where it runs or ran.
    pub endpoint: String,
    /// None.
    pub user_accumulators: Vec<serde_json::Value>,
}

/// `GET /jobs/:jobid/vertices/:vertexid/flamegraph`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlameGraph {
    /// When the last sample was taken; -1: no task runs, -2: there are no flame graphs, -3: samples are being taken.
    #[serde(rename = "endTimestamp")]
    pub end_timestamp: i64,
    /// The samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<FlameNode>,
}

/// What was found so often, and within it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlameNode {
    /// An operator, a function, or what a task waited for.
    pub name: String,
    /// How often it was found.
    pub value: u64,
    /// What it was doing then, the most frequent first.
    pub children: Vec<FlameNode>,
}
