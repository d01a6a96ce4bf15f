//! How a task takes part in checkpoints.
//!
//! Invariants:
//! - A snapshot is taken between two calls of the operators, when all that they emitted has passed down the chain.
//! - What was prepared is committed on the JobMaster's word alone, and a task whose sinks wait for that has not ended
//!   before it came for a snapshot that was taken behind the end of its input.
//! - Behind the barrier of a savepoint that stops the job nothing is processed, unless the savepoint is aborted.

use std::sync::Arc;
use std::time::Duration;

use millrace_protocol::{CheckpointDecline, ReaderSnapshot, SnapshotFigures, ToJobManager};
use millrace_types::{Alignment, Barrier, CheckpointId, CrashPoints, Failure, FailureKind, SnapshotKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::run::chain::Chain;
use crate::run::orders::{OrderBox, Orders};
use crate::run::shared::{TaskError, TaskShared, wall_clock};
use crate::run::snapshot::Snapshot;
use crate::run::upgrade::Upgrades;
use crate::run::uploads::Uploads;
use crate::time_account::Activity;

/// What a task knows of its checkpoints.
pub(crate) struct TaskCheckpoints {
    orders: OrderBox,
    outbound: mpsc::Sender<ToJobManager>,
    uploads: Uploads,
    /// The newest checkpoint that was snapshot or aborted here: the order to begin an older one is stale.
    newest: Option<CheckpointId>,
    /// The first snapshot that was taken behind the end of all input.
    last: Option<CheckpointId>,
    /// The savepoint behind which the task stops, as long as it is neither complete nor aborted.
    stopping: Option<CheckpointId>,
    /// The task has stopped behind a savepoint.
    stopped: bool,
    crash_points: CrashPoints,
    upgrades: Upgrades,
}

/// What is known of a snapshot besides what the operators have.
#[derive(Debug, Default)]
pub(crate) struct SnapshotExtras {
    /// The source's uid and where its reader is.
    pub reader: Option<(String, ReaderSnapshot)>,
    /// When the first barrier came; none: just now.
    pub first_barrier: Option<Instant>,
    pub unaligned: bool,
}

impl TaskCheckpoints {
    pub(crate) fn new(
        orders: OrderBox,
        outbound: mpsc::Sender<ToJobManager>,
        uploads: Uploads,
        crash_points: CrashPoints,
        upgrades: Upgrades,
    ) -> Self {
        let (newest, last, stopping, stopped) = (None, None, None, false);
        Self { orders, outbound, uploads, newest, last, stopping, stopped, crash_points, upgrades }
    }

    /// What the JobMaster has said since the last time.
    pub(crate) fn orders(&self) -> Option<Orders> {
        self.orders.take()
    }

    /// Waits for the JobMaster to say something. Cancel-safe.
    pub(crate) async fn ordered(&self) {
        self.orders.arrived().await;
    }

    /// Whether a barrier, or the order to begin a checkpoint, is news.
    pub(crate) fn is_news(&self, checkpoint: CheckpointId) -> bool {
        self.newest.is_none_or(|newest| checkpoint > newest)
    }

    /// What the JobMaster says of checkpoints that have been taken.
    pub(crate) async fn heed(&mut self, orders: &Orders, chain: &mut Chain) -> Result<(), TaskError> {
        self.newest = self.newest.max(orders.aborted.last().copied()).max(orders.aborted_upto);
        if let Some(order) = &orders.upgrade {
            self.upgrades.heed(order, chain).await?;
        }
        if let Some(completed) = orders.completed {
            self.uploads.completed(completed);
            chain.commit(completed, &self.crash_points).await?;
            if self.stopping.is_some_and(|stopping| stopping <= completed) {
                chain.stop();
                self.stopped = true;
            }
        }
        if !self.stopped && self.stopping.is_some_and(|stopping| orders.has_aborted(stopping)) {
            self.stopping = None;
        }
        Ok(())
    }

    /// Takes a snapshot, sends the barrier on, and hands the snapshot over. Behind a savepoint that stops the job it
    /// returns when that is complete or aborted.
    pub(crate) async fn snapshot(
        &mut self,
        barrier: &Arc<Barrier>,
        extras: SnapshotExtras,
        chain: &mut Chain,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        let mut snapshot = self.take(barrier, extras, chain).await?;
        self.send_barrier(&mut snapshot, barrier, chain, shared).await?;
        self.hand_over(snapshot).await?;
        chain.drained().await?;
        if let SnapshotKind::Savepoint { stop: true } = barrier.kind {
            self.stopping = Some(barrier.checkpoint);
            self.wait_for_savepoint(chain, shared).await?;
        }
        Ok(())
    }

    /// Takes a snapshot and pushes the barrier out; what cannot be sent yet is sent later.
    pub(crate) async fn take(
        &mut self,
        barrier: &Arc<Barrier>,
        extras: SnapshotExtras,
        chain: &mut Chain,
    ) -> Result<Snapshot, TaskError> {
        let began = Instant::now();
        let checkpoint = barrier.checkpoint;
        self.newest = self.newest.max(Some(checkpoint));
        if chain.has_ended() {
            self.last.get_or_insert(checkpoint);
        }
        let mut operators = chain.snapshot(barrier).await?;
        if barrier.kind == SnapshotKind::Upgrade && !chain.has_ended() {
            self.upgrades.swap(chain).await?;
        }
        if let Some((uid, reader)) = extras.reader {
            operators.entry(uid).or_default().reader = Some(reader);
        }
        let first_barrier = extras.first_barrier.unwrap_or(began);
        let since_trigger = wall_clock().since_ms(barrier.triggered_at);
        let figures = SnapshotFigures {
            start_delay_ms: since_trigger.saturating_sub(millis(first_barrier.elapsed())),
            alignment_ms: millis(began - first_barrier),
            sync_ms: millis(began.elapsed()),
            unaligned: extras.unaligned,
            ..SnapshotFigures::default()
        };
        chain.note_checkpoint(&figures);
        let (barrier, taken_at) = ((**barrier).clone(), Instant::now());
        let finished = chain.has_ended();
        Ok(Snapshot { barrier, operators, finished, overtaken: Vec::new(), refused: None, figures, taken_at })
    }

    /// Sends the barrier on. One that may overtake waits as long as it may wait, and then overtakes what its producers
    /// have not sent, which becomes part of the snapshot.
    pub(crate) async fn send_barrier(
        &self,
        snapshot: &mut Snapshot,
        barrier: &Arc<Barrier>,
        chain: &mut Chain,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        let (SnapshotKind::Checkpoint, Alignment::Unaligned { timeout_ms }) = (barrier.kind, barrier.alignment) else {
            return Ok(());
        };
        let waited_ms = wall_clock().since_ms(barrier.triggered_at);
        let patience = Duration::from_millis(timeout_ms.saturating_sub(waited_ms));
        let sent = if snapshot.figures.unaligned { None } else { timeout(patience, chain.drained()).await.ok() };
        match sent {
            Some(sent) => sent,
            None => {
                shared.metrics.switch(Activity::Busy);
                snapshot.overtaken.append(&mut chain.overtake(barrier)?);
                snapshot.figures.unaligned |= !snapshot.overtaken.is_empty();
                Ok(())
            }
        }
    }

    /// Has a snapshot made durable and acknowledged.
    pub(crate) async fn hand_over(&self, snapshot: Snapshot) -> Result<(), TaskError> {
        self.uploads.take(snapshot).await
    }

    /// Tells that the task does not take part in a checkpoint, since a newer one has come.
    pub(crate) async fn decline(&self, checkpoint: CheckpointId, newer: CheckpointId, shared: &TaskShared) {
        let message = format!("checkpoint {newer} came before checkpoint {checkpoint} was complete");
        let failure = Failure::new(FailureKind::Checkpoint, message);
        let decline = CheckpointDecline { attempt: shared.attempt, checkpoint, subsumed: true, failure };
        // Whoever is gone needs no word.
        let _ = self.outbound.send(ToJobManager::CheckpointDeclined(decline)).await;
    }

    async fn wait_for_savepoint(&mut self, chain: &mut Chain, shared: &TaskShared) -> Result<(), TaskError> {
        let mut others = Orders::default();
        while self.stopping.is_some() && !self.stopped {
            self.wait(shared).await;
            let Some(mut orders) = self.orders.take() else { continue };
            self.heed(&orders, chain).await?;
            (orders.completed, orders.upgrade) = (None, None);
            others.join(orders);
        }
        // What concerns others is for those who take orders again now.
        self.orders.give_back(others);
        Ok(())
    }

    async fn wait(&self, shared: &TaskShared) {
        shared.metrics.switch(Activity::Idle);
        self.orders.arrived().await;
        shared.metrics.switch(Activity::Busy);
    }

    /// All input was processed: waits for the checkpoint that makes the sinks' output visible, if they need one.
    pub(crate) async fn conclude(
        &mut self,
        extras: impl Fn() -> SnapshotExtras,
        chain: &mut Chain,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        let mut committed = !chain.ends_by_checkpoint();
        if !committed && !self.stopped {
            let message = ToJobManager::AwaitingCheckpoint { attempt: shared.attempt };
            // Whoever is gone cannot complete a checkpoint either, and ends this task.
            let _ = self.outbound.send(message).await;
        }
        while !committed && !self.stopped {
            self.wait(shared).await;
            let Some(orders) = self.orders.take() else { continue };
            self.heed(&orders, chain).await?;
            committed = self.last.is_some_and(|last| Some(last) <= orders.completed);
            for barrier in orders.triggers.into_values() {
                if !committed && !self.stopped && self.is_news(barrier.checkpoint) {
                    self.snapshot(&Arc::new(barrier), extras(), chain, shared).await?;
                }
            }
        }
        chain.end_outputs().await?;
        chain.publish().await?;
        // What was acknowledged has to be told before the end is.
        self.uploads.finished().await;
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
