//! The receiving end: one queue for all channels that a task reads.
//!
//! Invariant: what a blocked channel brings is set aside with its credit, so that its producer is held up as soon as
//! the channel is full, and is given first, in its order, when the channel is no longer blocked.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_protocol::ChannelId;
use millrace_types::CheckpointId;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;

use crate::capture::{Capture, CaptureError, InFlight};
use crate::channel::{Arrival, Queued};
use crate::error::{ExchangeError, GateError};
use crate::exchange::Exchange;
use crate::item::Item;
use crate::priority::{Announced, Priority};

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
    priority: Arc<Priority>,
    capture: Option<Capture>,
    /// A permit for each producer that came.
    connected: Arc<Semaphore>,
    exchange: Exchange,
}

impl Gate {
    pub(crate) fn new(
        ids: Vec<ChannelId>,
        queue: Receiver<Queued>,
        priority: Arc<Priority>,
        connected: Arc<Semaphore>,
        exchange: Exchange,
    ) -> Self {
        let (open, blocked) = (ids.len(), vec![false; ids.len()]);
        Self {
            ids,
            queue,
            open,
            blocked,
            aside: VecDeque::new(),
            aside_may_go: false,
            priority,
            capture: None,
            connected,
            exchange,
        }
    }

    /// The channels, by position.
    pub fn channels(&self) -> &[ChannelId] {
        &self.ids
    }

    /// What has come and was not taken, and how much that may be.
    pub fn queued(&self) -> (usize, usize) {
        (self.queue.len() + self.aside.len(), self.queue.max_capacity())
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
    /// ended, and when a capture is over that [`Self::take_capture`] has not been asked for: nothing else may come. Taking
    /// an item returns its credit. That a producer is gone is told at once. Cancel-safe.
    pub async fn recv(&mut self) -> Result<Option<Received>, GateError> {
        if self.open == 0 {
            return Ok(None);
        }
        loop {
            if let Some(received) = self.at_hand()? {
                return Ok(Some(received));
            }
            if self.capture.as_ref().is_some_and(Capture::is_over) {
                return Ok(None);
            }
            match self.queue.recv().await {
                Some(queued) if self.capture.is_some() => self.capture(queued),
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
            if let Some(received) = self.at_hand()? {
                return Ok(Some(received));
            }
            match self.queue.try_recv() {
                Ok(queued) if self.capture.is_some() => self.capture(queued),
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

    /// Captures what these channels bring in front of the barrier of a checkpoint or their end, for a snapshot that is
    /// taken now. What is queued is looked through at once, and what arrives with the next call, before the task gets to
    /// it. Where a capture of an older checkpoint was not complete, it is dropped, and its checkpoint returned.
    ///
    /// # Panics
    /// If there is no such channel.
    pub fn begin_capture(
        &mut self,
        checkpoint: CheckpointId,
        channels: &[usize],
        bytes_max: usize,
    ) -> Option<CheckpointId> {
        let capture = Capture::new(checkpoint, channels, self.ids.len(), bytes_max);
        let dropped = self.capture.replace(capture).map(|capture| capture.checkpoint);
        for queued in std::mem::take(&mut self.aside) {
            self.capture(queued);
        }
        self.look_through_queue();
        dropped
    }

    /// What was captured, once all barriers have come; or why it is not complete. To be asked before each wait.
    pub fn take_capture(&mut self) -> Option<(CheckpointId, Result<Vec<InFlight>, CaptureError>)> {
        self.look_through_queue();
        let capture = self.capture.take_if(|capture| capture.is_over())?;
        Some((capture.checkpoint, capture.finish()))
    }

    /// Drops the capture of a checkpoint that was given up.
    pub fn abandon_capture(&mut self, checkpoint: CheckpointId) {
        self.capture.take_if(|capture| capture.checkpoint == checkpoint);
    }

    fn look_through_queue(&mut self) {
        while self.capture.is_some()
            && let Ok(queued) = self.queue.try_recv()
        {
            self.capture(queued);
        }
    }

    /// Sets something aside that the capture has seen; its own barriers have done their duty.
    fn capture(&mut self, queued: Queued) {
        if let (Arrival::Item(item), Some(capture)) = (&queued.arrival, &mut self.capture)
            && capture.see(queued.channel as usize, item)
        {
            return;
        }
        self.aside.push_back(queued);
        self.aside_may_go = true;
    }

    /// What is told ahead of all, or comes next of what is aside.
    fn at_hand(&mut self) -> Result<Option<Received>, GateError> {
        if let Some(Announced { channel, barrier, overtaking }) = self.priority.take() {
            let item = Item::Announced { barrier, overtaking };
            return Ok(Some(Received { channel: channel as usize, item }));
        }
        self.look_through_queue();
        self.pop_aside().map(|queued| self.take(queued)).transpose()
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
