//! What the JobMaster tells a task while it runs: checkpoints to begin, completed, aborted; sources to drain or to slow; other code.
//!
//! Invariants:
//! - Nothing is lost and nothing grows: what comes twice, or is overtaken by something newer, takes one place.
//! - Looking whether there is anything costs a load; a task looks between two calls of its operators.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millrace_protocol::WatermarkLimit;
use millrace_types::{Barrier, CheckpointId, EventTime, NodeId};
use tokio::sync::Notify;

use crate::run::upgrade::UpgradeOrder;

/// Checkpoints that a task is to begin, and aborted ones that it is to be told of; of more the oldest are forgotten: a
/// JobMaster has fewer under way, and gives up one that is not acknowledged.
const CHECKPOINTS_MAX: usize = 64;

/// What a task is to do.
#[derive(Debug)]
pub(crate) enum TaskOrder {
    Trigger(Barrier),
    Completed(CheckpointId),
    Aborted(CheckpointId),
    /// All up to this one that are not complete are aborted, also those of which the task hears only later.
    AbortedUpto(CheckpointId),
    Drain,
    Limit(WatermarkLimit),
    Upgrade(UpgradeOrder),
}

/// All that came since it was asked for last.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// To be begun, in order.
    pub triggers: BTreeMap<CheckpointId, Barrier>,
    /// The newest that is complete.
    pub completed: Option<CheckpointId>,
    pub aborted: BTreeSet<CheckpointId>,
    /// All up to this one.
    pub aborted_upto: Option<CheckpointId>,
    pub drain: bool,
    pub limits: BTreeMap<NodeId, EventTime>,
    /// The newest: one takes the place of another.
    pub upgrade: Option<UpgradeOrder>,
}

impl Orders {
    /// Adds what came later.
    pub(crate) fn join(&mut self, later: Self) {
        self.triggers.extend(later.triggers);
        self.completed = self.completed.max(later.completed);
        self.aborted.extend(later.aborted);
        self.aborted_upto = self.aborted_upto.max(later.aborted_upto);
        self.drain |= later.drain;
        self.limits.extend(later.limits);
        self.upgrade = later.upgrade.or(self.upgrade.take());
        self.bound();
    }

    /// Whether a checkpoint that is not complete was aborted.
    pub(crate) fn has_aborted(&self, checkpoint: CheckpointId) -> bool {
        self.aborted.contains(&checkpoint) || Some(checkpoint) <= self.aborted_upto
    }

    fn bound(&mut self) {
        let over = self.aborted_upto;
        self.triggers.retain(|checkpoint, _| !self.aborted.contains(checkpoint) && Some(*checkpoint) > over);
        while self.triggers.len() > CHECKPOINTS_MAX {
            self.triggers.pop_first();
        }
        while self.aborted.len() > CHECKPOINTS_MAX {
            self.aborted.pop_first();
        }
    }

    fn is_empty(&self) -> bool {
        let nothing = self.triggers.is_empty() && self.completed.is_none() && self.aborted.is_empty();
        let quiet = !self.drain && self.limits.is_empty() && self.upgrade.is_none();
        nothing && quiet && self.aborted_upto.is_none()
    }
}

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicBool,
    orders: Mutex<Orders>,
    arrived: Notify,
}

/// Where a task's orders wait for it. A clone is the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderBox(Arc<Shared>);

impl OrderBox {
    /// Puts an order in.
    pub(crate) fn put(&self, order: TaskOrder) {
        {
            let mut orders = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner);
            match order {
                TaskOrder::Trigger(barrier) => {
                    orders.triggers.insert(barrier.checkpoint, barrier);
                }
                TaskOrder::Completed(checkpoint) => orders.completed = orders.completed.max(Some(checkpoint)),
                TaskOrder::Aborted(checkpoint) => {
                    orders.aborted.insert(checkpoint);
                }
                TaskOrder::AbortedUpto(checkpoint) => {
                    orders.aborted_upto = orders.aborted_upto.max(Some(checkpoint));
                }
                TaskOrder::Drain => orders.drain = true,
                TaskOrder::Limit(limit) => {
                    orders.limits.insert(limit.node, limit.watermark_max);
                }
                TaskOrder::Upgrade(order) => orders.upgrade = Some(order),
            }
            orders.bound();
            self.0.waiting.store(true, Ordering::Release);
        }
        self.0.arrived.notify_one();
    }

    /// Puts back what was taken and not carried out, in front of what has come since.
    pub(crate) fn give_back(&self, mut taken: Orders) {
        if taken.is_empty() {
            return;
        }
        {
            let mut orders = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner);
            taken.join(std::mem::take(&mut *orders));
            *orders = taken;
            self.0.waiting.store(true, Ordering::Release);
        }
        self.0.arrived.notify_one();
    }

    /// What there is; none: nothing came.
    pub(crate) fn take(&self) -> Option<Orders> {
        if !self.0.waiting.load(Ordering::Acquire) {
            return None;
        }
        let mut orders = self.0.orders.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.waiting.store(false, Ordering::Release);
        Some(std::mem::take(&mut *orders))
    }

    /// Waits until there is something to [take](Self::take). Cancel-safe; for one waiter.
    pub(crate) async fn arrived(&self) {
        while !self.0.waiting.load(Ordering::Acquire) {
            self.0.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use millrace_types::{Alignment, SnapshotKind, Timestamp};

    fn barrier(id: u64) -> Barrier {
        Barrier {
            checkpoint: CheckpointId(id),
            triggered_at: Timestamp(0),
            kind: SnapshotKind::Checkpoint,
            drain: false,
            alignment: Alignment::Aligned,
            folder: None,
        }
    }

    #[test]
    fn the_newest_completion_counts_and_what_was_aborted_is_not_begun() {
        let orders = OrderBox::default();
        assert!(orders.take().is_none());
        orders.put(TaskOrder::Trigger(barrier(3)));
        orders.put(TaskOrder::Trigger(barrier(4)));
        orders.put(TaskOrder::Completed(CheckpointId(2)));
        orders.put(TaskOrder::Completed(CheckpointId(1)));
        orders.put(TaskOrder::Aborted(CheckpointId(3)));
        let taken = orders.take().unwrap();
        assert_eq!(taken.triggers.into_keys().collect::<Vec<_>>(), [CheckpointId(4)]);
        assert_eq!((taken.completed, taken.aborted), (Some(CheckpointId(2)), [CheckpointId(3)].into()));
        assert!(orders.take().is_none());
    }

    #[test]
    fn a_task_that_never_looks_holds_a_bounded_number() {
        let orders = OrderBox::default();
        for id in 0..1000 {
            orders.put(TaskOrder::Trigger(barrier(id)));
            orders.put(TaskOrder::Aborted(CheckpointId(2000 + id)));
        }
        let taken = orders.take().unwrap();
        assert_eq!((taken.triggers.len(), taken.aborted.len()), (CHECKPOINTS_MAX, CHECKPOINTS_MAX));
        assert_eq!(taken.triggers.into_keys().next_back(), Some(CheckpointId(999)));
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_and_not_for_what_was_taken() {
        let orders = OrderBox::default();
        orders.put(TaskOrder::Drain);
        orders.arrived().await;
        assert!(orders.take().unwrap().drain);
        let waiting = orders.clone();
        let waiter = tokio::spawn(async move { waiting.arrived().await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        orders.put(TaskOrder::Completed(CheckpointId(1)));
        waiter.await.unwrap();
    }
}
