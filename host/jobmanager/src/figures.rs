//! The numbers of all tasks, asked of the TaskManagers when somebody wants to know, and not otherwise.
//!
//! Invariants:
//! - Whoever asks waits a limited time, whatever TaskManagers do: one that does not answer is shown as it was, for a while.
//! - However many ask, the TaskManagers are asked once in [`FRESH`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use millrace_graph::JobGraph;
use millrace_protocol::{Answer, Question, TaskCounter, TaskDetail, TaskFigures};
use millrace_types::{AttemptId, EventTime, JobId, MIN_EVENT_TIME, TaskManagerId, TenantId, Timestamp, VertexId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::gateway::Gateways;

/// How long answers are given again.
const FRESH: Duration = Duration::from_millis(400);

/// How long a TaskManager may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a TaskManager that does not answer is shown as it was.
const KEPT: Duration = Duration::from_secs(10);

/// The numbers of all tasks at a moment.
#[derive(Debug, Clone, Default)]
pub struct ClusterFigures {
    /// When.
    pub at: Timestamp,
    asked: Option<Instant>,
    tasks: BTreeMap<AttemptId, Arc<TaskDetail>>,
}

impl ClusterFigures {
    /// A task's numbers, if it runs.
    pub fn task(&self, attempt: AttemptId) -> Option<&TaskDetail> {
        self.tasks.get(&attempt).map(Arc::as_ref)
    }
}

/// What a TaskManager has answered.
struct Told {
    at: Instant,
    tasks: Vec<Arc<TaskDetail>>,
}

struct Shared {
    gateways: Gateways,
    told: Mutex<BTreeMap<TaskManagerId, Told>>,
    asking: AtomicBool,
    current: watch::Sender<Arc<ClusterFigures>>,
}

/// The numbers of all tasks; cheap to clone.
#[derive(Clone)]
pub(crate) struct FigureStore(Arc<Shared>);

impl FigureStore {
    pub(crate) fn new(gateways: Gateways) -> Self {
        let shared = Shared {
            gateways,
            told: Mutex::default(),
            asking: AtomicBool::new(false),
            current: watch::Sender::new(Arc::default()),
        };
        Self(Arc::new(shared))
    }

    /// The numbers as they are now, or were less than [`FRESH`] ago.
    pub(crate) async fn latest(&self) -> Arc<ClusterFigures> {
        let mut current = self.0.current.subscribe();
        let is_fresh = current.borrow().asked.is_some_and(|asked| asked.elapsed() < FRESH);
        if is_fresh {
            return current.borrow().clone();
        }
        if !self.0.asking.swap(true, Ordering::AcqRel) {
            let (store, asking) = (self.clone(), Asking(self.clone()));
            tokio::spawn(async move {
                let figures = Arc::new(store.ask().await);
                // First, so that whoever found somebody asking hears of the answer.
                drop(asking);
                store.0.current.send_replace(figures);
            });
        }
        // Whoever asks has its own limit, so an end is near; the sender is here.
        let _ = tokio::time::timeout(2 * ANSWER_TIMEOUT, current.changed()).await;
        current.borrow().clone()
    }

    async fn ask(&self) -> ClusterFigures {
        let asked = Some(Instant::now());
        let present = self.0.gateways.by_id();
        let asking: FuturesUnordered<_> = present
            .iter()
            .map(|(id, gateway)| async move { (id, gateway.ask(&Question::Figures, ANSWER_TIMEOUT).await) })
            .collect();
        let answers: Vec<_> = asking.collect().await;
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, answer) in answers {
            match answer {
                Ok(Answer::Figures(tasks)) => {
                    let tasks = tasks.into_iter().map(Arc::new).collect();
                    told.insert(id.clone(), Told { at: Instant::now(), tasks });
                }
                Ok(_) => tracing::debug!(task_manager = %id, "it answered another question than was asked"),
                Err(error) => tracing::debug!(%error, "a TaskManager did not tell its figures"),
            }
        }
        told.retain(|id, told| present.contains_key(id) && told.at.elapsed() < KEPT);
        let tasks = told.values().flat_map(|told| &told.tasks);
        let tasks = tasks.map(|task| (task.attempt, Arc::clone(task))).collect();
        ClusterFigures { at: clock::now(), asked, tasks }
    }
}

/// Lets others ask when this one has ended, however it did.
struct Asking(FigureStore);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.0.asking.store(false, Ordering::Release);
    }
}

/// What passes through a vertex, and what its subtasks spend their time with.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct VertexFlow {
    /// The share of time that the busiest subtask works, 0 to 1.
    pub busy: f64,
    /// The share of time that the most backpressured subtask waits for output buffers, 0 to 1.
    pub backpressured: f64,
    /// The share of time that subtasks wait for input on average, 0 to 1.
    pub idle: f64,
    /// Records read from other tasks so far.
    pub records_in: u64,
    /// Records written to other tasks so far.
    pub records_out: u64,
    /// Bytes read from other tasks so far.
    pub bytes_in: u64,
    /// Bytes written to other tasks so far.
    pub bytes_out: u64,
    /// Records read, a second.
    pub records_in_per_second: f64,
    /// Records written, a second.
    pub records_out_per_second: f64,
    /// Bytes read, a second.
    pub bytes_in_per_second: f64,
    /// Bytes written, a second.
    pub bytes_out_per_second: f64,
    /// The lowest watermark of its subtasks, in milliseconds since 1970: of their input, of sources of their output;
    /// `None`: there was none yet.
    pub watermark: Option<EventTime>,
}

/// What passes through a job.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JobFlow {
    /// When.
    pub at: Timestamp,
    /// By vertex.
    pub vertices: BTreeMap<VertexId, VertexFlow>,
}

impl Dispatcher {
    /// The numbers of all tasks of all tenants: only those of attempts that a tenant's job has may be shown to it.
    pub async fn cluster_figures(&self) -> Arc<ClusterFigures> {
        self.services.figures.latest().await
    }

    /// What passes through a job at the moment. Of tasks that do not run there are the totals of their last report.
    ///
    /// # Errors
    /// If there is no such job.
    pub async fn job_flow(&self, tenant: &TenantId, job: JobId) -> Result<JobFlow, DispatcherError> {
        // Looked up first: who has no such job has nobody asked.
        self.job(tenant, job)?;
        let figures = self.cluster_figures().await;
        let view = self.job(tenant, job)?.view;
        let mut flow = JobFlow { at: figures.at, vertices: BTreeMap::new() };
        for (at, (vertex, tasks)) in view.graph.vertices.iter().zip(&view.vertices).enumerate() {
            let mut of_vertex = VertexFlow::default();
            let mut running = 0;
            for (subtask, index) in tasks.subtasks.iter().zip(0..) {
                let attempt = AttemptId { job, vertex: vertex.id, subtask: index, attempt: subtask.attempt };
                // What was told just before the end is no longer so.
                let detail = figures.task(attempt).filter(|_| !subtask.state.is_terminal());
                of_vertex.add_totals(&subtask.figures, detail);
                if let Some(detail) = detail {
                    running += 1;
                    of_vertex.add_rates(detail);
                    let watermark =
                        input_watermark(&view.graph, at, detail).unwrap_or_else(|| output_watermark(detail));
                    of_vertex.watermark = Some(of_vertex.watermark.map_or(watermark, |least| least.min(watermark)));
                }
            }
            of_vertex.idle /= f64::from(running.max(1));
            of_vertex.watermark = of_vertex.watermark.filter(|watermark| *watermark > MIN_EVENT_TIME);
            flow.vertices.insert(vertex.id, of_vertex);
        }
        Ok(flow)
    }
}

impl VertexFlow {
    /// A report may be older than what the task says, and a task that has ended says nothing.
    fn add_totals(&mut self, reported: &TaskFigures, detail: Option<&TaskDetail>) {
        let newer = |reported: u64, counter| detail.map_or(reported, |now| now.counts.total(counter).max(reported));
        self.records_in += newer(reported.records_in, TaskCounter::RecordsIn);
        self.records_out += newer(reported.records_out, TaskCounter::RecordsOut);
        self.bytes_in += newer(reported.bytes_in, TaskCounter::BytesIn);
        self.bytes_out += newer(reported.bytes_out, TaskCounter::BytesOut);
    }

    fn add_rates(&mut self, detail: &TaskDetail) {
        self.busy = self.busy.max(time_share(detail, TaskCounter::BusyMs));
        self.backpressured = self.backpressured.max(time_share(detail, TaskCounter::BackpressuredMs));
        self.idle += time_share(detail, TaskCounter::IdleMs);
        self.records_in_per_second += detail.counts.per_second(TaskCounter::RecordsIn);
        self.records_out_per_second += detail.counts.per_second(TaskCounter::RecordsOut);
        self.bytes_in_per_second += detail.counts.per_second(TaskCounter::BytesIn);
        self.bytes_out_per_second += detail.counts.per_second(TaskCounter::BytesOut);
    }
}

/// The share of its time that a task spends with something, 0 to 1.
pub fn time_share(detail: &TaskDetail, of: TaskCounter) -> f64 {
    (detail.counts.per_second(of) / 1_000.0).min(1.0)
}

/// The watermark of a task's input; `None`: it has none, it is a source's.
pub fn input_watermark(graph: &JobGraph, vertex: usize, detail: &TaskDetail) -> Option<EventTime> {
    let inputs = graph.edges.iter().filter(|edge| edge.target_vertex == vertex);
    inputs.filter_map(|edge| detail.operator(edge.target)).map(|operator| operator.input_watermark).min()
}

/// How far the watermark of all operators of a task is that have one.
fn output_watermark(detail: &TaskDetail) -> EventTime {
    let known = detail.operators.iter().map(|operator| operator.output_watermark);
    known.filter(|watermark| *watermark > MIN_EVENT_TIME).min().unwrap_or(MIN_EVENT_TIME)
}
