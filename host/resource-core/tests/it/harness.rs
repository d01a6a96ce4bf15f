//! A ResourceManager with a clock, and shorthand for what goes in and comes out.

use millrace_protocol::{TaskManagerHeartbeat, TaskManagerRegistration};
use millrace_resource_core::{Command, Input, ResourceCore, ResourceOptions};
use millrace_types::{AllocationId, JobId, LeaderEpoch, SlotId, TaskManagerId, TenantId, Timestamp};

pub struct Harness {
    pub core: ResourceCore,
    pub now: Timestamp,
}

pub fn job(number: u8) -> JobId {
    JobId::from_bytes([number; 16])
}

pub fn tm(name: &str) -> TaskManagerId {
    TaskManagerId(name.to_owned())
}

pub fn slot(task_manager: &str, index: u32) -> SlotId {
    SlotId { task_manager: tm(task_manager), index }
}

/// The id of the n-th grant, from 1.
pub fn grant(number: u64) -> AllocationId {
    AllocationId::from_bytes(((7u128 << 64) | u128::from(number)).to_be_bytes())
}

pub fn registration(name: &str, slots: u32) -> TaskManagerRegistration {
    TaskManagerRegistration {
        id: tm(name),
        slots,
        data_address: None,
        cpu_cores: 2,
        memory_bytes: 1 << 30,
        allocated: vec![],
    }
}

impl Harness {
    pub fn new() -> Self {
        let options = ResourceOptions { task_managers_max: 3, slots_per_task_manager_max: 8, ..Default::default() };
        Self { core: ResourceCore::new(options, LeaderEpoch(5), 7), now: Timestamp(1_000_000) }
    }

    /// A ResourceManager with these TaskManagers.
    pub fn with(task_managers: &[(&str, u32)]) -> Self {
        let mut harness = Self::new();
        for (name, slots) in task_managers {
            assert_eq!(harness.step(Input::Registered(registration(name, *slots))), []);
        }
        harness
    }

    pub fn step(&mut self, input: Input) -> Vec<Command> {
        let mut out = Vec::new();
        self.core.step(self.now, input, &mut out);
        out
    }

    pub fn request(&mut self, number: u8, count: u32) -> Vec<Command> {
        self.step(Input::SlotsRequested { job: job(number), tenant: TenantId::default_tenant(), count, partly: false })
    }

    pub fn accept(&mut self, slot: SlotId, allocation: AllocationId) {
        assert_eq!(self.step(Input::SlotAccepted { job: job(1), slot, allocation }), []);
    }

    pub fn heartbeat(&mut self, name: &str, allocated: &[(u32, u64, u8)]) -> Vec<Command> {
        let allocated =
            allocated.iter().map(|(index, number, owner)| (slot(name, *index), grant(*number), job(*owner))).collect();
        let id = tm(name);
        self.step(Input::Heartbeat(TaskManagerHeartbeat {
            id,
            memory_free_bytes: 9,
            allocated,
            figures: vec![],
            metrics: [("tasks".to_owned(), 3)].into(),
        }))
    }

    /// Moves the clock to the next deadline and lets it pass.
    pub fn deadline(&mut self) -> Vec<Command> {
        self.now = self.core.next_deadline().expect("there is a deadline");
        self.step(Input::DeadlineReached)
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
    }
}

/// The requests among commands, as (slot, number of the grant, job).
pub fn requests(commands: &[Command]) -> Vec<(SlotId, AllocationId, JobId)> {
    let request = |command: &Command| match command {
        Command::RequestSlotFromTaskManager { request, .. } => {
            Some((request.slot.clone(), request.allocation, request.job))
        }
        _ => None,
    };
    commands.iter().filter_map(request).collect()
}

pub fn free(task_manager: &str, number: u64) -> Command {
    Command::FreeSlot { task_manager: tm(task_manager), allocation: grant(number) }
}
