//! Feeding a chain from a source: splits asked for, read in turn, reported.

use std::time::Duration;

use millrace_protocol::{SplitAssignment, SplitRequest, ToJobManager};
use millrace_task_core::Input;
use millrace_types::{Failure, FailureKind, NodeId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::run::chain::Chain;
use crate::run::input::sleep_until;
use crate::run::shared::{TaskError, TaskShared};
use crate::splits::{SplitQueue, Step};
use crate::time_account::Activity;

/// Answers on their way to a source task. There is one for each request, and one request at a time.
pub(crate) const ASSIGNMENTS_MAX: usize = 16;

/// The source of a task, and where its splits come from.
pub(crate) struct SourceDriver {
    node: NodeId,
    queue: SplitQueue,
    assignments: mpsc::Receiver<SplitAssignment>,
    outbound: mpsc::Sender<ToJobManager>,
    began: Instant,
}

impl SourceDriver {
    pub(crate) fn new(
        node: NodeId,
        assignments: mpsc::Receiver<SplitAssignment>,
        outbound: mpsc::Sender<ToJobManager>,
    ) -> Self {
        Self { node, queue: SplitQueue::default(), assignments, outbound, began: Instant::now() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reads all splits to their end.
    pub(crate) async fn run(&mut self, chain: &mut Chain, shared: &TaskShared) -> Result<(), TaskError> {
        while !chain.has_ended() {
            while let Ok(assignment) = self.assignments.try_recv() {
                self.assign(assignment);
            }
            let now_ms = self.now_ms();
            match self.queue.next_step(now_ms) {
                Step::Read => self.read(chain).await?,
                Step::Request(finished) => {
                    let request = SplitRequest { attempt: shared.attempt, node: self.node, finished };
                    self.outbound.send(ToJobManager::SplitRequest(request)).await.map_err(|_| gone())?;
                }
                Step::Wait(until_ms) => {
                    let until = until_ms.map(|until| self.began + Duration::from_millis(until));
                    self.wait(until, chain, shared).await?;
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
        Ok(())
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
    async fn wait(&mut self, until: Option<Instant>, chain: &mut Chain, shared: &TaskShared) -> Result<(), TaskError> {
        let deadline = [until, chain.next_deadline()?].into_iter().flatten().min();
        shared.metrics.switch(Activity::Idle);
        let assignment = tokio::select! {
            assignment = self.assignments.recv() => Some(assignment),
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
