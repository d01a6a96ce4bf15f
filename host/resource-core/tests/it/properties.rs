//! A simulated cluster: TaskManagers and jobs that behave, messages that are late, lost or repeated, in random order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millrace_protocol::TaskManagerHeartbeat;
use millrace_resource_core::{Command, Input, ResourceCore, ResourceOptions};
use millrace_types::{AllocationId, JobId, LeaderEpoch, SlotId, TaskManagerId, TenantId, Timestamp};
use proptest::prelude::*;

use crate::harness::{job, registration, tm};

const JOBS: u8 = 3;

#[derive(Debug, Clone)]
enum Event {
    /// A job changes what it asks for.
    Request(u8, u32),
    /// A job releases all that it took and asks for nothing.
    Release(u8),
    /// A message to a TaskManager arrives, or is lost.
    Deliver(usize, bool),
    /// A message to the ResourceManager arrives.
    Receive(usize),
    /// A TaskManager sends a heartbeat.
    Heartbeat(usize),
    /// A TaskManager is replaced by a new one.
    Replace(usize),
    /// Time passes and a deadline is reached.
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (0..JOBS, 0..5u32).prop_map(|(job, count)| Event::Request(job, count)),
        1 => (0..JOBS).prop_map(Event::Release),
        6 => (0..3usize, prop::bool::weighted(0.1)).prop_map(|(to, lost)| Event::Deliver(to, lost)),
        6 => (0..3usize).prop_map(Event::Receive),
        2 => (0..3usize).prop_map(Event::Heartbeat),
        1 => (0..3usize).prop_map(Event::Replace),
        1 => (0..6_000u64).prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 0..120)
}

/// A TaskManager: the slots that it has granted, and the messages on their way to and from it, in order.
#[derive(Default)]
struct Machine {
    id: String,
    granted: BTreeMap<u32, (AllocationId, JobId)>,
    incoming: VecDeque<Command>,
    outgoing: VecDeque<Input>,
}

struct World {
    core: ResourceCore,
    now: Timestamp,
    machines: Vec<Machine>,
    lives: u32,
    /// What jobs ask for, and what they have taken.
    wanted: BTreeMap<JobId, u32>,
    taken: BTreeMap<JobId, BTreeMap<AllocationId, SlotId>>,
    allocations: BTreeSet<AllocationId>,
}

impl World {
    fn new() -> Self {
        let core = ResourceCore::new(ResourceOptions::default(), LeaderEpoch(1), 1);
        let mut world = Self {
            core,
            now: Timestamp(0),
            machines: Vec::new(),
            lives: 0,
            wanted: BTreeMap::new(),
            taken: BTreeMap::new(),
            allocations: BTreeSet::new(),
        };
        for _ in 0..3 {
            let machine = world.machine();
            world.machines.push(machine);
        }
        world
    }

    fn machine(&mut self) -> Machine {
        self.lives += 1;
        let machine = Machine { id: format!("tm{}", self.lives), ..Machine::default() };
        self.step(Input::Registered(registration(&machine.id, 2)));
        machine
    }

    fn step(&mut self, input: Input) {
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut out);
        let mut requested = BTreeSet::new();
        for command in out {
            match &command {
                Command::RequestSlotFromTaskManager { task_manager, request } => {
                    assert_eq!(*task_manager, request.slot.task_manager);
                    assert!(requested.insert(request.slot.clone()), "two grants of one slot in one step");
                    self.allocations.insert(request.allocation);
                    self.send(&task_manager.clone(), command);
                }
                Command::FreeSlot { task_manager, .. } => self.send(&task_manager.clone(), command),
                Command::NotifyTaskManagerLost { job, task_manager, .. } => {
                    self.taken.entry(*job).or_default().retain(|_, slot| slot.task_manager != *task_manager);
                }
                Command::NotifySlotsLost { job, allocations } => {
                    self.taken.entry(*job).or_default().retain(|allocation, _| !allocations.contains(allocation));
                }
                Command::NotifyLacking { needed, free, .. } => assert!(*needed > 0 && *free < *needed),
                Command::RefuseTaskManager { .. } => {}
                Command::StartWorker { worker } | Command::StopWorker { worker } => {
                    panic!("{worker}: there is no driver")
                }
            }
        }
        let held: usize = self.core.task_managers().map(|view| view.slots.iter().flatten().count()).sum();
        assert!(held as u32 + self.core.slots_free() <= self.core.slots_total());
    }

    fn send(&mut self, to: &TaskManagerId, command: Command) {
        if let Some(machine) = self.machines.iter_mut().find(|machine| machine.id == to.0) {
            machine.incoming.push_back(command);
        }
    }

    /// A TaskManager takes a message: it never grants a slot that it has granted.
    fn deliver(&mut self, to: usize, lost: bool) {
        let machine = &mut self.machines[to];
        match machine.incoming.pop_front().filter(|_| !lost) {
            Some(Command::RequestSlotFromTaskManager { request, .. }) => {
                let grant = (request.allocation, request.job);
                let present = *machine.granted.entry(request.slot.index).or_insert(grant);
                if present == grant {
                    // Stands for the offer: the job takes it when the message arrives.
                    let (slot, allocation) = (request.slot, request.allocation);
                    machine.outgoing.push_back(Input::SlotAccepted { job: request.job, slot, allocation });
                }
            }
            Some(Command::FreeSlot { allocation, .. }) => {
                let index = machine.granted.iter().find(|(_, (id, _))| *id == allocation).map(|(index, _)| *index);
                if let Some(index) = index {
                    machine.granted.remove(&index);
                    let slot = SlotId { task_manager: tm(&machine.id), index };
                    machine.outgoing.push_back(Input::SlotFreed { slot, allocation });
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, from: usize) {
        let Some(input) = self.machines[from].outgoing.pop_front() else { return };
        let Input::SlotAccepted { slot, allocation, .. } = &input else { return self.step(input) };
        let owner = self.machines[from].granted.get(&slot.index).filter(|(id, _)| id == allocation);
        let Some(owner) = owner.map(|(_, owner)| *owner) else { return };
        let taken = self.taken.entry(owner).or_default();
        let wanted = self.wanted.get(&owner).copied().unwrap_or(0) as usize;
        if taken.contains_key(allocation) || taken.len() < wanted {
            taken.insert(*allocation, slot.clone());
            self.step(input);
        } else {
            self.step(Input::SlotsReleased { slots: vec![(slot.clone(), *allocation)] });
        }
    }

    fn heartbeat(&mut self, from: usize) {
        let machine = &mut self.machines[from];
        let slot = |index| SlotId { task_manager: tm(&machine.id), index };
        let allocated = machine.granted.iter().map(|(index, (id, owner))| (slot(*index), *id, *owner)).collect();
        let id = tm(&machine.id);
        let heartbeat =
            TaskManagerHeartbeat { id, memory_free_bytes: 0, allocated, figures: Vec::new(), metrics: BTreeMap::new() };
        machine.outgoing.push_back(Input::Heartbeat(heartbeat));
    }

    fn request(&mut self, owner: JobId, count: u32) {
        self.wanted.insert(owner, count);
        // Every other job can do with fewer slots.
        let partly = owner.as_bytes()[0] % 2 == 1;
        self.step(Input::SlotsRequested { job: owner, tenant: TenantId::default_tenant(), count, partly });
    }

    fn release(&mut self, owner: JobId) {
        self.request(owner, 0);
        let slots = self.taken.remove(&owner).unwrap_or_default();
        self.step(Input::SlotsReleased { slots: slots.into_iter().map(|(id, slot)| (slot, id)).collect() });
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::Request(number, count) => self.request(job(number), count),
            Event::Release(number) => self.release(job(number)),
            Event::Deliver(to, lost) => self.deliver(to, lost),
            Event::Receive(from) => self.receive(from),
            Event::Heartbeat(from) => self.heartbeat(from),
            Event::Replace(which) => {
                let id = tm(&self.machines[which].id);
                self.machines[which] = self.machine();
                self.step(Input::TaskManagerLost { task_manager: id, reason: "replaced".into() });
            }
            Event::Wait(ms) => {
                self.now = self.now.plus_ms(ms);
                self.step(Input::DeadlineReached);
            }
        }
    }

    /// Every message arrives and every machine sends its heartbeats until nothing moves any more.
    fn settle(&mut self) {
        for which in 0..3 {
            // A machine that was silent for long counts as lost and is replaced, as its operator would do.
            if self.core.task_manager(&tm(&self.machines[which].id)).is_none() {
                self.machines[which] = self.machine();
            }
        }
        for _ in 0..40 {
            for which in 0..3 {
                self.heartbeat(which);
                while !(self.machines[which].incoming.is_empty() && self.machines[which].outgoing.is_empty()) {
                    self.deliver(which, false);
                    self.receive(which);
                }
            }
            self.now = self.now.plus_ms(1_000);
            self.step(Input::DeadlineReached);
        }
    }
}

proptest! {
    #[test]
    fn every_slot_comes_back_and_every_fitting_request_is_met(events in events()) {
        let mut world = World::new();
        events.iter().for_each(|event| world.apply(event));
        for number in 0..JOBS {
            world.release(job(number));
        }
        world.settle();
        prop_assert_eq!((world.core.slots_free(), world.core.slots_total()), (6, 6));
        prop_assert!(world.machines.iter().all(|machine| machine.granted.is_empty()));

        // All slots serve a job again.
        world.request(job(0), 6);
        world.settle();
        prop_assert_eq!(world.taken[&job(0)].len(), 6);
        prop_assert_eq!(world.core.slots_free(), 0);
        let slots: BTreeSet<_> = world.taken[&job(0)].values().collect();
        prop_assert_eq!(slots.len(), 6);
    }

    #[test]
    fn grants_are_never_shared(events in events()) {
        let mut world = World::new();
        for event in &events {
            world.apply(event);
            // What the machines have granted, each under its own id.
            let granted: Vec<_> = world.machines.iter().flat_map(|m| m.granted.values().map(|(id, _)| *id)).collect();
            let distinct: BTreeSet<_> = granted.iter().copied().collect();
            prop_assert_eq!(distinct.len(), granted.len());
            prop_assert!(distinct.is_subset(&world.allocations));
            // No two jobs that still ask for slots believe to have the same one.
            let asking = world.taken.iter().filter(|(owner, _)| world.wanted.get(owner).is_some_and(|count| *count > 0));
            let taken: Vec<_> = asking.flat_map(|(_, slots)| slots.values()).collect();
            prop_assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len());
        }
    }
}
