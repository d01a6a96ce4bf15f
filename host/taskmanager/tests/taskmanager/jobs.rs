//! Jobs of native operators, from their deployment to their end.

use std::collections::BTreeSet;

use millrace_graph::Partitioning;
use millrace_protocol::{LogRequest, ToJobManager, ToTaskManager};
use millrace_types::{ExecutionState, FailureKind, TenantId, VertexId};

use crate::graphs::Pipeline;
use crate::support::{Cluster, EPOCH, PATIENCE, allocation, job};

fn numbers(rows: u64, partitioning: Partitioning, sources: u32, sink: &'static str, sinks: u32) -> Pipeline {
    let options = format!("{{\"rows\": {rows}}}");
    Pipeline {
        source: ("datagen", options, sources),
        partitioning,
        relay: None,
        sink: (sink, String::from("{}"), sinks),
    }
}

fn as_numbers(rows: &[Vec<u8>]) -> Vec<u64> {
    let mut numbers: Vec<u64> = rows.iter().map(|row| String::from_utf8_lossy(row).parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_bounded_job_finishes_and_loses_nothing() {
    const ROWS: u64 = 50_000;
    for (partitioning, sources, sinks) in [
        (Partitioning::Rebalance, 2, 3),
        (Partitioning::Forward, 2, 2),
        (Partitioning::Global, 3, 2),
        (Partitioning::Shuffle, 1, 4),
        (Partitioning::Rescale, 2, 4),
    ] {
        let mut cluster = Cluster::start();
        let (tasks, outcome) = cluster.run(&numbers(ROWS, partitioning, sources, "collect", sinks)).await;
        assert_eq!(as_numbers(&outcome.rows), (0..ROWS).collect::<Vec<_>>(), "{partitioning}");
        use ExecutionState::{Deploying, Finished, Initializing, Running};
        for (attempt, states) in &outcome.states {
            assert_eq!(*states, [Deploying, Initializing, Running, Finished], "{attempt}");
        }
        let (source, sink) = (outcome.figures(&tasks, "numbers"), outcome.figures(&tasks, "rows"));
        assert_eq!(source.records_in, 0, "what a source reads is not counted, as in Flink");
        assert_eq!(sink.records_out, 0);
        if partitioning == Partitioning::Forward {
            assert_eq!(tasks.len(), 2, "chained");
            assert_eq!(source.records_out, 0);
        } else {
            assert_eq!((source.records_out, sink.records_in), (ROWS, ROWS), "{partitioning}");
            assert!(source.bytes_out == sink.bytes_in && source.bytes_out > 4 * ROWS);
        }
        cluster.assert_clean();
    }
}

#[tokio::test]
async fn broadcast_reaches_every_subtask() {
    let mut cluster = Cluster::start();
    let (tasks, outcome) = cluster.run(&numbers(1_000, Partitioning::Broadcast, 2, "collect", 3)).await;
    let rows = as_numbers(&outcome.rows);
    assert_eq!(rows.len(), 3_000);
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>().len(), 1_000);
    assert_eq!(outcome.figures(&tasks, "numbers").records_out, 1_000, "a record counts once, however many copies");
    cluster.assert_clean();
}

fn logs(tenant: &TenantId, vertex: Option<VertexId>) -> LogRequest {
    LogRequest { tenant: tenant.clone(), job: job(1), vertex, subtask: None, bytes_max: 100_000 }
}

#[tokio::test]
async fn what_print_writes_is_in_the_tasks_log() {
    let mut cluster = Cluster::start();
    let (tasks, _) = cluster.run(&numbers(3, Partitioning::Global, 1, "print", 2)).await;
    let tenant = TenantId::default_tenant();
    let log = cluster.handle.task_log(logs(&tenant, None)).await.unwrap();
    let lines: Vec<_> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines, ["INFO  rows (1/2): 1> 0", "INFO  rows (1/2): 1> 1", "INFO  rows (1/2): 1> 2"]);
    let source = cluster.handle.task_log(logs(&tenant, Some(tasks[0].attempt.vertex))).await.unwrap();
    assert_eq!(source, "");
    let of_subtask = |subtask| LogRequest { subtask: Some(subtask), ..logs(&tenant, None) };
    assert_eq!(cluster.handle.task_log(of_subtask(0)).await.unwrap(), log);
    assert_eq!(cluster.handle.task_log(of_subtask(1)).await.unwrap(), "");
    let foreign = TenantId::new("foreign").unwrap();
    assert_eq!(cluster.handle.task_log(logs(&foreign, None)).await.unwrap(), "");
}

#[tokio::test]
async fn a_failure_names_its_operator_and_is_not_hidden_by_its_consequences() {
    let mut cluster = Cluster::start();
    let path = cluster.folder.path().join("input.json");
    std::fs::write(&path, "{\"a\": 1}\n{broken\n").unwrap();
    let options = format!("{{\"paths\": [{:?}], \"format\": \"json-lines\"}}", path.display().to_string());
    let pipeline = Pipeline {
        source: ("file", options, 1),
        partitioning: Partitioning::Rebalance,
        relay: None,
        sink: ("discard", String::from("{}"), 2),
    };
    let (tasks, outcome) = cluster.run(&pipeline).await;
    let failure = outcome.last[&tasks[0].attempt].failure.clone().expect("the source failed");
    assert_eq!((failure.kind, failure.operator.as_deref()), (FailureKind::Connector, Some("numbers")));
    assert!(failure.message.contains("input.json"), "{failure}");
    // The sinks saw their producer vanish and left it to the source to say why.
    for task in &tasks[1..] {
        assert_eq!(outcome.last[&task.attempt].state, ExecutionState::Canceled);
    }
    let log = cluster.handle.task_log(logs(&TenantId::default_tenant(), None)).await.unwrap();
    assert!(log.contains("ERROR numbers (1/1): MR-CONNECTOR"), "{log}");
    cluster.assert_clean();
}

#[tokio::test]
async fn an_unbounded_job_is_held_back_by_its_sink_and_cancelled_at_once() {
    let mut cluster = Cluster::start();
    cluster.grant(0, allocation(1), job(1)).await;
    let mut pipeline = numbers(0, Partitioning::Rebalance, 1, "collect", 2);
    pipeline.source.1 = String::from("{}");
    let tasks = pipeline.deployments(job(1), cluster.handle.id(), allocation(1));
    for task in &tasks {
        cluster.deploy(task).await;
    }
    cluster.answer_split_request(&pipeline).await;
    // Nobody acknowledges any row, so that in the end the source waits for buffers.
    let mut collected = 0;
    let figures = loop {
        match cluster.next_of_any_kind().await {
            ToJobManager::Collected(_) => collected += 1,
            ToJobManager::Heartbeat(heartbeat) => {
                let source = heartbeat.figures.iter().find(|(attempt, _)| *attempt == tasks[0].attempt);
                if let Some((_, figures)) = source
                    && figures.backpressured_ms > 0
                    && collected >= 16
                {
                    break *figures;
                }
            }
            _ => {}
        }
    };
    assert!(figures.records_out > 0 && collected <= 16, "{figures:?}, {collected} messages");
    for task in &tasks {
        cluster.cancel(task.attempt).await;
    }
    let mut canceled = 0;
    while canceled < tasks.len() {
        if let ToJobManager::TaskReport(report) = cluster.next().await {
            assert_eq!(report.state, ExecutionState::Canceled);
            canceled += 1;
        }
    }
    cluster.assert_clean();
}

#[tokio::test]
async fn stopping_the_taskmanager_cancels_what_runs() {
    let mut cluster = Cluster::start();
    cluster.grant(0, allocation(1), job(1)).await;
    let pipeline = numbers(10, Partitioning::Rebalance, 1, "discard", 1);
    // The source never gets a split, so that nothing ends by itself.
    let tasks = pipeline.deployments(job(1), cluster.handle.id(), allocation(1));
    for task in &tasks {
        cluster.deploy(task).await;
    }
    cluster.wait_for(tasks[0].attempt, ExecutionState::Running).await;
    tokio::time::timeout(PATIENCE, cluster.handle.shutdown()).await.unwrap();
    cluster.assert_clean();
    assert!(cluster.handle.send(ToTaskManager::Cancel { epoch: EPOCH, attempt: tasks[0].attempt }).await.is_err());
    let mut canceled = 0;
    while let Some(message) = cluster.messages.recv().await {
        let ToJobManager::TaskReport(report) = message else { continue };
        canceled += usize::from(report.state == ExecutionState::Canceled);
    }
    assert_eq!(canceled, tasks.len());
}
