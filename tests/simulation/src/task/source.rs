//! Feeding a chain from a source, with the TaskManager's own `SplitQueue`, as its `SourceDriver` does.

use std::sync::Arc;

use bytes::Bytes;
use millrace_protocol::{SplitAssignment, SplitRequest, ToJobManager};
use millrace_task_core::Input;
use millrace_types::{AttemptId, Failure, FailureKind, NodeId, SnapshotKind};

use super::chain::Chain;
use super::checkpoints::{Reader, TaskCheckpoints};
use super::orders::{Orders, TaskOrder};
use super::{Env, TaskError};
use crate::rows::{Record, Row, Split, decode_offset, encode_offset};
use crate::splits::{ReadStatus, SplitQueue, Step};

/// The source of a task.
#[derive(Debug)]
pub(crate) struct SourceDriver {
    attempt: AttemptId,
    node: NodeId,
    uid: String,
    queue: SplitQueue,
    pub(crate) assignments: Vec<SplitAssignment>,
}

impl SourceDriver {
    pub(crate) fn new(attempt: AttemptId, node: NodeId, uid: String) -> Self {
        Self { attempt, node, uid, queue: SplitQueue::new(true), assignments: Vec::new() }
    }

    pub(crate) fn reader(&self) -> Reader {
        Some((self.uid.clone(), self.queue.snapshot()))
    }

    /// Does one thing. Returns whether there was anything to do.
    pub(crate) fn run(
        &mut self,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<bool, TaskError> {
        if let Some(orders) = checkpoints.orders.take() {
            self.heed(orders, chain, checkpoints, env)?;
            return Ok(true);
        }
        if !chain.has_room(env) {
            return Ok(false);
        }
        let now_ms = env.now.0;
        for assignment in std::mem::take(&mut self.assignments) {
            self.queue.assign(assignment.splits, assignment.no_more, now_ms);
        }
        match self.queue.next_step(now_ms, |_| false) {
            Step::Read => self.read(chain, env)?,
            Step::Request(finished) => {
                let request = SplitRequest { attempt: self.attempt, node: self.node, finished };
                env.outbound.push(ToJobManager::SplitRequest(request));
            }
            Step::Wait(_) | Step::HeldBack(_) => {
                if env.scenario.idles {
                    chain.apply(Input::NodeIdle { node: self.node }, env)?;
                }
                return Ok(false);
            }
            Step::Done => {
                chain.apply(Input::SourceFinished { node: self.node }, env)?;
                if !chain.has_ended() {
                    return Err(Failure::new(FailureKind::Internal, "the source has ended and the task has not").into());
                }
            }
        }
        Ok(true)
    }

    fn heed(
        &mut self,
        orders: Orders,
        chain: &mut Chain,
        checkpoints: &mut TaskCheckpoints,
        env: &mut Env<'_>,
    ) -> Result<(), TaskError> {
        checkpoints.heed(&orders, chain, env)?;
        for barrier in orders.triggers.into_values() {
            // What was begun before the order to end finds the source where it was.
            if orders.drain && barrier.kind == (SnapshotKind::Savepoint { stop: true }) {
                self.drain(chain, env)?;
            }
            if chain.has_ended() {
                checkpoints.orders.put(TaskOrder::Trigger(barrier));
            } else if checkpoints.is_news(barrier.checkpoint) {
                checkpoints.snapshot(&Arc::new(barrier), self.reader(), chain, env)?;
            }
        }
        if orders.drain { self.drain(chain, env) } else { Ok(()) }
    }

    fn drain(&mut self, chain: &mut Chain, env: &mut Env<'_>) -> Result<(), TaskError> {
        if chain.has_ended() {
            return Ok(());
        }
        self.queue.drain();
        chain.apply(Input::SourceFinished { node: self.node }, env)
    }

    fn read(&mut self, chain: &mut Chain, env: &mut Env<'_>) -> Result<(), TaskError> {
        let Some(front) = self.queue.front() else { return Ok(()) };
        let (split, mut sequence) = (Split::decode(&front.bytes), decode_offset(&front.offset));
        let rows = env.scenario.split_rows;
        for _ in 0..env.rng.between(1, 2) {
            if sequence < rows {
                let record = Record { source: split.source, split: split.number, sequence };
                chain.read(self.node, Row::Read(record), record.time(rows), env)?;
                sequence += 1;
            }
        }
        let (offset, status) = match sequence {
            end if end >= rows => (Bytes::new(), ReadStatus::Finished),
            _ if env.rng.chance(20) => (encode_offset(sequence), ReadStatus::IdleMs(5)),
            _ => (encode_offset(sequence), ReadStatus::More),
        };
        self.queue.read(offset, status, env.now.0);
        Ok(())
    }
}
