//! How a task takes part in checkpoints, step for step as the TaskManager's `TaskCheckpoints` does.

use std::sync::Arc;

use millrace_protocol::{CheckpointDecline, ReaderSnapshot, ToJobManager};
use millrace_types::{AttemptId, Barrier, CheckpointId, Failure, FailureKind, SnapshotKind};

use super::chain::Chain;
use super::orders::{OrderBox, Orders};
use super::snapshot::Snapshot;
use super::uploads::Uploads;
use super::{Env, TaskError};

/// A source's uid and where its reader is.
pub(crate) type Reader = Option<(String, ReaderSnapshot)>;

/// What a task knows of its checkpoints.
#[derive(Debug)]
pub(crate) struct TaskCheckpoints {
    attempt: AttemptId,
    pub(crate) orders: OrderBox,
    /// What came while the task stood still.
    others: Orders,
    pub(crate) uploads: Uploads,
    /// The newest checkpoint that was snapshot or aborted here.
    newest: Option<CheckpointId>,
    /// The first snapshot that was taken behind the end of all input.
    last: Option<CheckpointId>,
    /// The savepoint behind which the task stops, as long as it is neither complete nor aborted.
    stopping: Option<CheckpointId>,
    stopped: bool,
}

impl TaskCheckpoints {
    pub(crate) fn new(attempt: AttemptId, uploads: Uploads) -> Self {
        let (orders, others) = Default::default();
        Self { attempt, orders, others, uploads, newest: None, last: None, stopping: None, stopped: false }
    }

    pub(crate) fn is_news(&self, checkpoint: CheckpointId) -> bool {
        self.newest.is_none_or(|newest| checkpoint > newest)
    }

    /// Whether the task stands still behind the barrier of a savepoint that stops the job.
    pub(crate) fn is_waiting(&self) -> bool {
        self.stopping.is_some() && !self.stopped
    }

    /// While it does, only this is heard.
    pub(crate) fn wait_for_savepoint(&mut self, chain: &mut Chain, env: &mut Env<'_>) -> Result<bool, TaskError> {
        let Some(mut orders) = self.orders.take() else { return Ok(false) };
        self.heed(&orders, chain, env)?;
        orders.completed = None;
        self.others.join(orders);
        if !self.is_waiting() {
            // What concerns others is for those who take orders again now.
            self.orders.give_back(std::mem::take(&mut self.others));
        }
        Ok(true)
    }

    pub(crate) fn heed(&mut self, orders: &Orders, chain: &mut Chain, env: &mut Env<'_>) -> Result<(), TaskError> {
        self.newest = self.newest.max(orders.aborted.last().copied()).max(orders.aborted_upto);
        if !orders.aborted.is_empty() {
            chain.give_up();
        }
        if let Some(completed) = orders.completed {
            chain.commit(completed, env)?;
            if let Some(savepoint) = self.stopping.filter(|stopping| *stopping <= completed && !self.stopped) {
                chain.stop(env)?;
                self.stopped = true;
                env.ledger.stopped(self.attempt, savepoint);
            }
        }
        if !self.stopped && self.stopping.is_some_and(|stopping| orders.has_aborted(stopping)) {
            self.stopping = None;
        }
        Ok(())
    }

    /// Takes a snapshot, sends the barrier on, and hands the snapshot over.
    pub(crate) fn snapshot(
        &mut self,
        barrier: &Arc<Barrier>,
        reader: Reader,
        chain: &mut Chain,
        env: &mut Env<'_>,
    ) -> Result<(), TaskError> {
        let snapshot = self.take(barrier, reader, chain, env)?;
        self.uploads.take(snapshot, env);
        if let SnapshotKind::Savepoint { stop: true } = barrier.kind {
            self.stopping = Some(barrier.checkpoint);
        }
        Ok(())
    }

    pub(crate) fn take(
        &mut self,
        barrier: &Arc<Barrier>,
        reader: Reader,
        chain: &mut Chain,
        env: &mut Env<'_>,
    ) -> Result<Snapshot, TaskError> {
        let checkpoint = barrier.checkpoint;
        self.newest = self.newest.max(Some(checkpoint));
        if chain.has_ended() {
            self.last.get_or_insert(checkpoint);
        }
        let (mut operators, overtaken) = chain.snapshot(barrier, env)?;
        if let Some((uid, reader)) = reader {
            operators.entry(uid).or_default().reader = Some(reader);
        }
        Ok(Snapshot { barrier: (**barrier).clone(), operators, overtaken })
    }

    pub(crate) fn decline(&self, checkpoint: CheckpointId, newer: CheckpointId, env: &mut Env<'_>) {
        let message = format!("checkpoint {newer} came before checkpoint {checkpoint} was complete");
        let failure = Failure::new(FailureKind::Checkpoint, message);
        let decline = CheckpointDecline { attempt: self.attempt, checkpoint, subsumed: true, failure };
        env.outbound.push(ToJobManager::CheckpointDeclined(decline));
    }

    /// All input was processed: whether nothing has to be waited for.
    pub(crate) fn begin_conclusion(&self, chain: &Chain, env: &mut Env<'_>) -> bool {
        let committed = !chain.ends_by_checkpoint() || self.stopped;
        if !committed {
            env.outbound.push(ToJobManager::AwaitingCheckpoint { attempt: self.attempt });
        }
        committed
    }

    /// Whether the task has stopped behind a savepoint.
    pub(crate) fn has_stopped(&self) -> bool {
        self.stopped
    }

    /// Waits for the checkpoint that makes the sinks' output visible. Returns whether it has come, if anything has.
    pub(crate) fn conclude(
        &mut self,
        reader: impl Fn() -> Reader,
        chain: &mut Chain,
        env: &mut Env<'_>,
    ) -> Result<Option<bool>, TaskError> {
        let Some(orders) = self.orders.take() else { return Ok(None) };
        self.heed(&orders, chain, env)?;
        let committed = self.last.is_some_and(|last| Some(last) <= orders.completed);
        for barrier in orders.triggers.into_values().filter(|_| !committed) {
            if self.is_news(barrier.checkpoint) && !self.stopped {
                self.snapshot(&Arc::new(barrier), reader(), chain, env)?;
            }
        }
        Ok(Some(committed))
    }
}
