//! Feeding a chain from a source: splits asked for, read in turn, reported.

use std::sync::Arc;
use std::time::Duration;

use millrace_graph::{NodeKind, StreamNode};
use millrace_protocol::{SplitAssignment, SplitRequest, ToJobManager};
use millrace_task_core::Input;
use millrace_types::{EventTime, Failure, FailureKind, NodeId, SnapshotKind};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::run::chain::Chain;
use crate::run::checkpoints::{SnapshotExtras, TaskCheckpoints};
use crate::run::input::sleep_until;
use crate::run::orders::Orders;
use crate::run::shared::{TaskError, TaskShared};
use crate::splits::{SplitQueue, Step};
use crate::time_account::Activity;

/// Answers on their way to a source task. There is one for each request, and one request at a time.
pub(crate) const ASSIGNMENTS_MAX: usize = 16;

/// The shortest time between two words about a watermark, in milliseconds.
const ALIGNMENT_INTERVAL_MS_MIN: u64 = 10;

/// The source of a task, and where its splits come from.
pub(crate) struct SourceDriver {
    node: NodeId,
    uid: String,
    queue: SplitQueue,
    assignments: mpsc::Receiver<SplitAssignment>,
    outbound: mpsc::Sender<ToJobManager>,
    began: Instant,
    /// The chain knows that all splits were read.
    finished: bool,
    alignment: Option<Alignment>,
}

/// How the source waits for others whose watermarks are behind.
struct Alignment {
    /// The operator that generates the watermarks.
    node: NodeId,
    interval: Duration,
    next_report: Instant,
    /// No split is read while its watermark is above this one.
    watermark_max: EventTime,
}

impl SourceDriver {
    pub(crate) fn new(
        node: NodeId,
        nodes: &[(NodeId, StreamNode)],
        assignments: mpsc::Receiver<SplitAssignment>,
        outbound: mpsc::Sender<ToJobManager>,
    ) -> Self {
        let began = Instant::now();
        let uid = nodes.iter().find(|(id, _)| *id == node).map(|(_, node)| node.uid.clone()).unwrap_or_default();
        let in_guest = nodes.iter().any(|(id, other)| *id == node && matches!(other.kind, NodeKind::Source(_)));
        let aligned = nodes.iter().find_map(|(id, node)| Some((*id, node.alignment.as_ref()?)));
        let alignment = aligned.map(|(node, alignment)| Alignment {
            node,
            interval: Duration::from_millis(alignment.update_interval_ms.max(ALIGNMENT_INTERVAL_MS_MIN)),
            next_report: began,
            watermark_max: EventTime::MAX,
        });
        let queue = SplitQueue::new(in_guest);
        Self { node, uid, queue, assignments, outbound, began, finished: false, alignment }
    }

    /// Tells how far the watermark is when it is time to.
    async fn align(&mut self, chain: &mut Chain, shared: &TaskShared) -> Result<(), TaskError> {
        if let Some(alignment) = &mut self.alignment
            && alignment.next_report <= Instant::now()
        {
            alignment.next_report = Instant::now() + alignment.interval;
            let (attempt, node) = (shared.attempt, alignment.node);
            let watermark = chain.output_watermark(node);
            let message = ToJobManager::WatermarkReached { attempt, node, watermark };
            self.outbound.send(message).await.map_err(|_| gone())?;
        }
        Ok(())
    }

    fn next_step(&mut self, chain: &Chain) -> Step {
        let (now_ms, alignment) = (self.now_ms(), self.alignment.as_ref());
        self.queue.next_step(now_ms, |split| {
            alignment.is_some_and(|alignment| chain.split_watermark(alignment.node, split) > alignment.watermark_max)
        })
    }

    fn instant(&self, at_ms: Option<u64>) -> Option<Instant> {
        at_ms.map(|at_ms| self.began + Duration::from_millis(at_ms))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reads all splits to their end.
    pub(crate) async fn run(
        &mut self,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        while !chain.has_ended() {
            if let Some(orders) = checkpoints.orders() {
                self.heed(orders, chain, checkpoints, shared).await?;
                continue;
            }
            chain.hand_on().await?;
            if chain.has_ended() {
                continue;
            }
            while let Ok(assignment) = self.assignments.try_recv() {
                self.assign(assignment, chain).await?;
            }
            if !chain.has_room() {
                self.wait(None, chain, checkpoints, shared).await?;
                Self::on_time(chain).await?;
                continue;
            }
            self.align(chain, shared).await?;
            match self.next_step(chain) {
                Step::Read => self.read(chain).await?,
                Step::Request(finished) => {
                    let request = SplitRequest { attempt: shared.attempt, node: self.node, finished };
                    self.outbound.send(ToJobManager::SplitRequest(request)).await.map_err(|_| gone())?;
                }
                // Also who has nothing to read tells how far that is: others may wait for the last word.
                Step::Wait(until_ms) | Step::HeldBack(until_ms) => {
                    let report = self.alignment.as_ref().map(|alignment| alignment.next_report);
                    let until = [self.instant(until_ms), report].into_iter().flatten().min();
                    self.wait(until, chain, checkpoints, shared).await?;
                }
                Step::Done => {
                    self.finish(chain).await?;
                    if chain.awaits_answers() {
                        self.wait(None, chain, checkpoints, shared).await?;
                    } else if !chain.has_ended() {
                        let message = "the source has ended and the task has not";
                        return Err(Failure::new(FailureKind::Internal, message).into());
                    }
                }
            }
            Self::on_time(chain).await?;
            // A source that never waits must not keep the thread from other tasks.
            tokio::task::consume_budget().await;
        }
        let reader = || (self.uid.clone(), self.queue.snapshot());
        checkpoints
            .conclude(|| SnapshotExtras { reader: Some(reader()), ..SnapshotExtras::default() }, chain, shared)
            .await
    }

    /// What the JobMaster says.
    async fn heed(
        &mut self,
        orders: Orders,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        checkpoints.heed(&orders, chain).await?;
        if let Some(alignment) = &mut self.alignment
            && let Some(limit) = orders.limits.get(&alignment.node)
        {
            alignment.watermark_max = *limit;
        }
        for barrier in orders.triggers.into_values() {
            // What has come together with the order to end, and was begun before it, finds the source where it was.
            if orders.drain && barrier.kind == (SnapshotKind::Savepoint { stop: true }) {
                self.drain(chain).await?;
            }
            if checkpoints.is_news(barrier.checkpoint) && (!chain.has_ended() || chain.ends_by_checkpoint()) {
                let reader = Some((self.uid.clone(), self.queue.snapshot()));
                let extras = SnapshotExtras { reader, ..SnapshotExtras::default() };
                checkpoints.snapshot(&Arc::new(barrier), extras, chain, shared).await?;
            }
        }
        if orders.drain { self.drain(chain).await } else { Ok(()) }
    }

    /// Ends as if all had been read, unless that is so already.
    async fn drain(&mut self, chain: &mut Chain) -> Result<(), TaskError> {
        if chain.has_ended() {
            return Ok(());
        }
        let splits = self.queue.drain();
        chain.drop_splits(splits).await?;
        self.finish(chain).await?;
        // The savepoint that follows stops the task: what comes of the last answers is to be in front of it.
        chain.finish_answers().await
    }

    async fn on_time(chain: &mut Chain) -> Result<(), TaskError> {
        match chain.next_deadline()? {
            Some(deadline) if deadline <= Instant::now() => chain.on_time().await,
            _ => Ok(()),
        }
    }

    /// Tells the chain, once, that nothing more is read.
    async fn finish(&mut self, chain: &mut Chain) -> Result<(), TaskError> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        chain.apply(Input::SourceFinished { node: self.node }).await
    }

    async fn read(&mut self, chain: &mut Chain) -> Result<(), TaskError> {
        if let Some(split) = self.queue.front() {
            let (offset, status) = chain.read(self.node, split).await?;
            let now_ms = self.now_ms();
            self.queue.read(offset, status, now_ms);
        }
        Ok(())
    }

    async fn assign(&mut self, assignment: SplitAssignment, chain: &mut Chain) -> Result<(), TaskError> {
        let now_ms = self.now_ms();
        chain.add_splits(assignment.splits.iter().map(|(id, _, _)| *id)).await?;
        self.queue.assign(assignment.splits, assignment.no_more, now_ms);
        Ok(())
    }

    /// Waits for splits, for an idle split's time, or for the chain's.
    async fn wait(
        &mut self,
        until: Option<Instant>,
        chain: &mut Chain,
        checkpoints: &TaskCheckpoints,
        shared: &TaskShared,
    ) -> Result<(), TaskError> {
        let deadline = [until, chain.next_deadline()?].into_iter().flatten().min();
        // Without room it has not too little to do.
        shared.metrics.switch(if chain.has_room() { Activity::Idle } else { Activity::Busy });
        let assignment = tokio::select! {
            assignment = self.assignments.recv() => Some(assignment),
            () = checkpoints.ordered() => None,
            () = chain.answered() => None,
            () = sleep_until(deadline) => None,
        };
        shared.metrics.switch(Activity::Busy);
        match assignment {
            Some(Some(assignment)) => self.assign(assignment, chain).await?,
            Some(None) => return Err(gone()),
            None => {}
        }
        Ok(())
    }
}

fn gone() -> TaskError {
    Failure::new(FailureKind::Internal, "the source asked for splits, and nobody is there to give them").into()
}
