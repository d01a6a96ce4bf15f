//! Makes a task's snapshots durable while the task goes on, and tells the JobMaster: as the TaskManager's `Uploads`.
//!
//! Invariants:
//! - Snapshots are written and acknowledged in the order in which they were taken.
//! - What was sealed and could not be written is written with the next snapshot.
//! - What is acknowledged names files of the job's own folder, or of the savepoint's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use millrace_protocol::{
    CheckpointAck, CheckpointDecline, InFlight, OperatorSnapshot, SnapshotFigures, StateBlob, StateSegment,
    SubtaskSnapshot, TaskDeployment, ToJobManager,
};
use millrace_types::{AttemptId, CheckpointId, Failure, FailureKind, KeyGroupRange, SnapshotKind, Timestamp};

use super::Env;
use super::snapshot::{OvertakenRows, Snapshot};
use crate::rows::Entries;
use crate::store::Content;

/// A segment of an operator's state in files.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) segment: StateSegment,
    /// The folder that its path is within, if not the job's checkpoint folder.
    pub(crate) folder: Option<String>,
}

#[derive(Debug, Default)]
struct Files {
    chain: Vec<Segment>,
    unwritten: Entries,
}

/// The snapshots of one attempt.
#[derive(Debug)]
pub(crate) struct Uploads {
    attempt: AttemptId,
    prefix: String,
    folder: String,
    key_groups: KeyGroupRange,
    operators: BTreeMap<String, Files>,
    /// With the time when the write is done.
    taken: VecDeque<(Timestamp, Snapshot)>,
    pub(crate) acknowledged: BTreeSet<CheckpointId>,
}

impl Uploads {
    pub(crate) fn new(task: &TaskDeployment) -> Self {
        let (attempt, vertex) = (task.attempt, &task.vertex);
        Self {
            attempt,
            prefix: format!("shared/{}-{}-{}", vertex.nodes[0].1.uid, attempt.subtask, attempt.attempt),
            folder: task.settings.checkpoints.folder.clone(),
            key_groups: KeyGroupRange::of_subtask(attempt.subtask, vertex.parallelism, vertex.max_parallelism),
            operators: BTreeMap::new(),
            taken: VecDeque::new(),
            acknowledged: BTreeSet::new(),
        }
    }

    /// An operator was restored from these.
    pub(crate) fn restored(&mut self, uid: &str, chain: Vec<Segment>) {
        self.operators.insert(uid.to_owned(), Files { chain, unwritten: Entries::new() });
    }

    pub(crate) fn take(&mut self, snapshot: Snapshot, env: &mut Env<'_>) {
        let ready = env.now.plus_ms(env.rng.below(env.scenario.write_ms));
        let ready = self.taken.back().map_or(ready, |(last, _)| ready.max(*last));
        self.taken.push_back((ready, snapshot));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Writes the next snapshot if it is time, and tells what came of it.
    pub(crate) fn work(&mut self, env: &mut Env<'_>) -> bool {
        if self.taken.front().is_none_or(|(ready, _)| *ready > env.now) {
            return false;
        }
        let Some((_, snapshot)) = self.taken.pop_front() else { return false };
        let (attempt, checkpoint) = (self.attempt, snapshot.barrier.checkpoint);
        let message = match self.write(snapshot, env) {
            Ok(snapshot) => {
                self.acknowledged.insert(checkpoint);
                let figures = SnapshotFigures::default();
                let ack = CheckpointAck { attempt, checkpoint, snapshot, figures };
                ToJobManager::CheckpointAcknowledged(Box::new(ack))
            }
            Err(why) => {
                let failure = Failure::new(FailureKind::Checkpoint, why);
                ToJobManager::CheckpointDeclined(CheckpointDecline { attempt, checkpoint, subsumed: false, failure })
            }
        };
        env.outbound.push(message);
        self.merge(env);
        true
    }

    fn write(&mut self, snapshot: Snapshot, env: &mut Env<'_>) -> Result<SubtaskSnapshot, String> {
        let Snapshot { barrier, mut operators, overtaken } = snapshot;
        let savepoint = matches!(barrier.kind, SnapshotKind::Savepoint { .. });
        let target = barrier.folder.as_deref().filter(|_| savepoint).map(str::to_owned);
        for uid in self.operators.keys() {
            operators.entry(uid.clone()).or_default();
        }
        let mut written = SubtaskSnapshot::default();
        let mut outcome = Ok(());
        for (uid, parts) in operators {
            if let Err(failed) = self.write_segment(&uid, parts.sealed, env) {
                outcome = Err(failed);
                continue;
            }
            let keyed = match &target {
                Some(target) => self.copy_chain(&uid, target, env)?,
                None => self.own_segments(&uid, env)?,
            };
            let snapshot = OperatorSnapshot {
                keyed,
                reader: parts.reader,
                committables: parts.committables,
                ..OperatorSnapshot::default()
            };
            written.operators.insert(uid, snapshot);
        }
        outcome?;
        for rows in overtaken {
            let batches = self.blob(target.as_deref(), Content::Rows(rows.rows.clone()), env);
            let OvertakenRows { target_uid, target_port, target_subtask, rerouting, .. } = rows;
            written.in_flight.push(InFlight { target_uid, target_port, target_subtask, rerouting, batches });
        }
        Ok(written)
    }

    fn blob(&self, folder: Option<&str>, content: Content, env: &mut Env<'_>) -> StateBlob {
        if env.rng.chance(env.scenario.inline) {
            env.store.write_inline(content)
        } else {
            env.store.write(folder.unwrap_or(&self.folder), &self.prefix, content)
        }
    }

    /// Writes what an operator has sealed, behind what it could not write before.
    fn write_segment(&mut self, uid: &str, sealed: Option<Entries>, env: &mut Env<'_>) -> Result<(), String> {
        let Some(sealed) = sealed else { return Ok(()) };
        let files = self.operators.entry(uid.to_owned()).or_default();
        files.unwritten.extend(sealed);
        if env.faulty && env.rng.chance(env.scenario.chances.upload_fails) {
            return Err("the disk is full".to_owned());
        }
        let entries = std::mem::take(&mut files.unwritten);
        if entries.is_empty() {
            return Ok(());
        }
        let blob = self.blob(None, Content::State(entries), env);
        let segment = Segment { segment: StateSegment { key_groups: self.key_groups, blob }, folder: None };
        self.operators.entry(uid.to_owned()).or_default().chain.push(segment);
        Ok(())
    }

    /// The segments of an operator, all of them in the job's own folder.
    fn own_segments(&mut self, uid: &str, env: &mut Env<'_>) -> Result<Vec<StateSegment>, String> {
        let Some(files) = self.operators.get(uid) else { return Ok(Vec::new()) };
        if files.chain.iter().any(|segment| segment.folder.is_some()) {
            let blob = self.merged(&files.chain, None, env)?;
            self.replace(uid, blob);
        }
        let files = self.operators.get(uid).into_iter();
        Ok(files.flat_map(|files| &files.chain).map(|segment| segment.segment.clone()).collect())
    }

    /// The state of an operator as one segment of a savepoint.
    fn copy_chain(&self, uid: &str, target: &str, env: &mut Env<'_>) -> Result<Vec<StateSegment>, String> {
        let Some(files) = self.operators.get(uid).filter(|files| !files.chain.is_empty()) else {
            return Ok(Vec::new());
        };
        let blob = self.merged(&files.chain, Some(target), env)?;
        Ok(vec![StateSegment { key_groups: self.key_groups, blob }])
    }

    fn merged(&self, chain: &[Segment], target: Option<&str>, env: &mut Env<'_>) -> Result<StateBlob, String> {
        let mut merged = Entries::new();
        for Segment { segment, folder } in chain {
            let content = env.store.read(folder.as_ref().unwrap_or(&self.folder), &segment.blob)?;
            let Content::State(entries) = &*content else { return Err("no state".to_owned()) };
            merged.extend(super::within(entries, segment.key_groups));
        }
        merged.retain(|_, value| value.is_some());
        // What was restored may have entries of key groups that others have now.
        let max_parallelism = crate::graph::MAX_PARALLELISM;
        merged.retain(|key, _| self.key_groups.contains(crate::rows::key_group(key.key(), max_parallelism)));
        Ok(self.blob(target, Content::State(merged), env))
    }

    fn replace(&mut self, uid: &str, blob: StateBlob) {
        let segment = Segment { segment: StateSegment { key_groups: self.key_groups, blob }, folder: None };
        self.operators.entry(uid.to_owned()).or_default().chain = vec![segment];
    }

    /// Merges what has grown long, behind a snapshot.
    fn merge(&mut self, env: &mut Env<'_>) {
        let due =
            |(uid, files): (&String, &Files)| (files.chain.len() > env.scenario.segments_max).then(|| uid.clone());
        let Some(uid) = self.operators.iter().find_map(due) else { return };
        // Damage is found again by whoever restores it.
        if let Ok(blob) = self.merged(&self.operators[&uid].chain, None, env) {
            self.replace(&uid, blob);
        }
    }
}
