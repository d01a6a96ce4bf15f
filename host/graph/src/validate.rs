//! Checks of a StreamGraph before anything else looks at it: sizes, texts, parallelism, shape. The checks of single
//! streams are in `validate_edges`.
//!
//! Invariant: a graph is refused at its first fault, and the order of the checks is fixed, so one graph always gives
//! one message.

use std::collections::BTreeMap;

use millrace_types::{MAX_PARALLELISM_LIMIT, MAX_PARALLELISM_PER_VERTEX};

use crate::context::GraphContext;
use crate::error::{GraphError, NodeRef, quoted};
use crate::order::topological;
use crate::stream_graph::{NodeKind, StreamGraph, StreamNode};
use crate::{resolve, validate_edges};

/// The most operators of a cycle that a message names.
const CYCLE_NODES_SHOWN_MAX: usize = 10;

impl StreamGraph {
    /// Whether the graph can be run as the context says.
    ///
    /// # Errors
    /// The first fault, with the operator's name and uid and what to do about it.
    pub fn validate(&self, context: &GraphContext<'_>) -> Result<(), GraphError> {
        ordered(self, context).map(|_| ())
    }

    pub(crate) fn node_ref(&self, position: usize) -> NodeRef {
        NodeRef::new(position, &self.nodes[position])
    }
}

/// Validates a graph and returns the topological order of its nodes.
pub(crate) fn ordered(graph: &StreamGraph, context: &GraphContext<'_>) -> Result<Vec<usize>, GraphError> {
    check_sizes(graph, context)?;
    check_name(&graph.name, context)?;
    for position in 0..graph.nodes.len() {
        check_texts(graph, position, context)?;
        check_parallelism(graph, position, context)?;
        check_component(graph, position, context)?;
    }
    check_uids(graph)?;
    validate_edges::check_ends(graph, context)?;
    check_inputs(graph)?;
    let order = topological(graph).map_err(|cycle| GraphError::Cycle { path: cycle_path(graph, &cycle) })?;
    validate_edges::check_streams(graph, context)?;
    Ok(order)
}

fn check_sizes(graph: &StreamGraph, context: &GraphContext<'_>) -> Result<(), GraphError> {
    let limits = &context.limits;
    if graph.nodes.is_empty() {
        return Err(GraphError::Empty);
    }
    if graph.nodes.len() > limits.nodes_max {
        return Err(GraphError::TooManyNodes { nodes: graph.nodes.len(), max: limits.nodes_max });
    }
    if graph.edges.len() > limits.edges_max {
        return Err(GraphError::TooManyEdges { edges: graph.edges.len(), max: limits.edges_max });
    }
    if !(1..=MAX_PARALLELISM_PER_VERTEX).contains(&context.default_parallelism) {
        return Err(GraphError::DefaultParallelism { parallelism: context.default_parallelism });
    }
    Ok(())
}

/// The application's name may be empty: the run then names it.
fn check_name(name: &str, context: &GraphContext<'_>) -> Result<(), GraphError> {
    let max = context.limits.text_bytes_max;
    let reason = if name.len() > max {
        format!("has {} bytes and may have {max}", name.len())
    } else if name.chars().any(char::is_control) {
        "has control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(GraphError::ApplicationName { reason })
}

fn check_texts(graph: &StreamGraph, position: usize, context: &GraphContext<'_>) -> Result<(), GraphError> {
    let node = &graph.nodes[position];
    let limits = &context.limits;
    let node_ref = || graph.node_ref(position);
    let mut shown = vec![("uid", node.uid.as_str()), ("name", node.name.as_str())];
    shown.extend(node.slot_sharing_group.as_deref().map(|group| ("slot sharing group", group)));
    if let Some(native) = node.kind.native_connector() {
        shown.push(("connector", &native.connector));
    }
    for &(what, text) in &shown {
        if text.is_empty() {
            return Err(GraphError::EmptyText { node: node_ref(), what });
        }
        if text.chars().any(char::is_control) {
            return Err(GraphError::ControlCharacter { node: node_ref(), what });
        }
    }
    let shown = shown.into_iter().map(|(what, text)| (what, text, limits.text_bytes_max));
    let opaque = opaque_texts(node).into_iter().map(|(what, text)| (what, text, limits.config_bytes_max));
    for (what, text, max) in shown.chain(opaque) {
        if text.len() > max {
            return Err(GraphError::TextTooLong { node: node_ref(), what, bytes: text.len(), max });
        }
    }
    Ok(())
}

/// The texts that only the code of the operator reads.
fn opaque_texts(node: &StreamNode) -> Vec<(&'static str, &str)> {
    match &node.kind {
        NodeKind::Source(code) | NodeKind::Operator(code) => {
            vec![("function", &code.function), ("configuration", &code.config)]
        }
        NodeKind::NativeSource(native) | NodeKind::NativeSink(native) | NodeKind::NativeOperator(native) => {
            vec![("options", &native.options)]
        }
    }
}

fn check_parallelism(graph: &StreamGraph, position: usize, context: &GraphContext<'_>) -> Result<(), GraphError> {
    let node = &graph.nodes[position];
    let parallelism = resolve::parallelism(node, context);
    if !(1..=MAX_PARALLELISM_PER_VERTEX).contains(&parallelism) {
        return Err(GraphError::Parallelism { node: graph.node_ref(position), parallelism });
    }
    let Some(max_parallelism) = node.max_parallelism else { return Ok(()) };
    if !(1..=MAX_PARALLELISM_LIMIT).contains(&max_parallelism) {
        return Err(GraphError::MaxParallelism { node: graph.node_ref(position), max_parallelism });
    }
    if parallelism > max_parallelism {
        let node = graph.node_ref(position);
        return Err(GraphError::ParallelismAboveMax { node, parallelism, max_parallelism });
    }
    Ok(())
}

fn check_component(graph: &StreamGraph, position: usize, context: &GraphContext<'_>) -> Result<(), GraphError> {
    let node = &graph.nodes[position];
    if node.kind.guest_code().is_none() {
        return Ok(());
    }
    let Some(component) = resolve::component(node, context) else {
        return Err(GraphError::NoComponent { node: graph.node_ref(position) });
    };
    if context.components.contains(component) {
        return Ok(());
    }
    let names: Vec<String> = context.components.iter().map(|name| format!("\"{}\"", quoted(name))).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(GraphError::UnknownComponent { node: graph.node_ref(position), component: quoted(component), known })
}

fn check_uids(graph: &StreamGraph) -> Result<(), GraphError> {
    let mut seen = BTreeMap::new();
    for (position, node) in graph.nodes.iter().enumerate() {
        if let Some(first) = seen.insert(node.uid.as_str(), position) {
            return Err(GraphError::DuplicateUid { first: graph.node_ref(first), second: graph.node_ref(position) });
        }
    }
    Ok(())
}

fn check_inputs(graph: &StreamGraph) -> Result<(), GraphError> {
    let mut has_input = vec![false; graph.nodes.len()];
    for edge in &graph.edges {
        has_input[edge.target.0 as usize] = true;
    }
    let starved = (0..graph.nodes.len()).find(|&node| !has_input[node] && !graph.nodes[node].kind.is_source());
    match starved {
        Some(position) => Err(GraphError::NoInput { node: graph.node_ref(position) }),
        None => Ok(()),
    }
}

fn cycle_path(graph: &StreamGraph, cycle: &[usize]) -> String {
    let name =
        |&node: &usize| format!("\"{}\" (uid \"{}\")", quoted(&graph.nodes[node].name), quoted(&graph.nodes[node].uid));
    let mut names: Vec<String> = cycle.iter().take(CYCLE_NODES_SHOWN_MAX).map(name).collect();
    if cycle.len() > CYCLE_NODES_SHOWN_MAX {
        names.push("…".to_owned());
    }
    names.extend(cycle.first().map(name));
    names.join(" -> ")
}
