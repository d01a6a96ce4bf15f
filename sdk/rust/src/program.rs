//! From the builder to the StreamGraph, and from there to an instance that runs some of its nodes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::args::Args;
use crate::definition::Definition;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::graph::{Edge, Node, Partitioning, StreamGraph};
use crate::host::Host;
use crate::runtime::{Instance, OpenContext};

/// The most nodes of a graph: far more than anybody can look at.
const NODES_MAX: usize = 10_000;

/// An application, built: its graph and the code of its nodes.
pub struct Program {
    graph: StreamGraph,
    definition: Definition,
}

impl Program {
    /// Runs the builder. The same builder, arguments and parallelism give the same program.
    pub fn build(
        builder: impl FnOnce(&Environment, &Args) -> Result<()>,
        args: &[String],
        parallelism: u32,
    ) -> Result<Self> {
        let definition = Rc::new(RefCell::new(Definition::new(parallelism.max(1))));
        let args = Args::new(args);
        builder(&Environment::new(Rc::clone(&definition)), &args)?;
        args.finish()?;
        // Streams that the builder has kept elsewhere would still hold the definition.
        let definition = match Rc::try_unwrap(definition) {
            Ok(definition) => definition.into_inner(),
            Err(_) => return Err(Error::msg("the builder has kept a stream beyond its end")),
        };
        let graph = finish(&definition)?;
        Ok(Self { graph, definition })
    }

    /// The graph.
    pub fn graph(&self) -> &StreamGraph {
        &self.graph
    }

    /// The splits of a source of this component.
    pub fn splits(&self, node: u32, parallelism: u32) -> Result<Vec<Vec<u8>>> {
        let source = self.definition.nodes.get(node as usize).and_then(|node| node.source.as_ref());
        match source {
            Some(source) => source.splits(parallelism),
            None => Err(Error::msg(format_args!("node {node} is no source of this component"))),
        }
    }

    /// Makes an instance of the nodes that `context` names.
    pub fn open(self, host: Rc<dyn Host>, context: &OpenContext) -> Result<Instance> {
        Instance::open(self.definition.nodes, &self.graph, host, context)
    }
}

fn finish(definition: &Definition) -> Result<StreamGraph> {
    if !definition.errors.is_empty() {
        return Err(Error::msg(definition.errors.join("; ")));
    }
    if definition.nodes.is_empty() {
        return Err(Error::msg("the builder has added no source; begin with env.from_source(…)"));
    }
    if definition.nodes.len() > NODES_MAX {
        return Err(Error::msg(format_args!("the graph has more than {NODES_MAX} nodes")));
    }
    let nodes: Vec<Node> = definition
        .nodes
        .iter()
        .enumerate()
        .map(|(position, node)| Node {
            uid: node.uid_at(position),
            name: node.name.clone(),
            kind: node.kind.clone(),
            parallelism: node.parallelism,
            max_parallelism: node.max_parallelism,
            slot_sharing_group: node.slot_sharing_group.clone(),
            chaining: node.chaining,
            generates_watermarks: node.generates_watermarks,
            idle_timeout_ms: node.idle_timeout_ms,
            alignment: node.alignment.clone(),
        })
        .collect();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for node in &nodes {
        if let Some(other) = seen.insert(&node.uid, &node.name) {
            let (uid, name) = (&node.uid, &node.name);
            return Err(Error::msg(format_args!("the operators '{other}' and '{name}' have the same uid '{uid}'")));
        }
    }
    let edges = (0..definition.edges.len()).map(|edge| resolve(definition, edge)).collect::<Result<_>>()?;
    let name = definition.name.clone().unwrap_or_else(|| "Millrace Streaming Job".to_owned());
    Ok(StreamGraph { name, nodes, edges })
}

/// Settles how an edge spreads its records, by Flink's rule.
fn resolve(definition: &Definition, edge: usize) -> Result<Edge> {
    let known = &definition.edges[edge];
    let mut edge = known.edge;
    let (source, target) = (definition.parallelism_of(edge.source), definition.parallelism_of(edge.target));
    if known.is_default {
        edge.partitioning = if source == target { Partitioning::Forward } else { Partitioning::Rebalance };
    } else if edge.partitioning == Partitioning::Forward && source != target {
        let name = |node: u32| definition.nodes[node as usize].name.clone();
        return Err(Error::msg(format_args!(
            "forward() from '{}' to '{}' needs equal parallelisms, not {source} and {target}",
            name(edge.source),
            name(edge.target)
        )));
    }
    Ok(edge)
}
