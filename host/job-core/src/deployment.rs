//! Builds what a TaskManager needs to run one subtask.
//!
//! Invariant: the channels that two deployments of one exchange state are the same, seen from both ends.

use std::collections::BTreeMap;

use millrace_graph::{JobEdge, JobVertex, SlotSharing};
use millrace_protocol::{ChannelId, InputChannel, InputGate, OutputChannel, OutputEdge, TaskDeployment, TaskRestore};
use millrace_types::{AllocationId, AttemptId, ExecutionState, NodeId, SlotId, TaskManagerId, Timestamp};

use crate::spec::JobSpec;

/// Where a job's tasks run and in which attempts.
pub(crate) struct Placement<'a> {
    pub spec: &'a JobSpec,
    pub sharing: &'a SlotSharing,
    /// The slot of each shared slot.
    pub slots: &'a BTreeMap<u32, (SlotId, AllocationId)>,
    /// The attempt of each vertex's subtasks.
    pub attempts: &'a [Vec<u32>],
}

impl Placement<'_> {
    fn slot(&self, vertex: usize, subtask: u32) -> &(SlotId, AllocationId) {
        &self.slots[&self.sharing.slot_of(vertex, subtask)]
    }

    pub fn task_manager(&self, vertex: usize, subtask: u32) -> &TaskManagerId {
        &self.slot(vertex, subtask).0.task_manager
    }

    fn attempt(&self, vertex: usize, subtask: u32) -> u32 {
        self.attempts[vertex][subtask as usize]
    }

    /// The deployment of a subtask.
    pub fn deployment(
        &self,
        vertex: usize,
        subtask: u32,
        restore: Option<TaskRestore>,
        timestamps: BTreeMap<ExecutionState, Timestamp>,
    ) -> TaskDeployment {
        let spec = self.spec;
        let mut settings = spec.settings.clone();
        settings.checkpoints.periodic = spec.checkpoints.interval_ms.is_some();
        let job_vertex = &spec.graph.vertices[vertex];
        let used = |name: &str| job_vertex.segments.iter().any(|segment| segment.component.as_deref() == Some(name));
        let components = spec.components.iter().filter(|(name, _)| used(name));
        TaskDeployment {
            attempt: AttemptId {
                job: spec.job,
                vertex: job_vertex.id,
                subtask,
                attempt: self.attempt(vertex, subtask),
            },
            allocation: self.slot(vertex, subtask).1,
            tenant: spec.tenant.clone(),
            job_name: spec.name.clone(),
            components: components.map(|(name, component)| (name.clone(), component.clone())).collect(),
            graph_digest: spec.graph_digest,
            args: spec.args.clone(),
            default_parallelism: spec.default_parallelism,
            vertex: job_vertex.clone(),
            inputs: self.inputs(vertex, subtask),
            outputs: self.outputs(vertex, subtask),
            settings,
            restore,
            timestamps,
        }
    }

    fn channel(&self, position: usize, edge: &JobEdge, source_subtask: u32, target_subtask: u32) -> ChannelId {
        ChannelId {
            job: self.spec.job,
            edge: position as u32,
            source_subtask,
            source_attempt: self.attempt(edge.source_vertex, source_subtask),
            target_subtask,
            target_attempt: self.attempt(edge.target_vertex, target_subtask),
        }
    }

    fn inputs(&self, vertex: usize, subtask: u32) -> Vec<InputGate> {
        let graph = &self.spec.graph;
        let edges = graph.edges.iter().enumerate().filter(|(_, edge)| edge.target_vertex == vertex);
        edges
            .map(|(position, edge)| InputGate {
                target: edge.target,
                target_port: edge.target_port,
                partitioning: edge.partitioning,
                channels: graph
                    .sources_of(position, subtask)
                    .map(|source| InputChannel {
                        id: self.channel(position, edge, source, subtask),
                        task_manager: self.task_manager(edge.source_vertex, source).clone(),
                    })
                    .collect(),
            })
            .collect()
    }

    fn outputs(&self, vertex: usize, subtask: u32) -> Vec<OutputEdge> {
        let graph = &self.spec.graph;
        let edges = graph.edges.iter().enumerate().filter(|(_, edge)| edge.source_vertex == vertex);
        edges
            .map(|(position, edge)| OutputEdge {
                source: edge.source,
                source_port: edge.source_port,
                target_uid: uid_of(&graph.vertices[edge.target_vertex], edge.target),
                target_port: edge.target_port,
                partitioning: edge.partitioning,
                format: edge.format,
                target_max_parallelism: graph.vertices[edge.target_vertex].max_parallelism,
                target_parallelism: graph.vertices[edge.target_vertex].parallelism,
                channels: graph
                    .targets_of(position, subtask)
                    .map(|target| OutputChannel {
                        id: self.channel(position, edge, subtask, target),
                        task_manager: self.task_manager(edge.target_vertex, target).clone(),
                        // The shell knows addresses.
                        data_address: None,
                    })
                    .collect(),
            })
            .collect()
    }
}

/// The uid of an operator of a vertex.
fn uid_of(vertex: &JobVertex, node: NodeId) -> String {
    vertex.nodes.iter().find(|(id, _)| *id == node).map(|(_, node)| node.uid.clone()).unwrap_or_default()
}
