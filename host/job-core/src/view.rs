//! What others may see of a job: REST while it runs, and the metadata store once it has ended.
//!
//! Invariant: cloning is cheap (shared per vertex), so that readers get a snapshot and never wait for the core.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_types::{CheckpointId, ExecutionState, JobId, JobStatus, NodeId, Takeover, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkpoints::CheckpointsView;
use crate::dropped::Dropped;
use crate::exceptions::ExceptionHistory;
use crate::rescales::RescaleHistory;
use crate::restart::RestartStrategy;
use crate::split_assigner::SplitProgress;
use crate::vertex_view::VertexView;

/// What a job waits for before it deploys its tasks, for the first time or again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Slots that it needs.
    pub slots_needed: u32,
    /// Slots that it has.
    pub slots_have: u32,
    /// Free slots and all slots of the cluster, if the ResourceManager said that they do not suffice.
    pub cluster_slots: Option<(u32, u32)>,
    /// Tasks that have to stop before they run again.
    pub tasks_stopping: u32,
    /// When the delay before the restart is over, unless it is.
    pub restart_at: Option<Timestamp>,
    /// Sources whose splits are still being listed.
    pub sources: Vec<NodeId>,
    /// The attempt number that is still being recorded.
    pub unrecorded_attempt: Option<u32>,
    /// The checkpoint of which it is not yet known whether it is complete.
    pub unsettled_checkpoint: Option<CheckpointId>,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.slots_have < self.slots_needed {
            write!(f, "needs {} slots and has {}", self.slots_needed, self.slots_have)?;
            if let Some((free, total)) = self.cluster_slots {
                write!(f, "; {free} of the cluster's {total} are free")?;
            }
            Ok(())
        } else if self.tasks_stopping > 0 {
            write!(f, "waits until {} tasks have stopped", self.tasks_stopping)
        } else if self.restart_at.is_some() {
            f.write_str("waits until the delay before the restart is over")
        } else if !self.sources.is_empty() {
            write!(f, "lists the splits of {} sources", self.sources.len())
        } else if let Some(attempt) = self.unrecorded_attempt {
            write!(f, "records its attempt {attempt}")
        } else if let Some(checkpoint) = self.unsettled_checkpoint {
            write!(f, "waits for the end of checkpoint {checkpoint}")
        } else {
            f.write_str("waits for nothing")
        }
    }
}

/// A job as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub job: JobId,
    /// Its owner.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
    /// Its vertices and exchanges; `graph.plan` gives the plan.
    pub graph: Arc<JobGraph>,
    /// Its status.
    pub status: JobStatus,
    /// When it entered each status that it has had.
    pub timestamps: BTreeMap<JobStatus, Timestamp>,
    /// What it waits for, while it is `CREATED` or `RESTARTING`.
    pub waiting: Option<Waiting>,
    /// Its vertices, in the order of the graph.
    pub vertices: Vec<Arc<VertexView>>,
    /// With the adaptive scheduler the parallelism that was asked for of each vertex; that of `graph` is the present one.
    pub desired_parallelism: Option<Vec<u32>>,
    /// With the adaptive scheduler the least parallelism that it runs at, of each vertex.
    pub least_parallelism: Option<Vec<u32>>,
    /// With the adaptive scheduler its rescales.
    pub rescales: Arc<RescaleHistory>,
    /// How far its sources' splits are, for the sources whose splits are listed.
    pub splits: BTreeMap<NodeId, SplitProgress>,
    /// How often it was restarted in this life of its JobManager: once for each failure that its strategy answered.
    pub restarts: u32,
    /// Whether it runs again when it has failed.
    pub restart_strategy: RestartStrategy,
    /// Its failures.
    pub exceptions: Arc<ExceptionHistory>,
    /// How leaders took it over, the newest last, at most [`millrace_types::TAKEOVERS_MAX`].
    pub takeovers: Vec<Takeover>,
    /// Its checkpoints and savepoints.
    pub checkpoints: Arc<CheckpointsView>,
    /// The messages that its JobMaster dropped.
    pub dropped: Dropped,
}

impl JobView {
    /// When the job was accepted.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.timestamps.get(&JobStatus::Initializing).copied()
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        if self.status.is_terminal() { self.timestamps.get(&self.status).copied() } else { None }
    }

    /// The job without the earlier attempts of its tasks, and without what each of them had to do with checkpoints: this
    /// takes the most room and is missed the least.
    #[must_use]
    pub fn without_earlier_attempts(&self) -> Self {
        let mut view = self.clone();
        Arc::make_mut(&mut view.checkpoints).shorten();
        for vertex in
            view.vertices.iter_mut().filter(|vertex| vertex.subtasks.iter().any(|task| !task.earlier.is_empty()))
        {
            Arc::make_mut(vertex).subtasks.iter_mut().for_each(|task| task.earlier.clear());
        }
        view
    }

    /// How many subtasks are in each state; every state is there.
    pub fn task_counts(&self) -> BTreeMap<ExecutionState, u32> {
        let mut counts: BTreeMap<ExecutionState, u32> = ExecutionState::ALL.iter().map(|state| (*state, 0)).collect();
        for (state, count) in self.vertices.iter().flat_map(|vertex| vertex.task_counts()) {
            *counts.entry(state).or_default() += count;
        }
        counts
    }

    pub(crate) fn enter(&mut self, status: JobStatus, now: Timestamp) {
        self.status = status;
        self.timestamps.insert(status, now);
    }
}
