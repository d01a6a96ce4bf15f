//! The texts by which people know a vertex: Flink's name of a chain and its description in plans.
//!
//! Invariant: a text ends near [`VERTEX_TEXT_BYTES_MAX`], however long the chain: it is part of every deployment.

use std::collections::BTreeMap;

use millrace_types::NodeId;

use crate::stream_graph::{NodeKind, StreamEdge, StreamNode};

/// Where a vertex's name or description is cut, in bytes.
const VERTEX_TEXT_BYTES_MAX: usize = 16 * 1024;

/// An operator's name as Flink shows it.
pub(crate) fn operator_name(node: &StreamNode) -> String {
    match node.kind {
        NodeKind::Source(_) | NodeKind::NativeSource(_) => format!("Source: {}", node.name),
        NodeKind::NativeSink(_) => format!("Sink: {}", node.name),
        NodeKind::Operator(_) | NodeKind::NativeOperator(_) => node.name.clone(),
    }
}

/// Writes a chain's texts by walking its tree.
struct Writer<'a> {
    nodes: BTreeMap<NodeId, &'a StreamNode>,
    outputs: BTreeMap<NodeId, Vec<NodeId>>,
    text: String,
}

impl<'a> Writer<'a> {
    fn new(nodes: &'a [(NodeId, StreamNode)], edges: &[StreamEdge]) -> Self {
        let mut outputs: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for edge in edges {
            outputs.entry(edge.source).or_default().push(edge.target);
        }
        Self { nodes: nodes.iter().map(|(id, node)| (*id, node)).collect(), outputs, text: String::new() }
    }

    /// Whether there is room for more; marks the cut once there is none.
    fn has_room(&mut self) -> bool {
        if self.text.len() < VERTEX_TEXT_BYTES_MAX {
            return true;
        }
        if !self.text.ends_with('…') {
            self.text.push('…');
        }
        false
    }

    /// `a -> b -> c`, or `a -> (b, c -> d)` where several operators read one.
    fn write_name(&mut self, node: NodeId) {
        if !self.has_room() {
            return;
        }
        self.text.push_str(&operator_name(self.nodes[&node]));
        let outputs = self.outputs.get(&node).cloned().unwrap_or_default();
        if outputs.is_empty() {
            return;
        }
        let several = outputs.len() > 1;
        self.text.push_str(if several { " -> (" } else { " -> " });
        for (position, &output) in outputs.iter().enumerate() {
            if position > 0 {
                self.text.push_str(", ");
            }
            self.write_name(output);
        }
        if several {
            self.text.push(')');
        }
    }

    /// An operator a line, `+- ` before the last reader of an operator and `:- ` before the others.
    fn write_description(&mut self, node: NodeId, own_prefix: &str, child_prefix: &str) {
        if !self.has_room() {
            return;
        }
        self.text.push_str(own_prefix);
        escape_html(&operator_name(self.nodes[&node]), &mut self.text);
        self.text.push_str("<br/>");
        let outputs = self.outputs.get(&node).cloned().unwrap_or_default();
        for (position, &output) in outputs.iter().enumerate() {
            let (branch, indent) = if position + 1 == outputs.len() { ("+- ", "   ") } else { (":- ", ":  ") };
            self.write_description(output, &format!("{child_prefix}{branch}"), &format!("{child_prefix}{indent}"));
        }
    }
}

/// Flink's name of a chain. The first node is its head.
pub(crate) fn chain_name(nodes: &[(NodeId, StreamNode)], edges: &[StreamEdge]) -> String {
    let mut writer = Writer::new(nodes, edges);
    if let Some((head, _)) = nodes.first() {
        writer.write_name(*head);
    }
    writer.text
}

/// Flink's description of a chain in plans: HTML, so operators' names are escaped.
pub(crate) fn chain_description(nodes: &[(NodeId, StreamNode)], edges: &[StreamEdge]) -> String {
    let mut writer = Writer::new(nodes, edges);
    if let Some((head, _)) = nodes.first() {
        writer.write_description(*head, "", "");
    }
    writer.text
}

fn escape_html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\\' => out.push_str("&#92;"),
            other => out.push(other),
        }
    }
}
