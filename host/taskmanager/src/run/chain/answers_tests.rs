//! A chain of an asynchronous operator and a sink, with answers that the test gives.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_connectors::{AsyncFunction, AsyncRequests, AsyncRow, AsyncSettings, ConnectorError, ResultOrder, Sink};
use millrace_graph::{JobVertex, NativeConnector, NodeKind, Partitioning, StreamEdge, StreamNode};
use millrace_state::OperatorState;
use millrace_task_core::{ChainProgress, Command, Input};
use millrace_types::{
    Alignment, AttemptId, Barrier, CheckpointId, JobId, NodeId, SnapshotKind, TenantId, Timestamp, VertexId,
};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};
use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::log::{LogKey, TaskLogs};
use crate::metrics::TaskMetrics;
use crate::run::generators::Generators;
use crate::run::outlet::{ChainTarget, Outlet, Route};
use crate::run::segment::NativeSink;
use crate::run::shared::TaskShared;

/// Answers a row when the test says its name, and the row `bad` by an error.
struct Service(watch::Receiver<Vec<&'static str>>);

#[async_trait]
impl AsyncFunction for Service {
    fn service(&self) -> &str {
        "the test"
    }

    async fn invoke(&self, row: AsyncRow) -> Result<Vec<Bytes>, ConnectorError> {
        let mut said = self.0.clone();
        let named = |names: &Vec<&str>| names.iter().any(|name| name.as_bytes() == row.payload);
        said.wait_for(named).await.unwrap();
        if row.payload == "bad" {
            return Err(ConnectorError::Request { service: self.service().to_owned(), reason: "bad".to_owned() });
        }
        Ok(vec![row.payload])
    }
}

#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Sink for Rows {
    async fn write(&mut self, batch: &BatchView) -> Result<(), ConnectorError> {
        let rows = batch.rows().map(|row| String::from_utf8(row.payload.to_vec()).unwrap());
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ConnectorError> {
        self.0.lock().unwrap().push("end".to_owned());
        Ok(())
    }

    async fn abort(&mut self) {}
}

fn vertex() -> JobVertex {
    let native = || NativeConnector { connector: "any".to_owned(), options: String::new() };
    JobVertex {
        id: VertexId::from_bytes([2; 16]),
        name: String::new(),
        description: String::new(),
        nodes: vec![
            (NodeId(0), StreamNode::new("ask", NodeKind::NativeOperator(native()))),
            (NodeId(1), StreamNode::new("rows", NodeKind::NativeSink(native()))),
        ],
        chained_edges: vec![StreamEdge {
            source: NodeId(0),
            source_port: 0,
            target: NodeId(1),
            target_port: 0,
            partitioning: Partitioning::Forward,
            format: millrace_graph::Format::Raw,
        }],
        segments: Vec::new(),
        parallelism: 1,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
    }
}

/// The chain, who answers, and what has reached the sink.
struct Case {
    chain: Chain,
    say: watch::Sender<Vec<&'static str>>,
    rows: Rows,
    _folder: tempfile::TempDir,
}

impl Case {
    async fn new(order: ResultOrder, capacity: usize, restored: &[Bytes]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let logs = TaskLogs::start(folder.path().to_owned()).unwrap();
        let (job, vertex_id) = (JobId::from_bytes([1; 16]), VertexId::from_bytes([2; 16]));
        let key = LogKey { tenant: TenantId::default_tenant(), job, vertex: vertex_id, subtask: 0 };
        let attempt = AttemptId { job, vertex: vertex_id, subtask: 0, attempt: 0 };
        let metrics = Arc::new(TaskMetrics::new([]));
        let shared = Arc::new(TaskShared::new(attempt, Arc::clone(&metrics), logs.open(key, 1).await));
        let (say, said) = watch::channel(Vec::new());
        let capacity = NonZeroUsize::new(capacity).unwrap();
        let settings = AsyncSettings { order, capacity, timeout: Some(Duration::from_secs(60)) };
        let requests = AsyncRequests::new(Arc::new(Service(said)), settings, restored).unwrap();
        let target = ChainTarget { segment: 1, node: NodeId(1), port: 0 };
        let routes = BTreeMap::from([((NodeId(0), 0), Route { chained: vec![target], edges: Vec::new() })]);
        let outlet = Outlet::new(routes, Vec::new(), shared);
        let (uid, name) = ("ask".to_owned(), "ask".to_owned());
        let operator = AsyncSegment { node: NodeId(0), uid, name, requests, outlet, known_pending: false };
        let rows = Rows::default();
        let (uid, name, sink) = ("rows".to_owned(), "rows".to_owned(), Box::new(rows.clone()));
        let sink = NativeSink { uid, name, sink, closed: false, prepared: BTreeMap::new() };
        let vertex = vertex();
        let progress = ChainProgress::new(&vertex, &[NodeId(0)], &[NodeId(0)]).unwrap();
        let generators = Generators::new(&vertex.nodes, Instant::now());
        let places = BTreeMap::from([(NodeId(0), 0), (NodeId(1), 1)]);
        let mut chain = Chain::new(places, progress, generators, metrics);
        chain.push(Segment::Async(Box::new(operator))).unwrap();
        chain.push(Segment::Sink(sink)).unwrap();
        Self { chain, say, rows, _folder: folder }
    }

    async fn process(&mut self, names: &[&str]) {
        let mut batch = BatchBuilder::new(BatchFlags::default());
        names.iter().for_each(|name| batch.push(None, None, name.as_bytes()));
        self.chain.process(NodeId(0), 0, &batch.finish_view()).await.unwrap();
    }

    /// Has rows answered and waits until so many have reached the sink.
    async fn answer(&mut self, names: &[&'static str], reached: usize) {
        self.say.send_modify(|said| said.extend(names));
        while self.rows.0.lock().unwrap().len() < reached {
            self.chain.answered().await;
            self.chain.hand_on().await.unwrap();
        }
    }

    /// The rows that a snapshot has of the operator.
    async fn snapshot(&mut self) -> Vec<Bytes> {
        let barrier = Barrier {
            checkpoint: CheckpointId(1),
            triggered_at: Timestamp(0),
            kind: SnapshotKind::Checkpoint,
            drain: false,
            alignment: Alignment::Aligned,
            folder: None,
        };
        let mut parts = self.chain.snapshot(&Arc::new(barrier)).await.unwrap();
        let Some(state) = parts.remove("ask").unwrap().operator_state else { return Vec::new() };
        let state = OperatorState::decode(&state).unwrap().states.remove("requests").unwrap();
        state.entries.into_values().map(Bytes::from).collect()
    }

    fn rows(&self) -> Vec<String> {
        self.rows.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn input_waits_while_there_is_no_room_and_ends_behind_the_last_answer() {
    let mut case = Case::new(ResultOrder::Unordered, 2, &[]).await;
    case.process(&["a", "b", "c", "d"]).await;
    assert!(!case.chain.has_room() && case.chain.awaits_answers());
    case.answer(&["c", "b"], 1).await;
    assert_eq!(case.rows()[0], "b");
    assert!(!case.chain.has_room(), "\"d\" waits for \"a\" or \"c\"");
    case.answer(&[], 2).await;
    assert!(case.chain.has_room(), "\"a\" and \"d\" are under way");
    case.chain.apply(Input::GateEnded { gate: 0 }).await.unwrap();
    assert!(!case.chain.has_ended(), "rows are under way");
    case.answer(&["d"], 3).await;
    case.answer(&["a"], 5).await;
    assert_eq!(case.rows(), ["b", "c", "d", "a", "end"]);
    assert!(case.chain.has_ended() && case.chain.has_room() && !case.chain.awaits_answers());
}

#[tokio::test]
async fn a_snapshot_has_what_was_not_handed_on_and_the_next_attempt_begins_with_it() {
    let mut case = Case::new(ResultOrder::Ordered, 3, &[]).await;
    assert!(case.snapshot().await.is_empty());
    case.process(&["a", "b", "c", "d", "e"]).await;
    case.answer(&["a", "c"], 1).await;
    let rows = case.snapshot().await;
    assert_eq!(rows.len(), 4, "also what has an answer and was not handed on, and what waits for room");

    let mut case = Case::new(ResultOrder::Ordered, 3, &rows).await;
    assert!(!case.chain.has_room() && case.chain.awaits_answers());
    assert_eq!(case.snapshot().await, rows, "before anything has happened");
    case.process(&["f"]).await;
    case.answer(&["f", "e", "d", "c", "b"], 5).await;
    assert_eq!(case.rows(), ["b", "c", "d", "e", "f"]);
    assert!(case.snapshot().await.is_empty());
}

#[tokio::test]
async fn an_operator_is_idle_once_a_watermark_without_rows_has_passed() {
    let mut case = Case::new(ResultOrder::Ordered, 2, &[]).await;
    case.chain.apply(Input::GateWatermark { gate: 0, watermark: 5 }).await.unwrap();
    case.chain.hand_on().await.unwrap();
    assert_eq!(case.chain.output_watermark(NodeId(0)), 5);
    case.chain.progress.apply(Input::GateIdle { gate: 0 }).unwrap();
    let idle = Command::ForwardStatus { node: NodeId(0), idle: true };
    assert_eq!(case.chain.progress.next_command(), Some(idle));
}

#[tokio::test]
async fn the_last_answers_are_waited_for_and_no_others() {
    let mut case = Case::new(ResultOrder::Ordered, 2, &[]).await;
    case.process(&["a", "b", "c"]).await;
    // More may come: nothing is waited for.
    case.chain.finish_answers().await.unwrap();
    assert!(case.chain.awaits_answers());
    case.chain.apply(Input::GateEnded { gate: 0 }).await.unwrap();
    case.say.send_modify(|said| said.extend(["c", "b", "a"]));
    case.chain.finish_answers().await.unwrap();
    assert_eq!(case.rows(), ["a", "b", "c", "end"]);
    assert!(case.chain.has_ended());
}

#[tokio::test]
async fn a_request_that_fails_fails_the_task_and_names_the_operator() {
    let mut case = Case::new(ResultOrder::Ordered, 3, &[]).await;
    case.process(&["a", "bad"]).await;
    case.say.send_modify(|said| said.push("bad"));
    case.chain.answered().await;
    let Err(TaskError::Failed(failure)) = case.chain.hand_on().await else { panic!("it went on") };
    assert_eq!(failure.operator.as_deref(), Some("ask"));
    assert!(failure.message.contains("the test"), "{failure}");
}
