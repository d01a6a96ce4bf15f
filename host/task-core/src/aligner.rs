//! When a task takes its snapshot: barriers from all of its channels. Flink's `CheckpointedInputGate` and its handlers.
//!
//! Invariants:
//! - Aligned: a snapshot is taken when exactly what came before the barrier was taken from every channel. Whoever reads a
//!   channel on behind a [`AlignerCommand::Block`] breaks that.
//! - Unaligned: it is taken earlier, and what the channels still hold in front of the barrier (`in_flight` of
//!   [`AlignerCommand::TakeSnapshot`]) is captured as it comes.
//! - Not aligned at all (at least once): it is taken behind the last barrier, and nothing is ever blocked.
//! - A checkpoint is taken, declined or aborted once; what comes of it later is counted and has no effect.
//!
//! An ended channel has brought all barriers. A barrier of a newer checkpoint declines an older one that waits, unless
//! neither aligns. Time is the JobMaster's as well as the task's: a clock that is off makes a checkpoint overtake too
//! early or too late, and never wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_types::{Alignment, Barrier, CheckpointId, SnapshotKind, Timestamp};

/// The most checkpoints that wait at the same time, which only those do that do not align; and the most of whose abort is
/// remembered ahead of their barriers. Beyond that the oldest is declined, or forgotten.
pub const CHECKPOINTS_TRACKED_MAX: usize = 32;

/// What the runner has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlignerCommand {
    /// Take nothing more from the channel.
    Block {
        /// The channel.
        channel: usize,
    },
    /// Take from all channels again.
    UnblockAll,
    /// Take the snapshot now and pass the barrier on.
    TakeSnapshot {
        /// The barrier.
        barrier: Arc<Barrier>,
        /// Whether the barrier is to overtake what waits at the outputs too.
        unaligned: bool,
        /// The channels whose barrier has not been taken: what comes out of them in front of it, or of their end, is part
        /// of the snapshot. Empty unless `unaligned`.
        in_flight: Vec<usize>,
    },
    /// The checkpoint is not taken here: a newer one has come before it was complete.
    Decline {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The newer one.
        subsumed_by: CheckpointId,
    },
}

/// A checkpoint that waits for barriers.
#[derive(Debug)]
struct Waiting {
    barrier: Arc<Barrier>,
    /// By channel.
    arrived: Vec<bool>,
}

impl Waiting {
    fn aligns(&self) -> bool {
        aligns(&self.barrier)
    }

    fn has_blocked(&self) -> bool {
        self.aligns() && self.arrived.contains(&true)
    }
}

fn aligns(barrier: &Barrier) -> bool {
    barrier.alignment != Alignment::None
}

/// From when on the barrier overtakes, if it ever does. Savepoints do not.
fn deadline(barrier: &Barrier) -> Option<Timestamp> {
    match (barrier.kind, barrier.alignment) {
        (SnapshotKind::Checkpoint, Alignment::Unaligned { timeout_ms }) => {
            Some(Timestamp(barrier.triggered_at.0.saturating_add(timeout_ms)))
        }
        _ => None,
    }
}

/// Decides when the snapshots of one task are taken.
#[derive(Debug)]
pub struct BarrierAligner {
    ended: Vec<bool>,
    waiting: BTreeMap<CheckpointId, Waiting>,
    /// No checkpoint up to here is taken any more, unless it waits.
    settled: Option<CheckpointId>,
    /// Aborted before any barrier came.
    aborted: BTreeSet<CheckpointId>,
    stale: u64,
}

impl BarrierAligner {
    /// For a task with so many channels, counted over all of its gates.
    pub fn new(channels: usize) -> Self {
        let (waiting, aborted) = (BTreeMap::new(), BTreeSet::new());
        Self { ended: vec![false; channels], waiting, settled: None, aborted, stale: 0 }
    }

    /// A barrier was taken from a channel.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn barrier(&mut self, channel: usize, barrier: &Arc<Barrier>, now: Timestamp, out: &mut Vec<AlignerCommand>) {
        let checkpoint = barrier.checkpoint;
        if self.ended[channel] || !self.begin(barrier, out) {
            self.stale += 1;
            return;
        }
        let Some(waiting) = self.waiting.get_mut(&checkpoint) else { return };
        if std::mem::replace(&mut waiting.arrived[channel], true) {
            self.stale += 1;
            return;
        }
        self.settle(checkpoint, now, out);
        if aligns(barrier) && self.waiting.contains_key(&checkpoint) {
            out.push(AlignerCommand::Block { channel });
        }
    }

    /// A barrier lies somewhere in a channel: the time until it overtakes runs from now on, or it has overtaken what
    /// its producer had not sent, and so it overtakes here as well.
    pub fn announced(
        &mut self,
        barrier: &Arc<Barrier>,
        overtaking: bool,
        now: Timestamp,
        out: &mut Vec<AlignerCommand>,
    ) {
        if deadline(barrier).is_none() || !self.begin(barrier, out) {
            return;
        }
        if overtaking {
            self.take(barrier.checkpoint, true, out);
        } else {
            self.settle(barrier.checkpoint, now, out);
        }
    }

    /// The JobMaster says that the barrier comes from no channel: there are none, or their producers have finished.
    /// What these have sent is still taken first.
    pub fn triggered(&mut self, barrier: &Arc<Barrier>, now: Timestamp, out: &mut Vec<AlignerCommand>) {
        if self.begin(barrier, out) {
            self.settle(barrier.checkpoint, now, out);
        }
    }

    /// The end of a channel was taken.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn ended(&mut self, channel: usize, now: Timestamp, out: &mut Vec<AlignerCommand>) {
        self.ended[channel] = true;
        self.settle_all(now, out);
    }

    /// The JobMaster has given a checkpoint up, before or after its first barrier came.
    pub fn aborted(&mut self, checkpoint: CheckpointId, out: &mut Vec<AlignerCommand>) {
        match self.waiting.remove(&checkpoint) {
            Some(waiting) if waiting.has_blocked() => out.push(AlignerCommand::UnblockAll),
            _ => {}
        }
        if self.settled.is_none_or(|settled| settled < checkpoint) {
            self.aborted.insert(checkpoint);
            if self.aborted.len() > CHECKPOINTS_TRACKED_MAX {
                self.aborted.pop_first();
            }
        }
    }

    /// The JobMaster has given all checkpoints up to this one up, also those whose barriers are still to come.
    pub fn aborted_upto(&mut self, checkpoint: CheckpointId, out: &mut Vec<AlignerCommand>) {
        let next = CheckpointId(checkpoint.0.saturating_add(1));
        let left = self.waiting.split_off(&next);
        let given_up = std::mem::replace(&mut self.waiting, left);
        if given_up.values().any(Waiting::has_blocked) {
            out.push(AlignerCommand::UnblockAll);
        }
        self.over(checkpoint);
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Timestamp, out: &mut Vec<AlignerCommand>) {
        self.settle_all(now, out);
    }

    /// When [`Self::on_time`] has something to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.waiting.values().filter_map(|waiting| deadline(&waiting.barrier)).min()
    }

    /// How many barriers were out of date.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Makes a checkpoint wait, if it does not yet; not if it is over.
    fn begin(&mut self, barrier: &Arc<Barrier>, out: &mut Vec<AlignerCommand>) -> bool {
        let checkpoint = barrier.checkpoint;
        if self.waiting.contains_key(&checkpoint) {
            return true;
        }
        if self.settled.is_some_and(|settled| checkpoint <= settled) || self.aborted.contains(&checkpoint) {
            return false;
        }
        let gives_way = |waiting: &Waiting| aligns(barrier) || waiting.aligns();
        self.decline(checkpoint, gives_way, out);
        if self.waiting.len() >= CHECKPOINTS_TRACKED_MAX
            && let Some((oldest, _)) = self.waiting.pop_first()
        {
            out.push(AlignerCommand::Decline { checkpoint: oldest, subsumed_by: checkpoint });
            self.over(oldest);
        }
        if aligns(barrier) {
            self.over(CheckpointId(checkpoint.0.saturating_sub(1)));
        }
        let waiting = Waiting { barrier: Arc::clone(barrier), arrived: vec![false; self.ended.len()] };
        self.waiting.insert(checkpoint, waiting);
        true
    }

    /// Declines the older ones that give way to this one.
    fn decline(&mut self, to: CheckpointId, gives_way: impl Fn(&Waiting) -> bool, out: &mut Vec<AlignerCommand>) {
        let older = self.waiting.extract_if(..to, |_, waiting| gives_way(waiting));
        for (checkpoint, waiting) in older {
            out.push(AlignerCommand::Decline { checkpoint, subsumed_by: to });
            if waiting.has_blocked() {
                out.push(AlignerCommand::UnblockAll);
            }
        }
    }

    fn is_complete(&self, checkpoint: CheckpointId) -> bool {
        self.waiting
            .get(&checkpoint)
            .is_some_and(|waiting| waiting.arrived.iter().zip(&self.ended).all(|(arrived, ended)| *arrived || *ended))
    }

    fn settle_all(&mut self, now: Timestamp, out: &mut Vec<AlignerCommand>) {
        let waiting: Vec<CheckpointId> = self.waiting.keys().copied().collect();
        waiting.into_iter().for_each(|checkpoint| self.settle(checkpoint, now, out));
    }

    /// Takes a checkpoint that waits, if it is complete or has waited long enough.
    fn settle(&mut self, checkpoint: CheckpointId, now: Timestamp, out: &mut Vec<AlignerCommand>) {
        let Some(waiting) = self.waiting.get(&checkpoint) else { return };
        let is_due = deadline(&waiting.barrier).is_some_and(|deadline| deadline <= now);
        if is_due || self.is_complete(checkpoint) {
            self.take(checkpoint, is_due, out);
        }
        debug_assert!(self.waiting.values().filter(|waiting| waiting.aligns()).count() <= 1, "one aligns at a time");
    }

    fn take(&mut self, checkpoint: CheckpointId, unaligned: bool, out: &mut Vec<AlignerCommand>) {
        // An older one cannot become complete behind this one, or only when it is of no use.
        self.decline(checkpoint, |_| true, out);
        let Some(Waiting { barrier, arrived }) = self.waiting.remove(&checkpoint) else { return };
        let missing = |channel: &usize| !arrived[*channel] && !self.ended[*channel];
        let in_flight: Vec<usize> = (0..arrived.len()).filter(missing).collect();
        debug_assert!(unaligned || in_flight.is_empty(), "an aligned snapshot is taken behind all barriers");
        let has_blocked = aligns(&barrier) && arrived.contains(&true);
        out.push(AlignerCommand::TakeSnapshot { barrier, unaligned, in_flight });
        if has_blocked {
            out.push(AlignerCommand::UnblockAll);
        }
        self.over(checkpoint);
    }

    /// Forgets all up to a checkpoint.
    fn over(&mut self, checkpoint: CheckpointId) {
        self.settled = self.settled.max(Some(checkpoint));
        self.aborted = self.aborted.split_off(&CheckpointId(checkpoint.0.saturating_add(1)));
    }
}
