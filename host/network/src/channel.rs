//! The sending end of a channel, and its credits.

use std::sync::Arc;

use millrace_protocol::ChannelId;
use millrace_types::{Alignment, Barrier};
use tokio::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::budget::{BufferBudget, ChannelShare};
use crate::error::{Cause, ChannelClosed};
use crate::item::Item;
use crate::plane::{Granted, RemoteLink};
use crate::priority::{Announced, Priority};

/// The most items that a channel holds, batches and watermarks together. The end of input needs no place.
pub const CHANNEL_ITEMS_MAX: usize = 8;

/// The most barriers in a channel that have overtaken what their producer had not sent: one that is looked for, and one
/// of a checkpoint that was aborted before.
pub const BARRIERS_MAX: usize = 2;

/// The most that lies in a gate's queue for one channel: items, barriers that have overtaken, the end, and the word that
/// the producer is gone.
pub(crate) const ARRIVALS_MAX: usize = CHANNEL_ITEMS_MAX + BARRIERS_MAX + 2;

/// The right to send one item. It comes back when the gate takes the item, or when this is dropped.
#[derive(Debug)]
pub struct Credit {
    _place: Option<OwnedSemaphorePermit>,
    /// The channel's exclusive right, or bytes of the budget; nothing for what has no bytes.
    _buffer: Option<OwnedSemaphorePermit>,
    /// What the consumer's TaskManager granted, where that is another one. Nothing: it is gone.
    pub(crate) granted: Option<Granted>,
}

impl Credit {
    /// A right made of its parts.
    pub(crate) fn of(place: OwnedSemaphorePermit, buffer: Option<OwnedSemaphorePermit>) -> Self {
        Self { _place: Some(place), _buffer: buffer, granted: None }
    }
}

/// What a channel's sender may still send.
#[derive(Debug)]
pub(crate) struct Credits {
    places: Arc<Semaphore>,
    exclusive: Arc<Semaphore>,
    /// Places of barriers that overtake.
    barriers: Arc<Semaphore>,
    budget: BufferBudget,
    _share: ChannelShare,
}

impl Credits {
    pub(crate) fn new(budget: &BufferBudget) -> Self {
        Self {
            places: Arc::new(Semaphore::new(CHANNEL_ITEMS_MAX)),
            exclusive: Arc::new(Semaphore::new(1)),
            barriers: Arc::new(Semaphore::new(BARRIERS_MAX)),
            budget: budget.clone(),
            _share: budget.share(),
        }
    }

    fn try_reserve(&self, bytes: usize) -> Option<Credit> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let buffer = match bytes {
            0 => None,
            _ => {
                let own = Arc::clone(&self.exclusive).try_acquire_owned().ok();
                Some(own.or_else(|| self.budget.try_take(bytes))?)
            }
        };
        Some(Credit::of(place, buffer))
    }

    async fn reserve(&self, bytes: usize) -> Credit {
        // The semaphores are never closed, so that `ok` loses nothing.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let buffer = match bytes {
            0 => None,
            _ => tokio::select! {
                biased;
                own = Arc::clone(&self.exclusive).acquire_owned() => own.ok(),
                shared = self.budget.take(bytes) => shared,
            },
        };
        Credit { _place: place, _buffer: buffer, granted: None }
    }
}

/// What a gate's queue holds.
#[derive(Debug)]
pub(crate) enum Arrival {
    Item(Item),
    /// The producer vanished.
    Gone(Cause),
}

/// An arrival with the channel's position in its gate. The credit goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    pub channel: u32,
    pub arrival: Arrival,
    pub credit: Option<Credit>,
}

/// The way to a gate of this process.
#[derive(Debug)]
struct LocalLink {
    position: u32,
    queue: Sender<Queued>,
    priority: Arc<Priority>,
}

impl LocalLink {
    /// Never waits: the queue has room for all that credits admit. Only a gate that is gone refuses.
    fn put(&self, arrival: Arrival, credit: Option<Credit>) -> Result<(), Cause> {
        if let Arrival::Item(Item::Barrier(barrier)) = &arrival
            && matches!(barrier.alignment, Alignment::Unaligned { .. })
        {
            self.announce(barrier, false);
        }
        let queued = Queued { channel: self.position, arrival, credit };
        self.queue.try_send(queued).map_err(|_| Cause::default())
    }

    fn announce(&self, barrier: &Arc<Barrier>, overtaking: bool) {
        self.priority.tell(Announced { channel: self.position, barrier: Arc::clone(barrier), overtaking });
    }

    fn overtake(&self, credit: Credit, barrier: Arc<Barrier>) -> Result<(), Cause> {
        self.announce(&barrier, true);
        self.put(Arrival::Item(Item::Barrier(barrier)), Some(credit))
    }
}

#[derive(Debug)]
enum Link {
    Local(LocalLink),
    Remote(RemoteLink),
}

/// The sending end of a channel. Dropped before [`Self::end`], it tells the gate that the producer is gone.
#[derive(Debug)]
pub struct ChannelSender {
    id: ChannelId,
    /// To a gate of this process: what the gate admits. To another: what this one's memory admits.
    credits: Credits,
    link: Link,
    ended: bool,
}

impl ChannelSender {
    pub(crate) fn local(
        id: ChannelId,
        position: u32,
        credits: Credits,
        queue: Sender<Queued>,
        priority: Arc<Priority>,
    ) -> Self {
        Self { id, credits, link: Link::Local(LocalLink { position, queue, priority }), ended: false }
    }

    pub(crate) fn remote(id: ChannelId, credits: Credits, link: RemoteLink) -> Self {
        Self { id, credits, link: Link::Remote(link), ended: false }
    }

    /// The channel.
    pub fn id(&self) -> ChannelId {
        self.id
    }

    /// The right to send an item of so many bytes ([`Item::byte_len`]), if it is to be had at once.
    pub fn try_reserve(&self, bytes: usize) -> Option<Credit> {
        match &self.link {
            Link::Local(_) => self.credits.try_reserve(bytes),
            Link::Remote(link) => {
                let granted = link.try_reserve(bytes)?;
                Some(Credit { granted, ..self.credits.try_reserve(bytes)? })
            }
        }
    }

    /// Waits for the right to send an item of so many bytes: this is backpressure. Cancel-safe. It also returns when
    /// the gate is gone; [`Self::send`] says so.
    pub async fn reserve(&self, bytes: usize) -> Credit {
        match &self.link {
            Link::Local(_) => self.credits.reserve(bytes).await,
            Link::Remote(link) => {
                let granted = link.reserve(bytes).await;
                Credit { granted, ..self.credits.reserve(bytes).await }
            }
        }
    }

    /// Sends an item under a right that was reserved for its bytes. Never waits.
    ///
    /// # Errors
    /// If the gate is gone, or the connection to its TaskManager.
    pub fn send(&mut self, credit: Credit, item: Item) -> Result<(), ChannelClosed> {
        self.put(item, Some(credit))
    }

    /// Sends a barrier behind what was sent so far, without an item's credit, and announces it to the gate as one that
    /// has overtaken what was not sent. Never waits. Returns whether it was sent: not if [`BARRIERS_MAX`] of them have
    /// not been taken, nor behind the end.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn try_overtake(&mut self, barrier: &Arc<Barrier>) -> Result<bool, ChannelClosed> {
        if self.ended {
            return Ok(false);
        }
        let sent = match &self.link {
            Link::Local(link) => match Arc::clone(&self.credits.barriers).try_acquire_owned() {
                Ok(place) => link.overtake(Credit::of(place, None), Arc::clone(barrier)).map(|()| true),
                Err(_) => Ok(false),
            },
            Link::Remote(link) => link.try_overtake(barrier),
        };
        sent.map_err(|cause| ChannelClosed { channel: self.id, cause })
    }

    /// Delivers a barrier that has overtaken in another process.
    pub(crate) fn overtake(&self, credit: Credit, barrier: Arc<Barrier>) {
        if let Link::Local(link) = &self.link {
            // A gate that is gone says so itself.
            let _ = link.overtake(credit, barrier);
        }
    }

    /// Says that nothing follows. Never waits.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn end(&mut self) -> Result<(), ChannelClosed> {
        self.put(Item::EndOfInput, None)
    }

    fn put(&mut self, item: Item, credit: Option<Credit>) -> Result<(), ChannelClosed> {
        self.ended |= item == Item::EndOfInput;
        let sent = match &self.link {
            Link::Local(link) => link.put(Arrival::Item(item), credit),
            Link::Remote(link) => link.send(item, credit),
        };
        sent.map_err(|cause| ChannelClosed { channel: self.id, cause })
    }

    /// Tells the gate why its producer is gone.
    pub(crate) fn fail(mut self, cause: Cause) {
        if let Link::Local(link) = &self.link {
            self.ended = true;
            // A gate that is gone as well need not be told.
            let _ = link.put(Arrival::Gone(cause), None);
        }
    }

    /// What a gate of this process still admits, for those who grant it to a producer elsewhere.
    pub(crate) fn rights(&self) -> Option<Rights> {
        let Link::Local(link) = &self.link else {
            return None;
        };
        let Credits { places, exclusive, barriers, budget, .. } = &self.credits;
        let (places, exclusive, barriers) = (Arc::clone(places), Arc::clone(exclusive), Arc::clone(barriers));
        Some(Rights { places, exclusive, barriers, budget: budget.clone(), queue: link.queue.clone() })
    }
}

impl Drop for ChannelSender {
    fn drop(&mut self) {
        if !self.ended {
            match &self.link {
                // A gate that is gone as well need not be told.
                Link::Local(link) => drop(link.put(Arrival::Gone(Cause::default()), None)),
                Link::Remote(link) => link.gone(),
            }
        }
    }
}

/// Where the rights to send through a channel come from.
#[derive(Debug)]
pub(crate) struct Rights {
    /// A permit for each item.
    pub places: Arc<Semaphore>,
    /// One permit.
    pub exclusive: Arc<Semaphore>,
    /// A permit for each barrier that overtakes.
    pub barriers: Arc<Semaphore>,
    pub budget: BufferBudget,
    queue: Sender<Queued>,
}

impl Rights {
    /// Waits until the gate is gone. Cancel-safe.
    pub(crate) async fn gate_gone(&self) {
        self.queue.closed().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::testing::{channels, keyed_batch, poll_once};
    use crate::{GateError, Received};
    use std::pin::pin;

    #[tokio::test]
    async fn a_channel_holds_so_many_items_and_no_more() {
        let (mut senders, mut gate) = channels(1, &BufferBudget::default()).await;
        let sender = &mut senders[0];
        for n in 0..CHANNEL_ITEMS_MAX {
            let credit = sender.try_reserve(0).unwrap();
            sender.send(credit, Item::Watermark(n as i64)).unwrap();
        }
        assert!(sender.try_reserve(0).is_none());
        {
            let mut waiting = pin!(sender.reserve(0));
            assert!(poll_once(waiting.as_mut()).is_pending());
            assert_eq!(gate.recv().await.unwrap(), Some(Received { channel: 0, item: Item::Watermark(0) }));
            assert!(poll_once(waiting.as_mut()).is_ready());
        }
        // The end needs no credit.
        sender.end().unwrap();
        drop(senders);
        for n in 1..CHANNEL_ITEMS_MAX {
            assert_eq!(gate.recv().await.unwrap().unwrap().item, Item::Watermark(n as i64));
        }
        assert_eq!(gate.recv().await.unwrap().unwrap().item, Item::EndOfInput);
        assert_eq!(gate.recv().await.unwrap(), None);
    }

    #[tokio::test]
    async fn every_channel_gets_a_batch_through_however_little_budget_is_left() {
        let budget = BufferBudget::new(100);
        let (mut senders, mut gate) = channels(2, &budget).await;
        let (first, second) = senders.split_at_mut(1);
        let batch = keyed_batch(&[1], 0, 50);
        let send = |sender: &mut ChannelSender| {
            let credit = sender.try_reserve(batch.byte_len())?;
            sender.send(credit, Item::Batch(batch.clone())).ok()
        };
        // The first channel takes its exclusive right and then all of the budget.
        while send(&mut first[0]).is_some() {}
        assert!(budget.free_bytes() < batch.byte_len());
        assert!(send(&mut second[0]).is_some(), "its exclusive right does not depend on the others");
        assert!(send(&mut second[0]).is_none());

        // Whoever waits goes on as soon as a batch of its own channel is taken, with the budget still used up.
        let mut waiting = pin!(second[0].reserve(10_000));
        assert!(poll_once(waiting.as_mut()).is_pending());
        while gate.recv().await.unwrap().unwrap().channel == 0 {}
        assert!(poll_once(waiting.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn either_end_learns_that_the_other_is_gone() {
        let budget = BufferBudget::new(1_000);
        let (mut senders, mut gate) = channels(2, &budget).await;
        let batch = keyed_batch(&[1], 0, 200);
        for _ in 0..2 {
            let credit = senders[0].reserve(batch.byte_len()).await;
            senders[0].send(credit, Item::Batch(batch.clone())).unwrap();
        }
        let id = senders[1].id();
        drop(senders.pop());
        assert!(matches!(gate.recv().await.unwrap().unwrap().item, Item::Batch(_)));
        assert!(matches!(gate.recv().await.unwrap().unwrap().item, Item::Batch(_)));
        let gone = GateError::ProducerGone { channel: id, cause: Cause::default() };
        assert_eq!(gate.recv().await.unwrap_err(), gone);

        let credit = senders[0].try_reserve(0).unwrap();
        drop(gate);
        assert!(senders[0].send(credit, Item::Watermark(1)).is_err());
        drop(senders);
        assert_eq!((budget.free_bytes(), budget.live_channels()), (1_000, 0));
    }

    #[tokio::test]
    async fn a_gate_that_is_dropped_wakes_whoever_waits_for_it() {
        let (senders, gate) = channels(1, &BufferBudget::default()).await;
        let mut sender = senders.into_iter().next().unwrap();
        for _ in 0..CHANNEL_ITEMS_MAX {
            let credit = sender.try_reserve(0).unwrap();
            sender.send(credit, Item::Watermark(0)).unwrap();
        }
        let waiting = tokio::spawn(async move {
            let credit = sender.reserve(0).await;
            sender.send(credit, Item::Watermark(1))
        });
        tokio::task::yield_now().await;
        drop(gate);
        assert!(waiting.await.unwrap().is_err());
    }
}
