//! The receiving end: one queue for all channels that a task reads.
//!
//! Invariant: what a blocked channel brings is set aside with its credit, so that its producer is held up as soon as
//! the channel is full, and is given first, in its order, when the channel is no longer blocked.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_protocol::ChannelId;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;

use crate::channel::{Arrival, Queued};
use crate::error::{ExchangeError, GateError};
use crate::exchange::Exchange;
use crate::item::Item;

/// What a gate gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The channel's position in the gate.
    pub channel: usize,
    /// What came through it.
    pub item: Item,
}

/// The channels that a task reads. Its queue holds only what senders had credit for.
#[derive(Debug)]
pub struct Gate {
    ids: Vec<ChannelId>,
    queue: Receiver<Queued>,
    /// The number of channels that have not ended.
    open: usize,
    blocked: Vec<bool>,
    /// What was taken from the queue and not given, in the order of arrival. Credits bound it.
    aside: VecDeque<Queued>,
    /// Whether something that is aside may be of a channel that is not blocked.
    aside_may_go: bool,
    /// A permit for each producer that came.
    connected: Arc<Semaphore>,
    exchange: Exchange,
}

impl Gate {
    pub(crate) fn new(
        ids: Vec<ChannelId>,
        queue: Receiver<Queued>,
        connected: Arc<Semaphore>,
        exchange: Exchange,
    ) -> Self {
        let (open, blocked) = (ids.len(), vec![false; ids.len()]);
        Self { ids, queue, open, blocked, aside: VecDeque::new(), aside_may_go: false, connected, exchange }
    }

    /// The channels, by position.
    pub fn channels(&self) -> &[ChannelId] {
        &self.ids
    }

    /// Waits until all producers are there, at most the connect timeout. Cancel-safe.
    pub async fn connected(&self) -> Result<(), ExchangeError> {
        let channels = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        let all = self.connected.acquire_many(channels);
        let timeout = self.exchange.connect_timeout();
        match tokio::time::timeout(timeout, all).await {
            Ok(_) => Ok(()),
            Err(_) => match self.exchange.first_unmet(&self.ids) {
                Some(channel) => Err(ExchangeError::TimedOut { channel, waited: timeout }),
                // The last one came while the clock ran out.
                None => Ok(()),
            },
        }
    }

    /// What came next through a channel that is not blocked, in the order of arrival; `None` when all channels have
    /// ended. Taking an item returns its credit. That a producer is gone is told at once. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Received>, GateError> {
        if self.open == 0 {
            return Ok(None);
        }
        loop {
            if let Some(queued) = self.pop_aside() {
                return self.take(queued).map(Some);
            }
            match self.queue.recv().await {
                Some(queued) if self.holds_back(&queued) => self.aside.push_back(queued),
                Some(queued) => return self.take(queued).map(Some),
                // All producers have ended, and what they sent is of blocked channels.
                None if self.open > 0 => std::future::pending().await,
                None => return Ok(None),
            }
        }
    }

    /// What came next if something is there; `None` if not.
    pub fn try_recv(&mut self) -> Result<Option<Received>, GateError> {
        loop {
            if let Some(queued) = self.pop_aside() {
                return self.take(queued).map(Some);
            }
            match self.queue.try_recv() {
                Ok(queued) if self.holds_back(&queued) => self.aside.push_back(queued),
                Ok(queued) => return self.take(queued).map(Some),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Gives nothing more of a channel until [`Self::unblock_all`]. The other channels go on.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn block(&mut self, channel: usize) {
        self.blocked[channel] = true;
    }

    /// Gives what all channels bring, first what was set aside.
    pub fn unblock_all(&mut self) {
        self.blocked.fill(false);
        self.aside_may_go = !self.aside.is_empty();
    }

    /// How many items are set aside.
    pub fn aside(&self) -> usize {
        self.aside.len()
    }

    fn holds_back(&self, queued: &Queued) -> bool {
        self.blocked[queued.channel as usize] && matches!(queued.arrival, Arrival::Item(_))
    }

    /// The first of what is aside whose channel is not blocked.
    fn pop_aside(&mut self) -> Option<Queued> {
        if !self.aside_may_go {
            return None;
        }
        let at = self.aside.iter().position(|queued| !self.holds_back(queued));
        self.aside_may_go = at.is_some();
        self.aside.remove(at?)
    }

    /// Whether all channels have ended and everything was taken.
    pub fn is_finished(&self) -> bool {
        self.open == 0
    }

    fn take(&mut self, queued: Queued) -> Result<Received, GateError> {
        let Queued { channel, arrival, credit } = queued;
        drop(credit);
        let channel = channel as usize;
        match arrival {
            Arrival::Item(item) => {
                self.open -= usize::from(item == Item::EndOfInput);
                Ok(Received { channel, item })
            }
            Arrival::Gone(cause) => Err(GateError::ProducerGone { channel: self.ids[channel], cause }),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.exchange.withdraw(&self.ids);
    }
}

#[cfg(test)]
mod tests;
