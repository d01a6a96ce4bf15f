//! What goes into the ResourceManager's core and what comes out.

use std::collections::BTreeSet;

use millrace_protocol::{SlotRequest, TaskManagerHeartbeat, TaskManagerRegistration};
use millrace_types::{AllocationId, JobId, SlotId, TaskManagerId, TenantId};

use crate::workers::WorkerId;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A TaskManager made itself known.
    Registered(TaskManagerRegistration),
    /// A TaskManager is alive.
    Heartbeat(TaskManagerHeartbeat),
    /// A TaskManager's connection was closed, or its process has ended.
    TaskManagerLost {
        /// Which one.
        task_manager: TaskManagerId,
        /// Why it is believed to be gone.
        reason: String,
    },
    /// A job says how many slots it needs in all from now on. 0: none any more; what it holds stays its own until it is
    /// released.
    SlotsRequested {
        /// The job.
        job: JobId,
        /// Its owner.
        tenant: TenantId,
        /// How many.
        count: u32,
        /// Whether fewer are of use to it too: it then gets those that are free, and the others when they are.
        partly: bool,
    },
    /// A job has ended, or its JobMaster has: nothing will release its slots any more.
    JobGone {
        /// The job.
        job: JobId,
    },
    /// A job has taken a slot that was offered to it.
    SlotAccepted {
        /// The job. If the grant is not in force it learns that the slot is lost: a TaskManager that counts as lost may
        /// have offered it, and nobody would tell otherwise.
        job: JobId,
        /// The slot.
        slot: SlotId,
        /// Its grant.
        allocation: AllocationId,
    },
    /// A job needs slots no longer, or does not want those that were offered.
    SlotsReleased {
        /// The slots with their grants.
        slots: Vec<(SlotId, AllocationId)>,
    },
    /// A TaskManager has freed a slot.
    SlotFreed {
        /// The slot.
        slot: SlotId,
        /// The grant that it was under.
        allocation: AllocationId,
    },
    /// A [`Command::RequestSlotFromTaskManager`] could not be delivered or was refused.
    SlotRequestFailed {
        /// The slot.
        slot: SlotId,
        /// The grant.
        allocation: AllocationId,
    },
    /// The driver says which workers there are, those of earlier leaders among them. Every change is to be told.
    WorkersListed {
        /// All of them.
        workers: BTreeSet<WorkerId>,
    },
    /// The driver has started a worker.
    WorkerStarted {
        /// Which one.
        worker: WorkerId,
    },
    /// The driver could not start a worker.
    WorkerNotStarted {
        /// Which one.
        worker: WorkerId,
    },
    /// The time that [`crate::ResourceCore::next_deadline`] named has come.
    DeadlineReached,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask a TaskManager to offer a slot to a job. May be repeated.
    RequestSlotFromTaskManager {
        /// Which one.
        task_manager: TaskManagerId,
        /// The slot, the grant and the job.
        request: SlotRequest,
    },
    /// Have a TaskManager free a slot. May be repeated, and may name a grant that the TaskManager does not have.
    FreeSlot {
        /// Which one.
        task_manager: TaskManagerId,
        /// The grant.
        allocation: AllocationId,
    },
    /// Tell a job that a TaskManager is gone in which it had slots.
    NotifyTaskManagerLost {
        /// The job.
        job: JobId,
        /// The TaskManager.
        task_manager: TaskManagerId,
        /// Why it is believed to be gone.
        reason: String,
    },
    /// Tell a job that slots are gone that it may have taken.
    NotifySlotsLost {
        /// The job.
        job: JobId,
        /// The grants.
        allocations: Vec<AllocationId>,
    },
    /// Tell a job that its request cannot be met for now. Repeated when the numbers change.
    NotifyLacking {
        /// The job.
        job: JobId,
        /// Slots that it asked for.
        needed: u32,
        /// Slots that are free.
        free: u32,
        /// Slots that there are.
        total: u32,
    },
    /// Have the driver start a worker: a TaskManager whose ids begin with the worker's and a '-'.
    StartWorker {
        /// Its name, which was never used before.
        worker: WorkerId,
    },
    /// Have the driver stop a worker. May be repeated, and may name one that has ended.
    StopWorker {
        /// Which one.
        worker: WorkerId,
    },
    /// Tell a TaskManager that it is not known and why.
    RefuseTaskManager {
        /// Which one.
        task_manager: TaskManagerId,
        /// Why, and what to do.
        reason: String,
    },
}
