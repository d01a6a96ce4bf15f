//! The tasks of a TaskManager, as its control loop sees them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millrace_graph::NodeKind;
use millrace_protocol::{SplitAssignment, TaskDeployment, TaskFigures};
use millrace_types::{AllocationId, AttemptId, ExecutionState, Failure, FailureKind, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use crate::inquiry::LiveTasks;
use crate::log::TaskLogs;
use crate::metrics::TaskMetrics;
use crate::run::{
    ASSIGNMENTS_MAX, OrderBox, Stop, Stopper, TaskEnd, TaskEnvironment, TaskLinks, TaskOrder, run_task, stop_signal,
};
use crate::stale::StaleReason;
use crate::threads::Threads;

/// A task that runs.
struct LiveTask {
    allocation: AllocationId,
    stopper: Stopper,
    metrics: Arc<TaskMetrics>,
    source: Option<NodeId>,
    assignments: mpsc::Sender<SplitAssignment>,
    acknowledgements: BTreeMap<NodeId, watch::Sender<u64>>,
    orders: OrderBox,
}

/// A task that has ended, with the slot grant that it ran in.
pub(crate) struct EndedTask {
    pub end: TaskEnd,
    pub allocation: AllocationId,
    pub figures: TaskFigures,
}

/// All tasks that run.
pub(crate) struct TaskTable {
    environment: Arc<TaskEnvironment>,
    logs: TaskLogs,
    tasks: BTreeMap<AttemptId, LiveTask>,
    futures: JoinSet<TaskEnd>,
    attempts: HashMap<Id, AttemptId>,
    /// What others may look at of them.
    live: LiveTasks,
    /// Dropped last: the futures end before their threads.
    runtime: Threads,
}

impl TaskTable {
    /// `live` is kept at the tasks that run.
    pub(crate) fn new(environment: Arc<TaskEnvironment>, logs: TaskLogs, runtime: Threads, live: LiveTasks) -> Self {
        Self {
            environment,
            logs,
            tasks: BTreeMap::new(),
            futures: JoinSet::new(),
            attempts: HashMap::new(),
            live,
            runtime,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(crate) fn contains(&self, attempt: AttemptId) -> bool {
        self.tasks.contains_key(&attempt)
    }

    /// Starts a task.
    pub(crate) fn start(&mut self, task: TaskDeployment) -> Result<(), StaleReason> {
        let attempt = task.attempt;
        if self.contains(attempt) {
            return Err(StaleReason::DuplicateAttempt);
        }
        let Some(runtime) = self.runtime.handle() else {
            return Err(StaleReason::UnknownAllocation);
        };
        let metrics = Arc::new(TaskMetrics::new(task.vertex.nodes.iter().map(|(node, _)| *node)));
        let (stopper, stop) = stop_signal();
        let orders = OrderBox::default();
        let (assignments, receiver) = mpsc::channel(ASSIGNMENTS_MAX);
        let nodes = &task.vertex.nodes;
        let sinks = nodes.iter().filter(|(_, node)| matches!(node.kind, NodeKind::NativeSink(_)));
        let acknowledgements: BTreeMap<_, _> = sinks.map(|(node, _)| (*node, watch::Sender::new(0))).collect();
        let acknowledged = acknowledgements.iter().map(|(node, sender)| (*node, sender.subscribe())).collect();
        let live = LiveTask {
            allocation: task.allocation,
            stopper,
            metrics: Arc::clone(&metrics),
            source: nodes.iter().find(|(_, node)| node.kind.is_source()).map(|(node, _)| *node),
            assignments,
            acknowledgements,
            orders: orders.clone(),
        };
        let links = TaskLinks { stop, metrics, assignments: receiver, acknowledged, orders };
        let future = Box::pin(run_task(Arc::clone(&self.environment), self.logs.clone(), task, links));
        let id = self.futures.spawn_on(future, runtime).id();
        self.attempts.insert(id, attempt);
        self.live.insert(attempt, Arc::clone(&live.metrics));
        self.tasks.insert(attempt, live);
        Ok(())
    }

    /// Tells a task to stop.
    pub(crate) fn cancel(&self, attempt: AttemptId) -> Result<(), StaleReason> {
        let task = self.tasks.get(&attempt).ok_or(StaleReason::UnknownAttempt)?;
        task.stopper.stop(Stop::Cancel);
        Ok(())
    }

    /// Tells all tasks of a slot grant, or all there are, to stop. Returns whether there are any.
    pub(crate) fn cancel_all(&self, allocation: Option<AllocationId>) -> bool {
        let concerned = self.tasks.values().filter(|task| allocation.is_none_or(|of| task.allocation == of));
        concerned.map(|task| task.stopper.stop(Stop::Cancel)).count() > 0
    }

    /// Hands splits to a source.
    pub(crate) fn assign_splits(&self, assignment: SplitAssignment) -> Result<(), StaleReason> {
        let task = self.tasks.get(&assignment.attempt).ok_or(StaleReason::UnknownAttempt)?;
        if task.source != Some(assignment.node) {
            return Err(StaleReason::OtherSource);
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = task.assignments.try_send(assignment) {
            // Dropping splits would lose records: better to fail.
            let message = format!("the source got more than {ASSIGNMENTS_MAX} answers that it has not asked for");
            task.stopper.stop(Stop::Fail(Failure::new(FailureKind::Internal, message)));
        }
        Ok(())
    }

    /// Tells a task something about a checkpoint, or a source how to go on.
    pub(crate) fn order(&self, attempt: AttemptId, order: TaskOrder) -> Result<(), StaleReason> {
        let task = self.tasks.get(&attempt).ok_or(StaleReason::UnknownAttempt)?;
        task.orders.put(order);
        Ok(())
    }

    /// Rows of a sink have arrived.
    pub(crate) fn acknowledge(&self, attempt: AttemptId, node: NodeId, received: u64) -> Result<(), StaleReason> {
        let task = self.tasks.get(&attempt).ok_or(StaleReason::UnknownAttempt)?;
        let sender = task.acknowledgements.get(&node).ok_or(StaleReason::OtherSource)?;
        sender.send_if_modified(|arrived| {
            let is_news = received > *arrived;
            *arrived = received.max(*arrived);
            is_news
        });
        Ok(())
    }

    /// What all tasks have done so far.
    pub(crate) fn figures(&self) -> Vec<(AttemptId, TaskFigures)> {
        self.tasks.iter().map(|(attempt, task)| (*attempt, task.metrics.figures())).collect()
    }

    /// Whether tasks of a slot grant run.
    pub(crate) fn uses(&self, allocation: AllocationId) -> bool {
        self.tasks.values().any(|task| task.allocation == allocation)
    }

    /// The next task that ends; waits for ever while there is none. Cancel-safe.
    pub(crate) async fn next_end(&mut self) -> EndedTask {
        loop {
            let Some(joined) = self.futures.join_next_with_id().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let (id, end) = match joined {
                Ok((id, end)) => (id, Some(end)),
                Err(error) => (error.id(), self.attempts.get(&error.id()).map(|attempt| crashed(*attempt, &error))),
            };
            self.attempts.remove(&id);
            let Some(end) = end else { continue };
            if let Some(task) = self.tasks.remove(&end.attempt) {
                self.live.remove(end.attempt);
                return EndedTask { allocation: task.allocation, figures: task.metrics.figures(), end };
            }
        }
    }
}

/// The end of a task that panicked in the host's own code.
fn crashed(attempt: AttemptId, error: &JoinError) -> TaskEnd {
    let failure = Failure::new(FailureKind::Internal, format!("the task crashed: {error}"))
        .with_remedy("this is a fault of Millrace itself: report it with the process's log");
    TaskEnd { attempt, state: ExecutionState::Failed, failure: Some(failure) }
}
