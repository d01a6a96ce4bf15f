//! What goes into a job's core and what comes out.

use millrace_protocol::{SplitAssignment, SplitRequest, TaskDeployment, TaskFigures, TaskReport};
use millrace_types::{AllocationId, AttemptId, Failure, JobStatus, NodeId, SlotId, TaskManagerId};

use crate::view::JobView;

/// Names a write to the metadata store, so that its completion can be told from that of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Names a listing of a source's splits: a restart lists them anew, and the answer to an earlier question is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnumerationId(pub u64);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Begin.
    Start,
    /// A TaskManager offers slots, each under the allocation that asked for it.
    SlotsOffered(Vec<(SlotId, AllocationId)>),
    /// Slots are gone while their TaskManager lives on.
    SlotsLost(Vec<AllocationId>),
    /// A TaskManager is gone.
    TaskManagerLost {
        /// Which one.
        task_manager: TaskManagerId,
        /// Why it is believed to be gone.
        reason: String,
    },
    /// The ResourceManager cannot give what the job asked for, for now.
    SlotsLacking {
        /// Slots that the job asked for.
        needed: u32,
        /// Slots that are free.
        free: u32,
        /// Slots that there are.
        total: u32,
    },
    /// The splits of a source, as asked for by [`Command::EnumerateSplits`].
    SplitsEnumerated {
        /// The source.
        node: NodeId,
        /// The question.
        enumeration: EnumerationId,
        /// Its splits, opaque to all but the source, or why they cannot be had.
        result: Result<Vec<Vec<u8>>, Failure>,
    },
    /// A task's state has changed.
    TaskReported(TaskReport),
    /// A source reader asks for work.
    SplitRequested(SplitRequest),
    /// What tasks have done so far, from a heartbeat.
    FiguresUpdated(Vec<(AttemptId, TaskFigures)>),
    /// The user cancels the job.
    CancelRequested,
    /// A deployment could not be delivered or was refused.
    DeployFailed {
        /// The task.
        attempt: AttemptId,
        /// Why.
        failure: Failure,
    },
    /// A write is durable.
    MetadataWritten {
        /// Which one.
        write: WriteId,
    },
    /// A write failed.
    MetadataWriteFailed {
        /// Which one.
        write: WriteId,
        /// Why.
        reason: String,
    },
    /// The time that [`crate::JobCore::next_deadline`] named has come.
    DeadlineReached,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// List the splits of a source; the answer is [`Input::SplitsEnumerated`].
    EnumerateSplits {
        /// The source.
        node: NodeId,
        /// The number of its readers.
        parallelism: u32,
        /// Names the question.
        enumeration: EnumerationId,
    },
    /// Tell the ResourceManager how many slots the job needs in all from now on, those that it holds included. Repeated
    /// when slots were lost. 0: none any more.
    RequestSlots {
        /// How many.
        count: u32,
    },
    /// Tell the ResourceManager that an offered slot was taken.
    AcceptSlot {
        /// The slot.
        slot: SlotId,
        /// Its grant.
        allocation: AllocationId,
    },
    /// Tell the ResourceManager that an offered slot is not needed: it has the TaskManager free it.
    RejectSlot {
        /// The slot.
        slot: SlotId,
        /// Its grant.
        allocation: AllocationId,
    },
    /// Tell the ResourceManager that the job needs slots no longer: it has their TaskManagers free them.
    ReleaseSlots {
        /// The slots with their grants.
        slots: Vec<(SlotId, AllocationId)>,
    },
    /// Run a task. A failure to deliver is [`Input::DeployFailed`].
    Deploy {
        /// Where.
        task_manager: TaskManagerId,
        /// The task.
        task: Box<TaskDeployment>,
    },
    /// Stop a task. May be repeated until the task has reported its end.
    CancelTask {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
    },
    /// Give a source reader work.
    AssignSplits {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The work.
        assignment: SplitAssignment,
    },
    /// Store that attempt numbers up to this one are given out; the answer is [`Input::MetadataWritten`] or
    /// [`Input::MetadataWriteFailed`]. No task is deployed under a number before that.
    PersistAttempt {
        /// Names the write.
        write: WriteId,
        /// The highest number.
        attempt: u32,
    },
    /// Store that the job has ended; the answer is [`Input::MetadataWritten`] or [`Input::MetadataWriteFailed`].
    PersistStatus {
        /// Names the write.
        write: WriteId,
        /// The terminal status.
        status: JobStatus,
        /// The job as it is to be remembered.
        view: Box<JobView>,
    },
    /// The job has ended and its end is durable. The last command.
    JobEnded {
        /// The terminal status.
        status: JobStatus,
    },
}
