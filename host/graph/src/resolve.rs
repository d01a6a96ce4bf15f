//! What a node's settings come to once the run's defaults and its inputs are known.

use millrace_types::default_max_parallelism;

use crate::context::GraphContext;
use crate::stream_graph::{StreamGraph, StreamNode};

/// Flink's name of the group of all operators that name none.
pub(crate) const DEFAULT_SLOT_SHARING_GROUP: &str = "default";

/// A node's settings with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub parallelism: u32,
    pub max_parallelism: u32,
    pub slot_sharing_group: String,
    /// The component's name in the manifest; `None`: a native connector.
    pub component: Option<String>,
}

/// The number of subtasks of a node.
pub(crate) fn parallelism(node: &StreamNode, context: &GraphContext<'_>) -> u32 {
    node.parallelism.unwrap_or(context.default_parallelism)
}

/// The component that a node runs in, by its name in the manifest. `None` for native connectors, and for guest nodes
/// that neither name one nor have a default.
pub(crate) fn component<'a>(node: &'a StreamNode, context: &GraphContext<'a>) -> Option<&'a str> {
    node.kind.guest_code().and_then(|code| code.component.as_deref().or(context.entry_component))
}

/// Resolves all nodes, given their topological order.
pub(crate) fn resolve(graph: &StreamGraph, context: &GraphContext<'_>, order: &[usize]) -> Vec<Resolved> {
    let mut resolved: Vec<Resolved> = graph
        .nodes
        .iter()
        .map(|node| {
            let parallelism = parallelism(node, context);
            Resolved {
                parallelism,
                max_parallelism: node.max_parallelism.unwrap_or_else(|| default_max_parallelism(parallelism)),
                slot_sharing_group: node.slot_sharing_group.clone().unwrap_or_default(),
                component: component(node, context).map(str::to_owned),
            }
        })
        .collect();
    for &position in order {
        if graph.nodes[position].slot_sharing_group.is_none() {
            resolved[position].slot_sharing_group = inherited_group(graph, &resolved, position);
        }
    }
    resolved
}

/// Flink's rule: the group of the inputs if they agree, else the default one.
fn inherited_group(graph: &StreamGraph, resolved: &[Resolved], position: usize) -> String {
    let inputs = graph.edges.iter().filter(|edge| edge.target.0 as usize == position);
    let mut groups = inputs.map(|edge| resolved[edge.source.0 as usize].slot_sharing_group.as_str());
    match groups.next() {
        Some(first) if groups.all(|group| group == first) => first.to_owned(),
        _ => DEFAULT_SLOT_SHARING_GROUP.to_owned(),
    }
}
