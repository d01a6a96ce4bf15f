//! `/jobs/:id/vertices/:vertex/flamegraph`: the operators of a chain, and below each the functions of its guest.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_graph::JobVertex;
use millrace_jobmanager::{FlameGraph as Found, FlameSample};
use millrace_protocol::FlameKind;
use millrace_rest_api::{FlameGraph, FlameNode};
use serde::Deserialize;

use crate::error::RestError;
use crate::figures::millis;
use crate::jobs::job_of;
use crate::metrics::vertex_index;
use crate::path::{cannot_resolve, path_parameter};
use crate::server::RestState;
use crate::tenant::Tenant;

/// What Flink says instead of a time.
const TERMINATED: i64 = -1;
const DISABLED: i64 = -2;
const WAITING: i64 = -3;

/// What is wanted of a flame graph.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlameQuery {
    #[serde(rename = "type")]
    kind: Option<String>,
    subtaskindex: Option<u32>,
}

/// Which samples count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Full,
    OnCpu,
    OffCpu,
}

impl Which {
    fn parse(text: Option<&str>) -> Result<Self, RestError> {
        match text.map(str::to_ascii_lowercase).as_deref() {
            None | Some("full") => Ok(Self::Full),
            Some("on_cpu") => Ok(Self::OnCpu),
            Some("off_cpu") => Ok(Self::OffCpu),
            Some(other) => Err(cannot_resolve("query", "type", other)),
        }
    }

    fn takes(self, kind: FlameKind) -> bool {
        let waits = matches!(kind, FlameKind::Idle | FlameKind::Backpressured);
        match self {
            Self::Full => true,
            Self::OnCpu => !waits,
            Self::OffCpu => waits,
        }
    }
}

/// A node while samples are added.
#[derive(Debug, Default)]
struct Growing {
    value: u64,
    children: BTreeMap<String, Growing>,
}

impl Growing {
    fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a str>, count: u64) {
        let mut node = self;
        node.value += count;
        for name in names {
            node = node.children.entry(name.to_owned()).or_default();
            node.value += count;
        }
    }

    fn grown(self, name: String) -> FlameNode {
        let mut children: Vec<_> = self.children.into_iter().map(|(name, child)| child.grown(name)).collect();
        children.sort_by_key(|child| std::cmp::Reverse(child.value));
        FlameNode { name, value: self.value, children }
    }
}

/// Where a sample hangs, below the root.
fn top(kind: FlameKind, vertex: &JobVertex) -> String {
    match kind {
        FlameKind::Guest(node) => {
            let found = node.and_then(|node| vertex.nodes.iter().find(|(id, _)| *id == node));
            found.map_or_else(|| vertex.name.clone(), |(_, operator)| operator.name.clone())
        }
        FlameKind::Host => "(host) works outside of guests, or waits for a processor".to_owned(),
        FlameKind::Idle => "(host) waits for input".to_owned(),
        FlameKind::Backpressured => "(host) waits for output buffers".to_owned(),
    }
}

fn tree<'a>(samples: impl Iterator<Item = &'a FlameSample>, which: Which, vertex: &JobVertex) -> FlameNode {
    let mut root = Growing::default();
    for sample in samples.filter(|sample| which.takes(sample.kind)) {
        let top = top(sample.kind, vertex);
        let names = std::iter::once(top.as_str()).chain(sample.functions.iter().map(AsRef::as_ref));
        root.add(names, u64::from(sample.count));
    }
    root.grown("root".to_owned())
}

/// `GET /jobs/:id/vertices/:vertex/flamegraph`.
pub(crate) async fn flame_graph(
    State(state): State<RestState>,
    tenant: Tenant,
    Path((id, vertex)): Path<(String, String)>,
    Query(query): Query<FlameQuery>,
) -> Result<Json<FlameGraph>, RestError> {
    let job = job_of(&state, &tenant, &id)?;
    let which = Which::parse(query.kind.as_deref())?;
    let index = vertex_index(&job, &vertex)?;
    let found = state.dispatcher.flame_graph(&tenant.0, job.view.job, path_parameter("vertexid", &vertex)?)?;
    let without = |end_timestamp| FlameGraph { end_timestamp, data: None };
    Ok(Json(match found {
        Found::Disabled => without(DISABLED),
        Found::Terminated => without(TERMINATED),
        Found::Waiting => without(WAITING),
        Found::Ready { at, subtasks } => {
            let is_meant = |subtask: &u32| query.subtaskindex.is_none_or(|wanted| wanted == *subtask);
            let samples = subtasks.iter().filter(|(subtask, _)| is_meant(subtask)).flat_map(|(_, samples)| samples);
            let data = tree(samples, which, &job.view.graph.vertices[index]);
            FlameGraph { end_timestamp: millis(at), data: Some(data) }
        }
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_types::VertexId;

    fn sample(kind: FlameKind, functions: &[&str], count: u32) -> FlameSample {
        FlameSample { kind, functions: functions.iter().map(|name| (*name).into()).collect(), count }
    }

    fn shown(node: &FlameNode) -> String {
        let children: Vec<_> = node.children.iter().map(shown).collect();
        if children.is_empty() {
            format!("{}={}", node.name, node.value)
        } else {
            format!("{}={}[{}]", node.name, node.value, children.join(" "))
        }
    }

    #[test]
    fn samples_with_one_beginning_are_one_branch() {
        let vertex = JobVertex {
            id: VertexId::from_bytes([1; 16]),
            name: "a -> b".to_owned(),
            description: String::new(),
            nodes: Vec::new(),
            chained_edges: Vec::new(),
            segments: Vec::new(),
            parallelism: 1,
            max_parallelism: 1,
            slot_sharing_group: "default".to_owned(),
        };
        let samples = [
            sample(FlameKind::Guest(None), &["f", "g"], 2),
            sample(FlameKind::Guest(None), &["f", "h"], 3),
            sample(FlameKind::Idle, &[], 4),
        ];
        let of = |which| shown(&tree(samples.iter(), which, &vertex));
        assert_eq!(of(Which::OnCpu), "root=5[a -> b=5[f=5[h=3 g=2]]]");
        assert_eq!(of(Which::OffCpu), "root=4[(host) waits for input=4]");
        assert!(of(Which::Full).starts_with("root=9[a -> b=5["));
        assert!(Which::parse(Some("ON_CPU")).is_ok() && Which::parse(Some("cpu")).is_err());
    }
}
