//! What becomes of tasks that were all reported: the picture that the old leader had of them is drawn again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_graph::{JobGraph, SlotSharing};
use millrace_protocol::{ReaderPresence, SplitRequest, TaskReport};
use millrace_types::{AllocationId, AttemptId, CheckpointId, ExecutionState, JobStatus, NodeId, SlotId};

use super::{Adoption, Found, Refusal};
use crate::core::{JobCore, Splits};
use crate::event::Command;
use crate::split_assigner::SplitAssigner;
use crate::tasks::Task;
use crate::vertex_view::{SubtaskView, VertexView};

/// The slots of the shared slots, by their numbers.
type Slots = BTreeMap<u32, (SlotId, AllocationId)>;

impl Adoption {
    pub(super) fn find(&mut self, attempt: &AttemptId) -> Option<&mut Found> {
        self.tasks.values_mut().find(|found| found.presence.attempt == *attempt)
    }

    /// A task has said something since it was reported.
    pub(super) fn note_report(&mut self, report: &TaskReport) -> Result<(), Refusal> {
        let Some(found) = self.find(&report.attempt) else { return Ok(()) };
        let task = &mut found.presence;
        match report.state {
            ExecutionState::Failed | ExecutionState::Canceled => {
                let why = report.failure.as_ref().map_or("it was cancelled", |failure| &failure.message);
                return Err(format!(
                    "task {} of vertex {} has ended: {why}",
                    task.attempt.subtask + 1,
                    task.attempt.vertex
                ));
            }
            ExecutionState::Initializing | ExecutionState::Running | ExecutionState::Finished
                if !task.state.is_terminal() =>
            {
                task.state = report.state;
                task.timestamps.insert(report.state, report.at);
                task.figures = report.figures;
            }
            _ => {}
        }
        Ok(())
    }

    /// A reader asks for splits; it is answered when it is adopted.
    pub(super) fn note_request(&mut self, request: &SplitRequest) -> Result<(), Refusal> {
        if let Some(reader) = self.find(&request.attempt).and_then(|found| found.presence.reader.as_mut()) {
            reader.requested = true;
            let known: BTreeSet<_> = reader.finished.iter().copied().collect();
            reader.finished.extend(request.finished.iter().filter(|id| !known.contains(id)));
        }
        Ok(())
    }

    /// Where each shared slot is: its tasks are in one, and no other one's tasks are. Those that have finished use none: it
    /// may have been lost since, or others may have got it.
    pub(super) fn assigned_slots(&self, sharing: &SlotSharing) -> Result<Slots, Refusal> {
        let mut slots = Slots::new();
        let mut shared_by = BTreeMap::new();
        let has_ended = |found: &Found| found.presence.state.is_terminal();
        let place = |(task, found): (&Task, &Found)| {
            let shared = sharing.slot_of(task.vertex, task.subtask);
            (shared, (found.slot.clone(), found.presence.allocation))
        };
        for (shared, slot) in self.tasks.iter().filter(|(_, found)| !has_ended(found)).map(place) {
            if *shared_by.entry(slot.clone()).or_insert(shared) != shared
                || *slots.entry(shared).or_insert(slot.clone()) != slot
            {
                return Err("its tasks do not share slots as they should".to_owned());
            }
        }
        for (shared, slot) in self.tasks.iter().filter(|(_, found)| has_ended(found)).map(place) {
            if !shared_by.contains_key(&slot) && !slots.contains_key(&shared) {
                shared_by.insert(slot.clone(), shared);
                slots.insert(shared, slot);
            }
        }
        Ok(slots)
    }
}

impl JobCore {
    /// The graph at the parallelism at which it runs.
    pub(super) fn adopted_graph(&self, parallelism: &BTreeMap<usize, u32>) -> Result<JobGraph, Refusal> {
        let runs_at = |vertex: usize| parallelism.get(&vertex).copied().unwrap_or(0);
        let graph = match &self.scaling {
            Some(_) => self.spec.graph.resized(runs_at),
            None => (*self.spec.graph).clone(),
        };
        match graph.vertices.iter().enumerate().find(|(at, vertex)| vertex.parallelism != runs_at(*at)) {
            Some((at, vertex)) => {
                Err(format!("{} runs at a parallelism of {}, which does not fit the job", vertex.name, runs_at(at)))
            }
            None => Ok(graph),
        }
    }

    /// The splits of the sources as their readers have them.
    pub(super) fn adopted_splits(&self, adoption: &Adoption) -> Result<BTreeMap<NodeId, SplitAssigner>, Refusal> {
        let mut adopted = BTreeMap::new();
        for (vertex, node, source) in self.spec.graph.sources() {
            let Some(Splits::Listed(assigner)) = self.splits.get(&node) else { continue };
            let newest = self.coordinator.ladder().next_back();
            let restored = newest.is_some_and(|kept| {
                kept.stored.checkpoint.operators.get(&source.uid).is_some_and(|state| state.source.is_some())
            });
            let mut readers: BTreeMap<AttemptId, &ReaderPresence> = BTreeMap::new();
            for (_, found) in adoption.tasks.iter().filter(|(task, _)| task.vertex == vertex) {
                let reader = found.presence.reader.as_ref().filter(|reader| reader.node == node);
                let reader =
                    reader.ok_or_else(|| format!("a task of source \"{}\" does not report its splits", source.name))?;
                readers.insert(found.presence.attempt, reader);
            }
            let assigner = assigner.clone().adopt(&readers, restored);
            adopted.insert(node, assigner.map_err(|why| format!("source \"{}\": {why}", source.name))?);
        }
        Ok(adopted)
    }

    /// What each region's tasks began with, on which they agree.
    pub(super) fn restored_by_region(&self, adoption: &Adoption) -> Result<BTreeMap<usize, CheckpointId>, Refusal> {
        let mut regions: BTreeMap<usize, Option<CheckpointId>> = BTreeMap::new();
        for (task, found) in &adoption.tasks {
            let from = found.presence.restored_from;
            if *regions.entry(self.region_of(*task)).or_insert(from) != from {
                return Err("tasks that exchange records began with different checkpoints".to_owned());
            }
        }
        Ok(regions.into_iter().filter_map(|(region, from)| Some((region, from?))).collect())
    }

    /// Takes the tasks over as they are.
    pub(super) fn adopt(
        &mut self,
        adoption: Adoption,
        graph: JobGraph,
        slots: Slots,
        splits: BTreeMap<NodeId, SplitAssigner>,
        out: &mut Vec<Command>,
    ) {
        if let Ok(restored) = self.restored_by_region(&adoption) {
            self.coordinator.restored_from = restored;
        }
        self.sharing = SlotSharing::of(&graph);
        self.spec.graph = Arc::new(graph);
        self.view.graph = Arc::clone(&self.spec.graph);
        self.show_adopted(&adoption);
        self.pending.clear();
        for (node, assigner) in splits {
            self.view.splits.insert(node, assigner.progress());
            self.splits.insert(node, Splits::Listed(assigner));
        }
        self.restarts.deployed(self.now);
        if let Some(scaling) = &mut self.scaling {
            scaling.adopted(&self.spec.graph, self.now);
        }
        self.coordinator.triggered_at = self.now;
        // What the tasks have behind an earlier checkpoint than the newest is in none that can be read.
        self.coordinator.at_once = self.spec.lost.is_some();
        self.take_slots(&adoption, slots, out);
        self.note_takeover(true, "all its tasks were alive and went on from its newest checkpoint", out);
        let completed = self.coordinator.ladder().next_back().map(|kept| kept.id());
        let over = self.coordinator.ids.last_before();
        for task in self.unfinished_tasks() {
            let Some(task_manager) = self.subtask(task).task_manager.clone() else { continue };
            out.push(Command::AdoptTask { task_manager, attempt: self.attempt_id(task), completed, over });
        }
        for Found { presence, .. } in adoption.tasks.into_values().filter(|found| !found.presence.state.is_terminal()) {
            if presence.awaits_checkpoint {
                self.awaiting_checkpoint(presence.attempt);
            }
            if let Some(reader) = presence.reader.filter(|reader| reader.requested) {
                let request = SplitRequest { attempt: presence.attempt, node: reader.node, finished: Vec::new() };
                self.split_requested(&request, out);
            }
        }
        self.tasks_ended(out);
    }

    fn show_adopted(&mut self, adoption: &Adoption) {
        let view = |(vertex, job_vertex): (usize, &millrace_graph::JobVertex)| {
            let subtask = |subtask| {
                let task = Task { vertex, subtask };
                adoption.tasks.get(&task).map_or_else(
                    || SubtaskView::new(self.spec.first_attempt, self.now),
                    |found| SubtaskView::adopted(&found.task_manager, &found.presence),
                )
            };
            Arc::new(VertexView { subtasks: (0..job_vertex.parallelism).map(subtask).collect() })
        };
        self.view.vertices = self.spec.graph.vertices.iter().enumerate().map(view).collect();
        let running = self.view.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        let running_since = running.filter_map(|subtask| subtask.started_at()).min().unwrap_or(self.now);
        self.unfinished = self.unfinished_tasks().len() as u32;
        self.view.enter(JobStatus::Running, running_since);
        self.view.timestamps.remove(&JobStatus::Reconciling);
        self.view.waiting = None;
    }

    /// Keeps the slots of the tasks and gives the others back.
    fn take_slots(&mut self, adoption: &Adoption, slots: Slots, out: &mut Vec<Command>) {
        let used: BTreeSet<_> = slots.values().cloned().collect();
        for (slot, allocation) in &used {
            self.slots.adopt(slot, *allocation);
            out.push(Command::AcceptSlot { slot: slot.clone(), allocation: *allocation });
        }
        let strays: Vec<_> = adoption.slots.difference(&used).cloned().collect();
        if !strays.is_empty() {
            out.push(Command::ReleaseSlots { slots: strays });
        }
        self.assigned_slots = slots;
        self.note_places();
        self.request_slots_needed(out);
    }
}
