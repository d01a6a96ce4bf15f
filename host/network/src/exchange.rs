//! Where producers and consumers of one TaskManager find each other.
//!
//! Invariants:
//! - A channel stands in the registry only while exactly one of its ends waits for the other.
//! - Whoever waits takes its entries along when it ends, in whatever way.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_protocol::ChannelId;
use tokio::sync::mpsc;
use tokio::sync::{Semaphore, oneshot};

use crate::budget::BufferBudget;
use crate::channel::{ARRIVALS_MAX, ChannelSender, Credits};
use crate::error::ExchangeError;
use crate::gate::Gate;

/// How long one end of a channel waits for the other where nothing else is configured. All tasks of a job are deployed
/// at once; the other end may have to wait for its TaskManager.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The channels of a TaskManager whose ends have not met. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Exchange {
    meetings: Arc<Mutex<BTreeMap<ChannelId, Meeting>>>,
    budget: BufferBudget,
    connect_timeout: Duration,
}

/// The end that came first.
#[derive(Debug)]
enum Meeting {
    /// The consumer is there.
    Offered(Offer),
    /// The producer is there.
    Awaited(oneshot::Sender<ChannelSender>),
}

/// The sending end on its way to the producer.
#[derive(Debug)]
struct Offer {
    sender: ChannelSender,
    connected: Arc<Semaphore>,
}

/// Removes what a producer waits for when its future ends.
struct Waiting<'a> {
    exchange: &'a Exchange,
    ids: &'a [ChannelId],
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut meetings = self.exchange.lock();
        for id in self.ids {
            if let Entry::Occupied(entry) = meetings.entry(*id)
                && matches!(entry.get(), Meeting::Awaited(awaited) if awaited.is_closed())
            {
                entry.remove();
            }
        }
    }
}

impl Exchange {
    /// The registry of a TaskManager. An end of a channel waits for the other at most `connect_timeout`.
    pub fn new(budget: BufferBudget, connect_timeout: Duration) -> Self {
        Self { meetings: Arc::default(), budget, connect_timeout }
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The buffers that its channels share.
    pub fn budget(&self) -> &BufferBudget {
        &self.budget
    }

    /// The number of channels that wait for one of their ends.
    pub fn waiting_channels(&self) -> usize {
        self.lock().len()
    }

    /// Offers the channels to their producers and gives the gate that reads them. A channel's position in the gate is
    /// its position here. Never waits.
    pub fn open_gate(&self, ids: Vec<ChannelId>) -> Result<Gate, ExchangeError> {
        // Room for all that the channels' credits admit, so that queueing never waits.
        let (sender, queue) = mpsc::channel(ids.len().max(1) * ARRIVALS_MAX);
        let (connected, priority) = (Arc::new(Semaphore::new(0)), Arc::default());
        let mut meetings = self.lock();
        let taken = |id: &&ChannelId| matches!(meetings.get(*id), Some(Meeting::Offered(_)));
        if let Some(channel) = ids.iter().find(taken).copied() {
            return Err(ExchangeError::Duplicate { channel });
        }
        for (position, id) in (0u32..).zip(&ids) {
            let credits = Credits::new(&self.budget);
            let sender = ChannelSender::local(*id, position, credits, sender.clone(), Arc::clone(&priority));
            Self::offer(&mut meetings, sender, &connected);
        }
        drop(meetings);
        Ok(Gate::new(ids, queue, priority, connected, self.clone()))
    }

    fn offer(meetings: &mut BTreeMap<ChannelId, Meeting>, mut sender: ChannelSender, connected: &Arc<Semaphore>) {
        let id = sender.id();
        if let Some(Meeting::Awaited(awaited)) = meetings.remove(&id) {
            match awaited.send(sender) {
                Ok(()) => return connected.add_permits(1),
                // The producer is just leaving. Whoever comes instead of it finds the channel offered.
                Err(returned) => sender = returned,
            }
        }
        meetings.insert(id, Meeting::Offered(Offer { sender, connected: Arc::clone(connected) }));
    }

    /// The sending ends of the channels, in order, when all consumers are there. Waits at most the connect timeout.
    /// When the future is dropped, ends that it has already got are dropped with it, and their gates see it.
    pub async fn connect(&self, ids: &[ChannelId]) -> Result<Vec<ChannelSender>, ExchangeError> {
        // Declared in front of the receivers, so that it is dropped behind them and finds them closed.
        let waiting = Waiting { exchange: self, ids };
        let mut receivers = Vec::with_capacity(ids.len());
        {
            let mut meetings = self.lock();
            for id in ids {
                receivers.push(Self::await_offer(&mut meetings, *id)?);
            }
        }
        let deadline = tokio::time::Instant::now() + self.connect_timeout;
        let mut senders = Vec::with_capacity(ids.len());
        for (id, receiver) in ids.iter().zip(receivers) {
            match tokio::time::timeout_at(deadline, receiver).await {
                Ok(Ok(sender)) => senders.push(sender),
                // The registry drops an entry only with the producer's own future: a closed one never came.
                Ok(Err(_)) | Err(_) => {
                    return Err(ExchangeError::TimedOut { channel: *id, waited: self.connect_timeout });
                }
            }
        }
        drop(waiting);
        Ok(senders)
    }

    fn await_offer(
        meetings: &mut BTreeMap<ChannelId, Meeting>,
        id: ChannelId,
    ) -> Result<oneshot::Receiver<ChannelSender>, ExchangeError> {
        let (promise, receiver) = oneshot::channel();
        match meetings.remove(&id) {
            Some(Meeting::Offered(offer)) => {
                offer.connected.add_permits(1);
                // The receiver is in this function's hands: it cannot be closed.
                let _ = promise.send(offer.sender);
            }
            Some(awaited @ Meeting::Awaited(_)) => {
                meetings.insert(id, awaited);
                return Err(ExchangeError::Duplicate { channel: id });
            }
            None => {
                meetings.insert(id, Meeting::Awaited(promise));
            }
        }
        Ok(receiver)
    }

    /// Takes back the offers of a gate.
    pub(crate) fn withdraw(&self, ids: &[ChannelId]) {
        let mut meetings = self.lock();
        for id in ids {
            if let Entry::Occupied(entry) = meetings.entry(*id)
                && matches!(entry.get(), Meeting::Offered(_))
            {
                entry.remove();
            }
        }
    }

    /// The first of these channels whose producer has not come.
    pub(crate) fn first_unmet(&self, ids: &[ChannelId]) -> Option<ChannelId> {
        let meetings = self.lock();
        ids.iter().find(|id| meetings.contains_key(*id)).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Meeting>> {
        // Every change of the map is whole before anything can panic.
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::testing::{channel_id, poll_once};
    use crate::{Cause, GateError};

    fn exchange() -> Exchange {
        Exchange::new(BufferBudget::default(), Duration::from_millis(20))
    }

    #[tokio::test]
    async fn the_ends_meet_whoever_comes_first() {
        let exchange = exchange();
        let ids = vec![channel_id(0, 0), channel_id(1, 0)];
        let mut connecting = Box::pin(exchange.connect(&ids));
        assert!(poll_once(connecting.as_mut()).is_pending());
        let gate = exchange.open_gate(ids.clone()).unwrap();
        let senders = connecting.await.unwrap();
        gate.connected().await.unwrap();
        assert_eq!(senders.iter().map(ChannelSender::id).collect::<Vec<_>>(), ids);
        drop((gate, senders));

        let gate = exchange.open_gate(ids.clone()).unwrap();
        assert_eq!(exchange.waiting_channels(), 2);
        let senders = exchange.connect(&ids).await.unwrap();
        gate.connected().await.unwrap();
        assert_eq!(exchange.waiting_channels(), 0);
        assert_eq!(exchange.budget().live_channels(), 2);
        drop((gate, senders));
        assert_eq!(exchange.budget().live_channels(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_in_vain_leaves_nothing_behind() {
        let exchange = exchange();
        let ids = vec![channel_id(0, 0), channel_id(1, 0)];
        let error = exchange.connect(&ids).await.unwrap_err();
        assert!(matches!(error, ExchangeError::TimedOut { channel, .. } if channel == ids[0]), "{error}");
        assert_eq!(exchange.waiting_channels(), 0);

        let gate = exchange.open_gate(ids.clone()).unwrap();
        let _first = exchange.connect(&ids[..1]).await.unwrap();
        let error = gate.connected().await.unwrap_err();
        assert!(matches!(error, ExchangeError::TimedOut { channel, .. } if channel == ids[1]), "{error}");
        drop(gate);
        assert_eq!(exchange.waiting_channels(), 0);
    }

    #[tokio::test]
    async fn a_producer_that_leaves_while_it_connects_is_seen_by_the_gates_it_reached() {
        let exchange = exchange();
        let ids = vec![channel_id(0, 0), channel_id(1, 0)];
        let mut gate = exchange.open_gate(ids[..1].to_vec()).unwrap();
        let mut connecting = Box::pin(exchange.connect(&ids));
        assert!(poll_once(connecting.as_mut()).is_pending());
        assert_eq!(exchange.waiting_channels(), 1);
        drop(connecting);
        assert_eq!(exchange.waiting_channels(), 0);
        let gone = GateError::ProducerGone { channel: ids[0], cause: Cause::default() };
        assert_eq!(gate.recv().await.unwrap_err(), gone);
    }

    #[tokio::test]
    async fn an_end_that_comes_twice_is_refused_and_disturbs_nobody() {
        let exchange = exchange();
        let ids = vec![channel_id(0, 0)];
        let gate = exchange.open_gate(ids.clone()).unwrap();
        assert!(matches!(exchange.open_gate(ids.clone()), Err(ExchangeError::Duplicate { .. })));
        let _sender = exchange.connect(&ids).await.unwrap();
        gate.connected().await.unwrap();

        let other = vec![channel_id(5, 0)];
        let mut first = Box::pin(exchange.connect(&other));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(matches!(exchange.connect(&other).await, Err(ExchangeError::Duplicate { .. })));
        let _gate = exchange.open_gate(other.clone()).unwrap();
        assert_eq!(first.await.unwrap().len(), 1);
    }
}
