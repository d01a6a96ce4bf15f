//! The cluster: one queue of events, in the order of a clock that only it moves.
//!
//! Invariant: a seed decides everything. Whatever is drawn is drawn from one source of random numbers, in the order of
//! the events.

mod connections;
mod delivery;
mod end;
mod faults;
mod job_manager;
mod job_master;
mod metadata;
mod user;

use std::collections::BTreeMap;

use millrace_job_core::{Input as JobInput, StartFrom};
use millrace_metadata_core::MetadataState;
use millrace_protocol::{ToJobManager, ToTaskManager};
use millrace_resource_core::Input as ResourceInput;
use millrace_types::{AttemptId, JobId, TenantId, Timestamp};

use crate::Ran;
use crate::crashes::{Crash, Crashes};
use crate::ledger::Ledger;
use crate::oracle::Oracle;
use crate::output::Output;
use crate::plane::Plane;
use crate::rng::Rng;
use crate::scenario::{Fault, Scenario, Wish};
use crate::store::Store;
use crate::task::Env;
use crate::task_manager::TaskManager;
use crate::trace::Trace;
pub(crate) use connections::number_of;
use job_manager::JobManager;
use metadata::Proposal;

/// Events of one seed; more mean that the job does not come to its end.
const EVENTS_MAX: u64 = 400_000;

/// How long after the last fault the job may take, in milliseconds.
const CALM_MS_MAX: u64 = 20_000;

/// How often a TaskManager says that it is alive, in milliseconds.
const HEARTBEAT_MS: u64 = 30;

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Event {
    ToJobManager {
        from: u32,
        connection: u64,
        message: ToJobManager,
    },
    ToTaskManager {
        to: u32,
        connection: u64,
        message: ToTaskManager,
    },
    ForJob {
        life: u64,
        job: JobId,
        input: JobInput,
    },
    ForResources {
        life: u64,
        input: ResourceInput,
    },
    /// A deadline of the JobManager's cores.
    Wake {
        life: u64,
    },
    /// A proposal reaches the metadata store.
    Proposed(Proposal),
    /// A description has been written, or could not be.
    Described {
        life: u64,
        described: metadata::Described,
    },
    Delete(metadata::Deletion),
    /// A task does one thing.
    Step {
        task_manager: u32,
        attempt: AttemptId,
        wait_ms: u64,
    },
    Heartbeat {
        task_manager: u32,
    },
    StartTaskManager,
    /// A TaskManager notices that its connection is gone.
    Disconnected {
        task_manager: u32,
        connection: u64,
    },
    /// A TaskManager without a leader looks for one.
    SeekLeader {
        task_manager: u32,
    },
    /// The JobManager notices that a connection is gone.
    Lost {
        task_manager: u32,
        connection: u64,
    },
    StartJobManager,
    Fault(Fault),
    Wish(Wish),
}

impl Event {
    /// Whether it is a message on its way over a connection.
    fn is_on(&self, of: u64) -> bool {
        match self {
            Self::ToJobManager { connection, .. } | Self::ToTaskManager { connection, .. } => *connection == of,
            _ => false,
        }
    }
}

/// What keeps the order of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Link {
    FromTaskManager(u32),
    ToTaskManager(u32),
    ToJob(u64),
    ToResources(u64),
}

/// The job that runs, of those that run one after the other.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) number: u8,
    pub(crate) folder: String,
    pub(crate) graph: std::sync::Arc<millrace_graph::JobGraph>,
    pub(crate) start_from: Option<StartFrom>,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    rng: Rng,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    links: BTreeMap<Link, u64>,
    plane: Plane,
    store: Store,
    output: Output,
    ledger: Ledger,
    metadata: MetadataState,
    job_manager: Option<JobManager>,
    lives: u64,
    /// How many connections there have been, and over which of them nothing arrives.
    connections: u64,
    broken: std::collections::BTreeSet<u64>,
    oracle: Oracle,
    crashes: Crashes,
    task_managers: BTreeMap<u32, TaskManager>,
    task_managers_begun: u32,
    job: Job,
    requests: u128,
    /// The savepoints that drain the job, and whether one of them was complete: the job may end early behind no other.
    draining: std::collections::BTreeSet<Box<str>>,
    drained: bool,
    /// What the next job begins with, once the present one has ended.
    next: Option<StartFrom>,
    done: bool,
    trace: Trace,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}

impl World {
    pub(crate) fn new(scenario: Scenario, rng: Rng, trace: Trace) -> Self {
        let mut rng = rng;
        trace.line(|| format!("{scenario:?}"));
        let job = user::job(0, &scenario, &mut rng, None);
        let mut world = Self {
            scenario,
            rng,
            now: 1_000_000,
            sequence: 0,
            events: BTreeMap::new(),
            links: BTreeMap::new(),
            plane: Plane::default(),
            store: Store::default(),
            output: Output::default(),
            ledger: Ledger::default(),
            metadata: MetadataState::default(),
            job_manager: None,
            lives: 0,
            connections: 0,
            broken: std::collections::BTreeSet::new(),
            oracle: Oracle::default(),
            crashes: Crashes::default(),
            task_managers: BTreeMap::new(),
            task_managers_begun: 0,
            job,
            requests: 0,
            draining: std::collections::BTreeSet::new(),
            drained: false,
            next: None,
            done: false,
            trace,
        };
        let begun = world.now;
        world.scenario.calm_at += begun;
        for (after, fault) in world.scenario.faults.clone() {
            world.schedule(after, Event::Fault(fault));
        }
        for (after, wish) in world.scenario.wishes.clone() {
            world.schedule(after, Event::Wish(wish));
        }
        world.upload_bundle();
        world.submit();
        world.schedule(0, Event::StartJobManager);
        for _ in 0..world.scenario.task_managers {
            world.schedule(1, Event::StartTaskManager);
        }
        world
    }

    /// Lets the leader die at these steps; without any the steps are named.
    pub(crate) fn plan(&mut self, crashes: &[Crash]) {
        self.crashes.named = crashes.is_empty();
        self.crashes.planned = crashes.to_vec();
    }

    /// Runs until the job has ended.
    pub(crate) fn run(mut self) -> Ran {
        let mut count = 0;
        while !self.done {
            let Some(((at, _), event)) = self.events.pop_first() else { panic!("nothing happens any more") };
            self.now = at;
            count += 1;
            assert!(count < EVENTS_MAX, "after {count} events the job is {}", self.status());
            assert!(
                self.now < self.scenario.calm_at + CALM_MS_MAX,
                "{CALM_MS_MAX} ms after the last fault the job is {}",
                self.status()
            );
            self.happen(event);
        }
        Ran { events: count, takeovers: self.oracle.takeovers, steps: self.crashes.steps }
    }

    fn happen(&mut self, event: Event) {
        if !matches!(event, Event::Step { .. } | Event::Heartbeat { .. } | Event::Wake { .. }) {
            let now = self.now;
            self.trace.line(|| format!("{now} {}", shortened(&format!("{event:?}"))));
        }
        match event {
            Event::ToJobManager { from, connection, message } => self.for_job_manager(from, connection, message),
            Event::ToTaskManager { to, connection, message } => self.for_task_manager(to, connection, message),
            Event::ForJob { life, job, input } => self.for_job(life, job, input),
            Event::ForResources { life, input } => self.for_resources(life, input),
            Event::Wake { life } => self.wake(life),
            Event::Proposed(proposal) => self.proposed(&proposal),
            Event::Described { life, described } => self.described(life, described),
            Event::Delete(deletion) => self.delete(&deletion),
            Event::Step { task_manager, attempt, wait_ms } => self.step_task(task_manager, attempt, wait_ms),
            Event::Heartbeat { task_manager } => self.heartbeat(task_manager),
            Event::StartTaskManager => self.start_task_manager(),
            Event::Disconnected { task_manager, connection } => self.disconnected(task_manager, connection),
            Event::SeekLeader { task_manager } => self.seek_leader(task_manager),
            Event::Lost { task_manager, connection } => self.lost(task_manager, connection),
            Event::StartJobManager => self.start_job_manager(),
            Event::Fault(fault) => self.fault(fault),
            Event::Wish(wish) => self.wish(wish),
        }
    }

    /// A step of the leader begins. Returns whether it dies instead.
    fn crashes_at(&mut self, step: impl FnOnce() -> String) -> bool {
        let Some(crash) = self.crashes.step(step) else { return false };
        let now = self.now;
        self.trace.line(|| format!("{now} {crash:?}"));
        self.crash_job_manager(crash.lost);
        true
    }

    pub(crate) fn clock(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Whether things may still go wrong.
    fn is_faulty(&self) -> bool {
        self.now < self.scenario.calm_at
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        self.is_faulty() && self.rng.chance(per_mille)
    }

    pub(crate) fn schedule(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after_ms, self.sequence), event);
    }

    /// Sends something behind all that the link carries.
    pub(crate) fn send(&mut self, link: Link, after_ms: u64, event: Event) {
        let last = self.links.get(&link).copied().unwrap_or(0);
        let at = (self.now + after_ms).max(last);
        self.links.insert(link, at);
        self.sequence += 1;
        self.events.insert((at, self.sequence), event);
    }

    /// Has a TaskManager do something; what it says goes on its way.
    fn with_task_manager<T>(
        &mut self,
        number: u32,
        act: impl FnOnce(&mut TaskManager, &mut Env<'_>) -> T,
    ) -> Option<T> {
        let (now, faulty) = (self.clock(), self.is_faulty());
        let mut outbound = Vec::new();
        let task_manager = self.task_managers.get_mut(&number)?;
        let mut env = Env {
            now,
            faulty,
            rng: &mut self.rng,
            scenario: &self.scenario,
            plane: &mut self.plane,
            store: &mut self.store,
            output: &mut self.output,
            ledger: &mut self.ledger,
            outbound: &mut outbound,
        };
        let result = act(task_manager, &mut env);
        outbound.into_iter().for_each(|message| self.say_to_job_manager(number, message));
        Some(result)
    }

    fn status(&self) -> String {
        let master = self.job_manager.as_ref().and_then(|manager| manager.master.as_ref());
        let Some(master) = master else { return "nobody's".to_owned() };
        let view = master.core.view();
        let tasks = view.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let tasks: Vec<_> = tasks.map(|task| format!("{} {}", task.attempt, task.state)).collect();
        format!("{}, its tasks {}, its checkpoints {:?}", view.status, tasks.join(", "), view.checkpoints.counts)
    }
}

/// A line of a trace, not too long.
fn shortened(line: &str) -> String {
    const CHARS_MAX: usize = 500;
    line.chars().take(CHARS_MAX).collect()
}
