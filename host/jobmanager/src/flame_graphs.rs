//! Flame graphs: what the tasks of a vertex are doing, looked at for a while when somebody asks.
//!
//! Invariants, as in Flink:
//! - Nobody waits for samples: who asks first is told to come again, and later gets the newest ones there are.
//! - A vertex is looked at once at a time, and not again while the newest samples are fresh.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use millrace_protocol::{Answer, FlameKind, FlameRequest, FlameSamples, Question};
use millrace_types::{JobId, TaskManagerId, TenantId, Timestamp, VertexId};
use tokio::time::Instant;

use crate::clock;
use crate::cluster::Services;
use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::views::live_tasks;

/// The vertices whose samples are kept.
const GRAPHS_MAX: usize = 100;

/// How much longer than the looking itself a TaskManager may take.
const ANSWER_SLACK: Duration = Duration::from_secs(5);

/// How flame graphs are made: Flink's `rest.flamegraph.*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlameOptions {
    /// Whether they are: `rest.flamegraph.enabled`.
    pub enabled: bool,
    /// How often each task is looked at: `rest.flamegraph.num-samples`.
    pub samples: u32,
    /// The time between two looks, in milliseconds: `rest.flamegraph.delay-between-samples`.
    pub delay_ms: u64,
    /// How long samples are fresh, in milliseconds: `rest.flamegraph.refresh-interval`.
    pub refresh_ms: u64,
    /// How long samples are kept that nobody asks for, in milliseconds: `rest.flamegraph.cleanup-interval`.
    pub cleanup_ms: u64,
    /// The most frames of a stack: `rest.flamegraph.stack-depth`.
    pub depth_max: u32,
}

impl Default for FlameOptions {
    fn default() -> Self {
        Self { enabled: true, samples: 100, delay_ms: 50, refresh_ms: 60_000, cleanup_ms: 600_000, depth_max: 100 }
    }
}

/// What a task was found doing, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlameSample {
    /// What it did.
    pub kind: FlameKind,
    /// The functions of its guest, outermost first.
    pub functions: Vec<Arc<str>>,
    /// How often.
    pub count: u32,
}

/// What each subtask was found doing.
pub type SubtaskSamples = BTreeMap<u32, Vec<FlameSample>>;

/// What there is of a flame graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlameGraph {
    /// None are made.
    Disabled,
    /// No task of the vertex runs.
    Terminated,
    /// The tasks are being looked at for the first time: ask again.
    Waiting,
    /// There are samples.
    Ready {
        /// When the last one was taken.
        at: Timestamp,
        /// The samples.
        subtasks: Arc<SubtaskSamples>,
    },
}

/// The samples of one vertex.
struct Entry {
    asked: Instant,
    sampling: bool,
    taken: Option<(Instant, Timestamp, Arc<SubtaskSamples>)>,
}

/// All samples; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct FlameGraphs(Arc<Mutex<BTreeMap<(JobId, VertexId), Entry>>>);

impl FlameGraphs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(JobId, VertexId), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest samples, and whether the caller is to take others.
    fn look(&self, key: (JobId, VertexId), options: &FlameOptions) -> (FlameGraph, bool) {
        let mut graphs = self.lock();
        let kept = Duration::from_millis(options.cleanup_ms);
        graphs.retain(|_, entry| entry.sampling || entry.asked.elapsed() < kept);
        if graphs.len() >= GRAPHS_MAX && !graphs.contains_key(&key) {
            let idle = graphs.iter().filter(|(_, entry)| !entry.sampling).min_by_key(|(_, entry)| entry.asked);
            match idle.map(|(key, _)| *key) {
                Some(oldest) => drop(graphs.remove(&oldest)),
                None => return (FlameGraph::Waiting, false),
            }
        }
        let new = || Entry { asked: Instant::now(), sampling: false, taken: None };
        let entry = graphs.entry(key).or_insert_with(new);
        entry.asked = Instant::now();
        let fresh = Duration::from_millis(options.refresh_ms);
        let is_fresh = entry.taken.as_ref().is_some_and(|(taken, _, _)| taken.elapsed() < fresh);
        let begin = !is_fresh && !std::mem::replace(&mut entry.sampling, true);
        let graph = match &entry.taken {
            Some((_, at, subtasks)) => FlameGraph::Ready { at: *at, subtasks: Arc::clone(subtasks) },
            None => FlameGraph::Waiting,
        };
        (graph, begin)
    }

    fn taken(&self, key: (JobId, VertexId), subtasks: SubtaskSamples) {
        if let Some(entry) = self.lock().get_mut(&key) {
            entry.sampling = false;
            entry.taken = Some((Instant::now(), clock::now(), Arc::new(subtasks)));
        }
    }
}

impl Dispatcher {
    /// What the tasks of a vertex are doing. Whoever asks first has them looked at, and asks again for the answer.
    ///
    /// # Errors
    /// If there is no such job or vertex.
    pub fn flame_graph(&self, tenant: &TenantId, job: JobId, vertex: VertexId) -> Result<FlameGraph, DispatcherError> {
        let view = self.job(tenant, job)?.view;
        if view.graph.vertex_index(vertex).is_none() {
            return Err(DispatcherError::NotFound(format!("JobVertex {vertex} not found")));
        }
        let options = self.services.options.flame_graphs;
        if !options.enabled {
            return Ok(FlameGraph::Disabled);
        }
        let mut task_managers: Vec<TaskManagerId> =
            live_tasks(&view).into_iter().filter(|(attempt, _)| attempt.vertex == vertex).map(|(_, at)| at).collect();
        task_managers.sort();
        task_managers.dedup();
        if task_managers.is_empty() {
            return Ok(FlameGraph::Terminated);
        }
        let (graph, begin) = self.services.flame_graphs.look((job, vertex), &options);
        if begin {
            let services = self.services.clone();
            self.spawn(async move {
                let subtasks = sample(&services, &task_managers, job, vertex).await;
                services.flame_graphs.taken((job, vertex), subtasks);
            });
        }
        Ok(graph)
    }
}

/// Has the tasks of a vertex looked at, wherever they run.
async fn sample(services: &Services, task_managers: &[TaskManagerId], job: JobId, vertex: VertexId) -> SubtaskSamples {
    let FlameOptions { samples, delay_ms, depth_max, .. } = services.options.flame_graphs;
    let question = Question::Flame(FlameRequest { job, vertex, samples, delay_ms, depth_max });
    let timeout = Duration::from_millis(delay_ms.saturating_mul(u64::from(samples))) + ANSWER_SLACK;
    let gateways = services.gateways.by_id();
    let asking = task_managers.iter().filter_map(|id| gateways.get(id)).map(|gateway| gateway.ask(&question, timeout));
    let mut subtasks = SubtaskSamples::new();
    for answer in join_all(asking).await {
        match answer {
            Ok(Answer::Flame(found)) => add(&mut subtasks, found),
            Ok(_) => tracing::debug!("a TaskManager answered another question than was asked"),
            Err(error) => tracing::debug!(%error, "a TaskManager did not tell what its tasks do"),
        }
    }
    subtasks
}

fn add(subtasks: &mut SubtaskSamples, found: FlameSamples) {
    let names: Vec<Arc<str>> = found.names.into_iter().map(Arc::from).collect();
    for (subtask, stacks) in found.subtasks {
        let samples = stacks.into_iter().map(|stack| FlameSample {
            kind: stack.kind,
            functions: stack.frames.iter().filter_map(|name| names.get(*name as usize)).cloned().collect(),
            count: stack.count,
        });
        subtasks.entry(subtask).or_default().extend(samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_types::VertexId;

    const OPTIONS: FlameOptions =
        FlameOptions { enabled: true, samples: 1, delay_ms: 1, refresh_ms: 1_000, cleanup_ms: 5_000, depth_max: 9 };

    fn key(vertex: u8) -> (JobId, VertexId) {
        (JobId::from_bytes([1; 16]), VertexId::from_bytes([vertex; 16]))
    }

    fn is_ready(graph: &FlameGraph) -> bool {
        matches!(graph, FlameGraph::Ready { .. })
    }

    #[tokio::test(start_paused = true)]
    async fn one_samples_at_a_time_and_not_while_samples_are_fresh() {
        let graphs = FlameGraphs::default();
        assert_eq!(graphs.look(key(1), &OPTIONS), (FlameGraph::Waiting, true));
        assert_eq!(graphs.look(key(1), &OPTIONS), (FlameGraph::Waiting, false), "somebody does");
        graphs.taken(key(1), SubtaskSamples::new());
        let (graph, begin) = graphs.look(key(1), &OPTIONS);
        assert!(is_ready(&graph) && !begin, "fresh");
        tokio::time::advance(Duration::from_millis(1_500)).await;
        let (graph, begin) = graphs.look(key(1), &OPTIONS);
        assert!(is_ready(&graph) && begin, "old, shown, and taken anew");
        assert!(!graphs.look(key(1), &OPTIONS).1);
        graphs.taken(key(1), SubtaskSamples::new());
        tokio::time::advance(Duration::from_millis(5_500)).await;
        assert_eq!(graphs.look(key(1), &OPTIONS), (FlameGraph::Waiting, true), "nobody asked for long");
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_kept() {
        let graphs = FlameGraphs::default();
        for vertex in 0..GRAPHS_MAX {
            graphs.look(key(u8::try_from(vertex).unwrap_or(0)), &OPTIONS);
        }
        assert_eq!(graphs.look(key(200), &OPTIONS), (FlameGraph::Waiting, false), "all are being sampled");
        graphs.taken(key(3), SubtaskSamples::new());
        assert!(graphs.look(key(200), &OPTIONS).1);
        assert_eq!(graphs.lock().len(), GRAPHS_MAX);
    }
}
