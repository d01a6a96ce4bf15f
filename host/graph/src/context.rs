//! What a StreamGraph is checked against: limits, and what the bundle and the run say.

use std::collections::BTreeSet;

/// How large an application's graph may be. A guest writes it: nothing in it is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphLimits {
    /// Operators.
    pub nodes_max: usize,
    /// Streams between operators.
    pub edges_max: usize,
    /// A uid, a name or a slot sharing group, in bytes.
    pub text_bytes_max: usize,
    /// A function's name, a configuration or a connector's options, in bytes.
    pub config_bytes_max: usize,
    /// Ports of an operator, in either direction.
    pub ports_max: u32,
    /// Subtasks of all vertices together.
    pub subtasks_max: u32,
    /// Channels of all exchanges together.
    pub channels_max: u64,
}

impl Default for GraphLimits {
    fn default() -> Self {
        Self {
            nodes_max: 1_000,
            edges_max: 10_000,
            text_bytes_max: 256,
            config_bytes_max: 1 << 20,
            ports_max: 256,
            subtasks_max: 16_384,
            channels_max: 1 << 18,
        }
    }
}

/// What the bundle and the run say about a graph.
#[derive(Debug, Clone, Copy)]
pub struct GraphContext<'a> {
    /// How large the graph may be.
    pub limits: GraphLimits,
    /// The names of the components in the bundle's manifest.
    pub components: &'a BTreeSet<String>,
    /// The component whose builder returned the graph: what a node without a component's name means. `None`: the
    /// manifest states the graph, and every guest node has to name its component.
    pub entry_component: Option<&'a str>,
    /// The parallelism of nodes that name none.
    pub default_parallelism: u32,
}
