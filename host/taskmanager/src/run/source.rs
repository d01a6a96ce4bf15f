//! Feeding a chain from a source: splits asked for, read in turn, reported.

use std::sync::Arc;
use std::time::Duration;

use millrace_graph::StreamNode;
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
    alignment: Option<Alignment>,
}

/// How the source waits for others whose watermarks are behind.
struct Alignment {
    /// The operator that generates the watermarks.
    node: NodeId,
    interval: Duration,
    next_report: Instant,
    /// Nothing is read while the watermark is above this one.
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
        let aligned = nodes.iter().find_map(|(id, node)| Some((*id, node.alignment.as_ref()?)));
        let alignment = aligned.map(|(node, alignment)| Alignment {
            node,
            interval: Duration::from_millis(alignment.update_interval_ms.max(ALIGNMENT_INTERVAL_MS_MIN)),
            next_report: began,
            watermark_max: EventTime::MAX,
        });
        Self { node, uid, queue: SplitQueue::default(), assignments, outbound, began, alignment }
    }

    /// Tells how far the watermark is when it is time to. Returns until when nothing may be read, if so.
    async fn align(&mut self, chain: &mut Chain, shared: &TaskShared) -> Result<Option<Instant>, TaskError> {
        let Some(alignment) = &mut self.alignment else { return Ok(None) };
        let watermark = chain.output_watermark(alignment.node);
        if alignment.next_report <= Instant::now() {
            alignment.next_report = Instant::now() + alignment.interval;
            let (attempt, node) = (shared.attempt, alignment.node);
            let message = ToJobManager::WatermarkReached { attempt, node, watermark };
            self.outbound.send(message).await.map_err(|_| gone())?;
        }
        Ok((watermark > alignment.watermark_max).then_some(alignment.next_report))
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
            while let Ok(assignment) = self.assignments.try_recv() {
                self.assign(assignment);
            }
            let (held_back, now_ms) = (self.align(chain, shared).await?, self.now_ms());
            match self.queue.next_step(now_ms) {
                Step::Read if held_back.is_some() => self.wait(held_back, chain, checkpoints, shared).await?,
                Step::Read => self.read(chain).await?,
                Step::Request(finished) => {
                    let request = SplitRequest { attempt: shared.attempt, node: self.node, finished };
                    self.outbound.send(ToJobManager::SplitRequest(request)).await.map_err(|_| gone())?;
                }
                Step::Wait(until_ms) => {
                    let until = until_ms.map(|until| self.began + Duration::from_millis(until));
                    self.wait(until, chain, checkpoints, shared).await?;
                }
                Step::Done => {
                    chain.apply(Input::SourceFinished { node: self.node }).await?;
                    if !chain.has_ended() {
                        let message = "the source has ended and the task has not";
                        return Err(Failure::new(FailureKind::Internal, message).into());
                    }
                }
            }
            if chain.next_deadline()?.is_some_and(|deadline| deadline <= Instant::now()) {
                chain.on_time().await?;
            }
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
        self.queue.drain();
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

    fn assign(&mut self, assignment: SplitAssignment) {
        let now_ms = self.now_ms();
        self.queue.assign(assignment.splits, assignment.no_more, now_ms);
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
        shared.metrics.switch(Activity::Idle);
        let assignment = tokio::select! {
            assignment = self.assignments.recv() => Some(assignment),
            () = checkpoints.ordered() => None,
            () = sleep_until(deadline) => None,
        };
        shared.metrics.switch(Activity::Busy);
        match assignment {
            Some(Some(assignment)) => self.assign(assignment),
            Some(None) => return Err(gone()),
            None => {}
        }
        Ok(())
    }
}

fn gone() -> TaskError {
    Failure::new(FailureKind::Internal, "the source asked for splits, and nobody is there to give them").into()
}
