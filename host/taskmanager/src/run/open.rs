//! From a deployment to a chain that is ready to run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_connectors::{
    AsyncRequests, OperatorContext, Reach, RestoredSink, SinkContext, SourceContext, TaskLog, open_operator, open_sink,
    open_source,
};
use millrace_graph::{NativeConnector, NodeKind, Segment as SegmentPlan, StreamNode};
use millrace_network::{ChannelSender, DataPlane, EdgeOptions, Exchange, OutputEdgeWriter};
use millrace_protocol::{OutputChannel, OutputEdge, Rerouting, TaskDeployment, TaskGauge, ToJobManager};
use millrace_sandbox::{OpenSpec, OperatorSpec, Sandbox};
use millrace_state::{BackendOptions, KeyedBackend, ScratchOptions, StateLimits, Storage};
use millrace_storage::{LocalCopies, StorageAccess};
use millrace_task_core::{TimerLimits, TimerService};
use millrace_types::{
    BATCH_BYTES, CrashPoints, Failure, FailureKind, KeyGroupRange, MIN_EVENT_TIME, NodeId, RECORD_BYTES_MAX,
    STATE_CACHE_BYTES, StateBackendKind, TaskManagerId,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::components::{Components, Held};
use crate::log::Level;
use crate::run::asynchronous::{AsyncSegment, restored_rows};
use crate::run::chain::Chain;
use crate::run::collect::CollectLink;
use crate::run::guest::{GuestPlan, GuestSegment};
use crate::run::host::SegmentHost;
use crate::run::outlet::{ChainTarget, OpenEdge, Outlet, Reader, Route};
use crate::run::restore::{self, GuestState};
use crate::run::segment::{NativeSink, NativeSource, Segment};
use crate::run::shared::{TaskError, TaskShared};
use crate::run::uploads::{Chains, TaskCopies};

/// What the tasks of a TaskManager have in common.
pub(crate) struct TaskEnvironment {
    pub id: TaskManagerId,
    pub sandbox: Sandbox,
    pub components: Components,
    pub exchange: Exchange,
    /// The way to other TaskManagers, if there is one.
    pub data: Option<DataPlane>,
    /// What its connectors may reach.
    pub reach: Reach,
    /// Opens the folders of checkpoints and savepoints.
    pub checkpoint_storage: StorageAccess,
    pub outbound: mpsc::Sender<ToJobManager>,
    /// The folder for state that is larger than memory.
    pub scratch: ScratchOptions,
    /// Copies of state on this machine's disk, if there is a place for them.
    pub local_state: Option<LocalCopies>,
    pub crash_points: CrashPoints,
}

/// Opens the operators of one task.
pub(crate) struct Opener<'a> {
    pub environment: &'a TaskEnvironment,
    pub task: &'a TaskDeployment,
    pub shared: &'a Arc<TaskShared>,
    /// The components that the task holds, by name.
    pub components: BTreeMap<String, (Held, millrace_sandbox::CompiledComponent)>,
    pub copies: TaskCopies,
    /// The acknowledgements of each sink.
    pub acknowledged: &'a BTreeMap<NodeId, watch::Receiver<u64>>,
}

/// The lines of a `print` sink.
struct SinkLog {
    shared: Arc<TaskShared>,
    name: String,
}

impl TaskLog for SinkLog {
    fn line(&self, text: &str) {
        self.shared.line(Level::Info, &self.name, text);
    }
}

fn broken(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Internal, message)
}

/// In which segment each operator of the task runs.
pub(crate) fn places(task: &TaskDeployment) -> BTreeMap<NodeId, usize> {
    let segments = task.vertex.segments.iter().enumerate();
    segments.flat_map(|(place, segment)| segment.nodes.iter().map(move |node| (*node, place))).collect()
}

/// A random number generator of this attempt alone, for one use.
fn attempt_rng(task: &TaskDeployment, seed: u64, purpose: u32) -> StdRng {
    let mut bytes = [0u8; 32];
    bytes[..16].copy_from_slice(task.attempt.vertex.as_bytes());
    bytes[16..24].copy_from_slice(&seed.to_le_bytes());
    bytes[24..28].copy_from_slice(&task.attempt.subtask.to_le_bytes());
    bytes[28..].copy_from_slice(&(task.attempt.attempt.wrapping_mul(65_599) ^ purpose).to_le_bytes());
    StdRng::from_seed(bytes)
}

impl Opener<'_> {
    /// Connects the task's outputs.
    pub(crate) async fn connect_outputs(&self) -> Result<Vec<OpenEdge>, TaskError> {
        let connecting = self.task.outputs.iter().map(|output| self.connect(output));
        futures::future::try_join_all(connecting).await
    }

    async fn connect(&self, output: &OutputEdge) -> Result<OpenEdge, TaskError> {
        let exchange = &self.environment.exchange;
        let channels = self.connect_channels(&output.channels).await?;
        let options = EdgeOptions {
            partitioning: output.partitioning,
            target_parallelism: output.target_parallelism,
            target_max_parallelism: output.target_max_parallelism,
            subtask: self.task.attempt.subtask,
            buffer_timeout: Duration::from_millis(self.task.settings.buffer_timeout_ms),
        };
        let edge = output.channels.first().map_or(0, |channel| channel.id.edge);
        let rng = attempt_rng(self.task, 0, edge);
        let writer = OutputEdgeWriter::new(&options, channels, exchange.budget().clone(), rng);
        let writer = writer.map_err(|error| broken(error.to_string()))?;
        let reader = Reader {
            uid: output.target_uid.clone(),
            port: output.target_port,
            rerouting: Rerouting::of(output.partitioning),
            subtasks: output.channels.iter().map(|channel| channel.id.target_subtask).collect(),
        };
        Ok(OpenEdge { source: output.source, port: output.source_port, writer, reader })
    }

    /// The sending ends of channels, in order, wherever their consumers are.
    async fn connect_channels(&self, channels: &[OutputChannel]) -> Result<Vec<ChannelSender>, TaskError> {
        let TaskEnvironment { id: here, exchange, data, .. } = self.environment;
        let mut places: BTreeMap<_, (Vec<usize>, Vec<_>)> = BTreeMap::new();
        for (position, channel) in channels.iter().enumerate() {
            let (positions, ids) = places.entry((&channel.task_manager, &channel.data_address)).or_default();
            positions.push(position);
            ids.push(channel.id);
        }
        let connecting = places.into_iter().map(async |((peer, address), (positions, ids))| {
            let senders = match (data, address) {
                _ if peer == here => exchange.connect(&ids).await?,
                (Some(data), Some(address)) => data.connect(peer, address, &ids).await?,
                _ => return Err(TaskError::from(broken(format!("no way leads to TaskManager {peer}")))),
            };
            Ok(positions.into_iter().zip(senders))
        });
        let connected = futures::future::try_join_all(connecting).await?;
        let in_order: BTreeMap<usize, ChannelSender> = connected.into_iter().flatten().collect();
        Ok(in_order.into_values().collect())
    }

    /// Fetches and compiles the components that the task needs.
    pub(crate) async fn fetch_components(&mut self) -> Result<(), TaskError> {
        let task = self.task;
        for name in task.vertex.segments.iter().filter_map(|segment| segment.component.as_ref()) {
            if !self.components.contains_key(name) {
                let component = task.components.get(name).ok_or_else(|| {
                    broken(format!("the deployment names the component \"{name}\" and does not describe it"))
                })?;
                let began = Instant::now();
                let was_compiled = self.environment.sandbox.compiled(&task.tenant, &component.digest).is_some();
                let compiled = self.environment.components.get(&task.tenant, component.digest).await?;
                let metrics = &self.shared.metrics;
                metrics.raise(TaskGauge::CompileMs, u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
                metrics.raise(if was_compiled { TaskGauge::CacheHits } else { TaskGauge::CacheMisses }, 1);
                self.components.insert(name.clone(), compiled);
            }
        }
        Ok(())
    }

    /// Opens all segments, in order, into the chain: what is there already can be aborted if a later one fails. Returns
    /// the state that they were restored from.
    pub(crate) async fn open_segments(&self, writers: Vec<OpenEdge>, chain: &mut Chain) -> Result<Chains, TaskError> {
        let places = places(self.task);
        let mut outlets = self.outlets(writers, &places)?;
        let mut restored = Chains::new();
        for (place, segment) in self.task.vertex.segments.iter().enumerate() {
            let outlet = outlets.remove(&place).unwrap_or_else(|| self.empty_outlet());
            chain.push(self.open_segment(segment, outlet, &mut restored).await?)?;
        }
        Ok(restored)
    }

    /// Opens the sinks alone, for what they have to commit.
    pub(crate) async fn open_sinks(&self, chain: &mut Chain) -> Result<(), TaskError> {
        for (id, node) in &self.task.vertex.nodes {
            let commits = |restore| restore::committables(restore, &node.uid);
            if let NodeKind::NativeSink(connector) = &node.kind
                && self.task.restore.as_ref().is_some_and(|restore| !commits(restore).is_empty())
            {
                let opened = self.open_sink(*id, node, connector).await;
                chain.push(opened.map_err(|error| Failure::from(error).in_operator(&node.name))?)?;
            }
        }
        Ok(())
    }

    fn empty_outlet(&self) -> Outlet {
        Outlet::new(BTreeMap::new(), Vec::new(), Arc::clone(self.shared))
    }

    /// The ways out of each segment that has any.
    fn outlets(
        &self,
        writers: Vec<OpenEdge>,
        places: &BTreeMap<NodeId, usize>,
    ) -> Result<BTreeMap<usize, Outlet>, Failure> {
        let place = |node: NodeId| {
            places.get(&node).copied().ok_or_else(|| broken(format!("an edge leads to node {node}, which is not here")))
        };
        let mut routes: BTreeMap<usize, BTreeMap<(NodeId, u32), Route>> = BTreeMap::new();
        let mut edges: BTreeMap<usize, Vec<OpenEdge>> = BTreeMap::new();
        for edge in &self.task.vertex.chained_edges {
            let (from, to) = (place(edge.source)?, place(edge.target)?);
            if from != to {
                let route = routes.entry(from).or_default().entry((edge.source, edge.source_port)).or_default();
                route.chained.push(ChainTarget { segment: to, node: edge.target, port: edge.target_port });
            }
        }
        for edge in writers {
            let from = place(edge.source)?;
            let edges = edges.entry(from).or_default();
            let route = routes.entry(from).or_default().entry((edge.source, edge.port)).or_default();
            route.edges.push(edges.len());
            edges.push(edge);
        }
        let outlets = routes.into_iter().map(|(place, routes)| {
            let edges = edges.remove(&place).unwrap_or_default();
            (place, Outlet::new(routes, edges, Arc::clone(self.shared)))
        });
        Ok(outlets.collect())
    }

    fn node(&self, id: NodeId) -> Result<&StreamNode, Failure> {
        let found = self.task.vertex.nodes.iter().find(|(node, _)| *node == id);
        found.map(|(_, node)| node).ok_or_else(|| broken(format!("a segment has node {id}, which the vertex has not")))
    }

    async fn open_segment(
        &self,
        segment: &SegmentPlan,
        outlet: Outlet,
        restored: &mut Chains,
    ) -> Result<Segment, TaskError> {
        if let Some(component) = &segment.component {
            return self.open_guest(component, segment, outlet, restored).await;
        }
        let &[id] = segment.nodes.as_slice() else {
            return Err(broken("a segment without a component has other than one operator").into());
        };
        let node = self.node(id)?;
        let opened = match &node.kind {
            NodeKind::NativeSource(connector) => {
                let context = SourceContext { roots: self.environment.reach.files.clone() };
                open_source(connector, context)
                    .map(|reader| Segment::Source(NativeSource { node: id, name: node.name.clone(), reader, outlet }))
            }
            NodeKind::NativeOperator(connector) => return self.open_operator(id, node, connector, outlet).await,
            NodeKind::NativeSink(connector) => self.open_sink(id, node, connector).await,
            NodeKind::Source(_) | NodeKind::Operator(_) => {
                return Err(broken(format!("node {id} is a guest's and its segment names no component")).into());
            }
        };
        opened.map_err(|error| Failure::from(error).in_operator(&node.name).into())
    }

    async fn open_operator(
        &self,
        node: NodeId,
        described: &StreamNode,
        connector: &NativeConnector,
        outlet: Outlet,
    ) -> Result<Segment, TaskError> {
        let StreamNode { uid, name, .. } = described;
        let rows = restored_rows(self.task, &self.environment.checkpoint_storage, uid).await?;
        let context = OperatorContext { origins: self.environment.reach.http.clone() };
        let opened = open_operator(connector, &context)
            .and_then(|operator| AsyncRequests::new(operator.function, operator.settings, &rows));
        let requests = opened.map_err(|error| Failure::from(error).in_operator(name))?;
        let (uid, name) = (uid.clone(), name.clone());
        Ok(Segment::Async(Box::new(AsyncSegment { node, uid, name, requests, outlet, known_pending: false })))
    }

    async fn open_sink(
        &self,
        id: NodeId,
        node: &StreamNode,
        connector: &NativeConnector,
    ) -> Result<Segment, millrace_connectors::ConnectorError> {
        let shared = Arc::clone(self.shared);
        // Without a sender of acknowledgements the link would end with its window.
        let acknowledged = self.acknowledged.get(&id).cloned().unwrap_or_else(|| watch::channel(0).1);
        let outbound = self.environment.outbound.clone();
        let context = SinkContext {
            job: self.task.attempt.job,
            node: id,
            subtask: self.task.attempt.subtask,
            parallelism: self.task.vertex.parallelism,
            attempt: self.task.attempt.attempt,
            checkpointed: self.task.settings.checkpoints.periodic,
            restored: self.task.restore.as_ref().map(|restore| RestoredSink {
                checkpoint: restore.checkpoint,
                committables: restore::committables(restore, &node.uid),
            }),
            roots: self.environment.reach.files.clone(),
            crash_points: self.environment.crash_points.clone(),
            log: Arc::new(SinkLog { shared: Arc::clone(&shared), name: node.name.clone() }),
            collect: Arc::new(CollectLink::new(id, outbound, acknowledged, shared)),
        };
        let sink = open_sink(connector, context).await?;
        let (uid, name) = (node.uid.clone(), node.name.clone());
        Ok(Segment::Sink(NativeSink { uid, name, sink, closed: false, prepared: BTreeMap::new() }))
    }

    async fn open_guest(
        &self,
        component: &str,
        segment: &SegmentPlan,
        outlet: Outlet,
        restored: &mut Chains,
    ) -> Result<Segment, TaskError> {
        let (Some(described), Some((_, compiled))) =
            (self.task.components.get(component), self.components.get(component))
        else {
            return Err(broken(format!("the component \"{component}\" was not fetched")).into());
        };
        let mut operators = Vec::with_capacity(segment.nodes.len());
        let mut names = BTreeMap::new();
        for id in &segment.nodes {
            let node = self.node(*id)?;
            let code = node.kind.guest_code().cloned();
            let code = code.ok_or_else(|| broken(format!("node {id} is native and its segment names a component")))?;
            names.insert(*id, (node.uid.clone(), node.name.clone()));
            let (uid, name) = (node.uid.clone(), node.name.clone());
            operators.push(OperatorSpec { node: *id, uid, name, code, watermark: MIN_EVENT_TIME });
        }
        let (attempt, vertex) = (self.task.attempt, &self.task.vertex);
        let spec = OpenSpec {
            args: self.task.args.clone(),
            default_parallelism: self.task.default_parallelism,
            graph_digest: described.has_builder.then_some(self.task.graph_digest),
            operators,
            subtask: attempt.subtask,
            parallelism: vertex.parallelism,
            max_parallelism: vertex.max_parallelism,
            batch_bytes: u32::try_from(self.environment.exchange.budget().batch_bytes()).unwrap_or(BATCH_BYTES),
            record_bytes_max: RECORD_BYTES_MAX,
            state_cache_bytes: STATE_CACHE_BYTES,
            limits: described.limits.clone(),
        };
        let first = segment.nodes.first().map_or(0, |node| node.0);
        let discard = self.task.settings.discard_instances_seed.map(|seed| attempt_rng(self.task, seed, first));
        let plan = GuestPlan { sandbox: self.environment.sandbox.clone(), component: compiled.clone(), spec, discard };
        let mut state = self.restored_state(&names).await?;
        restored.append(&mut state.chains);
        let host = SegmentHost::new(outlet, state.timers, state.backend, names, Arc::clone(self.shared));
        Ok(Segment::Guest(Box::new(GuestSegment::open(plan, host, Arc::clone(self.shared)).await?)))
    }

    /// What the operators of a guest segment begin with.
    async fn restored_state(&self, names: &BTreeMap<NodeId, (String, String)>) -> Result<GuestState, TaskError> {
        let (settings, subtask, vertex) = (&self.task.settings, self.task.attempt.subtask, &self.task.vertex);
        let mut backend = KeyedBackend::open(BackendOptions {
            storage: match settings.state_backend {
                StateBackendKind::Hashmap => Storage::Hashmap,
                StateBackendKind::Redb => Storage::Redb(self.environment.scratch.clone()),
            },
            key_groups: KeyGroupRange::of_subtask(subtask, vertex.parallelism, vertex.max_parallelism),
            max_parallelism: vertex.max_parallelism,
            limits: StateLimits::default(),
        })
        .map_err(Failure::from)?;
        backend.set_tracking(settings.checkpoints.periodic);
        let timers = TimerService::new(TimerLimits::default());
        let state = GuestState { backend, timers, chains: Chains::new() };
        let operators = names.iter().map(|(node, (uid, _))| (*node, uid.clone())).collect();
        let storage = &self.environment.checkpoint_storage;
        let mut state = restore::restore(self.task, storage, operators, &self.copies, state).await?;
        state.timers.set_tracking(settings.checkpoints.periodic);
        Ok(state)
    }
}
