//! The three graphs of an application: the StreamGraph that its builder returns, the JobGraph of chained vertices, and
//! the layout of its ExecutionGraph.
//!
//! Invariants:
//! - Pure: no IO, no clock, no random numbers; the same input gives the same ids, names and order everywhere.
//! - A [`JobGraph`] exists only for a StreamGraph that passed [`StreamGraph::validate`].

mod chaining;
mod code;
mod context;
mod describe;
mod digest;
mod error;
mod execution_graph;
mod job_graph;
mod job_graph_build;
mod order;
mod plan;
mod resolve;
mod scaling;
mod segment;
mod slot_sharing;
mod stream_graph;
mod validate;
mod validate_edges;

pub use context::{GraphContext, GraphLimits};
pub use error::{GraphError, NodeRef, Side};
pub use job_graph::{JobEdge, JobGraph, JobVertex, Segment};
pub use plan::{Empty, JobPlan, PlanChain, PlanInput, PlanNode, PlanOperator};
pub use slot_sharing::{SlotSharing, required_slots, slot_sharing_group_id};
pub use stream_graph::{
    Chaining, Format, GuestCode, NativeConnector, NodeKind, Partitioning, StreamEdge, StreamGraph, StreamNode,
    WatermarkAlignment,
};
