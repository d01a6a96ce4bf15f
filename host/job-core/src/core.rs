//! The state of one job, and where each input goes.
//!
//! Invariants, which hold between steps and which the property tests check from outside:
//! - A subtask has at most one attempt that is not terminal; terminal states of attempts and jobs are final.
//! - Attempt numbers only grow, and none is used before it is recorded.
//! - Before [`Command::JobEnded`] every deployed task is terminal and every slot is released.
//! - A terminal status is shown only once it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_graph::SlotSharing;
use millrace_types::{AllocationId, Failure, JobStatus, NodeId, SlotId, Timestamp, VertexId};

use crate::adopting::Adoption;
use crate::alignment::WatermarkGroups;
use crate::attempts::AttemptRecord;
use crate::checkpoints::{CheckpointsView, Coordinator, fit_graph};
use crate::dropped::{DropReason, Dropped};
use crate::event::{Command, EnumerationId, Input, WriteId};
use crate::exceptions::ExceptionHistory;
use crate::regions::Regions;
use crate::restart::RestartPolicy;
use crate::scaling::Scaling;
use crate::slot_pool::SlotPool;
use crate::spec::JobSpec;
use crate::split_assigner::SplitAssigner;
use crate::vertex_view::{SubtaskView, VertexView};
use crate::view::JobView;

/// What the job is about. Its status follows from it, but not the other way round: a job whose end is being written
/// still shows the status before.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Not yet told to start.
    Initializing,
    /// Tasks that an earlier leader deployed are being taken over.
    Adopting(Adoption),
    /// Its pending regions wait for slots, splits and the record of their attempt; the others run.
    Waiting,
    /// Its tasks are deployed.
    Running,
    /// The tasks of its pending regions are being cancelled, then the delay before their restart passes; the others run.
    Restarting {
        /// How long the tasks may take to stop.
        patience: Patience,
        /// When the delay is over.
        restart_at: Timestamp,
    },
    /// Its tasks are being cancelled.
    Stopping(Patience),
    /// Its end is being written.
    Persisting {
        /// The job as it is to be remembered.
        view: Box<JobView>,
        /// The write under way, or when the next one begins.
        write: Result<WriteId, Timestamp>,
    },
    /// Nothing more happens.
    Ended,
}

/// How long tasks may take to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// When those that have not stopped are told again.
    pub retry_at: Timestamp,
    /// When their slots are taken away.
    pub give_up_at: Timestamp,
}

/// The splits of a source.
#[derive(Debug)]
pub(crate) enum Splits {
    /// They were asked for; `None`: not yet.
    Listing(Option<EnumerationId>),
    /// They are handed out.
    Listed(SplitAssigner),
}

/// One job. The shell that runs it feeds it inputs and carries out its commands, in order.
#[derive(Debug)]
pub struct JobCore {
    pub(crate) spec: JobSpec,
    pub(crate) sharing: SlotSharing,
    pub(crate) regions: Regions,
    pub(crate) vertex_positions: BTreeMap<VertexId, usize>,
    pub(crate) view: JobView,
    pub(crate) phase: Phase,
    /// The regions that are to be deployed next.
    pub(crate) pending: BTreeSet<usize>,
    pub(crate) restarts: RestartPolicy,
    pub(crate) attempts: AttemptRecord,
    pub(crate) coordinator: Coordinator,
    pub(crate) alignment: WatermarkGroups,
    /// What the adaptive scheduler remembers; `None`: the default one is in charge.
    pub(crate) scaling: Option<Scaling>,
    /// Why the job cannot begin with what it is to begin with.
    pub(crate) unfit: Option<Failure>,
    pub(crate) slots: SlotPool,
    /// The sources.
    pub(crate) splits: BTreeMap<NodeId, Splits>,
    /// Where each shared slot is, by its number, from its first deployment until it is lost.
    pub(crate) assigned_slots: BTreeMap<u32, (SlotId, AllocationId)>,
    /// Where each shared slot was when it was deployed or adopted last: copies of its tasks' state may be there.
    pub(crate) former_slots: BTreeMap<u32, SlotId>,
    /// Subtasks whose state is not terminal.
    pub(crate) unfinished: u32,
    pub(crate) now: Timestamp,
    pub(crate) writes: u64,
    pub(crate) enumerations: u64,
}

impl JobCore {
    /// A job that is accepted and has not begun.
    pub fn new(spec: JobSpec, now: Timestamp) -> Self {
        let mut spec = spec;
        let coordinator = Coordinator::new(&spec, now);
        let unfit = fit(&mut spec, &coordinator).err();
        let scaling = spec.options.adaptive.map(|options| Scaling::new(options, &spec, now));
        if let Some(scaling) = &scaling {
            spec.graph = Arc::clone(scaling.desired_graph());
        }
        let graph = Arc::clone(&spec.graph);
        let sharing = SlotSharing::of(&graph);
        let regions = Regions::of(&graph);
        let subtask = || SubtaskView::new(spec.first_attempt, now);
        let vertices = graph
            .vertices
            .iter()
            .map(|vertex| Arc::new(VertexView { subtasks: (0..vertex.parallelism).map(|_| subtask()).collect() }));
        let view = JobView {
            job: spec.job,
            tenant: spec.tenant.clone(),
            name: spec.name.clone(),
            graph: Arc::clone(&graph),
            status: JobStatus::Initializing,
            timestamps: [(JobStatus::Initializing, spec.submitted_at.min(now))].into(),
            waiting: None,
            vertices: vertices.collect(),
            desired_parallelism: scaling.as_ref().map(Scaling::desired_parallelism),
            least_parallelism: scaling.as_ref().map(|scaling| scaling.least_parallelism().to_vec()),
            rescales: Arc::default(),
            splits: BTreeMap::new(),
            restarts: 0,
            restart_strategy: spec.options.restart_strategy,
            exceptions: Arc::new(ExceptionHistory::beginning(spec.lost.clone(), now)),
            takeovers: spec.takeovers.clone(),
            checkpoints: Arc::new(CheckpointsView::new(spec.checkpoints.clone())),
            dropped: Dropped::default(),
        };
        Self {
            slots: SlotPool::new(sharing.required_slots()),
            vertex_positions: graph.vertices.iter().enumerate().map(|(at, vertex)| (vertex.id, at)).collect(),
            splits: graph.sources().map(|(_, node, _)| (node, Splits::Listing(None))).collect(),
            unfinished: graph.vertices.iter().map(|vertex| vertex.parallelism).sum(),
            assigned_slots: BTreeMap::new(),
            former_slots: BTreeMap::new(),
            phase: Phase::Initializing,
            pending: (0..regions.count()).collect(),
            restarts: RestartPolicy::new(spec.options.restart_strategy, spec.options.restart_seed),
            attempts: AttemptRecord::new(spec.recorded_attempts.clone()),
            coordinator,
            alignment: WatermarkGroups::of(&graph),
            scaling,
            unfit,
            regions,
            sharing,
            view,
            spec,
            now,
            writes: 0,
            enumerations: 0,
        }
    }

    /// Takes one input and appends what is to be done about it. A clock that goes backwards is taken to stand still.
    pub fn step(&mut self, now: Timestamp, input: Input, out: &mut Vec<Command>) {
        self.now = self.now.max(now);
        if let Some(input) = self.step_adoption(input, out) {
            self.step_job(input, out);
        }
        self.align_watermarks(out);
        self.review_slots(out);
        self.coordinate(out);
        debug_assert_eq!(self.check(), Ok(()));
    }

    fn step_job(&mut self, input: Input, out: &mut Vec<Command>) {
        match input {
            Input::Start => self.start(out),
            Input::SlotsOffered(slots) => self.slots_offered(slots, out),
            Input::SlotsLost(allocations) => self.slots_lost(&allocations, out),
            Input::TaskManagerLost { task_manager, reason } => self.task_manager_lost(&task_manager, &reason, out),
            Input::SlotsLacking { needed, free, total } => self.slots_lacking(needed, free, total),
            Input::SplitsEnumerated { node, enumeration, result } => {
                self.splits_enumerated(node, enumeration, result, out);
            }
            Input::TaskReported(report) => self.task_reported(report, out),
            Input::SplitRequested(request) => self.split_requested(&request, out),
            Input::FiguresUpdated(figures) => self.figures_updated(&figures),
            Input::CancelRequested => self.cancel_requested(out),
            Input::DeployFailed { attempt, failure } => self.deploy_failed(&attempt, &failure, out),
            Input::MetadataWritten { write } => self.metadata_written(write, out),
            Input::MetadataWriteFailed { write, reason: _ } => self.metadata_write_failed(write, out),
            Input::DeadlineReached => self.deadline_reached(out),
            Input::CheckpointAcknowledged(ack) => self.checkpoint_acknowledged(*ack, out),
            Input::CheckpointDeclined(decline) => self.checkpoint_declined(&decline, out),
            Input::AwaitingCheckpoint { attempt } => self.awaiting_checkpoint(attempt),
            Input::WatermarkReached { attempt, node, watermark } => self.watermark_reached(&attempt, node, watermark),
            Input::SavepointRequested { request, folder, stop } => self.savepoint_requested(request, folder, stop, out),
            Input::CheckpointRequested { request } => self.checkpoint_requested(request, out),
            Input::UpgradeRequested { request, code, in_place, allow_non_restored_state } => {
                self.upgrade_requested(request, *code, in_place, allow_non_restored_state, out);
            }
            Input::RequirementsChanged { bounds } => self.requirements_changed(&bounds, out),
            Input::UpgradeAnswered(answer) => self.upgrade_answered(answer, out),
            Input::CheckpointStored { checkpoint, result } => self.checkpoint_stored(checkpoint, result, out),
            Input::PointerRead { checkpoint, result } => self.pointer_read(checkpoint, &result, out),
            Input::Present(presence) => self.present_too_late(*presence, out),
        }
    }

    /// When [`Input::DeadlineReached`] is due, if no other input comes before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let of_phase = match &self.phase {
            Phase::Adopting(adoption) => Some(adoption.until),
            Phase::Waiting => self.attempts.retry_at(),
            Phase::Restarting { .. } => self.restarting_due().into_iter().chain(self.attempts.retry_at()).min(),
            // What is waited for then has deadlines of its own.
            Phase::Stopping(_) if self.unfinished == 0 => None,
            Phase::Stopping(patience) => Some(patience.retry_at.min(patience.give_up_at)),
            Phase::Persisting { write: Err(retry_at), .. } => Some(*retry_at),
            _ => None,
        };
        let others = self.checkpoint_deadline().into_iter().chain(self.alignment.deadline());
        of_phase.into_iter().chain(others).chain(self.scaling_deadline()).min()
    }

    /// The job as others may see it.
    pub fn view(&self) -> &JobView {
        &self.view
    }

    fn deadline_reached(&mut self, out: &mut Vec<Command>) {
        self.checkpoints_deadline(out);
        match &self.phase {
            Phase::Waiting => self.attempts_deadline(out),
            Phase::Restarting { .. } => {
                self.attempts_deadline(out);
                self.restarting_deadline(out);
            }
            Phase::Stopping(_) => self.stopping_deadline(out),
            Phase::Persisting { .. } => self.persisting_deadline(out),
            _ => {}
        }
    }

    /// Whether the job goes on for now: it has begun, and is neither failing, nor being cancelled, nor at its end.
    pub(crate) fn goes_on(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Running | Phase::Restarting { .. })
    }

    /// Whether another parallelism can be wanted of it.
    pub(crate) fn can_be_rescaled(&self) -> bool {
        self.goes_on() || matches!(self.phase, Phase::Initializing | Phase::Adopting(_))
    }

    pub(crate) fn next_write(&mut self) -> WriteId {
        self.writes += 1;
        WriteId(self.writes)
    }

    pub(crate) fn drop_message(&mut self, reason: DropReason) {
        self.view.dropped.count(reason);
    }
}

/// Fits the graph to what the job begins with. The job's own checkpoints were taken of this graph.
fn fit(spec: &mut JobSpec, coordinator: &Coordinator) -> Result<(), Failure> {
    let Some(first) = coordinator.ladder().next_back() else { return Ok(()) };
    let allowed = spec.start_from.as_ref().is_none_or(|start| start.allow_non_restored_state);
    let own = !coordinator.retained.is_empty();
    spec.graph = Arc::new(fit_graph(&spec.graph, &first.stored.checkpoint, own || allowed)?);
    Ok(())
}
