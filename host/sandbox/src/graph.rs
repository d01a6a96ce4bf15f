//! From the graph that a guest returned to the host's own, within limits of size. Whether it makes sense is for
//! [`millrace_graph`] to say.

use millrace_graph::{
    Chaining, Format, GuestCode, NativeConnector, NodeKind, Partitioning, StreamEdge, StreamGraph, StreamNode,
    WatermarkAlignment,
};
use millrace_types::NodeId;

use crate::bindings::millrace::app::graph as wit;
use crate::options::BuilderLimits;

/// Counts what texts a graph has.
struct Texts {
    left: usize,
    limit: usize,
}

impl Texts {
    fn take(&mut self, text: String) -> Result<String, String> {
        self.left = self
            .left
            .checked_sub(text.len())
            .ok_or_else(|| format!("the graph's texts have more than {} bytes", self.limit))?;
        Ok(text)
    }

    fn take_option(&mut self, text: Option<String>) -> Result<Option<String>, String> {
        text.map(|text| self.take(text)).transpose()
    }
}

/// Converts a graph, or says which limit it passes.
pub(crate) fn from_guest(graph: wit::StreamGraph, limits: &BuilderLimits) -> Result<StreamGraph, String> {
    for (what, count, limit) in
        [("nodes", graph.nodes.len(), limits.nodes_max), ("edges", graph.edges.len(), limits.edges_max)]
    {
        if count > limit {
            return Err(format!("the graph has {count} {what}, limit {limit}"));
        }
    }
    let mut texts = Texts { left: limits.text_bytes_max, limit: limits.text_bytes_max };
    let name = texts.take(graph.name)?;
    let nodes = graph.nodes.into_iter().map(|node| node_from(node, &mut texts)).collect::<Result<_, _>>()?;
    Ok(StreamGraph { name, nodes, edges: graph.edges.iter().map(edge_from).collect() })
}

fn node_from(node: wit::Node, texts: &mut Texts) -> Result<StreamNode, String> {
    Ok(StreamNode {
        uid: texts.take(node.uid)?,
        name: texts.take(node.name)?,
        kind: match node.kind {
            wit::NodeKind::Source(code) => NodeKind::Source(code_from(code, texts)?),
            wit::NodeKind::Operator(code) => NodeKind::Operator(code_from(code, texts)?),
            wit::NodeKind::NativeSource(connector) => NodeKind::NativeSource(connector_from(connector, texts)?),
            wit::NodeKind::NativeOperator(connector) => NodeKind::NativeOperator(connector_from(connector, texts)?),
            wit::NodeKind::NativeSink(connector) => NodeKind::NativeSink(connector_from(connector, texts)?),
        },
        parallelism: node.parallelism,
        max_parallelism: node.max_parallelism,
        slot_sharing_group: texts.take_option(node.slot_sharing_group)?,
        chaining: match node.chaining {
            wit::Chaining::Always => Chaining::Always,
            wit::Chaining::Head => Chaining::Head,
            wit::Chaining::Never => Chaining::Never,
        },
        generates_watermarks: node.generates_watermarks,
        idle_timeout_ms: node.idle_timeout_ms,
        alignment: match node.alignment {
            None => None,
            Some(alignment) => Some(WatermarkAlignment {
                group: texts.take(alignment.group)?,
                max_drift_ms: alignment.max_drift_ms,
                update_interval_ms: alignment.update_interval_ms,
            }),
        },
    })
}

fn code_from(code: wit::GuestCode, texts: &mut Texts) -> Result<GuestCode, String> {
    Ok(GuestCode {
        component: texts.take_option(code.component)?,
        function: texts.take(code.function)?,
        config: texts.take(code.config)?,
    })
}

fn connector_from(connector: wit::NativeConnector, texts: &mut Texts) -> Result<NativeConnector, String> {
    Ok(NativeConnector { connector: texts.take(connector.connector)?, options: texts.take(connector.options)? })
}

fn edge_from(edge: &wit::Edge) -> StreamEdge {
    StreamEdge {
        source: NodeId(edge.source),
        source_port: edge.source_port,
        target: NodeId(edge.target),
        target_port: edge.target_port,
        partitioning: match edge.partitioning {
            wit::Partitioning::Forward => Partitioning::Forward,
            wit::Partitioning::Rebalance => Partitioning::Rebalance,
            wit::Partitioning::Rescale => Partitioning::Rescale,
            wit::Partitioning::Hash => Partitioning::Hash,
            wit::Partitioning::Broadcast => Partitioning::Broadcast,
            wit::Partitioning::Global => Partitioning::Global,
            wit::Partitioning::Shuffle => Partitioning::Shuffle,
        },
        format: match edge.format {
            wit::Format::Internal => Format::Internal,
            wit::Format::Raw => Format::Raw,
            wit::Format::Json => Format::Json,
            wit::Format::Msgpack => Format::Msgpack,
            wit::Format::Fields => Format::Fields,
        },
    }
}

/// What the guest takes for the code of an operator.
pub(crate) fn code_to_guest(code: &GuestCode) -> wit::GuestCode {
    wit::GuestCode { component: code.component.clone(), function: code.function.clone(), config: code.config.clone() }
}
