//! What goes into a job's core and what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_protocol::{
    CheckpointAck, CheckpointDecline, ComponentRef, DeclaredStates, Presence, SplitAssignment, SplitRequest,
    TaskDeployment, TaskFigures, TaskReport, TaskUpgrade, UpgradeAnswer, UpgradeId, WatermarkLimit,
};
use millrace_types::{
    AllocationId, AttemptId, Barrier, CheckpointId, Digest, Failure, JobStatus, NodeId, SlotId, Takeover, TaskManagerId,
};

use crate::checkpoints::CompletedCheckpoint;
use crate::requirements::ParallelismBounds;
use crate::view::JobView;

/// Names a write to the metadata store, so that its completion can be told from that of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Names a listing of a source's splits: a restart lists them anew, and the answer to an earlier question is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnumerationId(pub u64);

/// Names a request for a checkpoint or savepoint; whoever asks chooses it, and it is unique within the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

/// How a job is stopped behind a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopMode {
    /// Whether the sources end as if their input had, so that windows close and everything is written: the job is not to
    /// be resumed from this savepoint.
    pub drain: bool,
}

/// What came of a request for a checkpoint or savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotLocation {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Where it is, as [`Input::CheckpointStored`] named it.
    pub location: Box<str>,
}

/// Other code for a job, as it was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCode {
    /// The graph, as [`crate::JobSpec::graph`].
    pub graph: Arc<JobGraph>,
    /// The components of the bundle, by their names in the manifest.
    pub components: BTreeMap<String, ComponentRef>,
    /// The digest of the StreamGraph.
    pub graph_digest: Digest,
    /// The arguments of the builder.
    pub args: Vec<String>,
    /// The parallelism of operators that name none.
    pub default_parallelism: u32,
    /// The states that its operators use.
    pub states: DeclaredStates,
}

/// How an upgrade ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeEnd {
    /// The job runs the new code, behind this checkpoint.
    Upgraded {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// The job's state fits the new code, and nothing has changed: it was only asked.
    Fits,
}

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
    /// A subtask's part of a checkpoint is durable.
    CheckpointAcknowledged(Box<CheckpointAck>),
    /// A subtask cannot take part in a checkpoint.
    CheckpointDeclined(CheckpointDecline),
    /// A task has processed all its input, and ends with the next checkpoint that it takes part in.
    AwaitingCheckpoint {
        /// The task.
        attempt: AttemptId,
    },
    /// How far the watermark of a source that waits for others is.
    WatermarkReached {
        /// The source's task.
        attempt: AttemptId,
        /// The node that generates it.
        node: NodeId,
        /// The watermark, in milliseconds since 1970.
        watermark: i64,
    },
    /// The user asks for a savepoint; the answer is [`Command::SavepointEnded`].
    SavepointRequested {
        /// The request.
        request: RequestId,
        /// The folder that it is written into, an absolute path or `s3://bucket/prefix` of at most
        /// [`millrace_types::SAVEPOINT_FOLDER_BYTES_MAX`] that nothing else uses.
        folder: Box<str>,
        /// Whether and how the job is stopped behind it.
        stop: Option<StopMode>,
    },
    /// The user asks for a checkpoint now; the answer is [`Command::SavepointEnded`].
    CheckpointRequested {
        /// The request.
        request: RequestId,
    },
    /// The user wants the job to run other code; the answer is [`Command::UpgradeEnded`].
    UpgradeRequested {
        /// The request.
        request: RequestId,
        /// The code.
        code: Box<JobCode>,
        /// Whether it is to be run, by a graph of the same shape; else it is only asked whether the state fits it.
        in_place: bool,
        /// If it is only asked: whether state of operators that the code does not have may be left behind.
        allow_non_restored_state: bool,
    },
    /// The user wants another parallelism of a job of the adaptive scheduler, and it is recorded.
    RequirementsChanged {
        /// For each vertex, in the order of the graph; as [`crate::check_requirements`] gives them.
        bounds: Vec<ParallelismBounds>,
    },
    /// What a task says to [`Command::PrepareUpgrade`].
    UpgradeAnswered(UpgradeAnswer),
    /// What came of [`Command::StoreCheckpoint`].
    CheckpointStored {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The folder with its `_metadata`, an absolute path or `s3://bucket/prefix`, which is durable; or why it is not.
        result: Result<Box<str>, String>,
    },
    /// What came of [`Command::ReadPointer`].
    PointerRead {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Whether the metadata store has its pointer, by a linearizable read; or why that is not known.
        result: Result<bool, String>,
    },
    /// A TaskManager has tasks of the job that an earlier leader deployed.
    Present(Box<Presence>),
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
    /// Store under which attempt numbers each vertex's tasks run from now on; the answer is [`Input::MetadataWritten`] or
    /// [`Input::MetadataWriteFailed`]. No task is deployed under a number before that.
    PersistAttempts {
        /// Names the write.
        write: WriteId,
        /// The numbers, by vertex.
        attempts: Vec<u32>,
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
    /// Have a task begin a checkpoint: it has no inputs, or they have all ended.
    TriggerCheckpoint {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
        /// What to send on.
        barrier: Barrier,
    },
    /// Tell a task that a checkpoint is complete: it commits what it prepared for it or an earlier one.
    NotifyCheckpointCompleted {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Tell a task that a checkpoint will not be complete.
    NotifyCheckpointAborted {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Write a checkpoint's `_metadata`, durably: into `chk-N` of the job's folder, or into the checkpoint's own folder.
    /// The answer is [`Input::CheckpointStored`].
    StoreCheckpoint {
        /// The checkpoint.
        checkpoint: Arc<CompletedCheckpoint>,
    },
    /// Store in the metadata store that a checkpoint is complete; the answer is [`Input::MetadataWritten`], or
    /// [`Input::MetadataWriteFailed`]: then the outcome is unknown, and [`Command::ReadPointer`] follows. A write with a
    /// lower checkpoint than the one stored is to be refused.
    PersistCheckpoint {
        /// Names the write.
        write: WriteId,
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Where it is.
        location: Box<str>,
        /// The checkpoints that the job has from then on, this one included and last. The store forgets others.
        retained: Vec<CheckpointId>,
        /// The upgrade whose code is to be the job's from this checkpoint on, by the same decision.
        upgrade: Option<RequestId>,
    },
    /// Find out whether the metadata store has a checkpoint's pointer; the answer is [`Input::PointerRead`].
    ReadPointer {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// Store that checkpoint ids up to this one may be used; the answer is [`Input::MetadataWritten`] or
    /// [`Input::MetadataWriteFailed`]. No checkpoint is triggered under an id before that.
    ReserveCheckpointIds {
        /// Names the write.
        write: WriteId,
        /// The highest id.
        upto: u64,
    },
    /// Delete files of the job's checkpoint folder. One that is missing is deleted; one that cannot be deleted is left.
    DeleteFiles {
        /// Their paths within the folder.
        paths: Vec<Box<str>>,
    },
    /// Delete what a checkpoint has for itself: the folder with its `_metadata`. The metadata store does not refer to it.
    DeleteCheckpoint {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Where it is.
        location: Box<str>,
    },
    /// Delete the job's checkpoint folder and all that is in it, and the pointers to it: the job has ended and needs none
    /// of it.
    DeleteAllCheckpoints,
    /// Answer a request for a checkpoint or savepoint. One that stops the job is answered when the job has finished.
    SavepointEnded {
        /// The request.
        request: RequestId,
        /// Where it is, or why there is none.
        result: Result<SnapshotLocation, Failure>,
    },
    /// Have a task make ready to run other code; the answer is [`Input::UpgradeAnswered`].
    PrepareUpgrade {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
        /// The code.
        upgrade: Box<TaskUpgrade>,
    },
    /// Tell a task that code which it made ready for will not be run.
    ForgetUpgrade {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
        /// Which upgrade.
        upgrade: UpgradeId,
    },
    /// Answer a request for an upgrade.
    UpgradeEnded {
        /// The request.
        request: RequestId,
        /// What came of it. On failure the text says whether the job runs on as it was, or goes back to a checkpoint.
        result: Result<UpgradeEnd, Failure>,
    },
    /// Have a source end as if it were read to its end. A [`Command::TriggerCheckpoint`] that follows is to be taken behind
    /// that end.
    DrainSource {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The source's task.
        attempt: AttemptId,
    },
    /// Tell a source how far it may be ahead of others.
    LimitWatermark {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The source's task.
        attempt: AttemptId,
        /// How far.
        limit: WatermarkLimit,
    },
    /// Tell a task that it goes on under this leader: [`millrace_protocol::ToTaskManager::Adopt`].
    AdoptTask {
        /// Where it runs.
        task_manager: TaskManagerId,
        /// The task.
        attempt: AttemptId,
        /// The newest checkpoint that is complete.
        completed: Option<CheckpointId>,
        /// The highest id that an earlier leader may have given to a checkpoint.
        over: CheckpointId,
    },
    /// Store how the job was taken over. It is for people: nothing waits for it.
    RecordTakeover {
        /// How.
        takeover: Takeover,
    },
    /// The job has ended and its end is durable. The last command.
    JobEnded {
        /// The terminal status.
        status: JobStatus,
    },
}
