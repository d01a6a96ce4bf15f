//! From a bundle to a plan: check the components, run the builder, chain the graph, check the connectors.

use std::collections::{BTreeMap, BTreeSet};

use millrace_connectors::{
    ConnectorError, ConnectorKind, Reach, operator_accepts, operator_format, sink_accepts, source_format,
    validate_connector,
};
use millrace_graph::{GraphContext, GraphLimits, JobGraph, NodeKind, StreamEdge, StreamGraph, StreamNode};
use millrace_protocol::ComponentRef;
use millrace_sandbox::{ComponentInfo, InspectLimits, Sandbox, inspect_component};
use millrace_storage::Bundle;
use millrace_types::{Digest, Failure, FailureKind, MAX_PARALLELISM_PER_VERTEX, NodeId, SandboxLimits, TenantId};

/// What a run of a bundle would do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The graph as the builder, or the manifest, states it.
    pub stream_graph: StreamGraph,
    /// Its digest, which every instance's builder has to reproduce.
    pub graph_digest: Digest,
    /// The chained graph.
    pub job_graph: JobGraph,
    /// The bundle's components.
    pub components: BTreeMap<String, ComponentRef>,
}

/// Makes plans; cheap to clone.
#[derive(Clone)]
pub struct Planner {
    sandbox: Sandbox,
    limits: SandboxLimits,
    reach: Reach,
}

impl Planner {
    /// A planner that runs builders in this sandbox and checks what connectors name against what they may reach.
    pub fn new(sandbox: Sandbox, limits: SandboxLimits, reach: Reach) -> Self {
        Self { sandbox, limits, reach }
    }

    /// Checks all components of a bundle and compiles them, so that whoever uploads learns what is wrong.
    pub async fn check(&self, tenant: &TenantId, bundle: &Bundle) -> Result<(), Failure> {
        for (name, component) in &bundle.components {
            let info = self.inspect(name, component.bytes.clone()).await?;
            if !info.exports_operator {
                return Err(invalid(format!(
                    "the component \"{name}\" does not export the operators that the guest contract states"
                ))
                .with_remedy(
                    "build it with a Millrace SDK, or against one of the worlds of the millrace:app package",
                ));
            }
            let is_entry = bundle.manifest.application.entry.as_deref() == Some(name);
            if is_entry && !info.exports_program {
                return Err(invalid(format!("the entry component \"{name}\" exports no builder"))
                    .with_remedy("name the component with the builder as application.entry of millrace.toml"));
            }
            self.sandbox.compile(tenant, &component.digest, component.bytes.clone()).await.map_err(Failure::from)?;
        }
        Ok(())
    }

    /// The plan of a run with these arguments.
    pub async fn plan(
        &self,
        tenant: &TenantId,
        bundle: &Bundle,
        args: &[String],
        parallelism: u32,
    ) -> Result<Plan, Failure> {
        if !(1..=MAX_PARALLELISM_PER_VERTEX).contains(&parallelism) {
            return Err(invalid(format!("the parallelism is {parallelism}"))
                .with_remedy(format!("choose one from 1 to {MAX_PARALLELISM_PER_VERTEX}")));
        }
        let components = self.component_refs(bundle).await?;
        let stream_graph = self.stream_graph(tenant, bundle, args, parallelism).await?;
        let names: BTreeSet<String> = components.keys().cloned().collect();
        let context = GraphContext {
            limits: GraphLimits::default(),
            components: &names,
            entry_component: bundle.manifest.application.entry.as_deref(),
            default_parallelism: parallelism,
        };
        let job_graph = JobGraph::build(&stream_graph, &context).map_err(|error| invalid(error.to_string()))?;
        self.check_connectors(&stream_graph).await?;
        Ok(Plan { graph_digest: stream_graph.digest(), stream_graph, job_graph, components })
    }

    /// A bundle's components as tasks are told of them.
    pub(crate) async fn component_refs(&self, bundle: &Bundle) -> Result<BTreeMap<String, ComponentRef>, Failure> {
        let mut components = BTreeMap::new();
        for (name, component) in &bundle.components {
            let info = self.inspect(name, component.bytes.clone()).await?;
            let spec = bundle.manifest.components.get(name);
            let limits = spec.map_or_else(|| self.limits.clone(), |spec| spec.limits.resolve(&self.limits));
            let component = ComponentRef { digest: component.digest, has_builder: info.exports_program, limits };
            components.insert(name.clone(), component);
        }
        Ok(components)
    }

    async fn stream_graph(
        &self,
        tenant: &TenantId,
        bundle: &Bundle,
        args: &[String],
        parallelism: u32,
    ) -> Result<StreamGraph, Failure> {
        if let Some(graph) = bundle.manifest.stream_graph().map_err(|error| invalid(error.to_string()))? {
            return Ok(graph);
        }
        let entry = bundle.manifest.application.entry.as_deref();
        let component = entry.and_then(|entry| bundle.components.get(entry)).ok_or_else(|| {
            invalid("the bundle names no component with a builder and states no graph")
                .with_remedy("set application.entry, or state the graph under [graph], in millrace.toml")
        })?;
        let compiled =
            self.sandbox.compile(tenant, &component.digest, component.bytes.clone()).await.map_err(Failure::from)?;
        self.sandbox.build_graph(&compiled, args, parallelism).await.map_err(Failure::from)
    }

    async fn inspect(&self, name: &str, bytes: bytes::Bytes) -> Result<ComponentInfo, Failure> {
        let inspected = tokio::task::spawn_blocking(move || inspect_component(&bytes, &InspectLimits::default())).await;
        match inspected {
            Ok(Ok(info)) => Ok(info),
            Ok(Err(error)) => {
                let mut failure = Failure::from(error);
                failure.message = format!("the component \"{name}\": {}", failure.message);
                Err(failure)
            }
            Err(error) => {
                Err(Failure::new(FailureKind::Internal, format!("the check of a component was lost: {error}")))
            }
        }
    }

    /// Checks what files, addresses and options the native connectors name, which takes IO.
    async fn check_connectors(&self, graph: &StreamGraph) -> Result<(), Failure> {
        let graph = graph.clone();
        let reach = self.reach.clone();
        let checked = tokio::task::spawn_blocking(move || {
            graph.nodes.iter().try_for_each(|node| check_connector(node, &reach))?;
            graph.edges.iter().try_for_each(|edge| check_formats(&graph, edge))
        });
        checked.await.unwrap_or_else(|error| {
            Err(Failure::new(FailureKind::Internal, format!("the check of the connectors was lost: {error}")))
        })
    }
}

fn check_connector(node: &StreamNode, reach: &Reach) -> Result<(), Failure> {
    let checked = match &node.kind {
        NodeKind::NativeSource(connector) => validate_connector(ConnectorKind::Source, connector, reach),
        NodeKind::NativeSink(connector) => validate_connector(ConnectorKind::Sink, connector, reach),
        NodeKind::NativeOperator(connector) => validate_connector(ConnectorKind::Operator, connector, reach),
        NodeKind::Source(_) | NodeKind::Operator(_) => Ok(()),
    };
    of_node(node, checked)
}

/// A native connector must speak the format of its streams.
fn check_formats(graph: &StreamGraph, edge: &StreamEdge) -> Result<(), Failure> {
    let node = |id: NodeId| graph.nodes.get(id.0 as usize);
    let emits = node(edge.source).and_then(|node| match &node.kind {
        NodeKind::NativeSource(connector) => Some((node, "source", source_format(connector))),
        NodeKind::NativeOperator(connector) => Some((node, "operator", operator_format(connector))),
        _ => None,
    });
    if let Some((node, what, emitted)) = emits {
        let emitted = of_node(node, emitted)?;
        if emitted != edge.format {
            return Err(invalid(format!(
                "the {what} emits {emitted:?} and its stream is declared as {:?}",
                edge.format
            ))
            .in_operator(&node.name)
            .with_remedy(format!("declare the stream in the format that the {what} emits")));
        }
    }
    let accepts = node(edge.target).and_then(|node| match &node.kind {
        NodeKind::NativeSink(connector) => {
            let remedy = "turn the records into text before the sink, such as by a map";
            Some((node, "sink", sink_accepts(connector, edge.format), remedy))
        }
        NodeKind::NativeOperator(connector) => {
            let remedy = "state the format of the stream in the operator's options, or send it another one";
            Some((node, "operator", operator_accepts(connector, edge.format), remedy))
        }
        _ => None,
    });
    let Some((node, what, accepts, remedy)) = accepts else { return Ok(()) };
    if of_node(node, accepts)? {
        return Ok(());
    }
    let message = format!("the {what} does not take records in the format {:?}", edge.format);
    Err(invalid(message).in_operator(&node.name).with_remedy(remedy))
}

fn of_node<T>(node: &StreamNode, result: Result<T, ConnectorError>) -> Result<T, Failure> {
    result.map_err(|error| Failure::from(error).in_operator(&node.name))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidApplication, message)
}
