//! The adaptive scheduler: a job runs at the parallelism that its slots allow, and takes up more when they come.
//!
//! It always asks for the slots of the parallelism that was asked for. While it waits it goes on with fewer once a time
//! has passed; while it runs, slots for more lead to a restart from the newest checkpoint, which costs none of the
//! restarts that the strategy allows. All regions that have not ended restart together, as their parallelism may change.
//!
//! Invariants:
//! - The graph changes only while nothing runs: in [`Phase::Waiting`], when all that has not ended waits to be deployed,
//!   under attempt numbers that were never deployed.
//! - A region that has ended keeps its subtasks.
//! - The parallelism is never below what the job ran at before unless slots are lacking, or the user wants it.

mod options;

use std::sync::Arc;

use millrace_graph::{JobGraph, SlotSharing};
use millrace_types::{AllocationId, ExecutionState, Failure, FailureKind, SlotId, Timestamp};

use crate::core::{JobCore, Phase};
use crate::event::Command;
use crate::requirements::ParallelismBounds;
use crate::rescales::{RescaleCause, RescaleEnd};
use crate::spec::JobSpec;
use crate::tasks::Task;
use crate::vertex_view::SubtaskView;
pub use options::{AdaptiveOptions, SCHEDULER_OPTIONS, SchedulerOptions};

/// How many intervals of its checkpoints a job waits for one before it takes up more slots: Flink lets two fail.
const CHECKPOINTS_AWAITED: u64 = 3;

/// Slots for more than runs.
#[derive(Debug, Clone, Copy)]
struct More {
    since: Timestamp,
    /// When they count as there to stay.
    settled_at: Timestamp,
    /// When the next checkpoint became the one that the job restarts behind.
    decided_at: Option<Timestamp>,
}

/// What the adaptive scheduler remembers of its job.
#[derive(Debug)]
pub(crate) struct Scaling {
    options: AdaptiveOptions,
    /// The graph at the parallelism that was asked for.
    desired: Arc<JobGraph>,
    /// The least number of subtasks of each vertex.
    least: Vec<u32>,
    /// The user wants another parallelism than the tasks were deployed at: that is not put off.
    asked: bool,
    /// Since when the job has been waiting for slots.
    waiting_since: Timestamp,
    /// Since when it has had, while it waits, as many as it can run with.
    sufficient_since: Option<Timestamp>,
    /// When its tasks were last deployed.
    deployed_at: Timestamp,
    /// While it runs: what it could take up.
    more: Option<More>,
}

impl Scaling {
    pub fn new(options: AdaptiveOptions, spec: &JobSpec, now: Timestamp) -> Self {
        let mut scaling = Self {
            options,
            desired: Arc::clone(&spec.graph),
            least: vec![1; spec.graph.vertices.len()],
            asked: false,
            waiting_since: now,
            sufficient_since: None,
            deployed_at: now,
            more: None,
        };
        if let Some(bounds) = &spec.requirements {
            scaling.require(bounds);
        }
        scaling
    }

    /// The user wants this parallelism.
    pub fn require(&mut self, bounds: &[ParallelismBounds]) {
        let upper = |vertex: usize| bounds.get(vertex).map_or(1, |bounds| bounds.upper);
        self.desired = Arc::new(self.desired.resized(upper));
        self.least = bounds.iter().map(|bounds| bounds.lower).collect();
        (self.asked, self.more) = (true, None);
    }

    /// The number of subtasks that was asked for, of each vertex.
    pub fn desired_parallelism(&self) -> Vec<u32> {
        self.desired.vertices.iter().map(|vertex| vertex.parallelism).collect()
    }

    /// The least number of subtasks of each vertex.
    pub fn least_parallelism(&self) -> &[u32] {
        &self.least
    }

    /// The graph at the parallelism that was asked for, to be shared.
    pub fn desired_graph(&self) -> &Arc<JobGraph> {
        &self.desired
    }

    /// The job runs at this parallelism, which an earlier leader deployed.
    pub fn adopted(&mut self, running: &JobGraph, now: Timestamp) {
        let asked = self.asked && *self.desired != *running;
        self.deployed(now);
        self.asked = asked;
    }

    /// The graph at the parallelism that was asked for.
    pub fn desired(&self) -> &JobGraph {
        &self.desired
    }

    /// The job runs other code, at the same parallelism.
    pub fn set_desired(&mut self, desired: Arc<JobGraph>) {
        self.desired = desired;
    }

    /// The job begins to wait for slots.
    pub fn waits(&mut self, now: Timestamp) {
        (self.waiting_since, self.sufficient_since) = (now, None);
    }

    /// Its tasks are deployed.
    pub fn deployed(&mut self, now: Timestamp) {
        (self.deployed_at, self.more, self.asked) = (now, None, false);
    }

    fn waits_until(&self) -> Option<Timestamp> {
        self.options.wait_timeout_ms.map(|timeout_ms| self.waiting_since.plus_ms(timeout_ms))
    }

    /// When the job goes on with the slots that it has.
    fn settles_at(&self) -> Option<Timestamp> {
        let settled = self.sufficient_since?.plus_ms(self.options.stabilization_ms);
        Some(self.waits_until().map_or(settled, |until| settled.min(until)))
    }
}

impl JobCore {
    /// Whether a region runs, or is to run again.
    pub(crate) fn is_active(&self, region: usize) -> bool {
        let ended = |task: Task| self.subtask(task).state.is_terminal();
        self.pending.contains(&region) || !self.tasks_of(region).into_iter().all(ended)
    }

    /// How many slots the job asks for, whatever it runs with.
    pub(crate) fn slots_desired(&self) -> Option<u32> {
        let scaling = self.scaling.as_ref()?;
        let active = self.active_regions();
        Some(scaling.desired.slots_of(|vertex| active[self.regions.of_vertex(vertex)]))
    }

    fn active_regions(&self) -> Vec<bool> {
        (0..self.regions.count()).map(|region| self.is_active(region)).collect()
    }

    /// The graph as it fits into the slots that the job holds, if it does.
    fn fitting(&self) -> Option<JobGraph> {
        let scaling = self.scaling.as_ref()?;
        let active = self.active_regions();
        let counts = |vertex: usize| active[self.regions.of_vertex(vertex)];
        let fitting = scaling.desired.within_slots(self.slots.held(), counts, &self.spec.graph)?;
        let mut least = fitting.vertices.iter().zip(&scaling.least).enumerate();
        let suffices = least.all(|(at, (vertex, least))| !counts(at) || vertex.parallelism >= *least);
        suffices.then_some(fitting)
    }

    /// Whether a graph gives no vertex fewer subtasks than it has, unless fewer are wanted.
    fn is_no_less(&self, graph: &JobGraph) -> bool {
        let Some(scaling) = &self.scaling else { return true };
        let wanted = self.spec.graph.vertices.iter().zip(&scaling.desired.vertices);
        let wanted = wanted.map(|(has, desired)| has.parallelism.min(desired.parallelism));
        graph.vertices.iter().zip(wanted).all(|(vertex, wanted)| vertex.parallelism >= wanted)
    }

    /// The graph that the waiting job is to run, once that is decided: no less than before at once, less only after a
    /// time, in which more slots may come.
    pub(crate) fn decided_graph(&self) -> Option<JobGraph> {
        let fitting = self.fitting()?;
        let settles_at = self.scaling.as_ref().and_then(Scaling::settles_at);
        let settled = settles_at.is_some_and(|at| at <= self.now);
        (settled || self.is_no_less(&fitting)).then_some(fitting)
    }

    /// Notes since when the waiting job could run.
    fn note_sufficient(&mut self) {
        let (now, suffices) = (self.now, self.fitting().is_some());
        if let Some(scaling) = &mut self.scaling {
            scaling.sufficient_since = suffices.then(|| scaling.sufficient_since.unwrap_or(now));
        }
    }

    /// Makes the graph fit the slots of the waiting job; whether that is decided, and all slots are there.
    pub(crate) fn adapt_to_slots(&mut self, out: &mut Vec<Command>) -> bool {
        self.note_sufficient();
        let Some(graph) = self.decided_graph() else { return false };
        if self.set_graph(graph) {
            for region in self.pending.clone() {
                self.deal_splits(region);
                self.enumerate_splits(region, out);
            }
        }
        // What a region that has ended does not use any more serves the others.
        let (sharing, pending, regions) = (&self.sharing, &self.pending, &self.regions);
        let waits = |(vertex, _): &(usize, u32)| pending.contains(&regions.of_vertex(*vertex));
        self.assigned_slots.retain(|slot, _| sharing.members(*slot).iter().any(waits));
        true
    }

    /// Takes another graph over, which differs in the parallelism of vertices that wait to be deployed; whether it does.
    pub(crate) fn set_graph(&mut self, graph: JobGraph) -> bool {
        debug_assert!(matches!(self.phase, Phase::Waiting) && self.coordinator.pending.is_empty());
        if graph == *self.spec.graph {
            return false;
        }
        let now = self.now;
        for (vertex, view) in graph.vertices.iter().zip(&mut self.view.vertices) {
            let (before, after) = (view.subtasks.len() as u32, vertex.parallelism);
            if before == after {
                continue;
            }
            let subtasks = &mut Arc::make_mut(view).subtasks;
            assert!(subtasks.iter().all(|task| task.state == ExecutionState::Scheduled), "{} runs", vertex.name);
            // A vertex's subtasks restart together, and the first one is always there: nothing was deployed under its
            // number.
            let Some(attempt) = subtasks.first().map(|first| first.attempt) else { continue };
            subtasks.resize_with(after as usize, || {
                let mut subtask = SubtaskView::new(attempt, now);
                subtask.enter(ExecutionState::Scheduled, now);
                subtask
            });
            self.unfinished = self.unfinished - before + after;
        }
        self.sharing = SlotSharing::of(&graph);
        self.assigned_slots.clear();
        self.spec.graph = Arc::new(graph);
        self.view.graph = Arc::clone(&self.spec.graph);
        true
    }

    /// After a step: goes on with fewer slots, gives up waiting, or takes up more.
    pub(crate) fn review_slots(&mut self, out: &mut Vec<Command>) {
        if self.scaling.is_none() {
            return;
        }
        match self.phase {
            Phase::Waiting => {
                self.deploy_if_ready(out);
                let scaling = self.scaling.as_ref().filter(|scaling| scaling.sufficient_since.is_none());
                let until = scaling.and_then(Scaling::waits_until);
                if matches!(self.phase, Phase::Waiting) && until.is_some_and(|until| until <= self.now) {
                    let failure = self.no_resources();
                    self.end_rescale(RescaleEnd::ExceptionOccurred);
                    self.fail_for_good(failure, out);
                }
            }
            Phase::Running => self.take_up_more(out),
            _ => {}
        }
    }

    fn no_resources(&self) -> Failure {
        let waited_ms = self.scaling.as_ref().and_then(|scaling| scaling.options.wait_timeout_ms).unwrap_or(0);
        let message = format!(
            "the job got {} slots within {} s, too few for the least number of subtasks of each vertex; it asked for {}",
            self.slots.held(),
            waited_ms / 1_000,
            self.slots.needed()
        );
        let remedy = format!("start more TaskManagers, or let jobs wait longer with {}", options::WAIT_TIMEOUT);
        Failure::new(FailureKind::NoResources, message).with_remedy(remedy)
    }

    /// Restarts the running job with more slots once these are there to stay, behind a checkpoint or after a time.
    fn take_up_more(&mut self, out: &mut Vec<Command>) {
        let (now, more) = (self.now, self.more_fits());
        let known = self.scaling.as_ref().is_some_and(|scaling| scaling.more.is_some());
        let Some(is_all) = more else {
            return self.no_more_fits();
        };
        if !known && self.view.rescales.in_progress().is_none() {
            self.begin_rescale(RescaleCause::NewResourceAvailable);
        }
        let Some(scaling) = &mut self.scaling else { return };
        let since = scaling.more.map_or(now, |more| more.since);
        let stabilization_ms = if is_all { 0 } else { scaling.options.executing_stabilization_ms };
        let cooldown_ms = if scaling.asked { 0 } else { scaling.options.cooldown_ms };
        let cooled = scaling.deployed_at.plus_ms(cooldown_ms);
        let settled_at = since.plus_ms(stabilization_ms).max(cooled);
        let decided_at = scaling.more.and_then(|more| more.decided_at).unwrap_or(now);
        let decided_at = Some(decided_at).filter(|_| settled_at <= now);
        scaling.more = Some(More { since, settled_at, decided_at });
        if self.more_due().is_some_and(|due| due <= now) && decided_at.is_some() {
            self.restart_region(self.first_active(), now, "the job is being rescaled", out);
            self.tasks_ended(out);
        }
    }

    /// What could be taken up is gone again.
    fn no_more_fits(&mut self) {
        if let Some(scaling) = &mut self.scaling {
            scaling.more = None;
        }
        let in_progress = self.view.rescales.in_progress().map(|rescale| rescale.cause);
        if in_progress == Some(RescaleCause::NewResourceAvailable) {
            self.end_rescale(RescaleEnd::NothingChanges);
        }
    }

    /// Ends the rescale to what the user wants if the job runs at that already.
    pub(crate) fn end_rescale_if_nothing_changes(&mut self) {
        let Some(scaling) = &mut self.scaling else { return };
        if matches!(self.phase, Phase::Running) && *scaling.desired == *self.spec.graph {
            scaling.asked = false;
            self.end_rescale(RescaleEnd::NothingChanges);
        }
    }

    /// Gives back the slots that the job holds beyond those that it needs, and that nothing runs in.
    pub(crate) fn release_surplus(&mut self, out: &mut Vec<Command>) {
        let surplus = self.slots.held().saturating_sub(self.slots.needed()) as usize;
        if self.scaling.is_none() || surplus == 0 {
            return;
        }
        let used = |slot: &(SlotId, AllocationId)| self.assigned_slots.values().any(|assigned| assigned == slot);
        let mut slots = self.slots.in_order();
        slots.retain(|slot| !used(slot));
        let slots: Vec<_> = slots.into_iter().rev().take(surplus).collect();
        for (_, allocation) in &slots {
            self.slots.remove(*allocation);
        }
        if !slots.is_empty() {
            out.push(Command::ReleaseSlots { slots });
        }
    }

    /// Whether the slots suffice for more than runs, or for what the user wants instead, and then whether they do for all
    /// that was asked for.
    fn more_fits(&self) -> Option<bool> {
        let scaling = self.scaling.as_ref()?;
        let active = self.active_regions();
        let used = self.spec.graph.slots_of(|vertex| active[self.regions.of_vertex(vertex)]);
        if self.slots.held() <= used && !scaling.asked {
            return None;
        }
        let fitting = self.fitting()?;
        let grows = fitting != *self.spec.graph && self.is_no_less(&fitting);
        let desired = scaling.desired.vertices.iter().zip(&fitting.vertices).enumerate();
        let mut wanted = desired.filter(|(vertex, _)| active[self.regions.of_vertex(*vertex)]);
        grows.then(|| wanted.all(|(_, (desired, fitting))| desired.parallelism == fitting.parallelism))
    }

    fn first_active(&self) -> usize {
        (0..self.regions.count()).find(|region| self.is_active(*region)).unwrap_or(0)
    }

    /// When the job takes up more, as far as that does not wait for its tasks or for a request of the user.
    fn more_due(&self) -> Option<Timestamp> {
        let scaling = self.scaling.as_ref()?;
        let more = scaling.more?;
        let Some(decided_at) = more.decided_at else { return Some(more.settled_at) };
        let completed = self.coordinator.completed_at.is_some_and(|at| at >= decided_at);
        let of_checkpoints = || self.spec.checkpoints.interval_ms.unwrap_or(0).saturating_mul(CHECKPOINTS_AWAITED);
        let delay_ms = scaling.options.max_delay_ms.unwrap_or_else(of_checkpoints);
        let due = if completed { decided_at } else { decided_at.plus_ms(delay_ms) };
        Some(due).filter(|_| self.can_restart_unasked())
    }

    /// Whether a restart disturbs nothing that is about to be over: tasks that begin or end, what the user has asked for.
    fn can_restart_unasked(&self) -> bool {
        let coordinator = &self.coordinator;
        let asked = !coordinator.requests.is_empty() || coordinator.pending.values().any(|one| one.request.is_some());
        let ends = coordinator.stop.is_some() || coordinator.awaiting.iter().any(|task| self.live_task(task).is_ok());
        let runs = |task: &Task| {
            let subtask = self.subtask(*task);
            let settled = matches!(subtask.state, ExecutionState::Running | ExecutionState::Finished);
            // A number is left to tell the next attempt by.
            settled && subtask.attempt < u32::MAX
        };
        !asked && !ends && coordinator.upgrade.is_none() && self.all_tasks().iter().all(runs)
    }

    /// When the slots are to be looked at again.
    pub(crate) fn scaling_deadline(&self) -> Option<Timestamp> {
        let scaling = self.scaling.as_ref()?;
        match self.phase {
            Phase::Waiting => {
                let due = scaling.sufficient_since.map_or_else(|| scaling.waits_until(), |_| scaling.settles_at());
                // Behind that the job waits for something else.
                due.filter(|due| *due > self.now)
            }
            Phase::Running => self.more_due(),
            _ => None,
        }
    }
}
