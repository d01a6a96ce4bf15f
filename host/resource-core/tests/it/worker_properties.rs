//! A simulated driver: workers that start late or not at all, die, freeze and come back, while jobs come and go.

use std::collections::{BTreeMap, BTreeSet};

use millrace_protocol::TaskManagerHeartbeat;
use millrace_resource_core::{Command, Input, ResourceCore, ResourceOptions, WorkerId, WorkerOptions};
use millrace_types::{AllocationId, JobId, LeaderEpoch, SlotId, TenantId, Timestamp};
use proptest::prelude::*;

use crate::harness::{job, registration, tm};

const JOBS: u8 = 3;

const WORKERS: WorkerOptions = WorkerOptions {
    slots_per_worker: 2,
    slots_max: 8,
    idle_timeout_ms: 5_000,
    registration_timeout_ms: 20_000,
    failures_per_minute_max: 3,
    ..WorkerOptions::DEFAULT
};

/// How long everything is given to settle: longer than any pause and timeout above.
const SETTLE_MS: u64 = 60_000;

#[derive(Debug, Clone)]
enum Event {
    /// A job changes what it asks for, and gives back what is too much.
    Request(u8, u32),
    /// The driver does what was ordered first, or fails.
    Drive(bool),
    /// The driver tells what there is.
    List,
    /// A process registers its TaskManager, under a new id each time.
    Register(usize),
    /// A process dies.
    Die(usize),
    /// A process is not heard of any more, though it is there.
    Freeze(usize),
    /// Another leader takes over.
    NewLeader,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..JOBS, 0..6u32).prop_map(|(job, count)| Event::Request(job, count)),
        5 => prop::bool::weighted(0.8).prop_map(Event::Drive),
        3 => Just(Event::List),
        5 => (0..6usize).prop_map(Event::Register),
        1 => (0..6usize).prop_map(Event::Die),
        1 => (0..6usize).prop_map(Event::Freeze),
        1 => Just(Event::NewLeader),
        3 => (0..8_000u64).prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 0..80)
}

/// A worker's process.
#[derive(Default)]
struct Process {
    /// The id under which its TaskManager is registered.
    registered: Option<String>,
    frozen: bool,
    told_to_stop: bool,
}

struct World {
    core: ResourceCore,
    now: Timestamp,
    epoch: u64,
    lives: u32,
    orders: Vec<Command>,
    processes: BTreeMap<WorkerId, Process>,
    names: BTreeSet<WorkerId>,
    wanted: BTreeMap<JobId, u32>,
    taken: BTreeMap<JobId, BTreeMap<AllocationId, SlotId>>,
}

fn core(epoch: u64) -> ResourceCore {
    let options = ResourceOptions { workers: Some(WORKERS), ..ResourceOptions::default() };
    ResourceCore::new(options, LeaderEpoch(epoch), epoch)
}

impl World {
    fn new() -> Self {
        Self {
            core: core(1),
            now: Timestamp(1_000_000),
            epoch: 1,
            lives: 0,
            orders: Vec::new(),
            processes: BTreeMap::new(),
            names: BTreeSet::new(),
            wanted: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// Steps the core; jobs and TaskManagers do at once what they are told.
    fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = Vec::new();
            self.core.step(self.now, input, &mut out);
            for command in out {
                inputs.extend(self.execute(command));
            }
        }
    }

    fn execute(&mut self, command: Command) -> Option<Input> {
        match command {
            Command::StartWorker { ref worker } => {
                assert!(self.names.insert(worker.clone()), "{worker} was started before");
                let running = self.processes.values().filter(|process| process.registered.is_some()).count() as u32;
                assert!(running * 2 < WORKERS.slots_max, "{running} workers are enough");
                self.orders.push(command);
                None
            }
            Command::StopWorker { ref worker } => {
                if let Some(process) = self.processes.get_mut(worker) {
                    process.told_to_stop = true;
                    let slots = self.taken.values().flat_map(BTreeMap::values);
                    let used = slots.filter(|slot| Some(&slot.task_manager.0) == process.registered.as_ref()).count();
                    assert!(used == 0 || process.frozen, "{worker} is stopped with slots of jobs");
                    process.registered = None;
                }
                self.orders.push(command);
                None
            }
            Command::RequestSlotFromTaskManager { task_manager, request } => {
                let there = |process: &Process| {
                    process.registered.as_ref() == Some(&task_manager.0) && !process.frozen && !process.told_to_stop
                };
                let (job, slot, allocation) = (request.job, request.slot, request.allocation);
                if !self.processes.values().any(there) {
                    return Some(Input::SlotRequestFailed { slot, allocation });
                }
                self.taken.entry(job).or_default().insert(allocation, slot.clone());
                Some(Input::SlotAccepted { job, slot, allocation })
            }
            Command::NotifyTaskManagerLost { job, task_manager, .. } => {
                self.taken.entry(job).or_default().retain(|_, slot| slot.task_manager != task_manager);
                None
            }
            Command::NotifySlotsLost { job, allocations } => {
                self.taken.entry(job).or_default().retain(|allocation, _| !allocations.contains(allocation));
                None
            }
            Command::FreeSlot { task_manager, allocation } => {
                let slots = self.taken.values_mut();
                let freed = slots.filter_map(|slots| slots.remove(&allocation)).next();
                freed.filter(|slot| slot.task_manager == task_manager).map(|slot| Input::SlotFreed { slot, allocation })
            }
            Command::NotifyLacking { .. } | Command::RefuseTaskManager { .. } => None,
        }
    }

    fn worker(&self, which: usize) -> Option<WorkerId> {
        self.processes.keys().nth(which).cloned()
    }

    fn request(&mut self, owner: JobId, count: u32) {
        self.wanted.insert(owner, count);
        let partly = owner.as_bytes()[0] % 2 == 1;
        self.step(Input::SlotsRequested { job: owner, tenant: TenantId::default_tenant(), count, partly });
        let has = self.taken.entry(owner).or_default();
        let extra = has.len().saturating_sub(count as usize);
        let slots: Vec<_> = has.iter().take(extra).map(|(id, slot)| (slot.clone(), *id)).collect();
        self.step(Input::SlotsReleased { slots });
    }

    fn drive(&mut self, succeeds: bool) {
        if self.orders.is_empty() {
            return;
        }
        match self.orders.remove(0) {
            Command::StartWorker { worker } if succeeds => {
                self.processes.insert(worker.clone(), Process::default());
                self.step(Input::WorkerStarted { worker });
            }
            Command::StartWorker { worker } => self.step(Input::WorkerNotStarted { worker }),
            Command::StopWorker { worker } if succeeds => {
                self.processes.remove(&worker);
            }
            _ => {}
        }
    }

    fn list(&mut self) {
        let workers = self.processes.keys().cloned().collect();
        self.step(Input::WorkersListed { workers });
    }

    fn register(&mut self, which: usize) {
        let Some(worker) = self.worker(which) else { return };
        let Some(process) = self.processes.get_mut(&worker) else { return };
        if process.registered.is_some() || process.frozen || process.told_to_stop {
            return;
        }
        self.lives += 1;
        let id = format!("{worker}-{:08x}", self.lives);
        process.registered = Some(id.clone());
        self.step(Input::Registered(registration(&id, 2)));
    }

    fn lose(&mut self, id: Option<String>) {
        if let Some(id) = id {
            self.step(Input::TaskManagerLost { task_manager: tm(&id), reason: "gone".into() });
        }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Request(number, count) => self.request(job(number), count),
            Event::Drive(succeeds) => self.drive(succeeds),
            Event::List => self.list(),
            Event::Register(which) => self.register(which),
            Event::Die(which) => {
                if let Some(worker) = self.worker(which) {
                    let process = self.processes.remove(&worker);
                    self.lose(process.and_then(|process| process.registered));
                }
            }
            Event::Freeze(which) => {
                if let Some(process) = self.worker(which).and_then(|worker| self.processes.get_mut(&worker)) {
                    process.frozen = true;
                    let id = process.registered.take();
                    self.lose(id);
                }
            }
            Event::NewLeader => {
                self.epoch += 1;
                self.core = core(self.epoch);
                self.orders.clear();
                self.taken.clear();
                self.processes.values_mut().for_each(|process| process.registered = None);
                for (owner, count) in self.wanted.clone() {
                    self.request(owner, count);
                }
            }
            Event::Wait(ms) => self.wait(ms),
        }
    }

    /// Lets time pass; TaskManagers that are well say so.
    fn wait(&mut self, ms: u64) {
        let until = self.now.plus_ms(ms);
        while self.now < until {
            let next = self.core.next_deadline().unwrap_or(until);
            assert!(next > self.now, "a deadline that does nothing");
            self.now = next.min(until).min(self.now.plus_ms(1_000));
            self.heartbeats();
            if self.core.next_deadline().is_some_and(|deadline| deadline <= self.now) {
                self.step(Input::DeadlineReached);
            }
        }
    }

    fn heartbeats(&mut self) {
        let well = self.processes.values().filter(|process| !process.frozen);
        let ids: Vec<String> = well.filter_map(|process| process.registered.clone()).collect();
        for id in ids {
            let slots = self.taken.iter().flat_map(|(owner, slots)| slots.iter().map(move |slot| (*owner, slot)));
            let on_it = slots.filter(|(_, (_, slot))| slot.task_manager.0 == id);
            let allocated = on_it.map(|(owner, (allocation, slot))| (slot.clone(), *allocation, owner)).collect();
            self.step(Input::Heartbeat(TaskManagerHeartbeat {
                id: tm(&id),
                memory_free_bytes: 0,
                allocated,
                figures: Vec::new(),
                metrics: BTreeMap::new(),
            }));
        }
    }

    /// From now on the driver and all processes work.
    fn settle(&mut self) {
        let until = self.now.plus_ms(SETTLE_MS);
        while self.now < until {
            while !self.orders.is_empty() {
                self.drive(true);
            }
            self.list();
            for which in 0..self.processes.len() {
                self.register(which);
            }
            self.wait(500);
        }
    }

    fn registered(&self) -> usize {
        self.processes.values().filter(|process| process.registered.is_some()).count()
    }
}

proptest! {
    #[test]
    fn jobs_get_what_fits_and_nothing_is_left_running_for_nobody(events in events()) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        // One job asks for all there may be, the others for nothing.
        for number in 0..JOBS {
            world.request(job(number), 0);
        }
        world.request(job(0), WORKERS.slots_max);
        world.settle();
        prop_assert_eq!(world.taken[&job(0)].len(), WORKERS.slots_max as usize);
        prop_assert_eq!(world.registered(), 4);

        world.request(job(0), 1);
        world.settle();
        prop_assert_eq!(world.taken[&job(0)].len(), 1);
        prop_assert_eq!(world.registered(), 1, "one serves the job, the others were idle");

        world.request(job(0), 0);
        world.settle();
        prop_assert!(world.processes.is_empty(), "nobody needs any");
        prop_assert_eq!(world.core.slots_total(), 0);
    }
}
