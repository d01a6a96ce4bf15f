//! Jobs whose tasks run in two TaskManagers that exchange records over sockets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use millrace_connectors::{FileRoots, enumerate_splits};
use millrace_graph::Partitioning;
use millrace_protocol::{SplitAssignment, SplitId, TaskDeployment, TaskReport, ToJobManager, ToTaskManager};
use millrace_taskmanager::DataPlaneOptions;
use millrace_types::{ExecutionState, Failure, FailureKind, TaskManagerId};

use crate::graphs::Pipeline;
use crate::support::{Cluster, EPOCH, PATIENCE, allocation, job};

/// Two TaskManagers under one JobManager.
struct Two {
    clusters: [Cluster; 2],
    tasks: Vec<TaskDeployment>,
    splits: VecDeque<(SplitId, Vec<u8>)>,
    last: BTreeMap<millrace_types::AttemptId, TaskReport>,
    rows: Vec<u64>,
}

fn start(name: &str) -> Cluster {
    Cluster::start_with(None, |options| {
        options.id = TaskManagerId(name.to_owned());
        options.data = Some(DataPlaneOptions::new("127.0.0.1:0"));
        options.connect_timeout = PATIENCE;
    })
}

/// Where a task runs: subtasks are dealt out, differently for each vertex.
fn place(vertex_name: &str, subtask: u32) -> usize {
    (subtask as usize + usize::from(vertex_name.contains("rows"))) % 2
}

impl Two {
    /// Deploys a pipeline over both.
    async fn deploy(pipeline: &Pipeline) -> Self {
        let mut clusters = [start("first"), start("second")];
        for cluster in &mut clusters {
            cluster.grant(0, allocation(1), job(1)).await;
        }
        let addresses = clusters.each_ref().map(|cluster| cluster.handle.data_address().unwrap().to_owned());
        let ids = clusters.each_ref().map(|cluster| cluster.handle.id().clone());
        let mut tasks = pipeline.deployments(job(1), &ids[0], allocation(1));
        for task in &mut tasks {
            for channel in task.inputs.iter_mut().flat_map(|input| &mut input.channels) {
                channel.task_manager = ids[place("numbers", channel.id.source_subtask)].clone();
            }
            for channel in task.outputs.iter_mut().flat_map(|output| &mut output.channels) {
                let at = place("rows", channel.id.target_subtask);
                channel.task_manager = ids[at].clone();
                channel.data_address = Some(addresses[at].clone());
            }
        }
        for task in &tasks {
            clusters[place(&task.vertex.name, task.attempt.subtask)].deploy(task).await;
        }
        let splits = enumerate_splits(&pipeline.source_connector(), pipeline.source.2, &FileRoots::unrestricted());
        let splits = (0..).map(SplitId).zip(splits.unwrap()).collect();
        Self { clusters, tasks, splits, last: BTreeMap::new(), rows: Vec::new() }
    }

    /// The next message of either that is neither a registration nor a heartbeat. One that has stopped sends none.
    async fn next(&mut self) -> (usize, ToJobManager) {
        let [first, second] = &mut self.clusters;
        let next = async {
            loop {
                let (at, message) = tokio::select! {
                    Some(message) = first.messages.recv() => (0, message),
                    Some(message) = second.messages.recv() => (1, message),
                    else => panic!("both have stopped"),
                };
                if !matches!(message, ToJobManager::Register(_) | ToJobManager::Heartbeat(_)) {
                    return (at, message);
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("a message in time")
    }

    /// How many tasks were last said to be in such a state.
    fn tasks_in(&self, state: impl Fn(ExecutionState) -> bool) -> usize {
        self.last.values().filter(|report| state(report.state)).count()
    }

    /// Plays the JobMaster until all tasks are in such a state.
    async fn run_until(&mut self, state: impl Fn(ExecutionState) -> bool) {
        while self.tasks_in(&state) < self.tasks.len() {
            let (at, message) = self.next().await;
            let answer = match message {
                ToJobManager::TaskReport(report) => {
                    self.last.insert(report.attempt, report);
                    continue;
                }
                ToJobManager::SplitRequest(request) => {
                    let given: Vec<_> =
                        self.splits.pop_front().into_iter().map(|(id, split)| (id, split, Bytes::new())).collect();
                    let (attempt, node) = (request.attempt, request.node);
                    let assignment = SplitAssignment { attempt, node, splits: given, no_more: self.splits.is_empty() };
                    ToTaskManager::AssignSplits { epoch: EPOCH, assignment }
                }
                ToJobManager::Collected(collected) => {
                    let (attempt, node) = (collected.attempt, collected.node);
                    let received = collected.sequence + collected.rows.len() as u64;
                    let numbers = collected.rows.iter().map(|row| String::from_utf8_lossy(row).parse::<u64>().unwrap());
                    self.rows.extend(numbers);
                    ToTaskManager::CollectAcknowledged { epoch: EPOCH, attempt, node, received }
                }
                other => panic!("unexpected: {other:?}"),
            };
            // One that was stopped takes nothing.
            let _ = self.clusters[at].handle.send(answer).await;
        }
    }

    /// Connections end a moment after the tasks.
    async fn wait_until_clean(&self) {
        let clean = async {
            for cluster in &self.clusters {
                while cluster.handle.figures().connections + cluster.handle.figures().channels > 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                cluster.assert_clean();
                assert!(cluster.handle.figures().refused_frames.is_empty());
            }
        };
        tokio::time::timeout(PATIENCE, clean).await.expect("nothing is left");
    }
}

fn pipeline(options: &str, partitioning: Partitioning, sources: u32, sinks: u32) -> Pipeline {
    Pipeline {
        source: ("datagen", options.to_owned(), sources),
        partitioning,
        relay: None,
        sink: ("collect", String::from("{}"), sinks),
    }
}

#[tokio::test]
async fn a_job_over_two_task_managers_loses_nothing() {
    const ROWS: u64 = 50_000;
    for (partitioning, sources, sinks) in [
        (Partitioning::Rebalance, 2, 4),
        (Partitioning::Shuffle, 3, 3),
        (Partitioning::Global, 2, 3),
        (Partitioning::Rescale, 2, 4),
    ] {
        let pipeline = pipeline(&format!("{{\"rows\": {ROWS}}}"), partitioning, sources, sinks);
        let mut two = Two::deploy(&pipeline).await;
        two.run_until(ExecutionState::is_terminal).await;
        two.rows.sort_unstable();
        assert!(two.rows.iter().copied().eq(0..ROWS), "{partitioning}: {} rows", two.rows.len());
        assert!(two.last.values().all(|report| report.state == ExecutionState::Finished), "{:?}", two.last);
        two.wait_until_clean().await;
    }
}

#[tokio::test]
async fn tasks_whose_peers_are_stopped_fail_with_the_connection_as_their_reason() {
    let pipeline = pipeline("{}", Partitioning::Rebalance, 2, 2);
    let mut two = Two::deploy(&pipeline).await;
    two.run_until(|state| state == ExecutionState::Running).await;
    let connections = two.clusters.each_ref().map(|cluster| cluster.handle.figures().connections);
    assert_eq!(connections, [2, 2], "one in each direction");
    tokio::time::timeout(PATIENCE, two.clusters[1].handle.shutdown()).await.unwrap();
    two.run_until(ExecutionState::is_terminal).await;
    for task in &two.tasks {
        let TaskReport { state, failure, .. } = &two.last[&task.attempt];
        if place(&task.vertex.name, task.attempt.subtask) == 1 {
            assert_eq!(*state, ExecutionState::Canceled);
            continue;
        }
        let failure = failure.as_ref().expect("its peer is gone");
        assert_eq!(failure.kind, FailureKind::TaskManagerLost, "{failure}");
    }
    two.wait_until_clean().await;
}

/// The failure of a task that sends to a TaskManager elsewhere.
async fn refused(with_data: bool) -> Failure {
    let mut cluster = if with_data { start("first") } else { Cluster::start() };
    cluster.grant(0, allocation(1), job(1)).await;
    let pipeline = pipeline("{}", Partitioning::Rebalance, 1, 1);
    let mut tasks = pipeline.deployments(job(1), cluster.handle.id(), allocation(1));
    let channels = tasks[0].outputs.iter_mut().flat_map(|output| &mut output.channels);
    channels.for_each(|channel| channel.task_manager = TaskManagerId("second".to_owned()));
    cluster.deploy(&tasks[0]).await;
    let ToJobManager::TaskReport(report) = cluster.next().await else {
        panic!("a task was deployed");
    };
    cluster.assert_clean();
    report.failure.expect("it was refused")
}

#[tokio::test]
async fn peers_that_no_way_leads_to_are_refused_with_what_to_do() {
    let failure = refused(false).await.to_string();
    assert!(failure.contains("TaskManager second") && failure.contains("in one process"), "{failure}");
    let failure = refused(true).await.to_string();
    assert!(failure.contains("TaskManager second") && failure.contains("an address for records"), "{failure}");
}
