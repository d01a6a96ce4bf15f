//! A TaskManager and the JobManager that its tests play.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_connectors::{FileRoots, enumerate_splits};
use millrace_protocol::{
    SlotRequest, SplitAssignment, SplitId, TaskDeployment, TaskFigures, TaskReport, ToJobManager, ToTaskManager,
};
use millrace_sandbox::{CompilerCommand, Sandbox, SandboxOptions};
use millrace_taskmanager::{ComponentSource, TaskManager, TaskManagerHandle, TaskManagerOptions};
use millrace_types::{
    AllocationId, AttemptId, Digest, ExecutionState, Failure, FailureKind, JobId, LeaderEpoch, SlotId, TaskManagerId,
    TenantId,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::graphs::Pipeline;

pub const EPOCH: LeaderEpoch = LeaderEpoch(5);

/// Nothing here takes longer, even on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The one component that there is, if any.
struct Store(Option<Vec<u8>>);

#[async_trait]
impl ComponentSource for Store {
    async fn fetch(&self, _: &TenantId, _: &Digest) -> Result<Bytes, Failure> {
        let missing = || Failure::new(FailureKind::Internal, "this test has no guest");
        self.0.clone().map(Bytes::from).ok_or_else(missing)
    }
}

/// A TaskManager, and what it sends.
pub struct Cluster {
    pub handle: TaskManagerHandle,
    pub messages: mpsc::Receiver<ToJobManager>,
    pub folder: TempDir,
}

pub fn job(n: u8) -> JobId {
    JobId::from_bytes([n; 16])
}

pub fn allocation(n: u8) -> AllocationId {
    AllocationId::from_bytes([n; 16])
}

/// What became of the tasks of a job.
#[derive(Default)]
pub struct Outcome {
    /// All states that each attempt reported, in order.
    pub states: BTreeMap<AttemptId, Vec<ExecutionState>>,
    pub last: BTreeMap<AttemptId, TaskReport>,
    pub rows: Vec<Vec<u8>>,
}

impl Outcome {
    /// The figures of all subtasks of a vertex together.
    pub fn figures(&self, tasks: &[TaskDeployment], vertex_name: &str) -> TaskFigures {
        let mut sum = TaskFigures::default();
        for task in tasks.iter().filter(|task| task.vertex.name.contains(vertex_name)) {
            let figures = self.last[&task.attempt].figures;
            sum.records_in += figures.records_in;
            sum.bytes_in += figures.bytes_in;
            sum.records_out += figures.records_out;
            sum.bytes_out += figures.bytes_out;
            sum.idle_ms += figures.idle_ms;
            sum.backpressured_ms += figures.backpressured_ms;
        }
        sum
    }
}

impl Cluster {
    pub fn start() -> Self {
        Self::start_with(None, |_| ())
    }

    pub fn start_with(component: Option<Vec<u8>>, change: impl FnOnce(&mut TaskManagerOptions)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // This very program: see `compile_child`.
        let args = ["compile_child", "--exact", "--nocapture", "--test-threads=1"];
        let program = std::env::current_exe().unwrap();
        let compiler = CompilerCommand { program, args: args.map(str::to_owned).to_vec() };
        let mut sandbox = SandboxOptions::new(folder.path().join("cache"), compiler);
        sandbox.instances_max = 4;
        let sandbox = Sandbox::new(sandbox).unwrap();
        let (outbound, messages) = mpsc::channel(64);
        let mut options = TaskManagerOptions::new(TaskManagerId("tm".to_owned()), 2, folder.path().to_owned());
        options.file_roots = FileRoots::unrestricted();
        options.cores = 2;
        change(&mut options);
        let handle = TaskManager::start(options, sandbox, Arc::new(Store(component)), outbound).unwrap();
        Self { handle, messages, folder }
    }

    pub async fn send(&self, message: ToTaskManager) {
        self.handle.send(message).await.unwrap();
    }

    /// The next message of any kind.
    pub async fn next_of_any_kind(&mut self) -> ToJobManager {
        tokio::time::timeout(PATIENCE, self.messages.recv()).await.expect("a message in time").expect("a message")
    }

    /// The next message that is neither a registration nor a heartbeat.
    pub async fn next(&mut self) -> ToJobManager {
        loop {
            match self.next_of_any_kind().await {
                ToJobManager::Register(_) | ToJobManager::Heartbeat(_) => {}
                message => return message,
            }
        }
    }

    /// Waits for the report of a state.
    pub async fn wait_for(&mut self, attempt: AttemptId, state: ExecutionState) -> TaskReport {
        loop {
            if let ToJobManager::TaskReport(report) = self.next().await
                && report.attempt == attempt
            {
                if report.state == state {
                    return report;
                }
                assert!(!report.state.is_terminal(), "{report:?}");
            }
        }
    }

    /// Asks for a slot and takes the offer.
    pub async fn grant(&mut self, index: u32, allocation: AllocationId, job: JobId) {
        let slot = SlotId { task_manager: self.handle.id().clone(), index };
        let tenant = TenantId::default_tenant();
        self.send(ToTaskManager::RequestSlot(SlotRequest {
            epoch: EPOCH,
            slot: slot.clone(),
            allocation,
            job,
            tenant,
        }))
        .await;
        let offer = self.next().await;
        assert_eq!(offer, ToJobManager::OfferSlots { job, slots: vec![(slot, allocation)] });
    }

    pub async fn deploy(&self, task: &TaskDeployment) {
        self.send(ToTaskManager::Deploy { epoch: EPOCH, task: Box::new(task.clone()) }).await;
    }

    pub async fn cancel(&self, attempt: AttemptId) {
        self.send(ToTaskManager::Cancel { epoch: EPOCH, attempt }).await;
    }

    /// Deploys a pipeline in slot 0 and plays its JobMaster until all tasks have ended. As a JobMaster does, cancels
    /// all others when one fails.
    pub async fn run(&mut self, pipeline: &Pipeline) -> (Vec<TaskDeployment>, Outcome) {
        self.grant(0, allocation(1), job(1)).await;
        let tasks = pipeline.deployments(job(1), self.handle.id(), allocation(1));
        for task in &tasks {
            self.deploy(task).await;
        }
        let splits = enumerate_splits(&pipeline.source_connector(), pipeline.source.2, &FileRoots::unrestricted());
        let mut splits: VecDeque<_> = (0..).map(SplitId).zip(splits.expect("a source that is right")).collect();
        let mut outcome = Outcome::default();
        let mut failed = false;
        while outcome.last.values().filter(|report| report.state.is_terminal()).count() < tasks.len() {
            match self.next().await {
                ToJobManager::TaskReport(report) => {
                    if report.state == ExecutionState::Failed && !std::mem::replace(&mut failed, true) {
                        for task in tasks.iter().filter(|task| task.attempt != report.attempt) {
                            self.cancel(task.attempt).await;
                        }
                    }
                    outcome.states.entry(report.attempt).or_default().push(report.state);
                    outcome.last.insert(report.attempt, report);
                }
                ToJobManager::SplitRequest(request) => {
                    let given: Vec<_> =
                        splits.pop_front().into_iter().map(|(id, split)| (id, split, Bytes::new())).collect();
                    let (attempt, node) = (request.attempt, request.node);
                    let assignment = SplitAssignment { attempt, node, splits: given, no_more: splits.is_empty() };
                    self.send(ToTaskManager::AssignSplits { epoch: EPOCH, assignment }).await;
                }
                ToJobManager::Collected(collected) => {
                    let (attempt, node) = (collected.attempt, collected.node);
                    let received = collected.sequence + collected.rows.len() as u64;
                    outcome.rows.extend(collected.rows);
                    self.send(ToTaskManager::CollectAcknowledged { epoch: EPOCH, attempt, node, received }).await;
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        (tasks, outcome)
    }

    /// Waits until a source asks for a split and gives it the first one.
    pub async fn answer_split_request(&mut self, pipeline: &Pipeline) {
        let splits = enumerate_splits(&pipeline.source_connector(), 1, &FileRoots::unrestricted());
        let split = (SplitId(0), splits.unwrap().remove(0));
        loop {
            if let ToJobManager::SplitRequest(request) = self.next().await {
                let (attempt, node) = (request.attempt, request.node);
                let assignment =
                    SplitAssignment { attempt, node, splits: vec![(split.0, split.1, Bytes::new())], no_more: true };
                return self.send(ToTaskManager::AssignSplits { epoch: EPOCH, assignment }).await;
            }
        }
    }

    /// Waits until a task has been busy for some time, by its heartbeats.
    pub async fn wait_until_busy(&mut self, attempt: AttemptId) {
        loop {
            if let ToJobManager::Heartbeat(heartbeat) = self.next_of_any_kind().await
                && heartbeat.figures.iter().any(|(of, figures)| *of == attempt && figures.busy_ms > 600)
            {
                return;
            }
        }
    }

    /// Nothing of any task is left.
    pub fn assert_clean(&self) {
        let figures = self.handle.figures();
        let left = (figures.tasks, figures.instances, figures.channels, figures.waiting_channels, figures.connections);
        assert_eq!(left, (0, 0, 0, 0, 0), "{figures:?}");
    }
}
