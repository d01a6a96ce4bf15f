//! Watermark alignment: sources that are ahead of others of their group wait.
//!
//! Invariant: a group's limits are told at most once in its update interval, and only when they have changed.

use std::collections::BTreeMap;

use millrace_graph::{JobGraph, WatermarkAlignment};
use millrace_protocol::WatermarkLimit;
use millrace_types::{AttemptId, ExecutionState, NodeId, Timestamp};

use crate::core::JobCore;
use crate::dropped::DropReason;
use crate::event::Command;
use crate::tasks::Task;

#[derive(Debug)]
struct Member {
    vertex: usize,
    node: NodeId,
    drift_ms: u64,
}

#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    interval_ms: u64,
    /// The watermarks that tasks have told, by node and subtask, each of one attempt.
    reached: BTreeMap<(NodeId, u32), (AttemptId, i64)>,
    /// The least watermark that limits were told for.
    told: Option<i64>,
    /// A task has yet to be told the present limit.
    owes: bool,
    next_at: Timestamp,
}

impl Group {
    fn least(&self) -> Option<i64> {
        self.reached.values().map(|(_, watermark)| *watermark).min()
    }

    fn has_news(&self) -> bool {
        !self.reached.is_empty() && (self.owes || self.least() != self.told)
    }
}

/// All groups of a job.
#[derive(Debug)]
pub(crate) struct WatermarkGroups(Vec<Group>);

impl WatermarkGroups {
    pub fn of(graph: &JobGraph) -> Self {
        let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
        for (vertex, job_vertex) in graph.vertices.iter().enumerate() {
            for (node, stream_node) in &job_vertex.nodes {
                let Some(WatermarkAlignment { group, max_drift_ms, update_interval_ms }) = &stream_node.alignment
                else {
                    continue;
                };
                let found = groups.entry(group).or_insert_with(|| Group {
                    members: Vec::new(),
                    interval_ms: *update_interval_ms,
                    reached: BTreeMap::new(),
                    told: None,
                    owes: false,
                    next_at: Timestamp::default(),
                });
                found.interval_ms = found.interval_ms.min(*update_interval_ms);
                found.members.push(Member { vertex, node: *node, drift_ms: *max_drift_ms });
            }
        }
        Self(groups.into_values().collect())
    }

    /// When limits are to be told.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.iter().filter(|group| group.has_news()).map(|group| group.next_at).min()
    }
}

impl JobCore {
    pub(crate) fn watermark_reached(&mut self, attempt: &AttemptId, node: NodeId, watermark: i64) {
        let task = match self.live_task(attempt) {
            Ok(task) => task,
            Err(reason) => return self.drop_message(reason),
        };
        let is_member = |member: &Member| (member.vertex, member.node) == (task.vertex, node);
        let Some(group) = self.alignment.0.iter_mut().find(|group| group.members.iter().any(is_member)) else {
            return self.drop_message(DropReason::UnknownTask);
        };
        let known = group.reached.insert((node, task.subtask), (*attempt, watermark));
        group.owes |= known.is_none_or(|(known, _)| known != *attempt);
    }

    /// Tells limits that have changed, once it is time.
    pub(crate) fn align_watermarks(&mut self, out: &mut Vec<Command>) {
        if self.alignment.0.is_empty() {
            return;
        }
        let mut groups = std::mem::take(&mut self.alignment.0);
        for group in &mut groups {
            // Tasks that have ended hold nobody back.
            group.reached.retain(|_, (attempt, _)| self.live_task(attempt).is_ok());
            if group.has_news() && group.next_at <= self.now {
                self.tell_limits(group, out);
            }
        }
        self.alignment.0 = groups;
    }

    fn tell_limits(&self, group: &mut Group, out: &mut Vec<Command>) {
        let Some(least) = group.least() else { return };
        group.told = Some(least);
        group.owes = false;
        group.next_at = self.now.plus_ms(group.interval_ms);
        for member in &group.members {
            let watermark_max = least.saturating_add_unsigned(member.drift_ms);
            let limit = WatermarkLimit { node: member.node, watermark_max };
            for subtask in 0..self.spec.graph.vertices[member.vertex].parallelism {
                let task = Task { vertex: member.vertex, subtask };
                let view = self.subtask(task);
                if view.state.is_terminal() || view.state == ExecutionState::Canceling {
                    continue;
                }
                if let Some(task_manager) = view.task_manager.clone() {
                    out.push(Command::LimitWatermark { task_manager, attempt: self.attempt_id(task), limit });
                }
            }
        }
    }
}
