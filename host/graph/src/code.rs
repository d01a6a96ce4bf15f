//! Other code for a graph that stays as it is: what an upgrade of a running job may change.
//!
//! Invariant: whatever the host itself has set up for a task (channels, partitioners, native connectors, watermarks,
//! key groups) is the same before and after.

use crate::job_graph::{JobEdge, JobGraph, JobVertex, Segment};
use crate::stream_graph::{NodeKind, StreamNode};

impl JobGraph {
    /// This graph with the code and the names of another one.
    ///
    /// # Errors
    /// What else differs between the two, for people: the first difference. Where neither graph states a number of key
    /// groups this one's is kept, and so is its parallelism in `lenient` mode: the number of subtasks that the job runs
    /// with may be another one than what was asked for.
    pub fn with_code_of(&self, other: &Self, lenient: bool) -> Result<Self, String> {
        if self.vertices.len() != other.vertices.len() {
            let (before, after) = (self.vertices.len(), other.vertices.len());
            return Err(format!("the graph has {after} vertices instead of {before}"));
        }
        let mut vertices = Vec::with_capacity(self.vertices.len());
        for (old, new) in self.vertices.iter().zip(&other.vertices) {
            vertices.push(vertex_with_code(old, new, lenient)?);
        }
        if self.edges != other.edges {
            let differs = |(one, other): &(&JobEdge, &JobEdge)| one != other;
            let found = self.edges.iter().zip(&other.edges).find(differs).map(|(edge, _)| edge);
            let target = found.map_or("", |edge| vertices[edge.target_vertex].name.as_str());
            return Err(format!("the streams between the vertices are others: look at what leads to \"{target}\""));
        }
        Ok(Self { name: other.name.clone(), vertices, edges: self.edges.clone() })
    }
}

fn vertex_with_code(old: &JobVertex, new: &JobVertex, lenient: bool) -> Result<JobVertex, String> {
    let name = &old.name;
    let differs = |what: &str| Err(format!("{what} of \"{name}\" differ"));
    if old.id != new.id || old.nodes.len() != new.nodes.len() {
        return Err(format!("the chain \"{name}\" has other operators, or their uids are others"));
    }
    let key_groups = lenient || old.max_parallelism == new.max_parallelism;
    if !(lenient || old.parallelism == new.parallelism) || !key_groups {
        return differs("the parallelism, or the key groups,");
    }
    if old.slot_sharing_group != new.slot_sharing_group {
        return differs("the slot sharing groups");
    }
    if old.chained_edges != new.chained_edges {
        return differs("the streams within the chain");
    }
    let cuts = |segments: &[Segment]| -> Vec<_> {
        segments.iter().map(|segment| (segment.component.is_some(), segment.nodes.clone())).collect()
    };
    if cuts(&old.segments) != cuts(&new.segments) {
        return differs("the components that run the operators");
    }
    for ((old_id, old_node), (new_id, new_node)) in old.nodes.iter().zip(&new.nodes) {
        if old_id != new_id {
            return Err(format!("operator \"{}\" stands at another place of the graph", old_node.uid));
        }
        check_node(old_node, new_node)?;
    }
    Ok(JobVertex { parallelism: old.parallelism, max_parallelism: old.max_parallelism, ..new.clone() })
}

/// Whether two nodes differ in their names and in their guests' code alone.
fn check_node(old: &StreamNode, new: &StreamNode) -> Result<(), String> {
    let uid = &old.uid;
    let same_kind = match (&old.kind, &new.kind) {
        (NodeKind::Source(_), NodeKind::Source(_)) | (NodeKind::Operator(_), NodeKind::Operator(_)) => true,
        (NodeKind::NativeSource(old), NodeKind::NativeSource(new))
        | (NodeKind::NativeSink(old), NodeKind::NativeSink(new)) => {
            if old != new {
                return Err(format!("the connector of \"{uid}\", or its options, are others"));
            }
            true
        }
        _ => false,
    };
    if !same_kind || old.uid != new.uid {
        return Err(format!("operator \"{uid}\" is another kind of operator, or has another uid"));
    }
    let (name, kind) = (new.name.clone(), new.kind.clone());
    if (StreamNode { name, kind, ..old.clone() }) != *new {
        return Err(format!("operator \"{uid}\" is set up otherwise: its parallelism, chaining or watermarks"));
    }
    Ok(())
}
