//! A JobMaster, a ResourceManager, and TaskManagers of two slots that do what they are told: the pure cores wired as the
//! shells wire them, message after message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millrace_graph::JobGraph;
use millrace_job_core::{AdaptiveOptions, Command, Input, JobCore, JobSpec, RestartStrategy};
use millrace_protocol::{TaskFigures, TaskManagerRegistration, TaskReport};
use millrace_resource_core as resources;
use millrace_resource_core::{ResourceCore, ResourceOptions};
use millrace_types::{
    AllocationId, AttemptId, ExecutionState, Failure, JobStatus, LeaderEpoch, SlotId, TaskManagerId, TenantId,
    Timestamp,
};

use crate::graphs::{JOB, spec};
use crate::harness::tm;

enum Message {
    Job(Input),
    Manager(resources::Input),
}

pub struct Cluster {
    pub job: JobCore,
    pub manager: ResourceCore,
    /// Whether the job takes fewer slots than it asks for.
    partly: bool,
    pub now: Timestamp,
    /// All commands of the job.
    pub commands: Vec<Command>,
    /// The slots that TaskManagers have granted.
    pub granted: BTreeMap<AllocationId, SlotId>,
    /// The tasks that run, with their slots.
    pub running: BTreeMap<AttemptId, SlotId>,
    /// For each slot the operators that were ever deployed into it.
    pub deployed: BTreeMap<SlotId, BTreeSet<String>>,
    alive: BTreeSet<TaskManagerId>,
    messages: VecDeque<Message>,
}

impl Cluster {
    pub fn new(graph: JobGraph, strategy: RestartStrategy, task_managers: &[&str]) -> Self {
        let mut spec = spec(graph);
        spec.options.restart_strategy = strategy;
        Self::of(spec, task_managers)
    }

    /// The same with the adaptive scheduler.
    pub fn adaptive(
        graph: JobGraph,
        strategy: RestartStrategy,
        adaptive: AdaptiveOptions,
        task_managers: &[&str],
    ) -> Self {
        let mut spec = spec(graph);
        spec.options.restart_strategy = strategy;
        spec.options.adaptive = Some(adaptive);
        Self::of(spec, task_managers)
    }

    fn of(spec: JobSpec, task_managers: &[&str]) -> Self {
        let mut cluster = Self {
            partly: spec.options.adaptive.is_some(),
            job: JobCore::new(spec, Timestamp(0)),
            manager: ResourceCore::new(ResourceOptions::default(), LeaderEpoch(1), 1),
            now: Timestamp(0),
            commands: Vec::new(),
            granted: BTreeMap::new(),
            running: BTreeMap::new(),
            deployed: BTreeMap::new(),
            alive: BTreeSet::new(),
            messages: VecDeque::new(),
        };
        task_managers.iter().for_each(|name| cluster.register(name));
        cluster
    }

    /// A TaskManager joins.
    pub fn register(&mut self, name: &str) {
        self.register_at(name, None);
    }

    /// A TaskManager joins that takes records at an address.
    pub fn register_at(&mut self, name: &str, address: Option<&str>) {
        self.alive.insert(tm(name));
        let data_address = address.map(str::to_owned);
        let registration = TaskManagerRegistration {
            id: tm(name),
            slots: 2,
            data_address,
            cpu_cores: 2,
            memory_bytes: 0,
            allocated: vec![],
        };
        self.tell_manager(resources::Input::Registered(registration));
    }

    /// A TaskManager's process dies: what it had is gone, and nobody hears of it.
    pub fn die(&mut self, name: &str) {
        self.alive.remove(&tm(name));
        self.granted.retain(|_, slot| slot.task_manager != tm(name));
        self.running.retain(|_, slot| slot.task_manager != tm(name));
    }

    /// A TaskManager's process dies and its connection closes.
    pub fn kill(&mut self, name: &str) {
        self.die(name);
        let reason = "its connection was closed".to_owned();
        self.tell_manager(resources::Input::TaskManagerLost { task_manager: tm(name), reason });
    }

    pub fn tell_job(&mut self, input: Input) {
        self.messages.push_back(Message::Job(input));
        self.deliver();
    }

    pub fn tell_manager(&mut self, input: resources::Input) {
        self.messages.push_back(Message::Manager(input));
        self.deliver();
    }

    /// The clock goes on to the job's next deadline, which passes.
    pub fn deadline(&mut self) {
        self.now = self.job.next_deadline().expect("there is a deadline");
        self.tell_job(Input::DeadlineReached);
    }

    pub fn status(&self) -> JobStatus {
        self.job.view().status
    }

    /// A task says how it is.
    pub fn report(&mut self, attempt: AttemptId, state: ExecutionState) {
        if state.is_terminal() {
            self.running.remove(&attempt);
        }
        let (failure, figures) = (None, TaskFigures::default());
        self.tell_job(Input::TaskReported(TaskReport { attempt, state, at: self.now, failure, figures }));
    }

    /// A task fails.
    pub fn fail(&mut self, attempt: AttemptId, failure: Failure) {
        self.running.remove(&attempt);
        let (state, figures) = (ExecutionState::Failed, TaskFigures::default());
        let report = TaskReport { attempt, state, at: self.now, failure: Some(failure), figures };
        self.tell_job(Input::TaskReported(report));
    }

    /// All tasks that run have processed all their input.
    pub fn finish(&mut self) {
        for attempt in self.running.keys().copied().collect::<Vec<_>>() {
            self.report(attempt, ExecutionState::Finished);
        }
    }

    fn deliver(&mut self) {
        while let Some(message) = self.messages.pop_front() {
            match message {
                Message::Job(input) => {
                    let mut out = Vec::new();
                    self.job.step(self.now, input, &mut out);
                    self.commands.extend(out.iter().cloned());
                    out.into_iter().for_each(|command| self.job_command(command));
                }
                Message::Manager(input) => {
                    let mut out = Vec::new();
                    self.manager.step(self.now, input, &mut out);
                    out.into_iter().for_each(|command| self.manager_command(command));
                }
            }
        }
    }

    fn manager_command(&mut self, command: resources::Command) {
        use resources::Command as Ordered;
        match command {
            Ordered::RequestSlotFromTaskManager { request, .. } => {
                assert!(self.granted.insert(request.allocation, request.slot.clone()).is_none());
                self.send_job(Input::SlotsOffered(vec![(request.slot, request.allocation)]));
            }
            Ordered::FreeSlot { allocation, .. } => {
                let Some(slot) = self.granted.remove(&allocation) else { return };
                self.send_manager(resources::Input::SlotFreed { slot, allocation });
            }
            Ordered::NotifyLacking { needed, free, total, .. } => {
                self.send_job(Input::SlotsLacking { needed, free, total });
            }
            Ordered::NotifyTaskManagerLost { task_manager, reason, .. } => {
                self.send_job(Input::TaskManagerLost { task_manager, reason });
            }
            Ordered::NotifySlotsLost { allocations, .. } => self.send_job(Input::SlotsLost(allocations)),
            Ordered::StartWorker { worker } | Ordered::StopWorker { worker } => panic!("{worker}: there is no driver"),
            Ordered::RefuseTaskManager { task_manager, reason } => panic!("{task_manager}: {reason}"),
        }
    }

    fn job_command(&mut self, command: Command) {
        match command {
            Command::RequestSlots { count } => {
                let tenant = TenantId::default_tenant();
                self.send_manager(resources::Input::SlotsRequested { job: JOB, tenant, count, partly: self.partly });
            }
            Command::AcceptSlot { slot, allocation } => {
                self.send_manager(resources::Input::SlotAccepted { job: JOB, slot, allocation });
            }
            Command::RejectSlot { slot, allocation } => {
                self.send_manager(resources::Input::SlotsReleased { slots: vec![(slot, allocation)] });
            }
            Command::ReleaseSlots { slots } => self.send_manager(resources::Input::SlotsReleased { slots }),
            Command::EnumerateSplits { node, enumeration, .. } => {
                self.send_job(Input::SplitsEnumerated { node, enumeration, result: Ok(vec![]) });
            }
            Command::PersistAttempts { write, .. } | Command::PersistStatus { write, .. } => {
                self.send_job(Input::MetadataWritten { write });
            }
            Command::Deploy { task_manager, task } => {
                assert!(self.alive.contains(&task_manager), "a deployment to {task_manager}, which is dead");
                let slot = self.granted[&task.allocation].clone();
                assert_eq!(slot.task_manager, task_manager);
                let operators = task.vertex.nodes.iter().map(|(_, node)| node.name.clone());
                self.deployed.entry(slot.clone()).or_default().extend(operators);
                assert_eq!(self.running.insert(task.attempt, slot), None);
            }
            // A dead TaskManager confirms nothing.
            Command::CancelTask { attempt, .. } if self.running.remove(&attempt).is_some() => {
                let (state, figures) = (ExecutionState::Canceled, TaskFigures::default());
                let report = TaskReport { attempt, state, at: self.now, failure: None, figures };
                self.send_job(Input::TaskReported(report));
            }
            _ => {}
        }
    }

    fn send_job(&mut self, input: Input) {
        self.messages.push_back(Message::Job(input));
    }

    fn send_manager(&mut self, input: resources::Input) {
        self.messages.push_back(Message::Manager(input));
    }
}
