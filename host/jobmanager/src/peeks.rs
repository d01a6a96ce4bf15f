//! Looking at the records that the tasks of a vertex send along an edge.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use millrace_graph::{Format, JobEdge, JobGraph};
use millrace_protocol::{Answer, PEEK_RECORDS_MAX, PEEK_WAIT_MS_MAX, PeekRequest, PeekedRecord, Question};
use millrace_types::{JobId, TaskManagerId, TenantId, VertexId};
use tokio::time::Instant;

use crate::dispatcher::Dispatcher;
use crate::error::DispatcherError;
use crate::views::live_tasks;

/// How long a TaskManager may take to answer beyond the time that it was given.
const ANSWER_SLACK: Duration = Duration::from_secs(1);

/// How long others are waited for when one TaskManager has told of records.
const SETTLE: Duration = Duration::from_secs(1);

/// Records as they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeekedRecords {
    /// What they are.
    pub format: Format,
    /// The records, in no order among subtasks.
    pub records: Vec<PeekedRecord>,
    /// Whether there were more than was asked for.
    pub more: bool,
}

impl Dispatcher {
    /// The next records that a vertex sends to another one, to the first one that reads it unless stated. Waits a limited
    /// time for them; there may be none.
    ///
    /// # Errors
    /// If there is no such job or vertex, or no such edge out of it.
    pub async fn peek(
        &self,
        tenant: &TenantId,
        job: JobId,
        vertex: VertexId,
        output: Option<VertexId>,
        limit: u32,
    ) -> Result<PeekedRecords, DispatcherError> {
        let view = self.job(tenant, job)?.view;
        let graph = &view.graph;
        let index = graph.vertex_index(vertex);
        let index = index.ok_or_else(|| DispatcherError::NotFound(format!("JobVertex {vertex} not found")))?;
        let edge = edge_of(graph, index, output)?;
        let mut operators = graph.vertices.get(edge.target_vertex).into_iter().flat_map(|vertex| &vertex.nodes);
        let target = operators.find(|(node, _)| *node == edge.target);
        let target_uid = target.map(|(_, node)| node.uid.clone()).unwrap_or_default();
        let limit = limit.clamp(1, PEEK_RECORDS_MAX - 1);
        let question = Question::Peek(PeekRequest {
            job,
            vertex,
            target_uid,
            target_port: edge.target_port,
            // One more tells whether there are more.
            records_max: limit + 1,
            wait_ms: PEEK_WAIT_MS_MAX,
        });
        let tasks = live_tasks(&view).into_iter().filter(|(attempt, _)| attempt.vertex == vertex);
        let mut task_managers: Vec<TaskManagerId> = tasks.map(|(_, task_manager)| task_manager).collect();
        task_managers.sort();
        task_managers.dedup();
        let mut records = self.ask_for_records(&task_managers, &question, limit as usize).await;
        let more = records.len() > limit as usize;
        records.truncate(limit as usize);
        Ok(PeekedRecords { format: edge.format, records, more })
    }

    async fn ask_for_records(
        &self,
        task_managers: &[TaskManagerId],
        question: &Question,
        enough: usize,
    ) -> Vec<PeekedRecord> {
        let timeout = Duration::from_millis(PEEK_WAIT_MS_MAX) + ANSWER_SLACK;
        let gateways = self.services.gateways.by_id();
        let asked = task_managers.iter().filter_map(|id| gateways.get(id));
        let mut asking: FuturesUnordered<_> = asked.map(|gateway| gateway.ask(question, timeout)).collect();
        let mut deadline = Instant::now() + timeout;
        let mut records = Vec::new();
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, asking.next()).await {
            match answer {
                Ok(Answer::Records(found)) => records.extend(found),
                Ok(_) => tracing::debug!("a TaskManager answered another question than was asked"),
                Err(error) => tracing::debug!(%error, "a TaskManager did not tell what its tasks send"),
            }
            if records.len() > enough {
                break;
            }
            if !records.is_empty() {
                deadline = deadline.min(Instant::now() + SETTLE);
            }
        }
        records
    }
}

/// An edge out of a vertex, to another one or to the first one.
fn edge_of(graph: &JobGraph, vertex: usize, output: Option<VertexId>) -> Result<&JobEdge, DispatcherError> {
    let id_of = |edge: &JobEdge| graph.vertices.get(edge.target_vertex).map(|target| target.id);
    let out: Vec<&JobEdge> = graph.edges.iter().filter(|edge| edge.source_vertex == vertex).collect();
    let found = out.iter().find(|edge| output.is_none_or(|output| id_of(edge) == Some(output)));
    found.copied().ok_or_else(|| {
        let targets: Vec<String> = out.iter().filter_map(|edge| id_of(edge)).map(|id| id.to_string()).collect();
        DispatcherError::Invalid(if targets.is_empty() {
            "the vertex sends no records to other vertices: look at one that it reads".to_owned()
        } else {
            format!("the vertex sends no records to that one, but to {}", targets.join(", "))
        })
    })
}
