//! Graphs of native operators with or without a guest between them, and the deployments of their tasks.

use std::collections::{BTreeMap, BTreeSet};

use millrace_graph::{
    Format, GraphContext, GraphLimits, GuestCode, JobGraph, NativeConnector, NodeKind, Partitioning, StreamEdge,
    StreamGraph, StreamNode, WatermarkAlignment,
};
use millrace_protocol::{
    ChannelId, ComponentRef, InputChannel, InputGate, OutputChannel, OutputEdge, TaskDeployment, TaskSettings,
};
use millrace_types::{AllocationId, AttemptId, Digest, JobId, NodeId, SandboxLimits, TaskManagerId, TenantId};

fn node(name: &str, kind: NodeKind, parallelism: u32) -> StreamNode {
    StreamNode { parallelism: Some(parallelism), ..StreamNode::new(name, kind) }
}

fn connector(name: &str, options: &str) -> NativeConnector {
    NativeConnector { connector: name.to_owned(), options: options.to_owned() }
}

/// A guest between source and sink, of the sink's parallelism.
#[derive(Clone, Copy)]
pub struct Relay {
    pub component: Digest,
    pub discard_instances_seed: Option<u64>,
    /// Whether it generates watermarks and its source waits for others.
    pub generates_watermarks: bool,
}

/// `numbers`, a native source, perhaps `relay`, a guest, and `rows`, a native sink. Where the parallelism is the same,
/// forward chains them.
pub struct Pipeline {
    pub source: (&'static str, String, u32),
    pub partitioning: Partitioning,
    pub relay: Option<Relay>,
    pub sink: (&'static str, String, u32),
}

impl Pipeline {
    pub fn source_connector(&self) -> NativeConnector {
        connector(self.source.0, &self.source.1)
    }

    pub fn graph(&self) -> JobGraph {
        let mut nodes = vec![node("numbers", NodeKind::NativeSource(self.source_connector()), self.source.2)];
        if let Some(relay) = self.relay {
            let component = Some("relay".to_owned());
            let code = GuestCode { component, function: String::new(), config: String::new() };
            let alignment = WatermarkAlignment { group: "sources".to_owned(), max_drift_ms: 1, update_interval_ms: 10 };
            nodes.push(StreamNode {
                generates_watermarks: relay.generates_watermarks,
                alignment: relay.generates_watermarks.then_some(alignment),
                ..node("relay", NodeKind::Operator(code), self.sink.2)
            });
        }
        let sink = connector(self.sink.0, &self.sink.1);
        nodes.push(node("rows", NodeKind::NativeSink(sink), self.sink.2));
        let edges = (1..nodes.len() as u32).map(|target| StreamEdge {
            source: NodeId(target - 1),
            source_port: 0,
            target: NodeId(target),
            target_port: 0,
            partitioning: if target == 1 { self.partitioning } else { Partitioning::Forward },
            format: Format::Raw,
        });
        let edges = edges.collect();
        let graph = StreamGraph { name: "pipeline".to_owned(), nodes, edges };
        let context = GraphContext {
            limits: GraphLimits::default(),
            components: &BTreeSet::from(["relay".to_owned()]),
            entry_component: None,
            default_parallelism: 1,
        };
        JobGraph::build(&graph, &context).expect("a graph that is right")
    }

    fn components(&self) -> BTreeMap<String, ComponentRef> {
        let described = |relay: Relay| {
            let limits = SandboxLimits { call_deadline_ms: 60_000, ..SandboxLimits::default() };
            ("relay".to_owned(), ComponentRef { digest: relay.component, has_builder: false, limits })
        };
        self.relay.map(described).into_iter().collect()
    }

    /// The deployments of all tasks of attempt 0, vertex by vertex.
    pub fn deployments(&self, job: JobId, here: &TaskManagerId, allocation: AllocationId) -> Vec<TaskDeployment> {
        let graph = self.graph();
        let mut tasks = Vec::new();
        for (at, vertex) in graph.vertices.iter().enumerate() {
            for subtask in 0..vertex.parallelism {
                tasks.push(TaskDeployment {
                    attempt: AttemptId { job, vertex: vertex.id, subtask, attempt: 0 },
                    allocation,
                    tenant: TenantId::default_tenant(),
                    job_name: graph.name.clone(),
                    components: self.components(),
                    graph_digest: Digest::from_bytes([0; 32]),
                    args: Vec::new(),
                    default_parallelism: 1,
                    vertex: vertex.clone(),
                    inputs: inputs(&graph, job, here, at, subtask),
                    outputs: outputs(&graph, job, here, at, subtask),
                    settings: TaskSettings {
                        discard_instances_seed: self.relay.and_then(|relay| relay.discard_instances_seed),
                        ..TaskSettings::default()
                    },
                    restore: None,
                    timestamps: BTreeMap::new(),
                });
            }
        }
        tasks
    }
}

fn channel(job: JobId, edge: usize, source_subtask: u32, target_subtask: u32) -> ChannelId {
    ChannelId { job, edge: edge as u32, source_subtask, source_attempt: 0, target_subtask, target_attempt: 0 }
}

fn inputs(graph: &JobGraph, job: JobId, here: &TaskManagerId, vertex: usize, subtask: u32) -> Vec<InputGate> {
    let edges = graph.edges.iter().enumerate().filter(|(_, edge)| edge.target_vertex == vertex);
    let gate = |(position, edge): (usize, &millrace_graph::JobEdge)| InputGate {
        target: edge.target,
        target_port: edge.target_port,
        partitioning: edge.partitioning,
        channels: graph
            .sources_of(position, subtask)
            .map(|source| InputChannel { id: channel(job, position, source, subtask), task_manager: here.clone() })
            .collect(),
    };
    edges.map(gate).collect()
}

fn outputs(graph: &JobGraph, job: JobId, here: &TaskManagerId, vertex: usize, subtask: u32) -> Vec<OutputEdge> {
    let edges = graph.edges.iter().enumerate().filter(|(_, edge)| edge.source_vertex == vertex);
    let edge = |(position, edge): (usize, &millrace_graph::JobEdge)| OutputEdge {
        source: edge.source,
        source_port: edge.source_port,
        target_uid: String::new(),
        target_port: edge.target_port,
        partitioning: edge.partitioning,
        format: edge.format,
        target_max_parallelism: graph.vertices[edge.target_vertex].max_parallelism,
        target_parallelism: graph.vertices[edge.target_vertex].parallelism,
        channels: graph
            .targets_of(position, subtask)
            .map(|target| OutputChannel {
                id: channel(job, position, subtask, target),
                task_manager: here.clone(),
                data_address: None,
            })
            .collect(),
    };
    edges.map(edge).collect()
}
