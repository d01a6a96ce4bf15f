//! The figure of Flink's overview, with slots that are really allocated: A, B and D at parallelism 4, C and E at 2; A
//! and C are sources, E is the sink; two TaskManagers of two slots each.

use std::collections::{BTreeMap, BTreeSet};

use millrace_graph::{JobGraph, Partitioning};
use millrace_job_core::{Command, Input, JobCore};
use millrace_protocol::TaskManagerRegistration;
use millrace_resource_core as resources;
use millrace_resource_core::{ResourceCore, ResourceOptions};
use millrace_types::{ExecutionState, JobStatus, LeaderEpoch, NodeId, SlotId, TaskManagerId, TenantId, Timestamp};

use crate::graphs::{JOB, edge, guest_source, job_graph, operator, sink, spec};

fn five_operators() -> JobGraph {
    job_graph(
        vec![
            guest_source("A", 4),
            operator("B", 4, "main"),
            guest_source("C", 2),
            operator("D", 4, "main"),
            sink("E", 2),
        ],
        vec![
            edge(0, 1, Partitioning::Rebalance),
            edge(1, 3, Partitioning::Hash),
            edge(2, 3, Partitioning::Hash),
            edge(3, 4, Partitioning::Rescale),
        ],
    )
}

/// A JobMaster, a ResourceManager, and TaskManagers that offer every slot that they are asked for.
struct Cluster {
    job: JobCore,
    manager: ResourceCore,
    /// For each slot the operators that were deployed into it.
    deployed: BTreeMap<SlotId, BTreeSet<String>>,
    granted: BTreeMap<millrace_types::AllocationId, SlotId>,
    commands: Vec<Command>,
}

impl Cluster {
    fn new(task_managers: &[&str]) -> Self {
        let manager = ResourceCore::new(ResourceOptions::default(), LeaderEpoch(1), 1);
        let job = JobCore::new(spec(five_operators()), Timestamp(0));
        let mut cluster =
            Self { job, manager, deployed: BTreeMap::new(), granted: BTreeMap::new(), commands: Vec::new() };
        task_managers.iter().for_each(|name| cluster.register(name));
        cluster
    }

    fn register(&mut self, name: &str) {
        let id = TaskManagerId(name.to_owned());
        let registration = TaskManagerRegistration { id, slots: 2, data_address: None, cpu_cores: 2, memory_bytes: 0 };
        self.tell_manager(resources::Input::Registered(registration));
    }

    fn tell_manager(&mut self, input: resources::Input) {
        let mut out = Vec::new();
        self.manager.step(Timestamp(0), input, &mut out);
        for command in out {
            match command {
                resources::Command::RequestSlotFromTaskManager { request, .. } => {
                    assert!(self.granted.insert(request.allocation, request.slot.clone()).is_none());
                    self.tell_job(Input::SlotsOffered(vec![(request.slot, request.allocation)]));
                }
                resources::Command::FreeSlot { allocation, .. } => {
                    let slot = self.granted.remove(&allocation).unwrap();
                    self.tell_manager(resources::Input::SlotFreed { slot, allocation });
                }
                resources::Command::NotifyLacking { needed, free, total, .. } => {
                    self.tell_job(Input::SlotsLacking { needed, free, total });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn tell_job(&mut self, input: Input) {
        let mut out = Vec::new();
        self.job.step(Timestamp(0), input, &mut out);
        for command in out {
            self.commands.push(command.clone());
            match command {
                Command::RequestSlots { count } => {
                    let tenant = TenantId::default_tenant();
                    self.tell_manager(resources::Input::SlotsRequested { job: JOB, tenant, count });
                }
                Command::AcceptSlot { slot, allocation } => {
                    self.tell_manager(resources::Input::SlotAccepted { slot, allocation });
                }
                Command::ReleaseSlots { slots } => self.tell_manager(resources::Input::SlotsReleased { slots }),
                Command::EnumerateSplits { node: NodeId(_), .. }
                | Command::PersistStatus { .. }
                | Command::JobEnded { .. } => {}
                Command::Deploy { task_manager, task } => {
                    let slot = self.granted[&task.allocation].clone();
                    assert_eq!(slot.task_manager, task_manager);
                    let operators = task.vertex.nodes.iter().map(|(_, node)| node.name.clone());
                    self.deployed.entry(slot).or_default().extend(operators);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn start(&mut self) {
        self.tell_job(Input::Start);
        for node in [0, 2] {
            self.tell_job(Input::SplitsEnumerated { node: NodeId(node), result: Ok(vec![]) });
        }
    }
}

#[test]
fn two_task_managers_of_two_slots_run_the_five_operators() {
    let mut cluster = Cluster::new(&["one", "two"]);
    cluster.start();
    assert_eq!(cluster.job.view().status, JobStatus::Running);
    assert!(cluster.commands.contains(&Command::RequestSlots { count: 4 }));
    assert_eq!((cluster.manager.slots_total(), cluster.manager.slots_free()), (4, 0));
    assert_eq!(cluster.deployed.len(), 4, "exactly four slots are used");
    for operator in ["A", "B", "D"] {
        assert!(cluster.deployed.values().all(|operators| operators.contains(operator)), "{operator} is in each slot");
    }
    for operator in ["C", "E"] {
        let slots = cluster.deployed.values().filter(|operators| operators.contains(operator)).count();
        assert_eq!(slots, 2, "{operator} is in two slots");
    }
    let subtasks: u32 = cluster.job.view().task_counts().values().sum();
    assert_eq!(subtasks, 16);
}

#[test]
fn with_too_few_slots_the_job_waits_and_says_so() {
    let mut cluster = Cluster::new(&["one"]);
    cluster.start();
    assert_eq!(cluster.job.view().status, JobStatus::Created);
    let waiting = cluster.job.view().waiting.as_ref().unwrap();
    assert_eq!(waiting.to_string(), "needs 4 slots and has 0; 2 of the cluster's 2 are free");
    assert!(cluster.deployed.is_empty());
    cluster.register("two");
    assert_eq!(cluster.job.view().status, JobStatus::Running);
}

#[test]
fn the_slots_are_free_again_when_the_job_has_finished() {
    let mut cluster = Cluster::new(&["one", "two"]);
    cluster.start();
    let deployed: Vec<_> = cluster
        .commands
        .iter()
        .filter_map(|command| match command {
            Command::Deploy { task, .. } => Some(task.attempt),
            _ => None,
        })
        .collect();
    for attempt in deployed {
        let (state, figures) = (ExecutionState::Finished, millrace_protocol::TaskFigures::default());
        let report = millrace_protocol::TaskReport { attempt, state, at: Timestamp(0), failure: None, figures };
        cluster.tell_job(Input::TaskReported(report));
    }
    assert!(cluster.granted.is_empty());
    assert_eq!(cluster.manager.slots_free(), 4);
    cluster.tell_job(Input::MetadataWritten { write: millrace_job_core::WriteId(1) });
    assert_eq!(cluster.commands.last(), Some(&Command::JobEnded { status: JobStatus::Finished }));
}
