//! Granting a gate's rights to a producer in another TaskManager.
//!
//! Invariant: what is granted is taken from the channel's rights first, so that whatever arrives under it has its
//! place already.

use std::sync::Arc;

use millrace_protocol::ChannelId;
use millrace_wire::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::budget::BufferBudget;
use crate::channel::{CHANNEL_ITEMS_MAX, Credit, Rights};
use crate::error::ExchangeError;
use crate::plane::incoming::Incoming;
use crate::plane::refusals::Refusal;

/// So many places that came back are worth a grant by themselves.
const PLACES_STEP: u32 = CHANNEL_ITEMS_MAX as u32 / 2;

/// What was granted and not used.
#[derive(Debug, Default)]
pub(crate) struct Outstanding {
    places: Option<OwnedSemaphorePermit>,
    exclusive: Option<OwnedSemaphorePermit>,
    /// Places of barriers that overtake.
    barriers: Option<OwnedSemaphorePermit>,
    /// Bytes of the budget.
    window: Option<OwnedSemaphorePermit>,
    /// Fewer bytes than this are low.
    low_bytes: usize,
}

/// Joins permits of one semaphore.
fn merge(sum: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match sum {
        Some(sum) => sum.merge(more),
        None => *sum = Some(more),
    }
}

fn number(permit: Option<&OwnedSemaphorePermit>) -> usize {
    permit.map_or(0, OwnedSemaphorePermit::num_permits)
}

impl Outstanding {
    /// The right to an item whose batch has so many bytes; none if it was not granted.
    pub(crate) fn take(&mut self, len: u32, exclusive: bool) -> Option<Credit> {
        let enough = number(self.places.as_ref()) > 0
            && (len == 0 || if exclusive { self.exclusive.is_some() } else { self.window_bytes() >= len as usize });
        if !enough {
            return None;
        }
        let place = self.places.as_mut()?.split(1)?;
        let buffer = match len {
            0 => None,
            _ if exclusive => self.exclusive.take(),
            _ => self.window.as_mut()?.split(len as usize),
        };
        Some(Credit::of(place, buffer))
    }

    /// The right to a barrier that has overtaken; none if it was not granted.
    pub(crate) fn take_barrier(&mut self) -> Option<Credit> {
        Some(Credit::of(self.barriers.as_mut()?.split(1)?, None))
    }

    fn window_bytes(&self) -> usize {
        number(self.window.as_ref())
    }

    /// Whether more bytes should be granted.
    pub(crate) fn is_low(&self) -> bool {
        self.window_bytes() < self.low_bytes
    }

    /// Bytes that the window lacks, if they are worth a grant and free. Never waits: the exclusive right is enough.
    fn refill(&mut self, budget: &BufferBudget, is_worth_a_grant: bool) -> u32 {
        let target = budget.window_bytes();
        self.low_bytes = target / 2;
        let missing = target.saturating_sub(self.window_bytes());
        if missing == 0 || !(is_worth_a_grant || self.is_low()) {
            return 0;
        }
        match budget.try_take(missing) {
            Some(bytes) => {
                merge(&mut self.window, bytes);
                u32::try_from(missing).unwrap_or(u32::MAX)
            }
            None => 0,
        }
    }
}

/// Rights that came back from the gate.
#[derive(Debug, Default)]
struct Returned {
    places: Option<OwnedSemaphorePermit>,
    exclusive: Option<OwnedSemaphorePermit>,
    barriers: Option<OwnedSemaphorePermit>,
}

impl Returned {
    /// Waits until something came back that is worth a grant, or `low` says that bytes are.
    async fn wait(rights: &Rights, low: &tokio::sync::Notify) -> Self {
        let mut returned = Self::default();
        // The semaphores are never closed, so that `ok` loses nothing.
        tokio::select! {
            right = Arc::clone(&rights.exclusive).acquire_owned() => returned.exclusive = right.ok(),
            places = Arc::clone(&rights.places).acquire_many_owned(PLACES_STEP) => returned.places = places.ok(),
            place = Arc::clone(&rights.barriers).acquire_owned() => returned.barriers = place.ok(),
            () = low.notified() => {}
        }
        returned.add_all_at_hand(rights);
        returned
    }

    fn add_all_at_hand(&mut self, rights: &Rights) {
        let all = |from: &Arc<Semaphore>| {
            let there = u32::try_from(from.available_permits()).ok().filter(|there| *there > 0)?;
            Arc::clone(from).try_acquire_many_owned(there).ok()
        };
        if self.exclusive.is_none() {
            self.exclusive = all(&rights.exclusive);
        }
        if let Some(places) = all(&rights.places) {
            merge(&mut self.places, places);
        }
        if let Some(places) = all(&rights.barriers) {
            merge(&mut self.barriers, places);
        }
    }

    /// Grants it, and bytes with it.
    fn grant(self, handle: u32, budget: &BufferBudget, outstanding: &mut Outstanding) -> Option<Frame> {
        let items = u32::try_from(number(self.places.as_ref())).unwrap_or(u32::MAX);
        let barriers = u32::try_from(number(self.barriers.as_ref())).unwrap_or(u32::MAX);
        let exclusive = self.exclusive.is_some();
        let bytes = outstanding.refill(budget, exclusive || items >= PLACES_STEP);
        if let Some(places) = self.places {
            merge(&mut outstanding.places, places);
        }
        if let Some(places) = self.barriers {
            merge(&mut outstanding.barriers, places);
        }
        outstanding.exclusive = self.exclusive.or(outstanding.exclusive.take());
        let is_any = items > 0 || bytes > 0 || barriers > 0 || exclusive;
        is_any.then_some(Frame::Credit { handle, items, bytes, barriers, exclusive })
    }
}

/// Waits for a channel's consumer, and then grants what its gate admits, until the gate is gone.
pub(crate) async fn keep(connection: Arc<Incoming>, handle: u32, id: ChannelId) {
    let sender = match connection.shared.exchange.connect(&[id]).await {
        Ok(mut senders) => senders.pop(),
        Err(error) => {
            let refusal = match error {
                ExchangeError::Duplicate { .. } => Refusal::DuplicateChannel,
                _ => Refusal::StaleChannel,
            };
            connection.shared.refusals.count(refusal);
            tracing::debug!(peer = connection.peer, %error, reason = refusal.as_str(), "a channel was refused");
            return connection.close(handle, Frame::Refused { handle, reason: error.to_string() });
        }
    };
    if let Some(sender) = sender
        && let Some(rights) = sender.rights()
        && let Some(low) = connection.opened(handle, sender)
    {
        loop {
            let returned = tokio::select! {
                biased;
                () = rights.gate_gone() => break,
                returned = Returned::wait(&rights, &low) => returned,
            };
            connection.grant(handle, |outstanding| returned.grant(handle, &rights.budget, outstanding));
        }
    }
    connection.close(handle, Frame::Gone { handle });
}
