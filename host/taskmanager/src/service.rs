//! The control loop of a TaskManager.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use millrace_connectors::Reach;
use millrace_network::{BufferBudget, Exchange};
use millrace_protocol::{
    SlotRequest, TaskDeployment, TaskFigures, TaskManagerHeartbeat, TaskManagerRegistration, ToJobManager,
    ToTaskManager,
};
use millrace_sandbox::{ProcessLoad, Sandbox};
use millrace_state::ScratchOptions;
use millrace_types::{AllocationId, ExecutionState, Failure, FailureKind, LeaderEpoch};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::components::{ComponentSource, Components};
use crate::error::TaskManagerError;
use crate::gauges::Gauges;
use crate::handle::{Inbound, Inner, TaskManagerHandle};
use crate::inquiry::LiveTasks;
use crate::log::TaskLogs;
use crate::machine;
use crate::options::TaskManagerOptions;
use crate::prefetch::Prefetches;
use crate::run::{TaskEnvironment, TaskOrder, UpgradeOrder, task_report};
use crate::slots::{EpochFence, SlotTable};
use crate::stale::{StaleCounts, StaleReason};
use crate::task_table::{EndedTask, TaskTable};
use crate::threads::{DataLink, Threads};

/// Messages on their way in.
const INBOUND_MAX: usize = 1024;

/// Messages on their way out that the JobManager has not taken. Beyond it no message is taken in.
const OUTBOX_MAX: usize = 64 * 1024;

/// How long a job may take to ask for a slot again, when an earlier life of this TaskManager has ended, before the copies
/// of its state are deleted.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(600);

/// How long tasks may take to end when the TaskManager stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(15);

/// A TaskManager.
pub struct TaskManager {
    options: TaskManagerOptions,
    slots: SlotTable,
    fence: EpochFence,
    tasks: TaskTable,
    stale: StaleCounts,
    gauges: Gauges,
    outbox: VecDeque<ToJobManager>,
    link: Option<DataLink>,
    prefetches: Prefetches,
    /// When copies go that are of an earlier life and that no job of this one has asked for.
    claim_until: Option<Instant>,
}

impl TaskManager {
    /// Starts a TaskManager, which registers at once. Its control loop runs on the runtime that this is called on, its
    /// tasks on one of their own.
    ///
    /// # Errors
    /// If its threads or the folder of its logs cannot be made.
    ///
    /// # Panics
    /// If it is not called on a tokio runtime.
    pub fn start(
        options: TaskManagerOptions,
        sandbox: Sandbox,
        components: Arc<dyn ComponentSource>,
        outbound: mpsc::Sender<ToJobManager>,
    ) -> Result<TaskManagerHandle, TaskManagerError> {
        let logs = TaskLogs::start(options.data_dir.join("logs"))?;
        let runtime = Threads::start("millrace-task", options.cores)?;
        let exchange = Exchange::new(BufferBudget::new(options.buffer_bytes), options.connect_timeout);
        let link = options.data.clone().map(|data| DataLink::start(data, &options.id, &exchange)).transpose()?;
        let data = link.as_ref().map(|link| link.plane.clone());
        let (stale, live) = (StaleCounts::default(), LiveTasks::default());
        let environment = TaskEnvironment {
            id: options.id.clone(),
            sandbox: sandbox.clone(),
            components: Components::new(components, sandbox.clone()),
            exchange: exchange.clone(),
            data: data.clone(),
            reach: Reach { files: options.file_roots.clone(), http: options.http_origins.clone() },
            checkpoint_storage: options.storage.clone(),
            outbound: outbound.clone(),
            scratch: scratch(&options)?,
            local_state: options.local_state.clone(),
            crash_points: options.crash_points.clone(),
        };
        let environment = Arc::new(environment);
        let prefetches = Prefetches::start(Arc::clone(&environment));
        let tasks = TaskTable::new(environment, logs.clone(), runtime, live.clone());
        let local_state = options.local_state.clone();
        let process_log = options.process_log.clone();
        let (stale_counts, load) = (stale.clone(), ProcessLoad::default());
        let gauges =
            Gauges { logs, process_log, exchange, data, sandbox, local_state, stale: stale_counts, tasks: live, load };
        let (inbound, messages) = mpsc::channel(INBOUND_MAX);
        let (stopping, stopped) = watch::channel(false);
        let id = options.id.clone();
        let handle = Inner { id, inbound, stopped, gauges: gauges.clone() };
        let service = Self {
            slots: SlotTable::new(options.id.clone(), options.slots),
            fence: EpochFence::default(),
            tasks,
            stale,
            gauges,
            outbox: VecDeque::new(),
            link,
            prefetches,
            claim_until: Some(Instant::now() + CLAIM_TIMEOUT),
            options,
        };
        tokio::spawn(async move {
            Box::pin(service.run(messages, outbound)).await;
            // Nobody may be waiting.
            let _ = stopping.send(true);
        });
        Ok(TaskManagerHandle(Arc::new(handle)))
    }

    async fn run(mut self, mut messages: mpsc::Receiver<Inbound>, outbound: mpsc::Sender<ToJobManager>) {
        self.register();
        let mut heartbeats = tokio::time::interval(self.options.heartbeat_interval.max(Duration::from_millis(1)));
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                permit = outbound.reserve(), if !self.outbox.is_empty() => match (permit, self.outbox.pop_front()) {
                    (Ok(permit), Some(message)) => permit.send(message),
                    _ => break,
                },
                message = messages.recv(), if self.outbox.len() < OUTBOX_MAX => match message {
                    Some(Inbound::Message(message)) => self.handle(message),
                    Some(Inbound::Shutdown) | None => break,
                },
                ended = self.tasks.next_end() => self.task_ended(ended),
                _ = heartbeats.tick() => self.heartbeat(),
            }
        }
        self.stop(&outbound).await;
    }

    /// Cancels what runs, and tells as long as somebody listens.
    async fn stop(&mut self, outbound: &mpsc::Sender<ToJobManager>) {
        self.tasks.cancel_all(None);
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        while !self.tasks.is_empty() {
            match tokio::time::timeout_at(deadline, self.tasks.next_end()).await {
                Ok(ended) => self.task_ended(ended),
                Err(_) => {
                    tracing::warn!("tasks did not end in time and are left behind");
                    break;
                }
            }
        }
        if let Some(link) = &self.link
            && tokio::time::timeout_at(deadline, link.plane.shutdown()).await.is_err()
        {
            tracing::warn!("connections with other TaskManagers did not end in time and are left behind");
        }
        for message in self.outbox.drain(..) {
            if !matches!(tokio::time::timeout_at(deadline, outbound.send(message)).await, Ok(Ok(()))) {
                break;
            }
        }
    }

    fn register(&mut self) {
        let (memory_bytes, _) = machine::memory_bytes();
        self.outbox.push_back(ToJobManager::Register(TaskManagerRegistration {
            id: self.options.id.clone(),
            slots: self.options.slots,
            data_address: self.link.as_ref().map(|link| link.plane.address().to_owned()),
            cpu_cores: u32::try_from(self.options.cores).unwrap_or(u32::MAX),
            memory_bytes,
            allocated: Vec::new(),
        }));
    }

    /// Says that it is alive, unless the last word has not been taken yet.
    fn heartbeat(&mut self) {
        if self.claim_until.is_some_and(|until| until <= Instant::now()) {
            self.claim_until = None;
            self.drop_unclaimed_state();
        }
        self.gauges.tasks.note_rates();
        if !self.outbox.is_empty() {
            return;
        }
        let (_, memory_free_bytes) = machine::memory_bytes();
        let allocated = self.slots.granted().map(|(slot, grant)| (slot, grant.allocation, grant.job)).collect();
        let figures = self.tasks.figures();
        let id = self.options.id.clone();
        let heartbeat =
            TaskManagerHeartbeat { id, memory_free_bytes, allocated, figures, metrics: self.gauges.metrics() };
        self.outbox.push_back(ToJobManager::Heartbeat(heartbeat));
    }

    fn handle(&mut self, message: ToTaskManager) {
        if let Err(reason) = self.try_handle(message) {
            tracing::debug!(reason = reason.as_str(), "a stale message was dropped");
            self.stale.count(reason);
        }
    }

    fn try_handle(&mut self, message: ToTaskManager) -> Result<(), StaleReason> {
        self.fence.check(epoch(&message))?;
        match message {
            ToTaskManager::RequestSlot(request) => self.request_slot(request),
            ToTaskManager::FreeSlot { allocation, .. } => self.free_slot(allocation),
            ToTaskManager::Deploy { task, .. } => self.deploy(*task),
            ToTaskManager::Cancel { attempt, .. } => self.tasks.cancel(attempt),
            ToTaskManager::AssignSplits { assignment, .. } => self.tasks.assign_splits(assignment),
            ToTaskManager::CollectAcknowledged { attempt, node, received, .. } => {
                self.tasks.acknowledge(attempt, node, received)
            }
            ToTaskManager::TriggerCheckpoint { attempt, barrier, .. } => {
                self.tasks.order(attempt, TaskOrder::Trigger(barrier))
            }
            ToTaskManager::CheckpointCompleted { attempt, checkpoint, .. } => {
                self.tasks.order(attempt, TaskOrder::Completed(checkpoint))
            }
            ToTaskManager::CheckpointAborted { attempt, checkpoint, .. } => {
                self.tasks.order(attempt, TaskOrder::Aborted(checkpoint))
            }
            ToTaskManager::Adopt { attempt, completed, over, .. } => {
                if let Some(completed) = completed {
                    self.tasks.order(attempt, TaskOrder::Completed(completed))?;
                }
                self.tasks.order(attempt, TaskOrder::AbortedUpto(over))
            }
            ToTaskManager::DrainSource { attempt, .. } => self.tasks.order(attempt, TaskOrder::Drain),
            ToTaskManager::LimitWatermark { attempt, limit, .. } => self.tasks.order(attempt, TaskOrder::Limit(limit)),
            ToTaskManager::Prefetch { tenant, components, .. } => {
                self.prefetches.add(&tenant, components);
                Ok(())
            }
            ToTaskManager::PrepareUpgrade { attempt, upgrade, .. } => {
                self.tasks.order(attempt, TaskOrder::Upgrade(UpgradeOrder::Prepare(upgrade)))
            }
            ToTaskManager::ForgetUpgrade { attempt, upgrade, .. } => {
                self.tasks.order(attempt, TaskOrder::Upgrade(UpgradeOrder::Forget(upgrade)))
            }
        }
    }

    fn request_slot(&mut self, request: SlotRequest) -> Result<(), StaleReason> {
        self.slots.request(&request)?;
        let slots = vec![(request.slot, request.allocation)];
        self.outbox.push_back(ToJobManager::OfferSlots { job: request.job, slots });
        Ok(())
    }

    fn free_slot(&mut self, allocation: AllocationId) -> Result<(), StaleReason> {
        self.slots.release(allocation)?;
        self.tasks.cancel_all(Some(allocation));
        self.free_if_unused(allocation);
        Ok(())
    }

    /// Frees the slot of a grant that was released, when its last task has ended.
    fn free_if_unused(&mut self, allocation: AllocationId) {
        let job = self.slots.granted().find(|(_, grant)| grant.allocation == allocation).map(|(_, grant)| grant.job);
        if !self.tasks.uses(allocation)
            && let Some(slot) = self.slots.free(allocation)
        {
            self.outbox.push_back(ToJobManager::SlotFreed { slot, allocation });
            if self.claim_until.is_none() {
                self.drop_unclaimed_state();
            } else if let Some((local_state, job)) = self.options.local_state.as_ref().zip(job)
                && !self.slots.granted().any(|(_, grant)| grant.job == job)
            {
                local_state.retain_jobs(|other| other != job);
            }
        }
    }

    /// Deletes the copies of state of jobs that have no slot here: they have ended, or have gone elsewhere.
    fn drop_unclaimed_state(&self) {
        if let Some(local_state) = &self.options.local_state {
            local_state.retain_jobs(|job| self.slots.granted().any(|(_, grant)| grant.job == job));
        }
    }

    fn deploy(&mut self, task: TaskDeployment) -> Result<(), StaleReason> {
        let attempt = task.attempt;
        if self.tasks.contains(attempt) {
            return Err(StaleReason::DuplicateAttempt);
        }
        if let Err(reason) = self.slots.admit(task.allocation, attempt.job, &task.tenant) {
            // The JobMaster waits for this attempt: it has to hear that it will not run.
            let message =
                format!("the slot that the task was to run in is not granted to its job ({})", reason.as_str());
            let failure = Failure::new(FailureKind::NoResources, message);
            let report = task_report(attempt, ExecutionState::Failed, Some(failure), TaskFigures::default());
            self.outbox.push_back(ToJobManager::TaskReport(report));
            return Err(reason);
        }
        // The task reports itself from here to its end, so that its states arrive in order.
        self.tasks.start(task)
    }

    fn task_ended(&mut self, ended: EndedTask) {
        let EndedTask { end, allocation, figures } = ended;
        let report = task_report(end.attempt, end.state, end.failure, figures);
        self.outbox.push_back(ToJobManager::TaskReport(report));
        self.free_if_unused(allocation);
    }
}

/// Where state that is larger than memory is kept.
fn scratch(options: &TaskManagerOptions) -> Result<ScratchOptions, TaskManagerError> {
    let folder = options.data_dir.join("state");
    std::fs::create_dir_all(&folder)
        .map_err(|source| TaskManagerError::ScratchDirectory { path: folder.clone(), source })?;
    let (memory_bytes, disk_bytes_max) = (options.state_memory_bytes, options.state_disk_bytes_max);
    Ok(ScratchOptions { folder, memory_bytes, disk_bytes_max })
}

/// The leader that a message comes from.
fn epoch(message: &ToTaskManager) -> LeaderEpoch {
    match message {
        ToTaskManager::RequestSlot(request) => request.epoch,
        ToTaskManager::FreeSlot { epoch, .. }
        | ToTaskManager::Deploy { epoch, .. }
        | ToTaskManager::Cancel { epoch, .. }
        | ToTaskManager::AssignSplits { epoch, .. }
        | ToTaskManager::CollectAcknowledged { epoch, .. }
        | ToTaskManager::TriggerCheckpoint { epoch, .. }
        | ToTaskManager::CheckpointCompleted { epoch, .. }
        | ToTaskManager::CheckpointAborted { epoch, .. }
        | ToTaskManager::DrainSource { epoch, .. }
        | ToTaskManager::LimitWatermark { epoch, .. }
        | ToTaskManager::Adopt { epoch, .. }
        | ToTaskManager::Prefetch { epoch, .. }
        | ToTaskManager::PrepareUpgrade { epoch, .. }
        | ToTaskManager::ForgetUpgrade { epoch, .. } => *epoch,
    }
}
