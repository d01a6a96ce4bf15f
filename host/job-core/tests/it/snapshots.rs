//! Checkpoints as the tasks, the files and the metadata store around a job see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_graph::JobGraph;
use millrace_job_core::{Command, CompletedCheckpoint, Input, JobCore, RequestId, WriteId};
use millrace_protocol::{
    CheckpointAck, CheckpointDecline, OperatorSnapshot, ReaderSnapshot, SnapshotFigures, StateBlob, StateSegment,
    SubtaskSnapshot, TaskDeployment,
};
use millrace_types::{AttemptId, CheckpointId, ExecutionState, KeyGroupRange, SnapshotKind};

use crate::harness::failure;

/// The first vertex of those that a vertex exchanges records with, directly or not.
fn region(graph: &JobGraph, vertex: usize) -> usize {
    let mut reached = BTreeSet::from([vertex]);
    for _ in 0..graph.edges.len() {
        for edge in &graph.edges {
            if reached.contains(&edge.source_vertex) || reached.contains(&edge.target_vertex) {
                reached.extend([edge.source_vertex, edge.target_vertex]);
            }
        }
    }
    reached.into_iter().next().unwrap()
}

#[derive(Default)]
pub struct Snapshots {
    /// Files that each running attempt will name again, oldest first, and the splits that it has.
    attempts: BTreeMap<AttemptId, Vec<String>>,
    /// What the running attempts had at the barriers of checkpoints, until it is told.
    sealed: BTreeMap<(CheckpointId, AttemptId), SubtaskSnapshot>,
    /// What was told of checkpoints.
    acknowledged: BTreeMap<CheckpointId, BTreeMap<AttemptId, SubtaskSnapshot>>,
    /// Those that had to acknowledge each checkpoint when it was triggered.
    expected: BTreeMap<CheckpointId, BTreeSet<AttemptId>>,
    kinds: BTreeMap<CheckpointId, SnapshotKind>,
    aborted: BTreeSet<CheckpointId>,
    /// Metadata that the job wants written, and all that it ever did.
    pub storing: Vec<CheckpointId>,
    pub stored: BTreeMap<CheckpointId, Arc<CompletedCheckpoint>>,
    /// Writes under way: ids, and pointers with what is retained.
    pub id_writes: BTreeMap<WriteId, u64>,
    pub pointer_writes: BTreeMap<WriteId, Vec<CheckpointId>>,
    pub reading: BTreeSet<CheckpointId>,
    reserved: u64,
    /// The pointers in the metadata store.
    pub pointers: Vec<CheckpointId>,
    /// Pointers whose completion the job has learnt of.
    known: BTreeSet<CheckpointId>,
    /// What each attempt began with.
    begun: BTreeMap<AttemptId, Option<CheckpointId>>,
    /// Checkpoints that a task of a region could not read.
    unreadable: BTreeSet<(usize, CheckpointId)>,
    deleted: BTreeSet<String>,
    asked: BTreeSet<RequestId>,
    answered: BTreeSet<RequestId>,
    pub merges: u32,
    pub read_back: u32,
    pub gone_back: u32,
    pub completed: u32,
    pub restored: u32,
    pub files_deleted: u32,
}

impl Snapshots {
    /// What an input says of the world.
    pub fn learn(&mut self, input: &Input) {
        match input {
            Input::MetadataWritten { write } => {
                self.reserved = self.reserved.max(self.id_writes.remove(write).unwrap_or(0));
                if let Some(retained) = self.pointer_writes.remove(write) {
                    self.known.extend(retained.last());
                    self.pointers = retained;
                }
            }
            Input::MetadataWriteFailed { write, .. } => {
                self.id_writes.remove(write);
                self.pointer_writes.remove(write);
            }
            Input::PointerRead { checkpoint, result } => {
                self.reading.remove(checkpoint);
                if *result == Ok(true) {
                    self.read_back += 1;
                    self.known.insert(*checkpoint);
                }
            }
            Input::CheckpointStored { checkpoint, .. } => self.storing.retain(|id| id != checkpoint),
            Input::SavepointRequested { request, .. } | Input::CheckpointRequested { request } => {
                self.asked.insert(*request);
            }
            Input::TaskReported(report) if report.state.is_terminal() => self.end(&report.attempt),
            Input::DeployFailed { attempt, .. } => self.end(attempt),
            _ => {}
        }
    }

    fn end(&mut self, attempt: &AttemptId) {
        self.attempts.remove(attempt);
        self.sealed.retain(|(_, of), _| of != attempt);
    }

    /// Attempts that are gone name no files any more.
    pub fn keep(&mut self, running: impl Fn(&AttemptId) -> bool) {
        self.attempts.retain(|attempt, _| running(attempt));
        self.sealed.retain(|(_, attempt), _| running(attempt));
    }

    pub fn deployed(&mut self, core: &JobCore, task: &TaskDeployment) {
        let view = core.view();
        let vertex = view.graph.vertex_index(task.attempt.vertex).unwrap();
        let region = region(&view.graph, vertex);
        let newest = self.pointers.iter().rev().find(|id| !self.unreadable.contains(&(region, **id)));
        self.begun.insert(task.attempt, task.restore.as_ref().map(|restore| restore.checkpoint));
        assert_eq!(task.restore.as_ref().map(|restore| restore.checkpoint), newest.copied(), "the newest is restored");
        let mut files = Vec::new();
        if let Some(restore) = &task.restore {
            let checkpoint = &self.stored[&restore.checkpoint];
            assert_eq!(*restore, checkpoint.restore(&view.graph, vertex, task.attempt.subtask));
            // What is in a savepoint's folder is written anew into the job's.
            let own = restore.folder.is_none();
            let segments =
                restore.operators.values().filter(|_| own).flat_map(|operator| operator.keyed.iter().flatten());
            files.extend(segments.filter_map(|segment| segment.blob.path().map(str::to_owned)));
            files.iter().for_each(|file| assert!(!self.deleted.contains(file), "{file} is restored and was deleted"));
            self.restored += 1;
        }
        self.attempts.insert(task.attempt, files);
    }

    /// Barriers have reached all tasks: each seals what has changed.
    fn seal(&mut self, core: &JobCore, checkpoint: CheckpointId) {
        for (attempt, files) in &mut self.attempts {
            let name =
                |what: &str| format!("{}-{}-{}-{what}{checkpoint}", attempt.vertex, attempt.subtask, attempt.attempt);
            let mut of_savepoint = vec![name("save")];
            let savepoint = self.kinds[&checkpoint] != SnapshotKind::Checkpoint;
            let files = if savepoint { &mut of_savepoint } else { files };
            // A base takes the place of what it was merged from.
            if files.len() > 3 {
                files.clear();
                self.merges += 1;
                files.push(name("base"));
            }
            files.push(name("change"));
            let segments = files.iter().map(|file| StateSegment {
                key_groups: KeyGroupRange { start: 0, end: 127 },
                blob: StateBlob::File { path: file.clone(), bytes: 1, checksum: 2 },
            });
            let graph = &core.view().graph;
            let vertex = &graph.vertices[graph.vertex_index(attempt.vertex).unwrap()];
            let (_, head) = &vertex.nodes[0];
            let reader = head.kind.is_source().then(ReaderSnapshot::default);
            let snapshot = OperatorSnapshot {
                keyed: segments.collect(),
                reader,
                committables: vec![name("t").into_bytes().into()],
                ..OperatorSnapshot::default()
            };
            let operators = BTreeMap::from([(head.uid.clone(), snapshot)]);
            self.sealed
                .insert((checkpoint, *attempt), SubtaskSnapshot { operators, in_flight: vec![], finished: false });
        }
    }

    /// The acknowledgement, or its like, that one of the tasks has ready.
    pub fn acknowledgement(&self, which: usize) -> Option<Input> {
        let (checkpoint, attempt) = *self.sealed.keys().nth(which % self.sealed.len().max(1))?;
        let snapshot = self.sealed[&(checkpoint, attempt)].clone();
        let figures = SnapshotFigures { state_bytes: 3, ..SnapshotFigures::default() };
        Some(Input::CheckpointAcknowledged(Box::new(CheckpointAck { attempt, checkpoint, snapshot, figures })))
    }

    pub fn decline(&self, which: usize) -> Option<Input> {
        let (checkpoint, attempt) = *self.sealed.keys().nth(which % self.sealed.len().max(1))?;
        Some(Input::CheckpointDeclined(CheckpointDecline {
            attempt,
            checkpoint,
            subsumed: false,
            failure: failure("no room"),
        }))
    }

    pub fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// A write of the checkpoints' own is answered.
    pub fn write(&mut self, which: usize, effect: bool, told: bool) -> Option<Input> {
        let writes: Vec<_> = self.id_writes.keys().chain(self.pointer_writes.keys()).copied().collect();
        let write = *writes.get(which % writes.len().max(1))?;
        if effect && told {
            return Some(Input::MetadataWritten { write });
        }
        if let Some(retained) = self.pointer_writes.get(&write).filter(|_| effect) {
            self.pointers = retained.clone();
        }
        Some(Input::MetadataWriteFailed { write, reason: "timeout".into() })
    }

    /// An acknowledgement has been told.
    pub fn told(&mut self, input: &Input) {
        match input {
            Input::CheckpointAcknowledged(ack) => {
                let Some(snapshot) = self.sealed.remove(&(ack.checkpoint, ack.attempt)) else { return };
                self.acknowledged.entry(ack.checkpoint).or_default().insert(ack.attempt, snapshot);
            }
            Input::CheckpointDeclined(decline) => drop(self.sealed.remove(&(decline.checkpoint, decline.attempt))),
            _ => {}
        }
    }

    /// A task cannot read what it was to begin with.
    pub fn not_read(&mut self, attempt: &AttemptId, core: &JobCore) {
        let view = core.view();
        let vertex = view.graph.vertex_index(attempt.vertex).unwrap();
        let state = view.vertices[vertex].subtasks[attempt.subtask as usize].state;
        let begins = matches!(state, ExecutionState::Deploying | ExecutionState::Initializing);
        if let Some(Some(restored)) = self.begun.get(attempt).filter(|_| begins) {
            self.unreadable.insert((region(&view.graph, vertex), *restored));
            self.gone_back += 1;
        }
    }

    pub fn observe(&mut self, core: &JobCore, unfinished: &BTreeSet<AttemptId>, command: &Command) {
        match command {
            Command::TriggerCheckpoint { attempt, barrier, .. } => {
                let id = barrier.checkpoint;
                assert!(id.0 <= self.reserved, "{id} is not reserved");
                assert!(self.attempts.contains_key(attempt));
                self.begin(core, unfinished, id, barrier.kind);
            }
            Command::StoreCheckpoint { checkpoint } => {
                self.begin(core, unfinished, checkpoint.id, checkpoint.kind);
                self.check_stored(core, checkpoint);
                self.storing.push(checkpoint.id);
                self.stored.insert(checkpoint.id, checkpoint.clone());
            }
            Command::PersistCheckpoint { write, checkpoint, retained, .. } => {
                assert!(self.stored.contains_key(checkpoint) && !self.storing.contains(checkpoint), "bytes first");
                assert_eq!(retained.last(), Some(checkpoint));
                assert!(self.pointers.last() < Some(checkpoint) || self.pointers.is_empty(), "pointers only grow");
                assert!(self.pointer_writes.is_empty(), "one pointer at a time");
                self.pointer_writes.insert(*write, retained.clone());
            }
            Command::ReadPointer { checkpoint } => assert!(self.reading.insert(*checkpoint)),
            Command::ReserveCheckpointIds { write, upto } => drop(self.id_writes.insert(*write, *upto)),
            Command::NotifyCheckpointCompleted { checkpoint, .. } => {
                assert!(self.known.contains(checkpoint), "nobody commits before the pointer");
                self.completed += 1;
            }
            Command::NotifyCheckpointAborted { checkpoint, .. } => {
                assert!(!self.known.contains(checkpoint), "what is complete is not aborted");
                assert!(self.pointer_writes.values().all(|retained| retained.last() != Some(checkpoint)));
                self.aborted.insert(*checkpoint);
            }
            Command::DeleteCheckpoint { checkpoint, .. } => {
                assert!(!self.pointers.contains(checkpoint), "{checkpoint} is retained");
                assert_eq!(self.kinds[checkpoint], SnapshotKind::Checkpoint, "savepoints are the user's");
            }
            Command::DeleteFiles { paths } => paths.iter().for_each(|path| self.delete(path)),
            Command::SavepointEnded { request, .. } => {
                assert!(self.asked.contains(request) && self.answered.insert(*request), "one answer to a request");
            }
            Command::JobEnded { .. } => {
                assert_eq!(self.asked, self.answered, "each request is answered");
                assert!(self.pointer_writes.is_empty() && self.reading.is_empty(), "no end amid a pointer");
            }
            _ => {}
        }
    }

    fn begin(&mut self, core: &JobCore, unfinished: &BTreeSet<AttemptId>, id: CheckpointId, kind: SnapshotKind) {
        if self.expected.contains_key(&id) {
            return;
        }
        assert!(self.expected.last_key_value().is_none_or(|(last, _)| *last < id), "ids grow");
        self.expected.insert(id, unfinished.clone());
        self.kinds.insert(id, kind);
        self.seal(core, id);
    }

    fn check_stored(&self, core: &JobCore, checkpoint: &CompletedCheckpoint) {
        let none = BTreeMap::new();
        let told = self.acknowledged.get(&checkpoint.id).unwrap_or(&none);
        assert!(told.keys().eq(&self.expected[&checkpoint.id]), "checkpoint {} lacks a task", checkpoint.id);
        let graph = &core.view().graph;
        for (attempt, snapshot) in told {
            for (uid, said) in &snapshot.operators {
                let kept = &checkpoint.operators[uid].subtasks[&attempt.subtask];
                assert_eq!((&kept.keyed, &kept.committables), (&said.keyed, &said.committables));
            }
        }
        for (vertex, tasks) in graph.vertices.iter().zip(&core.view().vertices) {
            let told = |subtask: &u32| told.keys().any(|task| (task.vertex, task.subtask) == (vertex.id, *subtask));
            for subtask in (0..vertex.parallelism).filter(|subtask| !told(subtask)) {
                assert_eq!(tasks.subtasks[subtask as usize].state, ExecutionState::Finished);
                assert!(checkpoint.operators[&vertex.nodes[0].1.uid].finished.contains(&subtask));
            }
        }
    }

    fn delete(&mut self, path: &str) {
        let names = |snapshot: &SubtaskSnapshot| {
            let segments = snapshot.operators.values().flat_map(|operator| &operator.keyed);
            segments.filter_map(|segment| segment.blob.path()).any(|file| file == path)
        };
        for id in &self.pointers {
            assert!(self.stored[id].files().all(|file| file != path), "{path} is of retained checkpoint {id}");
        }
        for (attempt, files) in &self.attempts {
            assert!(files.iter().all(|file| file != path), "{path} will be named again by {attempt:?}");
        }
        let open = |id: &CheckpointId| !self.aborted.contains(id) && Some(id) > self.pointers.last();
        let sealed = self.sealed.iter().filter(|((id, _), _)| open(id)).map(|(_, snapshot)| snapshot);
        let told = self.acknowledged.iter().filter(|(id, _)| open(id)).flat_map(|(_, told)| told.values());
        assert!(!sealed.chain(told).any(names), "{path} is of a checkpoint under way");
        // An acknowledgement that comes once more may have a file deleted once more.
        self.files_deleted += u32::from(self.deleted.insert(path.to_owned()));
    }
}
