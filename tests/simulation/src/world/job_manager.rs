//! The JobManager's process: its ResourceManager, its connections, and what it does when it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_job_core::{AdoptionOptions, Input as JobInput, JobCore, JobSpec, OperatorState, StoredCheckpoint};
use millrace_metadata_core::{Command as MetadataCommand, JobRecord, Response};
use millrace_protocol::{CheckpointSettings, TaskSettings, ToTaskManager};
use millrace_resource_core::{Command as ResourceCommand, Input as ResourceInput, ResourceCore, ResourceOptions};
use millrace_types::{CheckpointId, Failure, FailureKind, JobId, JobStatus, LeaderEpoch, SnapshotKind, VertexId};

use super::{Event, World, number_of, tenant};
use crate::oracle::Reconciling;

const RESOURCES: ResourceOptions = ResourceOptions {
    heartbeat_timeout_ms: 120,
    slot_timeout_ms: 60,
    slot_request_attempts_max: 3,
    task_managers_max: 100,
    slots_per_task_manager_max: 8,
    workers: None,
};

/// A JobMaster.
pub(crate) struct Master {
    pub(crate) core: JobCore,
    pub(crate) job: JobId,
    /// The highest checkpoint that it has begun.
    pub(crate) begun: Option<CheckpointId>,
    /// The first attempt that it deploys, those that were recorded when it began, and whether it has adopted these.
    pub(crate) first: u32,
    pub(crate) recorded: Vec<u32>,
    pub(crate) adopted: bool,
}

/// A life of the JobManager.
pub(crate) struct JobManager {
    pub(crate) life: u64,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) resources: ResourceCore,
    pub(crate) master: Option<Master>,
    /// The TaskManagers that it has a connection to.
    pub(crate) connected: BTreeMap<u32, u64>,
    /// When it wakes next.
    wake_at: Option<u64>,
}

/// How long a connection may last that is being closed, in milliseconds.
const REFUSED_MS_MAX: u64 = 150;

impl World {
    pub(crate) fn start_job_manager(&mut self) {
        let begun = self.metadata.apply(MetadataCommand::BeginEpoch).map(|applied| applied.response);
        let Ok(Response::Epoch(epoch)) = begun else { panic!("no epoch begins: {begun:?}") };
        self.lives += 1;
        self.ledger.new_leader();
        let resources = ResourceCore::new(RESOURCES, epoch, self.lives);
        let (life, connected) = (self.lives, BTreeMap::new());
        self.job_manager = Some(JobManager { life, epoch, resources, master: None, connected, wake_at: None });
        if self.metadata.job(&tenant(), self.job.id).is_some_and(|record| record.status.is_terminal()) {
            self.run_next();
        } else {
            let left = self.lives > 1;
            self.start_job_master(left);
        }
    }

    /// Runs the job, from its newest checkpoint if it has any: as the JobManager's recovery does. Of a job that was `left` by
    /// another leader tasks may be there.
    pub(crate) fn start_job_master(&mut self, left: bool) {
        let Some(record) = self.metadata.job(&tenant(), self.job.id).cloned() else { panic!("the job is gone") };
        let Some(restored) = self.readable(&record) else {
            assert!(self.ledger.damaged, "no checkpoint can be read, and none is damaged");
            return self.end_unreadable();
        };
        let spec = self.spec(&record, restored, left);
        let now = self.clock();
        if spec.adoption.is_some() {
            let ledger = &self.ledger;
            let runs_with = |vertex, attempt| ledger.parallelism_of(spec.job, vertex, attempt);
            self.oracle.begin(reconciling(&spec, runs_with));
        }
        let (first, recorded) = (spec.first_attempt, spec.recorded_attempts.clone());
        let core = JobCore::new(spec, now);
        let master = Master { core, job: self.job.id, begun: None, first, recorded, adopted: false };
        let Some(manager) = &mut self.job_manager else { return };
        manager.master = Some(master);
        self.tell_job(self.job.id, JobInput::Start);
    }

    fn end_unreadable(&mut self) {
        let (tenant, job, at) = (tenant(), self.job.id, self.clock());
        let status = JobStatus::Failed;
        let ended = self.metadata.apply(MetadataCommand::SetJobStatus { tenant, job, status, at, failure: None });
        assert!(ended.is_ok(), "{ended:?}");
        self.done = true;
    }

    /// The checkpoints that can be read; `None`: there are some, and none can.
    fn readable(&self, record: &JobRecord) -> Option<Vec<StoredCheckpoint>> {
        let mut found = Vec::new();
        for pointer in &record.checkpoints {
            let Some(mut checkpoint) = self.store.description(&pointer.folder) else { continue };
            if checkpoint.kind != SnapshotKind::Checkpoint {
                Arc::make_mut(&mut checkpoint).folder = Some(pointer.folder.as_str().into());
            }
            found.push(StoredCheckpoint { checkpoint, location: pointer.folder.as_str().into() });
        }
        (record.checkpoints.is_empty() || !found.is_empty()).then_some(found)
    }

    fn spec(&self, record: &JobRecord, restored: Vec<StoredCheckpoint>, left: bool) -> JobSpec {
        // A claimed savepoint is deleted once the job has a checkpoint of its own.
        let there = |start: &&millrace_job_core::StartFrom| self.store.has_description(&start.from.location);
        let start_from = self.job.start_from.as_ref().filter(there).cloned();
        assert!(start_from.is_some() || self.job.start_from.is_none() || !restored.is_empty(), "the savepoint is gone");
        let lost = restored.len() < record.checkpoints.len();
        let attempts = record.attempts.iter().copied().chain(std::iter::repeat(0));
        let epoch = self.job_manager.as_ref().map_or(LeaderEpoch(0), |manager| manager.epoch);
        let adoption = |timeout_ms| AdoptionOptions { epoch, timeout_ms };
        let begun_at = start_from.as_ref().map_or(0, |start| start.from.checkpoint.id.0);
        let checkpoints = CheckpointSettings { folder: self.job.folder.clone(), ..CheckpointSettings::default() };
        JobSpec {
            job: self.job.id,
            tenant: tenant(),
            name: "simulated".to_owned(),
            graph: Arc::clone(&self.job.graph),
            requirements: None,
            components: std::collections::BTreeMap::new(),
            graph_digest: record.submission.graph_digest,
            args: Vec::new(),
            default_parallelism: 1,
            first_attempt: record.highest_attempt + 1,
            recorded_attempts: attempts.take(self.job.graph.vertices.len()).collect(),
            submitted_at: record.submission.submitted_at,
            adoption: self.scenario.adoption_ms.filter(|_| left).map(adoption),
            takeovers: Vec::new(),
            settings: TaskSettings { checkpoints, ..TaskSettings::default() },
            options: self.scenario.options,
            checkpoints: self.scenario.checkpoints.clone(),
            restored,
            start_from,
            lost: lost.then(|| Failure::new(FailureKind::StateUnreadable, "a checkpoint is damaged")),
            recorded_checkpoint: record.highest_checkpoint.max(begun_at),
        }
    }

    pub(crate) fn for_resources(&mut self, life: u64, input: ResourceInput) {
        let now = self.clock();
        let Some(manager) = self.job_manager.as_mut().filter(|manager| manager.life == life) else { return };
        let mut commands = Vec::new();
        manager.resources.step(now, input, &mut commands);
        let epoch = manager.epoch;
        for command in commands {
            self.execute_resources(epoch, command);
        }
        self.wake_in_time();
    }

    fn execute_resources(&mut self, epoch: LeaderEpoch, command: ResourceCommand) {
        match command {
            ResourceCommand::RequestSlotFromTaskManager { task_manager, request } => {
                let (slot, allocation) = (request.slot.clone(), request.allocation);
                if !self.tell_task_manager(&task_manager, ToTaskManager::RequestSlot(request)) {
                    self.tell_resources(ResourceInput::SlotRequestFailed { slot, allocation });
                }
            }
            ResourceCommand::FreeSlot { task_manager, allocation } => {
                self.tell_task_manager(&task_manager, ToTaskManager::FreeSlot { epoch, allocation });
            }
            ResourceCommand::NotifyTaskManagerLost { job, task_manager, reason } => {
                self.tell_job(job, JobInput::TaskManagerLost { task_manager, reason });
            }
            ResourceCommand::NotifySlotsLost { job, allocations } => {
                self.tell_job(job, JobInput::SlotsLost(allocations));
            }
            ResourceCommand::NotifyLacking { job, needed, free, total } => {
                self.tell_job(job, JobInput::SlotsLacking { needed, free, total });
            }
            ResourceCommand::StartWorker { worker } | ResourceCommand::StopWorker { worker } => {
                panic!("{worker}: this ResourceManager has no driver");
            }
            ResourceCommand::RefuseTaskManager { task_manager, .. } => {
                let number = number_of(&task_manager);
                // Both sides notice in their own time: until then a zombie goes on, and is heard.
                let connection = self.job_manager.as_ref().and_then(|manager| manager.connected.get(&number).copied());
                if let Some(connection) = connection {
                    self.part(number, connection, REFUSED_MS_MAX);
                }
            }
        }
    }

    /// Has the cores woken at their next deadline.
    pub(crate) fn wake_in_time(&mut self) {
        let now = self.now;
        let Some(manager) = &mut self.job_manager else { return };
        let of_job = manager.master.as_ref().and_then(|master| master.core.next_deadline());
        let Some(deadline) = of_job.into_iter().chain(manager.resources.next_deadline()).min() else { return };
        // A millisecond late, as the shell is.
        let at = deadline.0.max(now) + 1;
        if manager.wake_at.is_none_or(|known| at < known || known <= now) {
            manager.wake_at = Some(at);
            let life = manager.life;
            self.schedule(at - now, Event::Wake { life });
        }
    }

    pub(crate) fn wake(&mut self, life: u64) {
        let now = self.clock();
        let Some(manager) = self.job_manager.as_mut().filter(|manager| manager.life == life) else { return };
        let due = |deadline: Option<millrace_types::Timestamp>| deadline.is_some_and(|deadline| deadline <= now);
        let job = manager.master.as_ref().filter(|master| due(master.core.next_deadline())).map(|master| master.job);
        let resources = due(manager.resources.next_deadline());
        if let Some(job) = job {
            self.for_job(life, job, JobInput::DeadlineReached);
        }
        if resources {
            self.for_resources(life, ResourceInput::DeadlineReached);
        }
        self.wake_in_time();
    }
}

/// What is to be known before the job's tasks may be taken over.
fn reconciling(spec: &JobSpec, runs_with: impl Fn(VertexId, u32) -> Option<u32>) -> Reconciling {
    let timeout_ms = spec.adoption.map_or(0, |options| options.timeout_ms);
    let mut reconciling = Reconciling::new(spec.job, timeout_ms);
    let newest = spec.restored.iter().max_by_key(|stored| stored.checkpoint.id);
    let newest = newest.or(spec.start_from.as_ref().map(|start| &start.from)).map(|stored| &stored.checkpoint);
    reconciling.newest = newest.map(|newest| newest.id);
    for (vertex, recorded) in spec.graph.vertices.iter().zip(&spec.recorded_attempts) {
        let parallelism = runs_with(vertex.id, *recorded).unwrap_or(vertex.parallelism);
        reconciling.vertices.insert(vertex.id, (*recorded, parallelism));
        for (node, stream) in &vertex.nodes {
            let state = newest.and_then(|newest| newest.operators.get(&stream.uid));
            if stream.kind.is_source() && state.is_none_or(|state| state.source.is_none()) {
                reconciling.unlisted.insert(*node);
            }
        }
        let first = vertex.nodes.first().and_then(|(_, stream)| newest?.operators.get(&stream.uid));
        let had_ended = |subtask: &u32| {
            // Subtasks of another number are others, unless all had ended.
            let same = |state: &&OperatorState| state.is_finished() || state.parallelism == parallelism;
            first.filter(same).is_some_and(|state| state.is_finished() || state.finished.contains(subtask))
        };
        let ended = (0..parallelism).filter(had_ended).map(|subtask| (vertex.id, subtask));
        reconciling.ended_before.extend(ended);
    }
    reconciling
}
