//! One vertex of a job.

use std::collections::BTreeMap;

use millrace_types::ExecutionState;
use serde::{Deserialize, Serialize};

use crate::IoFigures;

/// `GET /jobs/:jobid/vertices/:vertexid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VertexDetails {
    /// The vertex.
    pub id: String,
    /// Its chain's name.
    pub name: String,
    /// Its number of subtasks.
    pub parallelism: u32,
    /// Its number of key groups.
    pub max_parallelism: u32,
    /// The server's clock.
    pub now: i64,
    /// The subtasks.
    pub subtasks: Vec<SubtaskDetails>,
    /// Figures over the subtasks.
    pub aggregated: VertexFigures,
}

/// Figures over the subtasks of a vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VertexFigures {
    /// By figure.
    pub metrics: BTreeMap<String, Aggregate>,
    /// Time spent in each state.
    pub status_duration: BTreeMap<String, Aggregate>,
}

/// A figure over several subtasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the statistic of its name")]
pub struct Aggregate {
    pub p25: i64,
    pub min: i64,
    pub avg: i64,
    pub median: i64,
    pub max: i64,
    pub sum: i64,
    pub p95: i64,
    pub p75: i64,
}

/// A subtask; also `GET /jobs/:jobid/vertices/:vertexid/subtasks/:index`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SubtaskDetails {
    /// The subtask, from 0.
    pub subtask: u32,
    /// Its state.
    pub status: ExecutionState,
    /// Its attempt, from 0.
    pub attempt: u32,
    /// Where it runs.
    pub endpoint: String,
    /// When it was deployed; -1 if it was not.
    pub start_time: i64,
    /// When it ended; -1 if it has not.
    pub end_time: i64,
    /// From start to end, or to now; -1 if it did not start.
    pub duration: i64,
    /// What it has done.
    pub metrics: IoFigures,
    /// The TaskManager that it runs on.
    pub taskmanager_id: String,
    /// Time spent in each state that it has been in.
    pub status_duration: BTreeMap<ExecutionState, i64>,
    /// `start-time` again, as Flink has it.
    #[serde(rename = "start_time")]
    pub start_time_again: i64,
}

/// `GET /jobs/:jobid/vertices/:vertexid/subtasks/:index/attempts`: Millrace's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskAttempts {
    /// The attempts that are remembered, the newest first.
    pub attempts: Vec<SubtaskDetails>,
}

/// `GET /jobs/:jobid/vertices/:vertexid/subtasktimes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexSubtaskTimes {
    /// The vertex.
    pub id: String,
    /// Its chain's name.
    pub name: String,
    /// The server's clock.
    pub now: i64,
    /// The subtasks.
    pub subtasks: Vec<SubtaskTimes>,
}

/// When a subtask entered its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskTimes {
    /// The subtask, from 0.
    pub subtask: u32,
    /// Where it runs.
    pub endpoint: String,
    /// From its first state to now or to its end.
    pub duration: i64,
    /// When it entered each state; 0 if it did not.
    pub timestamps: BTreeMap<ExecutionState, i64>,
}

/// `GET /jobs/:jobid/vertices/:vertexid/taskmanagers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexTaskManagers {
    /// The vertex.
    pub id: String,
    /// Its chain's name.
    pub name: String,
    /// The server's clock.
    pub now: i64,
    /// What runs where.
    pub taskmanagers: Vec<VertexTaskManager>,
}

/// The subtasks of a vertex on one TaskManager.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VertexTaskManager {
    /// Where it is.
    pub endpoint: String,
    /// The state that the subtasks add up to.
    pub status: ExecutionState,
    /// When the first was deployed; -1 if none was.
    pub start_time: i64,
    /// When the last ended; -1 while one has not.
    pub end_time: i64,
    /// From start to end, or to now.
    pub duration: i64,
    /// What they have done.
    pub metrics: IoFigures,
    /// Subtasks by state.
    pub status_counts: BTreeMap<ExecutionState, u32>,
    /// The TaskManager.
    pub taskmanager_id: String,
    /// Figures over the subtasks.
    pub aggregated: VertexFigures,
}
