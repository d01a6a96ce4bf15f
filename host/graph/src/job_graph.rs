//! The JobGraph: operators chained into vertices, and the exchanges between these.

use millrace_types::{NodeId, VertexId};
use serde::{Deserialize, Serialize};

use crate::stream_graph::{Format, Partitioning, StreamEdge, StreamNode};

/// Consecutive operators of one component that run in one instance, or one native operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The component's name in the manifest, resolved; `None`: a native operator, which stands alone.
    pub component: Option<String>,
    /// The operators, in topological order.
    pub nodes: Vec<NodeId>,
}

/// A chain of operators that runs as one task per subtask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobVertex {
    /// Derived from the uids of the chain's operators.
    pub id: VertexId,
    /// Flink's name of a chain: `Source: lines -> Flat Map -> Map`.
    pub name: String,
    /// Flink's description in plans: an operator a line, with `+- ` and `<br/>`.
    pub description: String,
    /// The operators, in topological order; the first one is the head.
    pub nodes: Vec<(NodeId, StreamNode)>,
    /// The streams between operators of the chain, in the order of the StreamGraph.
    pub chained_edges: Vec<StreamEdge>,
    /// The chain cut into what runs together, in topological order.
    pub segments: Vec<Segment>,
    /// The number of subtasks.
    pub parallelism: u32,
    /// The number of key groups.
    pub max_parallelism: u32,
    /// Subtasks of vertices of one group may share a slot.
    pub slot_sharing_group: String,
}

/// An exchange between two vertices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEdge {
    /// The producing vertex, as an index into [`JobGraph::vertices`].
    pub source_vertex: usize,
    /// The producing operator.
    pub source: NodeId,
    /// The producer's port.
    pub source_port: u32,
    /// The consuming vertex, as an index into [`JobGraph::vertices`].
    pub target_vertex: usize,
    /// The consuming operator.
    pub target: NodeId,
    /// The consumer's port.
    pub target_port: u32,
    /// How records are spread.
    pub partitioning: Partitioning,
    /// What the payloads are.
    pub format: Format,
}

/// The chained graph of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobGraph {
    /// The application's name.
    pub name: String,
    /// The vertices, in topological order.
    pub vertices: Vec<JobVertex>,
    /// The exchanges; an edge's id is its position.
    pub edges: Vec<JobEdge>,
}
