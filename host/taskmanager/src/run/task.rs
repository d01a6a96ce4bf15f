//! The life of one task: INITIALIZING, RUNNING, and one of three ends.
//!
//! Invariants:
//! - Whatever the task waits for, being told to stop ends it: its future is dropped, a guest's call included.
//! - When the task's end is told, nothing of it is left in this process: no instance, no unfinished output, no channel
//!   but those to other TaskManagers, which last until what was sent has been taken and both sides have said so.
//! - A task whose peer is gone leaves it to the peer to tell the cause: it waits to be cancelled before it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_protocol::{ChannelId, SplitAssignment, TaskDeployment, TaskFigures, TaskReport, ToJobManager};
use millrace_task_core::ChainProgress;
use millrace_types::{AttemptId, ExecutionState, Failure, FailureKind, KeyGroupRange, NodeId, TaskManagerId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::log::{Level, LogKey, TaskLogs};
use crate::metrics::TaskMetrics;
use crate::run::chain::Chain;
use crate::run::checkpoints::TaskCheckpoints;
use crate::run::generators::Generators;
use crate::run::input::Inputs;
use crate::run::open::{Opener, TaskEnvironment, places};
use crate::run::orders::OrderBox;
use crate::run::outlet::OpenEdge;
use crate::run::overtaken;
use crate::run::shared::{TaskError, TaskShared, wall_clock};
use crate::run::source::SourceDriver;
use crate::run::stop::{Stop, StopSignal};
use crate::run::upgrade::Upgrades;
use crate::run::uploads::{TaskCopies, UploadPlan, Uploads};

/// How long removing unfinished output may take.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a task whose peer is gone waits to be cancelled, before it fails by itself.
const PEER_GRACE: Duration = Duration::from_secs(3);

/// What connects a task with its TaskManager.
pub(crate) struct TaskLinks {
    pub stop: StopSignal,
    pub metrics: Arc<TaskMetrics>,
    /// Splits for the task's source.
    pub assignments: mpsc::Receiver<SplitAssignment>,
    /// The acknowledgements of each sink.
    pub acknowledged: BTreeMap<NodeId, watch::Receiver<u64>>,
    /// What the JobMaster says meanwhile.
    pub orders: OrderBox,
}

/// How a task ended.
#[derive(Debug)]
pub(crate) struct TaskEnd {
    pub attempt: AttemptId,
    pub state: ExecutionState,
    pub failure: Option<Failure>,
}

enum Outcome {
    Ended(Result<(), TaskError>),
    Stopped(Stop),
}

/// Runs a task to its end.
pub(crate) async fn run_task(
    environment: Arc<TaskEnvironment>,
    logs: TaskLogs,
    task: TaskDeployment,
    mut links: TaskLinks,
) -> TaskEnd {
    let attempt = task.attempt;
    let key =
        LogKey { tenant: task.tenant.clone(), job: attempt.job, vertex: attempt.vertex, subtask: attempt.subtask };
    let log = logs.open(key, task.vertex.parallelism).await;
    let shared = Arc::new(TaskShared::new(attempt, Arc::clone(&links.metrics), log));
    let mut stop = links.stop.clone();
    let outcome = match Body::prepare(&environment, &task, &mut links) {
        Err(error) => Outcome::Ended(Err(error)),
        Ok(mut body) => {
            let outcome = tokio::select! {
                biased;
                reason = stop.stopped() => Outcome::Stopped(reason),
                result = Box::pin(body.live(&environment, &task, &shared, &links)) => Outcome::Ended(result),
            };
            if !matches!(outcome, Outcome::Ended(Ok(()))) {
                // What cannot be removed in time is removed by the next attempt.
                let _ = tokio::time::timeout(ABORT_TIMEOUT, body.chain.abort()).await;
            }
            outcome
        }
    };
    let (state, failure) = conclude(outcome, &mut stop).await;
    let failure = failure.map(|failure| failure.in_operator(&task.vertex.name));
    if let Some(failure) = &failure {
        let operator = failure.operator.as_deref().unwrap_or_default();
        shared.line(Level::Error, operator, &failure.to_string());
    }
    TaskEnd { attempt, state, failure }
}

async fn conclude(outcome: Outcome, stop: &mut StopSignal) -> (ExecutionState, Option<Failure>) {
    let reason = match outcome {
        Outcome::Ended(Ok(())) => return (ExecutionState::Finished, None),
        Outcome::Ended(Err(TaskError::Failed(failure))) => return (ExecutionState::Failed, Some(failure)),
        Outcome::Ended(Err(TaskError::PeerGone(failure))) => {
            match tokio::time::timeout(PEER_GRACE, stop.stopped()).await {
                Ok(reason) => reason,
                Err(_) => Stop::Fail(failure),
            }
        }
        Outcome::Stopped(reason) => reason,
    };
    match reason {
        Stop::Cancel => (ExecutionState::Canceled, None),
        Stop::Fail(failure) => (ExecutionState::Failed, Some(failure)),
    }
}

/// What a task consists of. It outlives the future that runs it, so that its sinks can be aborted.
struct Body {
    chain: Chain,
    inputs: Inputs,
    source: Option<SourceDriver>,
}

impl Body {
    /// Offers the task's input channels at once: producers wait for them.
    fn prepare(environment: &TaskEnvironment, task: &TaskDeployment, links: &mut TaskLinks) -> Result<Self, TaskError> {
        check(task)?;
        check_peers(task, environment)?;
        let gates: Vec<NodeId> = task.inputs.iter().map(|input| input.target).collect();
        let outputs: Vec<NodeId> = task.outputs.iter().map(|output| output.source).collect();
        let progress = ChainProgress::new(&task.vertex, &gates, &outputs).map_err(Failure::from)?;
        let channels: Vec<ChannelId> = task.inputs.iter().flat_map(|input| &input.channels).map(|c| c.id).collect();
        let gate = environment.exchange.open_gate(channels)?;
        let is_source = task.vertex.nodes.iter().find(|(_, node)| node.kind.is_source());
        let source = is_source.map(|(node, _)| {
            let assignments = std::mem::replace(&mut links.assignments, mpsc::channel(1).1);
            SourceDriver::new(*node, &task.vertex.nodes, assignments, environment.outbound.clone())
        });
        let nodes = &task.vertex.nodes;
        let chain = Chain::new(places(task), progress, Generators::new(nodes, Instant::now()), links.metrics.clone());
        let inputs = Inputs::new(gate, &task.inputs, nodes, task.attempt.subtask, &environment.id);
        Ok(Self { chain, inputs, source })
    }

    async fn live(
        &mut self,
        environment: &Arc<TaskEnvironment>,
        task: &TaskDeployment,
        shared: &Arc<TaskShared>,
        links: &TaskLinks,
    ) -> Result<(), TaskError> {
        report(environment, shared, ExecutionState::Deploying).await?;
        report(environment, shared, ExecutionState::Initializing).await?;
        let checkpoints = &task.settings.checkpoints;
        let copies = TaskCopies::new(environment.local_state.as_ref(), checkpoints, task.attempt);
        let acknowledged = &links.acknowledged;
        let opener =
            || Opener { environment, task, shared, components: BTreeMap::new(), copies: copies.clone(), acknowledged };
        let (connecting, mut opener) = (opener(), opener());
        let ((), writers, ()) =
            tokio::try_join!(self.inputs.connected(), connecting.connect_outputs(), opener.fetch_components())?;
        if task.restore.as_ref().is_some_and(|restore| restore.finished) {
            report(environment, shared, ExecutionState::Running).await?;
            return self.end_again(&opener, writers).await;
        }
        let chains = Box::pin(opener.open_segments(writers, &mut self.chain)).await?;
        if let Some(restore) = &task.restore {
            copies.restored(restore.checkpoint, &chains, shared);
        }
        let vertex = &task.vertex;
        let uploads = Uploads::start(UploadPlan {
            settings: task.settings.checkpoints.clone(),
            storage: environment.checkpoint_storage.clone(),
            key_groups: KeyGroupRange::of_subtask(task.attempt.subtask, vertex.parallelism, vertex.max_parallelism),
            max_parallelism: vertex.max_parallelism,
            chains,
            copies,
            outbound: environment.outbound.clone(),
            shared: Arc::clone(shared),
            crash_points: environment.crash_points.clone(),
        });
        let (orders, outbound) = (links.orders.clone(), environment.outbound.clone());
        let upgrades = Upgrades::new(Arc::clone(environment), task.tenant.clone(), Arc::clone(shared));
        let crash_points = environment.crash_points.clone();
        let mut checkpoints = TaskCheckpoints::new(orders, outbound, uploads, crash_points, upgrades);
        if let Some(restore) = &task.restore
            && !restore.in_flight.is_empty()
        {
            // Part of what the task begins with: should it be unreadable, the job goes back to an earlier checkpoint.
            overtaken::replay(restore, task, &environment.checkpoint_storage, &mut self.chain).await?;
        }
        report(environment, shared, ExecutionState::Running).await?;
        shared.metrics.begin_running();
        match &mut self.source {
            Some(source) => source.run(&mut self.chain, &mut checkpoints, shared).await,
            None => self.inputs.run(&mut self.chain, &mut checkpoints, shared).await,
        }
    }

    /// A task that had finished when the checkpoint was taken that it is restored from: commits what it had prepared, and
    /// ends.
    async fn end_again(&mut self, opener: &Opener<'_>, edges: Vec<OpenEdge>) -> Result<(), TaskError> {
        opener.open_sinks(&mut self.chain).await?;
        for mut edge in edges {
            edge.writer.push_end();
            edge.writer.drain().await?;
        }
        self.inputs.discard().await?;
        self.chain.publish().await
    }
}

/// Refuses what no JobMaster of this version sends.
fn check(task: &TaskDeployment) -> Result<(), Failure> {
    let vertex = &task.vertex;
    let fits = task.attempt.subtask < vertex.parallelism && vertex.parallelism <= vertex.max_parallelism;
    if !fits || task.attempt.vertex != vertex.id {
        let message = format!(
            "subtask {} of a vertex of parallelism {} and {} key groups cannot be",
            task.attempt.subtask, vertex.parallelism, vertex.max_parallelism
        );
        return Err(Failure::new(FailureKind::Internal, message));
    }
    Ok(())
}

/// Refuses to exchange records with TaskManagers that no way leads to.
fn check_peers(task: &TaskDeployment, environment: &TaskEnvironment) -> Result<(), Failure> {
    let producers = task.inputs.iter().flat_map(|input| &input.channels).map(|channel| &channel.task_manager);
    let consumers = || task.outputs.iter().flat_map(|output| &output.channels);
    let elsewhere = |peer: &&TaskManagerId| **peer != environment.id;
    let (message, remedy) = if environment.data.is_none() {
        let mut peers = producers.chain(consumers().map(|channel| &channel.task_manager));
        let Some(peer) = peers.find(elsewhere) else {
            return Ok(());
        };
        (
            format!("the task exchanges records with TaskManager {peer}, which is another process"),
            "run the job with as many slots as it needs in one process",
        )
    } else {
        let unknown = consumers().filter(|channel| channel.data_address.is_none());
        let Some(peer) = unknown.map(|channel| &channel.task_manager).find(elsewhere) else {
            return Ok(());
        };
        (
            format!("the task sends records to TaskManager {peer}, which has not told where it takes any"),
            "start that TaskManager with an address for records, and run the job again",
        )
    };
    Err(Failure::new(FailureKind::Internal, message).with_remedy(remedy))
}

/// Tells the JobMaster the task's state.
async fn report(environment: &TaskEnvironment, shared: &TaskShared, state: ExecutionState) -> Result<(), TaskError> {
    let report = task_report(shared.attempt, state, None, shared.metrics.figures());
    let sent = environment.outbound.send(ToJobManager::TaskReport(report)).await;
    sent.map_err(|_| Failure::new(FailureKind::Internal, "the JobManager is gone").into())
}

/// A report of now.
pub(crate) fn task_report(
    attempt: AttemptId,
    state: ExecutionState,
    failure: Option<Failure>,
    figures: TaskFigures,
) -> TaskReport {
    TaskReport { attempt, state, at: wall_clock(), failure, figures }
}
