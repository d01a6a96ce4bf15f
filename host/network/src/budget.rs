//! The bytes that batches between tasks may take, for a whole TaskManager.
//!
//! # Why no task waits forever for a buffer
//!
//! A channel sends a batch under one of two rights: its own *exclusive* right, which admits one batch of any size, or
//! as many bytes of the shared budget as the batch has. The exclusive right is tried first. A sender therefore waits
//! for buffers only while a batch of the same channel lies untaken in its gate. The gate's task needs no buffer to
//! take it, and taking it returns the right. So a sender waits for its consumer alone, never for another channel,
//! however the budget is spread. The graph of tasks has no cycle and its sinks wait for no task: some task can
//! always go on. The same holds while a task leaves some of its channels untaken on purpose (the alignment of
//! barriers): what it waits for arrives under the exclusive rights of the other channels.
//!
//! Between two TaskManagers a batch needs rights on both sides, and the argument holds for each:
//!
//! - *The consumer's.* Its TaskManager takes rights of the channel in advance (places, the exclusive right, and some
//!   bytes of the budget, [`BufferBudget::window_bytes`]) and grants them to the producer; each stands for memory that
//!   is set aside already. It grants the exclusive right whenever it comes back and waits for nothing else in doing
//!   so: bytes of the budget are taken only if they are free. A place is returned by each item that the gate takes,
//!   and half of them returned are granted again. So the producer waits for the consumer's rights only while something
//!   of this channel is on the wire or untaken in the gate.
//! - *The wire.* What arrives has its place: the connection's reader never waits for a gate, a budget or its own
//!   writer, whatever the channels that share the connection do. So what is on the wire arrives.
//! - *The producer's.* A batch is charged to the producer's own budget until it is written into the socket, under the
//!   channel's exclusive right there, or bytes. That right is out only while a batch of this channel waits to be
//!   written; it is written because the reader at the other end never waits.
//!
//! Bytes that were granted and are not used are no loss to others' progress: nobody's progress needs the budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millrace_types::BATCH_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The batches that a channel is reckoned to hold: one under way, and one that its writer is filling.
const BATCHES_PER_CHANNEL: usize = 2;

/// One part in so many of the budget may be granted to producers elsewhere before they use it.
const WINDOWS_PART: usize = 4;

/// The most bytes that one channel's producer elsewhere is granted in advance, apart from the exclusive right: enough
/// that it goes on sending while a grant is under way.
pub(crate) const WINDOW_BYTES_MAX: usize = 4 * BATCH_BYTES as usize;

/// The least that a batch aims at, however many channels share the budget, in bytes.
const BATCH_BYTES_MIN: usize = 1024;

/// The buffers of a TaskManager. Cheap to clone; all clones are one budget.
#[derive(Debug, Clone)]
pub struct BufferBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// One permit for each byte.
    floating: Arc<Semaphore>,
    total_bytes: u32,
    channels: AtomicUsize,
}

/// Counts a channel among those that share the budget, as long as it lives.
#[derive(Debug)]
pub(crate) struct ChannelShare(Arc<Shared>);

impl Drop for ChannelShare {
    fn drop(&mut self) {
        self.0.channels.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for BufferBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

impl BufferBudget {
    /// The size of a budget where none is configured, in bytes.
    pub const DEFAULT_BYTES: u32 = 64 * 1024 * 1024;

    /// A budget of so many bytes.
    pub fn new(bytes: u32) -> Self {
        let floating = Arc::new(Semaphore::new(bytes as usize));
        Self { shared: Arc::new(Shared { floating, total_bytes: bytes, channels: AtomicUsize::new(0) }) }
    }

    /// What a batch aims at, in bytes: [`BATCH_BYTES`], and less where so many channels share the budget that it
    /// would not hold a batch of that size for each.
    pub fn batch_bytes(&self) -> usize {
        let channels = self.live_channels().max(1);
        let share = self.shared.total_bytes as usize / channels.saturating_mul(BATCHES_PER_CHANNEL);
        share.clamp(BATCH_BYTES_MIN, BATCH_BYTES as usize)
    }

    /// The bytes that a channel whose producer is elsewhere may be granted in advance: all such channels together take
    /// a quarter of the budget.
    pub(crate) fn window_bytes(&self) -> usize {
        let share = self.shared.total_bytes as usize / self.live_channels().max(1).saturating_mul(WINDOWS_PART);
        share.min(WINDOW_BYTES_MAX)
    }

    /// The number of channels that exist now.
    pub fn live_channels(&self) -> usize {
        self.shared.channels.load(Ordering::Relaxed)
    }

    /// All of it, in bytes.
    pub fn total_bytes(&self) -> usize {
        self.shared.total_bytes as usize
    }

    /// The bytes that no batch takes now, apart from exclusive rights.
    pub fn free_bytes(&self) -> usize {
        self.shared.floating.available_permits()
    }

    pub(crate) fn share(&self) -> ChannelShare {
        self.shared.channels.fetch_add(1, Ordering::Relaxed);
        ChannelShare(Arc::clone(&self.shared))
    }

    /// The permits for a batch: a batch larger than all of the budget takes all of it.
    fn permits(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.shared.total_bytes)
    }

    pub(crate) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.floating).try_acquire_many_owned(self.permits(bytes)).ok()
    }

    /// Waits for the bytes. `None` cannot happen, since the semaphore is never closed. Cancel-safe.
    pub(crate) async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.floating).acquire_many_owned(self.permits(bytes)).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_so_that_very_many_channels_fit() {
        let budget = BufferBudget::default();
        assert_eq!(budget.batch_bytes(), BATCH_BYTES as usize);
        let shares: Vec<_> = (0..128 * 128).map(|_| budget.share()).collect();
        assert!(budget.batch_bytes() * shares.len() * BATCHES_PER_CHANNEL <= BufferBudget::DEFAULT_BYTES as usize);
        drop(shares);
        assert_eq!(budget.live_channels(), 0);
        assert_eq!(budget.batch_bytes(), BATCH_BYTES as usize);
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_budget_takes_all_of_it() {
        let budget = BufferBudget::new(1_000);
        let taken = budget.take(5_000).await;
        assert!(taken.is_some());
        assert!(budget.try_take(1).is_none());
        drop(taken);
        assert_eq!(budget.free_bytes(), 1_000);
    }
}
