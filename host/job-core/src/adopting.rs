//! RECONCILING: a leader takes over a job whose tasks an earlier one deployed. It adopts them where it can be proved that
//! nothing is lost or doubled by that; otherwise the job begins again from its newest checkpoint.
//!
//! Tasks are adopted all or none, and only if
//! - each subtask of each vertex is reported, once, under the attempt number that was recorded last, alive or finished:
//!   no number is used before it is recorded, so there are no others;
//! - each of them began with the newest checkpoint or has acknowledged it: its state, its transactions and its position
//!   in the sources go on from that checkpoint, and not from one that was given up;
//! - what the readers received agrees with the splits that there are, and whatever nobody received can still be given out;
//! - nobody has been told to stop or to drain, and no rows were on their way to the old leader's clients.
//!
//! Checkpoints that were under way are over: no leader will complete them, and no id of theirs is used again.

mod claim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_graph::SlotSharing;
use millrace_protocol::{Presence, TaskPresence};
use millrace_types::{
    AllocationId, AttemptId, ExecutionState, JobStatus, LeaderEpoch, SlotId, Takeover, TaskManagerId, Timestamp,
};

use crate::core::{JobCore, Phase, Splits};
use crate::event::{Command, Input};
use crate::split_assigner::SplitAssigner;
use crate::tasks::Task;

/// How tasks of an earlier leader are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdoptionOptions {
    /// The leader that takes them over.
    pub epoch: LeaderEpoch,
    /// How long TaskManagers have to report, in milliseconds.
    pub timeout_ms: u64,
}

/// A task that was reported.
#[derive(Debug)]
struct Found {
    task_manager: TaskManagerId,
    slot: SlotId,
    presence: TaskPresence,
}

/// What was reported so far.
#[derive(Debug)]
pub(crate) struct Adoption {
    /// When the reports that have not come are given up.
    pub until: Timestamp,
    tasks: BTreeMap<Task, Found>,
    /// The number of subtasks that each vertex runs with.
    parallelism: BTreeMap<usize, u32>,
    /// All slots of the job that were reported.
    slots: BTreeSet<(SlotId, AllocationId)>,
}

/// Why a job begins again.
type Refusal = String;

impl JobCore {
    /// Waits for reports of the tasks that an earlier leader deployed.
    pub(crate) fn begin_adoption(&mut self, options: AdoptionOptions, out: &mut Vec<Command>) {
        self.view.enter(JobStatus::Reconciling, self.now);
        let until = self.now.plus_ms(options.timeout_ms);
        let (tasks, parallelism, slots) = Default::default();
        self.phase = Phase::Adopting(Adoption { until, tasks, parallelism, slots });
        self.find_splits(out);
    }

    /// The splits of the sources: what the newest checkpoint has of them, else they are listed.
    fn find_splits(&mut self, out: &mut Vec<Command>) {
        let newest = self.coordinator.ladder().next_back().map(|kept| Arc::clone(&kept.stored.checkpoint));
        let graph = Arc::clone(&self.spec.graph);
        for (vertex, node, source) in graph.sources() {
            let known = newest.as_ref().and_then(|newest| newest.operators.get(&source.uid)?.source.as_ref());
            match known {
                Some(state) => drop(self.splits.insert(node, Splits::Listed(SplitAssigner::restore(state, &[])))),
                None => self.enumerate_splits_of(node, graph.vertices[vertex].parallelism, out),
            }
        }
    }

    /// Takes an input while tasks are being taken over; gives those back that mean the same as at any other time.
    pub(crate) fn step_adoption(&mut self, input: Input, out: &mut Vec<Command>) -> Option<Input> {
        let Phase::Adopting(adoption) = &mut self.phase else { return Some(input) };
        let outcome = match input {
            Input::Present(presence) => self.note_presence(*presence),
            Input::TaskReported(report) => adoption.note_report(&report),
            Input::SplitRequested(request) => adoption.note_request(&request),
            Input::AwaitingCheckpoint { attempt } => {
                adoption.find(&attempt).into_iter().for_each(|found| found.presence.awaits_checkpoint = true);
                Ok(())
            }
            Input::TaskManagerLost { task_manager, reason } => {
                adoption.slots.retain(|(slot, _)| slot.task_manager != task_manager);
                let lost = adoption.tasks.values().any(|found| found.task_manager == task_manager);
                if lost { Err(format!("TaskManager {task_manager} was lost: {reason}")) } else { Ok(()) }
            }
            Input::SlotsLost(allocations) => {
                adoption.slots.retain(|(_, allocation)| !allocations.contains(allocation));
                let used = |found: &Found| allocations.contains(&found.presence.allocation);
                if adoption.tasks.values().any(used) { Err("slots of its tasks were lost".to_owned()) } else { Ok(()) }
            }
            Input::SplitsEnumerated { node, enumeration, result } => {
                let asked = matches!(self.splits.get(&node), Some(Splits::Listing(Some(id))) if *id == enumeration);
                match result.and_then(SplitAssigner::new) {
                    _ if !asked => Ok(()),
                    Ok(assigner) => {
                        self.splits.insert(node, Splits::Listed(assigner));
                        Ok(())
                    }
                    Err(failure) => Err(format!("the splits of a source cannot be listed: {}", failure.message)),
                }
            }
            Input::CancelRequested => {
                self.refuse_adoption("it was cancelled", out);
                return Some(Input::CancelRequested);
            }
            Input::DeadlineReached => self.adoption_deadline(),
            // Nothing is deployed: what tasks say beyond that waits until they are adopted, or they say it again.
            Input::FiguresUpdated(_) | Input::WatermarkReached { .. } => Ok(()),
            other => return Some(other),
        };
        let adopted = outcome.and_then(|()| self.adopt_if_complete(out));
        if let Err(reason) = adopted {
            self.refuse_adoption(&reason, out);
        }
        None
    }

    /// Takes note of what a TaskManager has.
    fn note_presence(&mut self, presence: Presence) -> Result<(), Refusal> {
        let Phase::Adopting(adoption) = &mut self.phase else { return Ok(()) };
        let slots: BTreeMap<AllocationId, SlotId> =
            presence.slots.iter().map(|(slot, allocation)| (*allocation, slot.clone())).collect();
        adoption.slots.extend(presence.slots);
        for task in presence.tasks {
            let Some(place) = self.place_of(&task)? else { continue };
            self.admissible(place, &task)?;
            let name = self.adopted_name(place);
            let slot = slots.get(&task.allocation).cloned();
            let slot = slot.ok_or_else(|| format!("{name} runs in a slot that its TaskManager does not report"))?;
            let Phase::Adopting(adoption) = &mut self.phase else { return Ok(()) };
            if *adoption.parallelism.entry(place.vertex).or_insert(task.parallelism) != task.parallelism {
                return Err(format!("the subtasks of {name} do not agree on their number"));
            }
            let found = Found { task_manager: presence.task_manager.clone(), slot, presence: task };
            if let Some(other) = adoption.tasks.insert(place, found)
                && other.task_manager != presence.task_manager
            {
                return Err(format!("{name} runs on two TaskManagers under one attempt number"));
            }
        }
        Ok(())
    }

    /// Which task an attempt is; `None`: an earlier attempt than the present one.
    fn place_of(&self, task: &TaskPresence) -> Result<Option<Task>, Refusal> {
        let AttemptId { job, vertex, subtask, attempt } = task.attempt;
        let position = self.vertex_positions.get(&vertex).filter(|_| job == self.spec.job);
        let position =
            *position.ok_or_else(|| format!("a task of a vertex {vertex} runs, which the job does not have"))?;
        let recorded = self.attempts.recorded.get(position).copied();
        let place = Task { vertex: position, subtask };
        let vertex = &self.spec.graph.vertices[position];
        if task.parallelism > vertex.max_parallelism {
            return Err(format!("{} cannot have {} subtasks", vertex.name, task.parallelism));
        }
        match recorded {
            Some(recorded) if attempt == recorded && subtask < task.parallelism => Ok(Some(place)),
            Some(recorded) if attempt < recorded => Ok(None),
            _ => Err(format!(
                "{} runs under an attempt number that was not recorded: {attempt}",
                self.adopted_name(place)
            )),
        }
    }

    /// Whether a task may be adopted if all others are.
    fn admissible(&self, place: Task, task: &TaskPresence) -> Result<(), Refusal> {
        let name = self.adopted_name(place);
        match task.state {
            ExecutionState::Failed => {
                let why = task.failure.as_ref().map_or("for an unknown reason", |failure| &failure.message);
                return Err(format!("{name} has failed: {why}"));
            }
            ExecutionState::Canceling | ExecutionState::Canceled => return Err(format!("{name} was being cancelled")),
            _ => {}
        }
        if task.collects {
            return Err(format!("{name} has a collect sink, whose rows were on their way to the old leader"));
        }
        if task.code_in_doubt {
            return Err(format!("{name} was told to make other code ready, and may run it"));
        }
        if task.reader.as_ref().is_some_and(|reader| reader.drained) {
            return Err(format!("{name} was told to end before the end of its input"));
        }
        let newest = self.coordinator.ladder().next_back();
        let id = newest.map(|kept| kept.id());
        let had_finished = newest.is_some_and(|kept| {
            let parallelism = self.spec.graph.vertices[place.vertex].parallelism;
            place.subtask < parallelism
                && kept.stored.checkpoint.was_finished(&self.spec.graph, place.vertex, place.subtask)
        });
        let goes_on_from = task.restored_from == id || id.is_some_and(|id| task.acknowledged.contains(&id));
        if !goes_on_from && !had_finished {
            let newest = id.map_or("no checkpoint".to_owned(), |id| format!("checkpoint {id}"));
            return Err(format!("{name} does not go on from {newest}, which is the newest"));
        }
        Ok(())
    }

    fn adopted_name(&self, task: Task) -> String {
        format!("task {} of {}", u64::from(task.subtask) + 1, self.spec.graph.vertices[task.vertex].name)
    }

    fn adoption_deadline(&self) -> Result<(), Refusal> {
        match &self.phase {
            Phase::Adopting(adoption) if adoption.until <= self.now => {
                let vertices = self.spec.graph.vertices.iter().enumerate();
                let expected: u32 = vertices
                    .map(|(at, vertex)| adoption.parallelism.get(&at).copied().unwrap_or(vertex.parallelism))
                    .sum();
                let unlisted = self.splits.values().filter(|splits| matches!(splits, Splits::Listing(_))).count();
                let found = adoption.tasks.len();
                Err(format!(
                    "{found} of its {expected} tasks were reported in time{}",
                    if unlisted > 0 { ", and not all splits could be listed" } else { "" }
                ))
            }
            _ => Ok(()),
        }
    }

    /// Adopts the tasks once all are known.
    fn adopt_if_complete(&mut self, out: &mut Vec<Command>) -> Result<(), Refusal> {
        let Phase::Adopting(adoption) = &self.phase else { return Ok(()) };
        let known = |(at, _)| {
            let parallelism = adoption.parallelism.get(&at).copied();
            parallelism.is_some_and(|count| {
                (0..count).all(|subtask| adoption.tasks.contains_key(&Task { vertex: at, subtask }))
            })
        };
        let listed = self.splits.values().all(|splits| matches!(splits, Splits::Listed(_)));
        if !listed || !self.spec.graph.vertices.iter().enumerate().all(known) {
            return Ok(());
        }
        let graph = self.adopted_graph(&adoption.parallelism)?;
        let slots = adoption.assigned_slots(&SlotSharing::of(&graph))?;
        let splits = self.adopted_splits(adoption)?;
        self.restored_by_region(adoption)?;
        let Phase::Adopting(adoption) = std::mem::replace(&mut self.phase, Phase::Running) else { return Ok(()) };
        self.adopt(adoption, graph, slots, splits, out);
        Ok(())
    }

    /// Begins again: what earlier leaders deployed is stopped, and the job starts from its newest checkpoint.
    fn refuse_adoption(&mut self, reason: &str, out: &mut Vec<Command>) {
        let Phase::Adopting(adoption) = std::mem::replace(&mut self.phase, Phase::Initializing) else { return };
        self.note_takeover(false, reason, out);
        if !adoption.slots.is_empty() {
            out.push(Command::ReleaseSlots { slots: adoption.slots.into_iter().collect() });
        }
        for (_, node, _) in Arc::clone(&self.spec.graph).sources() {
            self.splits.insert(node, Splits::Listing(None));
        }
        self.begin(out);
    }

    fn note_takeover(&mut self, adopted: bool, reason: &str, out: &mut Vec<Command>) {
        let Some(options) = self.spec.adoption else { return };
        let takeover = Takeover { epoch: options.epoch, at: self.now, adopted, reason: reason.into() };
        takeover.clone().remember(&mut self.view.takeovers);
        out.push(Command::RecordTakeover { takeover });
    }

    /// A TaskManager reports, and nothing is being taken over: what it has of the job is nobody's.
    pub(crate) fn present_too_late(&mut self, presence: Presence, out: &mut Vec<Command>) {
        let strays = presence.slots.into_iter().filter(|(_, allocation)| !self.slots.holds(*allocation));
        let slots: Vec<_> = strays.collect();
        if !slots.is_empty() {
            out.push(Command::ReleaseSlots { slots });
        }
    }
}
