//! The receiving end: one queue for all channels that a task reads.

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
        let open = ids.len();
        Self { ids, queue, open, connected, exchange }
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

    /// What came next, in the order of arrival; `None` when all channels have ended. Taking an item returns its credit.
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Received>, GateError> {
        if self.open == 0 {
            return Ok(None);
        }
        match self.queue.recv().await {
            Some(queued) => self.take(queued).map(Some),
            None => Ok(None),
        }
    }

    /// What came next if something is there; `None` if not.
    pub fn try_recv(&mut self) -> Result<Option<Received>, GateError> {
        match self.queue.try_recv() {
            Ok(queued) => self.take(queued).map(Some),
            Err(_) => Ok(None),
        }
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
