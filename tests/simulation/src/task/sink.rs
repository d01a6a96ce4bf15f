//! The two-phase-commit sink, as the TaskManager's `NativeSink` drives the file sink.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millrace_types::{AttemptId, CheckpointId, Failure, FailureKind, NodeId};

use super::{Env, TaskError};
use crate::output::PartName;
use crate::rows::Row;

/// The sink of one attempt.
#[derive(Debug)]
pub(crate) struct Sink {
    node: NodeId,
    attempt: AttemptId,
    open: Vec<Row>,
    /// The parts that were prepared and not committed yet.
    parts: BTreeSet<PartName>,
    /// What was not committed at the barriers of checkpoints that are not complete.
    prepared: BTreeMap<CheckpointId, Vec<Bytes>>,
    closed: bool,
}

impl Sink {
    /// Commits what the restored checkpoint had prepared, and removes what earlier attempts left beyond it.
    pub(crate) fn open(
        node: NodeId,
        attempt: AttemptId,
        parallelism: u32,
        restored: Option<(CheckpointId, &[Bytes], bool)>,
        env: &mut Env<'_>,
    ) -> Self {
        if let Some((checkpoint, committables, own)) = restored {
            if own {
                env.ledger.check_commit(attempt.job, checkpoint);
            }
            let names: Vec<_> = committables.iter().map(PartName::from_committable).collect();
            env.output.commit(&names, env.scenario);
        }
        let checkpoint = restored.map(|(checkpoint, ..)| checkpoint);
        env.output.clean((node, attempt), parallelism, checkpoint, env.ledger.damaged);
        Self { node, attempt, open: Vec::new(), parts: BTreeSet::new(), prepared: BTreeMap::new(), closed: false }
    }

    pub(crate) fn write(&mut self, row: Row) {
        self.open.push(row);
    }

    pub(crate) fn prepare(&mut self, checkpoint: CheckpointId, env: &mut Env<'_>) -> Vec<Bytes> {
        if self.closed {
            return Vec::new();
        }
        if !self.open.is_empty() {
            let AttemptId { job, subtask, attempt, .. } = self.attempt;
            let name = PartName { job, node: self.node, subtask, checkpoint, attempt };
            env.output.prepare(name, std::mem::take(&mut self.open));
            self.parts.insert(name);
        }
        let prepared: Vec<_> = self.parts.iter().map(|name| name.to_committable()).collect();
        if !prepared.is_empty() {
            self.prepared.insert(checkpoint, prepared.clone());
        }
        prepared
    }

    pub(crate) fn commit(&mut self, completed: CheckpointId, env: &mut Env<'_>) -> Result<(), TaskError> {
        let later = self.prepared.split_off(&CheckpointId(completed.0 + 1));
        let Some((_, committables)) = std::mem::replace(&mut self.prepared, later).pop_last() else { return Ok(()) };
        env.ledger.check_commit(self.attempt.job, completed);
        let names: Vec<_> = committables.iter().map(PartName::from_committable).collect();
        let all = env.output.commit(&names, env.scenario);
        if !all && names.iter().any(|name| self.parts.contains(name)) {
            let gone = "a part that was prepared is gone: a later attempt has removed it";
            return Err(Failure::new(FailureKind::Connector, gone).into());
        }
        self.parts.retain(|part| !names.contains(part));
        Ok(())
    }

    /// Ends the sink: all must have been committed.
    pub(crate) fn publish(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            assert!(
                self.open.is_empty() && self.parts.is_empty(),
                "{:?} ends with output that is not committed",
                self.attempt
            );
        }
    }
}
