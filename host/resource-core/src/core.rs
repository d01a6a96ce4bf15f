//! The state of the ResourceManager, and where each input goes.
//!
//! Invariants, which hold between steps and which the property tests check from outside:
//! - A slot is under at most one grant, and a grant's id is never used twice.
//! - A slot is given to another job only after its TaskManager has freed it, or is known not to have it granted.

use std::collections::BTreeMap;

use millrace_types::{AllocationId, JobId, LeaderEpoch, SlotId, TaskManagerId, TenantId, Timestamp};

use crate::dropped::{DropReason, Dropped};
use crate::event::{Command, Input};
use crate::options::ResourceOptions;
use crate::registry::{Registry, TaskManagerView};
use crate::slot::{Grant, SlotState};
use crate::workers::Workers;

/// What a job asks for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub tenant: TenantId,
    pub count: u32,
    /// Whether fewer are of use too.
    pub partly: bool,
    /// When it first asked, among all requests.
    pub sequence: u64,
    /// The (needed, free, total) slots that it was last told of.
    pub told_lacking: Option<(u32, u32, u32)>,
}

/// The slots of all TaskManagers, and who gets them.
#[derive(Debug)]
pub struct ResourceCore {
    pub(crate) options: ResourceOptions,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) registry: Registry,
    /// One request per job; the Dispatcher bounds the number of jobs.
    pub(crate) requests: BTreeMap<JobId, Request>,
    /// Native mode's.
    pub(crate) workers: Option<Workers>,
    pub(crate) dropped: Dropped,
    pub(crate) now: Timestamp,
    pub(crate) sequence: u64,
    /// Whether anything changed that placement depends on: most heartbeats change nothing.
    pub(crate) unplaced_changes: bool,
    allocation_seed: u64,
    allocations: u64,
}

impl ResourceCore {
    /// A ResourceManager that knows no TaskManager. The ids of its grants are the seed followed by a counter, so the
    /// seed must be a fresh one in every life of the process.
    pub fn new(options: ResourceOptions, epoch: LeaderEpoch, allocation_seed: u64) -> Self {
        Self {
            options,
            epoch,
            registry: Registry::default(),
            requests: BTreeMap::new(),
            workers: options.workers.map(|workers| Workers::new(workers, epoch)),
            dropped: Dropped::default(),
            now: Timestamp::default(),
            sequence: 0,
            unplaced_changes: false,
            allocation_seed,
            allocations: 0,
        }
    }

    /// Takes one input and appends what is to be done about it. A clock that goes backwards is taken to stand still.
    pub fn step(&mut self, now: Timestamp, input: Input, out: &mut Vec<Command>) {
        self.now = self.now.max(now);
        match input {
            Input::Registered(registration) => self.registered(registration, out),
            Input::Heartbeat(heartbeat) => self.heartbeat(&heartbeat, out),
            Input::TaskManagerLost { task_manager, reason } => self.task_manager_lost(&task_manager, &reason, out),
            Input::SlotsRequested { job, tenant, count, partly } => {
                self.slots_requested(job, tenant, count, partly, out);
            }
            Input::JobGone { job } => self.job_gone(job, out),
            Input::SlotAccepted { job, slot, allocation } => self.slot_accepted(job, &slot, allocation, out),
            Input::SlotsReleased { slots } => self.slots_released(&slots, out),
            Input::SlotFreed { slot, allocation } => self.slot_freed(&slot, allocation, out),
            Input::SlotRequestFailed { slot, allocation } => self.slot_request_failed(&slot, allocation, out),
            Input::WorkersListed { workers } => self.driver_said(|known, now| known.listed(&workers, now)),
            Input::WorkerStarted { worker } => self.driver_said(|known, _| known.is_started(&worker)),
            Input::WorkerNotStarted { worker } => self.driver_said(|known, now| known.is_not_started(&worker, now)),
            Input::DeadlineReached => self.deadline_reached(out),
        }
        if std::mem::take(&mut self.unplaced_changes) {
            self.place(out);
            self.provision(out);
        }
    }

    /// When [`Input::DeadlineReached`] is due, if no other input comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let silent = self.registry.known.values().map(|known| known.last_heartbeat);
        let silent = silent.map(|heard| heard.plus_ms(self.options.heartbeat_timeout_ms));
        let slots = self.registry.slots().filter_map(|(_, state)| state.deadline());
        let workers = self.workers.as_ref().and_then(|workers| workers.wake_at);
        silent.chain(slots).chain(workers).min()
    }

    /// The TaskManagers, by id.
    pub fn task_managers(&self) -> impl Iterator<Item = TaskManagerView> {
        self.registry.known.values().map(crate::registry::TaskManager::view)
    }

    /// A TaskManager.
    pub fn task_manager(&self, id: &TaskManagerId) -> Option<TaskManagerView> {
        self.registry.known.get(id).map(crate::registry::TaskManager::view)
    }

    /// The slots that there are.
    pub fn slots_total(&self) -> u32 {
        self.registry.total()
    }

    /// The slots that nobody has.
    pub fn slots_free(&self) -> u32 {
        self.registry.free()
    }

    /// The messages that were dropped.
    pub fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    fn deadline_reached(&mut self, out: &mut Vec<Command>) {
        self.drop_silent_task_managers(out);
        let now = self.now;
        self.unplaced_changes |=
            self.workers.as_ref().and_then(|workers| workers.wake_at).is_some_and(|wake_at| wake_at <= now);
        let due = |state: &SlotState| state.deadline().is_some_and(|deadline| deadline <= self.now);
        let due: Vec<SlotId> = self.registry.slots().filter(|(_, state)| due(state)).map(|(slot, _)| slot).collect();
        for slot in due {
            self.retry(&slot, out);
        }
    }

    pub(crate) fn fresh_allocation(&mut self) -> AllocationId {
        self.allocations += 1;
        let id = (u128::from(self.allocation_seed) << 64) | u128::from(self.allocations);
        AllocationId::from_bytes(id.to_be_bytes())
    }

    /// Puts a slot that exists into a state.
    pub(crate) fn set(&mut self, slot: &SlotId, state: SlotState) {
        if let Some(present) = self.registry.slot_mut(slot) {
            *present = state;
            self.unplaced_changes = true;
        }
    }

    /// Tells a job that a grant is gone, unless it has told that it needs nothing any more.
    pub(crate) fn notify_lost(&self, grant: Grant, out: &mut Vec<Command>) {
        if self.requests.contains_key(&grant.job) {
            out.push(Command::NotifySlotsLost { job: grant.job, allocations: vec![grant.allocation] });
        }
    }

    pub(crate) fn drop_message(&mut self, reason: DropReason) {
        self.dropped.count(reason);
    }
}
