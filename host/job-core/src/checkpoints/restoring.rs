//! What tasks begin with: parts of a checkpoint, chosen by operator uid and key group.
//!
//! Invariant: all of a region's tasks and sources begin with one checkpoint, which was complete.

use std::collections::BTreeMap;

use millrace_graph::JobGraph;
use millrace_protocol::{InFlight, OperatorRestore, Rerouting, StateSegment, TaskRestore};
use millrace_types::{ExecutionState, Failure, FailureKind, KeyGroupRange};

use super::completed::{CompletedCheckpoint, OperatorState};
use super::view::RestoredView;
use crate::core::{JobCore, Splits};
use crate::split_assigner::SplitAssigner;
use crate::tasks::Task;

impl CompletedCheckpoint {
    /// What a subtask of a graph that [`super::fit_graph`] has accepted begins with.
    pub fn restore(&self, graph: &JobGraph, vertex: usize, subtask: u32) -> TaskRestore {
        let job_vertex = &graph.vertices[vertex];
        let known = || job_vertex.nodes.iter().filter_map(|(_, node)| Some((node, self.operators.get(&node.uid)?)));
        let range = graph.key_group_range(vertex, subtask);
        let operators: BTreeMap<_, _> = known()
            .map(|(node, state)| (node.uid.clone(), operator_restore(state, subtask, job_vertex.parallelism, range)))
            .collect();
        TaskRestore {
            checkpoint: self.id,
            folder: self.folder.as_deref().map(str::to_owned),
            finished: self.was_finished(graph, vertex, subtask),
            operators,
            in_flight: self.in_flight_of(graph, vertex, subtask),
        }
    }

    /// Whether a subtask of a graph has nothing left to do.
    pub(crate) fn was_finished(&self, graph: &JobGraph, vertex: usize, subtask: u32) -> bool {
        let vertex = &graph.vertices[vertex];
        vertex.nodes.iter().all(|(_, node)| {
            self.operators.get(&node.uid).is_some_and(|state| {
                let same = state.parallelism == vertex.parallelism;
                state.is_finished() || (same && state.finished.contains(&subtask))
            })
        })
    }

    /// Records on their way to a subtask. Where there are as many subtasks as before each gets its own; else those with
    /// keys go to all, which pass over what is not theirs, those that all got go to all once, and the others in turn.
    fn in_flight_of(&self, graph: &JobGraph, vertex: usize, subtask: u32) -> Vec<InFlight> {
        let vertex = &graph.vertices[vertex];
        let consumes = |uid: &str| vertex.nodes.iter().any(|(_, node)| node.uid == uid);
        let own = |at_consumer: bool| {
            self.in_flight.iter().filter(move |stored| {
                let InFlight { target_uid, target_subtask, rerouting, .. } = &stored.records;
                let same = self.operators.get(target_uid).is_some_and(|old| old.parallelism == vertex.parallelism);
                let mine = match rerouting {
                    _ if same => *target_subtask == subtask,
                    Rerouting::ByKey => true,
                    Rerouting::Any => target_subtask % vertex.parallelism == subtask,
                    Rerouting::All => *target_subtask == 0,
                };
                stored.at_consumer == at_consumer && consumes(&stored.records.target_uid) && mine
            })
        };
        // In the order of their channels.
        own(true).chain(own(false)).map(|stored| stored.records.clone()).collect()
    }
}

fn operator_restore(state: &OperatorState, subtask: u32, parallelism: u32, range: KeyGroupRange) -> OperatorRestore {
    let overlaps =
        |segment: &&StateSegment| segment.key_groups.start <= range.end && range.start <= segment.key_groups.end;
    let mut restore = OperatorRestore { parallelism: state.parallelism, ..OperatorRestore::default() };
    for (old, snapshot) in &state.subtasks {
        let keyed: Vec<_> = snapshot.keyed.iter().filter(overlaps).cloned().collect();
        if !keyed.is_empty() {
            restore.keyed.push(keyed);
        }
        restore.fingerprints.extend(snapshot.fingerprints.clone());
        restore.operator_state.extend(snapshot.operator_state.clone().map(|blob| (*old, blob)));
        if old % parallelism == subtask {
            restore.committables.extend(snapshot.committables.iter().cloned());
        }
    }
    restore
}

/// Fits a job's graph to what it is to begin with: operators that derive their number of key groups from their
/// parallelism take over the number that their keyed state was written with.
///
/// # Errors
/// The checkpoint has state of operators that the graph does not have, unless that is allowed; or keyed state of another
/// number of key groups than the graph insists on.
pub fn fit_graph(
    graph: &JobGraph,
    checkpoint: &CompletedCheckpoint,
    allow_non_restored_state: bool,
) -> Result<JobGraph, Failure> {
    let refused = |message: String, remedy: &str| {
        Err(Failure::new(FailureKind::InvalidApplication, message).with_remedy(remedy.to_owned()))
    };
    let mut graph = graph.clone();
    for vertex in &mut graph.vertices {
        for (_, node) in &vertex.nodes {
            let Some(state) = checkpoint.operators.get(&node.uid) else { continue };
            let keyed = state.subtasks.values().any(|snapshot| !snapshot.keyed.is_empty());
            if !keyed || state.max_parallelism == vertex.max_parallelism {
                continue;
            }
            let stated = vertex.nodes.iter().any(|(_, node)| node.max_parallelism.is_some());
            let (old, new) = (state.max_parallelism, vertex.max_parallelism);
            if stated {
                let message = format!(
                    "the state of operator \"{}\" has {old} key groups, and the operator states a max parallelism of {new}",
                    node.uid
                );
                return refused(message, "let the operator state the max parallelism of its state");
            }
            if vertex.parallelism > old {
                let message = format!(
                    "the state of operator \"{}\" has {old} key groups, too few for its parallelism of {}",
                    node.uid, vertex.parallelism
                );
                return refused(message, "run the job at a lower parallelism");
            }
            vertex.max_parallelism = old;
        }
        // Operators of one chain may have been apart before.
        let state = |uid: &str| checkpoint.operators.get(uid).filter(|state| !state.is_empty());
        let differs = |state: &OperatorState| {
            let keyed = state.subtasks.values().any(|snapshot| !snapshot.keyed.is_empty());
            keyed && state.max_parallelism != vertex.max_parallelism
        };
        if let Some((_, node)) = vertex.nodes.iter().find(|(_, node)| state(&node.uid).is_some_and(differs)) {
            let message =
                format!("operator \"{}\" and one of its chain have different numbers of key groups", node.uid);
            return refused(message, "let one of them begin a chain of its own");
        }
    }
    let known = |uid: &str| graph.vertices.iter().flat_map(|vertex| &vertex.nodes).any(|(_, node)| node.uid == uid);
    let in_flight = checkpoint.in_flight.iter().map(|stored| stored.records.target_uid.as_str());
    let with_state = checkpoint.operators.iter().filter(|(_, state)| !state.is_empty()).map(|(uid, _)| uid.as_str());
    let mut lost: Vec<&str> = with_state.chain(in_flight).filter(|uid| !known(uid)).collect();
    lost.sort_unstable();
    lost.dedup();
    if !lost.is_empty() && !allow_non_restored_state {
        let message = format!(
            "checkpoint {} has state of operators that the job does not have: {}",
            checkpoint.id,
            lost.join(", ")
        );
        return refused(
            message,
            "give the operators these uids, or leave the state behind with --allowNonRestoredState",
        );
    }
    Ok(graph)
}

impl JobCore {
    /// Chooses what a region begins with, and readies those of its sources that the checkpoint knows.
    pub(crate) fn choose_restore(&mut self, region: usize) {
        debug_assert!(self.coordinator.unsettled().is_none(), "the newest checkpoint has to be known");
        let Some(best) = self.coordinator.best(region) else {
            self.coordinator.restored_from.remove(&region);
            return;
        };
        let stored = best.stored.clone();
        let checkpoint = &stored.checkpoint;
        self.coordinator.restored_from.insert(region, checkpoint.id);
        self.deal_splits(region);
        let (id, kind, at) = (checkpoint.id, checkpoint.kind, self.now);
        let view = self.checkpoints_view();
        view.counts.restored += 1;
        view.latest_restored = Some(RestoredView { id, kind, at, location: stored.location });
    }

    /// Deals the splits of those of a region's sources out that its checkpoint knows.
    pub(crate) fn deal_splits(&mut self, region: usize) {
        let Some(from) = self.coordinator.restored_from.get(&region) else { return };
        let Some(kept) = self.coordinator.ladder().find(|kept| kept.id() == *from) else { return };
        let checkpoint = std::sync::Arc::clone(&kept.stored.checkpoint);
        let graph = std::sync::Arc::clone(&self.spec.graph);
        for (vertex, node, source) in graph.sources() {
            let state = checkpoint.operators.get(&source.uid).and_then(|state| state.source.as_ref());
            if let (true, Some(state)) = (self.regions.of_vertex(vertex) == region, state) {
                let readers = 0..graph.vertices[vertex].parallelism;
                let readers = readers.filter(|subtask| !checkpoint.was_finished(&graph, vertex, *subtask));
                let assigner = SplitAssigner::restore(state, &readers.collect::<Vec<_>>());
                self.view.splits.insert(node, assigner.progress());
                self.splits.insert(node, Splits::Listed(assigner));
            }
        }
    }

    /// What a task begins with, as chosen for its region.
    pub(crate) fn restore_of(&self, task: Task) -> Option<TaskRestore> {
        let from = self.coordinator.restored_from.get(&self.region_of(task))?;
        let chosen = self.coordinator.ladder().find(|retained| retained.id() == *from)?;
        Some(chosen.stored.checkpoint.restore(&self.spec.graph, task.vertex, task.subtask))
    }

    /// A task fails: if it could not read what it was to begin with, its region goes back to the checkpoint before.
    pub(crate) fn note_unreadable(&mut self, task: Task, failure: &Failure) -> Option<Failure> {
        let begins = matches!(self.subtask(task).state, ExecutionState::Deploying | ExecutionState::Initializing);
        if failure.kind != FailureKind::StateUnreadable || !begins {
            return None;
        }
        let region = self.region_of(task);
        let from = *self.coordinator.restored_from.get(&region)?;
        let coordinator = &mut self.coordinator;
        let unreadable = coordinator.start_from.iter_mut().chain(&mut coordinator.retained);
        for kept in unreadable.filter(|kept| kept.id() == from) {
            kept.unreadable.insert(region);
        }
        let mut told = failure.clone();
        told.message = match self.coordinator.best(region) {
            Some(next) => format!("{}; the job goes back from checkpoint {from} to {}", failure.message, next.id()),
            None => format!("{}; no checkpoint before {from} is left to go back to", failure.message),
        };
        Some(told)
    }
}
