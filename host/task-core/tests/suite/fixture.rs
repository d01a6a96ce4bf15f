//! Chains to test with.

use millrace_graph::{
    Chaining, Format, GuestCode, JobVertex, NativeConnector, NodeKind, Partitioning, StreamEdge, StreamNode,
};
use millrace_types::{NodeId, VertexId};

/// What an operator of the chain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Guest,
    Generating,
    GeneratingSource,
    NativeSource,
    NativeSink,
    Async,
}

impl Kind {
    pub fn is_guest(self) -> bool {
        matches!(self, Self::Guest | Self::Generating | Self::GeneratingSource)
    }

    pub fn generates(self) -> bool {
        matches!(self, Self::Generating | Self::GeneratingSource)
    }

    pub fn is_source(self) -> bool {
        matches!(self, Self::GeneratingSource | Self::NativeSource)
    }

    fn node_kind(self) -> NodeKind {
        let code = GuestCode::default();
        let native = NativeConnector { connector: "any".to_owned(), options: String::new() };
        match self {
            Self::Guest | Self::Generating => NodeKind::Operator(code),
            Self::GeneratingSource => NodeKind::Source(code),
            Self::NativeSource => NodeKind::NativeSource(native),
            Self::NativeSink => NodeKind::NativeSink(native),
            Self::Async => NodeKind::NativeOperator(native),
        }
    }
}

/// A vertex of these operators, numbered from 0, and chained edges.
pub fn vertex(kinds: &[Kind], edges: &[(u32, u32)]) -> JobVertex {
    let nodes = kinds.iter().zip(0..).map(|(kind, id)| {
        let node = StreamNode {
            uid: format!("uid-{id}"),
            name: format!("operator {id}"),
            kind: kind.node_kind(),
            parallelism: None,
            max_parallelism: None,
            slot_sharing_group: None,
            chaining: Chaining::Always,
            generates_watermarks: kind.generates(),
            idle_timeout_ms: None,
            alignment: None,
        };
        (NodeId(id), node)
    });
    let edge = |&(source, target): &(u32, u32)| StreamEdge {
        source: NodeId(source),
        source_port: 0,
        target: NodeId(target),
        target_port: 0,
        partitioning: Partitioning::Forward,
        format: Format::Internal,
    };
    JobVertex {
        id: VertexId::from_bytes([0; 16]),
        name: String::new(),
        description: String::new(),
        nodes: nodes.collect(),
        chained_edges: edges.iter().map(edge).collect(),
        segments: Vec::new(),
        parallelism: 1,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
    }
}
