//! The plan of a job as Flink's REST API shows it; the dashboard draws the graph from it.
//!
//! Node order is Flink's: a vertex comes behind everything that reads from it, so sinks come first.

use millrace_types::{JobId, NodeId, VertexId};
use serde::Serialize;

use crate::job_graph::{JobGraph, JobVertex};
use crate::stream_graph::StreamNode;

/// A plan; REST wraps it in `{"plan": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobPlan {
    /// The job.
    pub jid: JobId,
    /// The application's name.
    pub name: String,
    /// `STREAMING`.
    pub r#type: &'static str,
    /// The vertices, sinks first.
    pub nodes: Vec<PlanNode>,
}

/// A vertex of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanNode {
    /// The vertex.
    pub id: VertexId,
    /// Always empty, as in Flink.
    pub operator: &'static str,
    /// The number of subtasks.
    pub parallelism: u32,
    /// Always empty, as in Flink.
    pub operator_strategy: &'static str,
    /// The operators, a line each, as HTML.
    pub description: String,
    /// Always an empty object, as in Flink.
    pub optimizer_properties: Empty,
    /// What it reads; absent for sources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<PlanInput>,
    /// What Millrace knows more.
    pub millrace: PlanChain,
}

/// The chain of a vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanChain {
    /// Its operators, in topological order.
    pub operators: Vec<PlanOperator>,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// Subtasks of vertices of one group may share a slot.
    pub slot_sharing_group: String,
}

/// An operator of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanOperator {
    /// What names it in states and checkpoints.
    pub uid: String,
    /// Its name for people.
    pub name: String,
    /// `native`: in the host; `wasm`: in a component.
    pub kind: &'static str,
    /// The component that runs it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Its segment, from 0: operators of one segment run in one instance.
    pub segment: usize,
}

/// An empty JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Empty {}

/// An exchange that a vertex reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanInput {
    /// The producing vertex.
    pub id: VertexId,
    /// The input's number at its consumer.
    pub num: usize,
    /// Always `pipelined_bounded`.
    pub exchange: &'static str,
    /// How records are spread, by Flink's name.
    pub ship_strategy: &'static str,
}

impl JobGraph {
    /// The job's plan. `name` is what the run calls the job.
    pub fn plan(&self, jid: JobId, name: &str) -> JobPlan {
        let nodes = self.sinks_first().into_iter().map(|vertex| self.plan_node(vertex)).collect();
        JobPlan { jid, name: name.to_owned(), r#type: "STREAMING", nodes }
    }

    fn plan_node(&self, position: usize) -> PlanNode {
        let vertex = &self.vertices[position];
        let inputs = self.edges.iter().filter(|edge| edge.target_vertex == position).enumerate();
        let inputs = inputs.map(|(num, edge)| PlanInput {
            id: self.vertices[edge.source_vertex].id,
            num,
            exchange: "pipelined_bounded",
            ship_strategy: edge.partitioning.as_flink(),
        });
        PlanNode {
            id: vertex.id,
            operator: "",
            parallelism: vertex.parallelism,
            operator_strategy: "",
            description: vertex.description.clone(),
            optimizer_properties: Empty {},
            inputs: inputs.collect(),
            millrace: PlanChain {
                operators: vertex.nodes.iter().map(|(id, node)| operator_of(vertex, *id, node)).collect(),
                max_parallelism: vertex.max_parallelism,
                slot_sharing_group: vertex.slot_sharing_group.clone(),
            },
        }
    }

    /// The vertices in Flink's order: depth first from the sources, each behind all that it leads to.
    fn sinks_first(&self) -> Vec<usize> {
        let mut targets = vec![Vec::new(); self.vertices.len()];
        for edge in self.edges.iter().rev() {
            targets[edge.source_vertex].push(edge.target_vertex);
        }
        let mut order = Vec::with_capacity(self.vertices.len());
        let mut entered = vec![false; self.vertices.len()];
        for start in 0..self.vertices.len() {
            // (vertex, whether all that it leads to is listed)
            let mut stack = vec![(start, false)];
            while let Some((vertex, listed)) = stack.pop() {
                if listed {
                    order.push(vertex);
                } else if !std::mem::replace(&mut entered[vertex], true) {
                    stack.push((vertex, true));
                    stack.extend(targets[vertex].iter().map(|&target| (target, false)));
                }
            }
        }
        order
    }
}

fn operator_of(vertex: &JobVertex, id: NodeId, node: &StreamNode) -> PlanOperator {
    let mut segments = vertex.segments.iter().enumerate();
    let (segment, component) = segments
        .find(|(_, segment)| segment.nodes.contains(&id))
        .map_or((0, None), |(at, segment)| (at, segment.component.clone()));
    let kind = if component.is_some() { "wasm" } else { "native" };
    PlanOperator { uid: node.uid.clone(), name: node.name.clone(), kind, component, segment }
}
