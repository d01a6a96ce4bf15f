//! Tasks acknowledge or decline checkpoints.
//!
//! Invariant: what a task says is checked before it becomes part of a checkpoint: paths stay within the folder, uids are
//! the task's own, splits were given to its reader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_protocol::{CheckpointAck, CheckpointDecline, SubtaskSnapshot};
use millrace_types::{CheckpointId, SnapshotKind};

use super::completed::{CompletedCheckpoint, InFlightState, OperatorState, VertexFigures, operator_blobs};
use super::coordinator::{Acknowledged, Pending, Stage};
use crate::core::{JobCore, Splits};
use crate::dropped::DropReason;
use crate::event::Command;
use crate::tasks::Task;

/// The longest path of a file within the folder, in bytes.
const PATH_BYTES_MAX: usize = 4_096;

impl JobCore {
    pub(crate) fn checkpoint_acknowledged(&mut self, ack: CheckpointAck, out: &mut Vec<Command>) {
        let task = match self.live_task(&ack.attempt) {
            Ok(task) => task,
            Err(reason) => return self.drop_message(reason),
        };
        if let Err(what) = self.check_snapshot(task, &ack) {
            let why = format!("{} acknowledged it in a way that makes no sense: {what}", self.task_name(task));
            return self.declined(ack.checkpoint, task, &why, out);
        }
        let waits = |pending: &&mut Pending| pending.awaited.contains(&task);
        let Some(pending) = self.coordinator.pending.get_mut(&ack.checkpoint).filter(waits) else {
            // The checkpoint was given up meanwhile: its files are of no use to it. One that is complete has them, and a
            // savepoint among these has a folder of its own, which is not the job's to tidy up.
            let coordinator = &self.coordinator;
            let is_retained = coordinator.retained.iter().any(|kept| kept.id() == ack.checkpoint);
            let is_known = is_retained || coordinator.pending.contains_key(&ack.checkpoint);
            if coordinator.ids.was_used(ack.checkpoint) && !is_known {
                self.coordinator.garbage.note(files_of(&ack.snapshot), ack.checkpoint);
            }
            return self.drop_message(DropReason::UnknownCheckpoint);
        };
        pending.awaited.remove(&task);
        let complete = pending.awaited.is_empty();
        let (at, figures) = (self.now, ack.figures);
        pending.acknowledged.insert(task, Acknowledged { at, snapshot: ack.snapshot, figures });
        let vertex = ack.attempt.vertex;
        self.checkpoints_view().update(ack.checkpoint, |view| view.acknowledge(vertex, task.subtask, at, &figures));
        if complete {
            self.all_acknowledged(ack.checkpoint, out);
        }
    }

    pub(crate) fn checkpoint_declined(&mut self, decline: &CheckpointDecline, out: &mut Vec<Command>) {
        match self.live_task(&decline.attempt) {
            Ok(task) => {
                let why = format!("{} declined it: {}", self.task_name(task), decline.failure);
                if decline.subsumed {
                    // Nothing went wrong: only a newer one was faster.
                    return self.abort(decline.checkpoint, &why, out);
                }
                self.declined(decline.checkpoint, task, &why, out);
            }
            Err(reason) => self.drop_message(reason),
        }
    }

    fn declined(&mut self, id: CheckpointId, task: Task, why: &str, out: &mut Vec<Command>) {
        let waits = |pending: &Pending| pending.awaited.contains(&task);
        if self.coordinator.pending.get(&id).is_some_and(waits) {
            self.checkpoint_failed(id, why, out);
        } else {
            self.drop_message(DropReason::UnknownCheckpoint);
        }
    }

    fn check_snapshot(&self, task: Task, ack: &CheckpointAck) -> Result<(), String> {
        let vertex = &self.spec.graph.vertices[task.vertex];
        for (uid, snapshot) in &ack.snapshot.operators {
            let Some((node, _)) = vertex.nodes.iter().find(|(_, node)| node.uid == *uid) else {
                return Err(format!("it has no operator \"{uid}\""));
            };
            if let Some(reader) = &snapshot.reader {
                let Some(Splits::Listed(assigner)) = self.splits.get(node) else {
                    return Err(format!("operator \"{uid}\" is no source"));
                };
                assigner.check(ack.attempt, reader)?;
            }
        }
        let uids: BTreeSet<&str> =
            self.spec.graph.vertices.iter().flat_map(|vertex| &vertex.nodes).map(|(_, node)| &*node.uid).collect();
        if let Some(unknown) = ack.snapshot.in_flight.iter().find(|records| !uids.contains(&*records.target_uid)) {
            return Err(format!("it has records for \"{}\", which is no operator", unknown.target_uid));
        }
        let within =
            |path: &str| path.len() <= PATH_BYTES_MAX && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        match files_of(&ack.snapshot).find(|path| !within(path)) {
            Some(path) => {
                Err(format!("\"{}\" is no path within the folder", path.chars().take(80).collect::<String>()))
            }
            None => Ok(()),
        }
    }

    /// No task is waited for: the checkpoint's metadata can be written.
    pub(crate) fn all_acknowledged(&mut self, id: CheckpointId, out: &mut Vec<Command>) {
        let Some(pending) = self.coordinator.pending.get(&id) else { return };
        debug_assert!(pending.awaited.is_empty(), "checkpoint {id} lacks acknowledgements");
        let checkpoint = Arc::new(self.assembled(pending));
        if let Some(pending) = self.coordinator.pending.get_mut(&id) {
            pending.stage = Stage::Storing(Arc::clone(&checkpoint));
        }
        out.push(Command::StoreCheckpoint { checkpoint });
    }

    fn assembled(&self, pending: &Pending) -> CompletedCheckpoint {
        let mut operators: BTreeMap<String, OperatorState> = BTreeMap::new();
        let mut in_flight = Vec::new();
        let mut figures: BTreeMap<_, VertexFigures> = BTreeMap::new();
        for (at, vertex) in self.spec.graph.vertices.iter().enumerate() {
            let of_vertex = |task: &&Task| task.vertex == at;
            let finished = pending.finished.iter().filter(of_vertex).map(|task| task.subtask);
            let begun = OperatorState {
                parallelism: vertex.parallelism,
                max_parallelism: vertex.max_parallelism,
                finished: finished.collect(),
                ..OperatorState::default()
            };
            operators.extend(vertex.nodes.iter().map(|(_, node)| (node.uid.clone(), begun.clone())));
        }
        // The positions of each source's readers.
        let mut readers: BTreeMap<&str, BTreeMap<u32, _>> = BTreeMap::new();
        for (task, taken) in &pending.acknowledged {
            let vertex = &self.spec.graph.vertices[task.vertex];
            let of_vertex = figures.entry(vertex.id).or_default();
            of_vertex.parallelism = vertex.parallelism;
            of_vertex.subtasks.insert(task.subtask, (taken.at, taken.figures));
            if taken.snapshot.finished {
                for (_, node) in &vertex.nodes {
                    operators.entry(node.uid.clone()).or_default().finished.insert(task.subtask);
                }
            }
            for (uid, snapshot) in &taken.snapshot.operators {
                let mut snapshot = snapshot.clone();
                if let Some(reader) = snapshot.reader.take() {
                    readers.entry(uid).or_default().insert(task.subtask, reader);
                }
                let operator = operators.entry(uid.clone()).or_default();
                operator.subtasks.insert(task.subtask, snapshot);
            }
            let consumes = |uid: &str| vertex.nodes.iter().any(|(_, node)| node.uid == uid);
            in_flight.extend(taken.snapshot.in_flight.iter().map(|records| InFlightState {
                subtask: task.subtask,
                at_consumer: consumes(&records.target_uid),
                records: records.clone(),
            }));
        }
        for (vertex, node, source) in self.spec.graph.sources() {
            if let (Some(Splits::Listed(assigner)), Some(operator)) =
                (self.splits.get(&node), operators.get_mut(&source.uid))
            {
                debug_assert_eq!(operator.parallelism, self.spec.graph.vertices[vertex].parallelism);
                let none = BTreeMap::new();
                let positions = readers.get(&*source.uid).unwrap_or(&none);
                operator.source = Some(assigner.state(positions, &operator.finished));
            }
        }
        CompletedCheckpoint {
            id: pending.barrier.checkpoint,
            // To whoever restores it, it is one as any other.
            kind: if pending.is_upgrade() { SnapshotKind::Checkpoint } else { pending.barrier.kind },
            triggered_at: pending.barrier.triggered_at,
            completed_at: self.now,
            folder: pending.barrier.folder.clone(),
            operators,
            in_flight,
            figures,
        }
    }
}

/// The files that a snapshot refers to.
pub(crate) fn files_of(snapshot: &SubtaskSnapshot) -> impl Iterator<Item = &str> {
    let blobs = snapshot.operators.values().flat_map(operator_blobs);
    blobs.chain(snapshot.in_flight.iter().map(|records| &records.batches)).filter_map(|blob| blob.path())
}
