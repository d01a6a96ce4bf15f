//! What the JobMaster has told a task since the task looked last: as the TaskManager's `OrderBox` keeps it.

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{Barrier, CheckpointId};

/// What a task is to do.
#[derive(Debug)]
pub(crate) enum TaskOrder {
    Trigger(Barrier),
    Completed(CheckpointId),
    Aborted(CheckpointId),
    AbortedUpto(CheckpointId),
    Drain,
}

/// All that came since it was asked for last.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) triggers: BTreeMap<CheckpointId, Barrier>,
    pub(crate) completed: Option<CheckpointId>,
    pub(crate) aborted: BTreeSet<CheckpointId>,
    pub(crate) aborted_upto: Option<CheckpointId>,
    pub(crate) drain: bool,
}

impl Orders {
    /// Adds what came later.
    pub(crate) fn join(&mut self, later: Self) {
        self.triggers.extend(later.triggers);
        self.completed = self.completed.max(later.completed);
        self.aborted.extend(later.aborted);
        self.aborted_upto = self.aborted_upto.max(later.aborted_upto);
        self.drain |= later.drain;
        self.triggers.retain(|checkpoint, _| !self.aborted.contains(checkpoint));
    }

    /// Whether a checkpoint that is not complete was aborted.
    pub(crate) fn has_aborted(&self, checkpoint: CheckpointId) -> bool {
        self.aborted.contains(&checkpoint) || Some(checkpoint) <= self.aborted_upto
    }
}

/// Where a task's orders wait for it.
#[derive(Debug, Default)]
pub(crate) struct OrderBox(Option<Orders>);

impl OrderBox {
    pub(crate) fn put(&mut self, order: TaskOrder) {
        let orders = self.0.get_or_insert_default();
        match order {
            TaskOrder::Trigger(barrier) => drop(orders.triggers.insert(barrier.checkpoint, barrier)),
            TaskOrder::Completed(checkpoint) => orders.completed = orders.completed.max(Some(checkpoint)),
            TaskOrder::Aborted(checkpoint) => {
                orders.triggers.remove(&checkpoint);
                orders.aborted.insert(checkpoint);
            }
            TaskOrder::AbortedUpto(checkpoint) => {
                orders.aborted_upto = orders.aborted_upto.max(Some(checkpoint));
            }
            TaskOrder::Drain => orders.drain = true,
        }
    }

    /// Puts back what was taken and not carried out, in front of what has come since.
    pub(crate) fn give_back(&mut self, taken: Orders) {
        let since = self.0.replace(taken);
        self.0.get_or_insert_default().join(since.unwrap_or_default());
    }

    pub(crate) fn take(&mut self) -> Option<Orders> {
        let mut taken = self.0.take()?;
        let over = taken.aborted_upto;
        taken.triggers.retain(|checkpoint, _| Some(*checkpoint) > over);
        Some(taken)
    }
}
