//! Small graphs to run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_graph::{
    Format, GraphContext, GraphLimits, GuestCode, JobGraph, NativeConnector, NodeKind, Partitioning, StreamEdge,
    StreamGraph, StreamNode,
};
use millrace_job_core::{CheckpointOptions, JobOptions, JobSpec};
use millrace_protocol::{ComponentRef, TaskSettings};
use millrace_types::{Digest, JobId, NodeId, SandboxLimits, TenantId, Timestamp};

pub const JOB: JobId = JobId::from_bytes([1; 16]);

fn node(name: &str, parallelism: u32, kind: NodeKind) -> StreamNode {
    StreamNode { parallelism: Some(parallelism), ..StreamNode::new(name, kind) }
}

pub fn guest_source(name: &str, parallelism: u32) -> StreamNode {
    let code = GuestCode::default();
    node(name, parallelism, NodeKind::Source(code))
}

pub fn operator(name: &str, parallelism: u32, component: &str) -> StreamNode {
    let code = GuestCode { component: Some(component.to_owned()), ..GuestCode::default() };
    node(name, parallelism, NodeKind::Operator(code))
}

pub fn sink(name: &str, parallelism: u32) -> StreamNode {
    let native = NativeConnector { connector: "print".to_owned(), options: "{}".to_owned() };
    node(name, parallelism, NodeKind::NativeSink(native))
}

pub fn edge(source: u32, target: u32, partitioning: Partitioning) -> StreamEdge {
    StreamEdge {
        source: NodeId(source),
        source_port: 0,
        target: NodeId(target),
        target_port: 0,
        partitioning,
        format: Format::Raw,
    }
}

pub fn job_graph(nodes: Vec<StreamNode>, edges: Vec<StreamEdge>) -> JobGraph {
    let components: BTreeSet<String> = ["main", "other"].map(str::to_owned).into();
    let context = GraphContext {
        limits: GraphLimits::default(),
        components: &components,
        entry_component: Some("main"),
        default_parallelism: 1,
    };
    JobGraph::build(&StreamGraph { name: "graph".to_owned(), nodes, edges }, &context).unwrap()
}

/// `Source: lines -> split` and `count -> Sink: out`, two subtasks each, exchanged by key.
pub fn word_count() -> JobGraph {
    job_graph(
        vec![guest_source("lines", 2), operator("split", 2, "main"), operator("count", 2, "other"), sink("out", 2)],
        vec![edge(0, 1, Partitioning::Forward), edge(1, 2, Partitioning::Hash), edge(2, 3, Partitioning::Forward)],
    )
}

fn component(byte: u8) -> ComponentRef {
    ComponentRef { digest: Digest::from_bytes([byte; 32]), has_builder: byte == 1, limits: SandboxLimits::default() }
}

pub fn spec(graph: JobGraph) -> JobSpec {
    let recorded_attempts = vec![0; graph.vertices.len()];
    JobSpec {
        job: JOB,
        tenant: TenantId::default_tenant(),
        name: "test job".to_owned(),
        graph: Arc::new(graph),
        requirements: None,
        components: BTreeMap::from([("main".to_owned(), component(1)), ("other".to_owned(), component(2))]),
        graph_digest: Digest::from_bytes([3; 32]),
        args: vec!["--input".to_owned()],
        default_parallelism: 1,
        first_attempt: 0,
        recorded_attempts,
        submitted_at: Timestamp(1_000),
        adoption: None,
        takeovers: Vec::new(),
        settings: TaskSettings::default(),
        options: JobOptions { exceptions_max: 2, ..JobOptions::default() },
        checkpoints: CheckpointOptions::default(),
        restored: Vec::new(),
        start_from: None,
        lost: None,
        recorded_checkpoint: 0,
    }
}
