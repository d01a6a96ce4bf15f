//! What a producer may still send to a gate of another TaskManager: the mirror of the rights that were granted to it.
//!
//! Granted bytes are used before the exclusive right: they are set aside already, while the right goes to and fro with
//! every batch that uses it.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::budget::WINDOW_BYTES_MAX;
use crate::channel::{BARRIERS_MAX, CHANNEL_ITEMS_MAX};
use crate::error::Cause;

/// The rights that a channel has and has not used.
#[derive(Debug)]
pub(crate) struct Grants {
    items: Arc<Semaphore>,
    /// A permit for each byte.
    window: Arc<Semaphore>,
    exclusive: Arc<Semaphore>,
    /// A permit for each barrier that overtakes.
    barriers: Arc<Semaphore>,
    closed: OnceLock<Cause>,
}

/// The right to send one item. It is used up by [`Self::spend`]; dropped, it goes back.
#[derive(Debug)]
pub(crate) struct Granted {
    item: OwnedSemaphorePermit,
    buffer: Option<Buffer>,
}

#[derive(Debug)]
enum Buffer {
    Window(OwnedSemaphorePermit),
    Exclusive(OwnedSemaphorePermit),
}

impl Granted {
    /// Uses it up. Returns whether it was the exclusive right.
    pub(crate) fn spend(self) -> bool {
        self.item.forget();
        match self.buffer {
            None => false,
            Some(Buffer::Window(bytes)) => {
                bytes.forget();
                false
            }
            Some(Buffer::Exclusive(right)) => {
                right.forget();
                true
            }
        }
    }
}

impl Grants {
    /// None yet.
    pub(crate) fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { items: none(), window: none(), exclusive: none(), barriers: none(), closed: OnceLock::new() }
    }

    /// Adds what was granted. Returns whether it is right: no channel is granted more than all there is.
    #[must_use]
    pub(crate) fn add(&self, items: u32, bytes: u32, barriers: u32, exclusive: bool) -> bool {
        let fits = |rights: &Semaphore, more: u32, max: usize| {
            rights.available_permits().checked_add(more as usize).is_some_and(|sum| sum <= max)
        };
        let right = fits(&self.items, items, CHANNEL_ITEMS_MAX)
            && fits(&self.window, bytes, WINDOW_BYTES_MAX)
            && fits(&self.barriers, barriers, BARRIERS_MAX)
            && fits(&self.exclusive, u32::from(exclusive), 1);
        if right {
            self.items.add_permits(items as usize);
            self.window.add_permits(bytes as usize);
            self.barriers.add_permits(barriers as usize);
            self.exclusive.add_permits(usize::from(exclusive));
        }
        right
    }

    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Granted> {
        let item = Arc::clone(&self.items).try_acquire_owned().ok()?;
        let window = || Arc::clone(&self.window).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok();
        let exclusive = || Arc::clone(&self.exclusive).try_acquire_owned().ok();
        let buffer = match bytes {
            0 => None,
            _ => Some(window().map(Buffer::Window).or_else(|| exclusive().map(Buffer::Exclusive))?),
        };
        Some(Granted { item, buffer })
    }

    /// Waits for the right; `None` once the channel is closed. Cancel-safe.
    pub(crate) async fn reserve(&self, bytes: usize) -> Option<Granted> {
        let item = Arc::clone(&self.items).acquire_owned().await.ok()?;
        let buffer = match u32::try_from(bytes) {
            Ok(0) => None,
            Ok(len) => tokio::select! {
                biased;
                window = Arc::clone(&self.window).acquire_many_owned(len) => Some(Buffer::Window(window.ok()?)),
                right = Arc::clone(&self.exclusive).acquire_owned() => Some(Buffer::Exclusive(right.ok()?)),
            },
            Err(_) => Some(Buffer::Exclusive(Arc::clone(&self.exclusive).acquire_owned().await.ok()?)),
        };
        Some(Granted { item, buffer })
    }

    /// Uses up the right to a barrier that overtakes, if there is one.
    pub(crate) fn try_spend_barrier(&self) -> bool {
        self.barriers.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    /// Nothing more may be sent, and whoever waits is woken. The first cause counts.
    pub(crate) fn close(&self, cause: Cause) {
        let _ = self.closed.set(cause);
        [&self.items, &self.window, &self.exclusive].into_iter().for_each(|rights| rights.close());
    }

    /// Why nothing more may be sent, if so.
    pub(crate) fn closed(&self) -> Option<&Cause> {
        self.closed.get()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::testing::poll_once;
    use std::pin::pin;

    #[test]
    fn rights_that_are_not_spent_go_back() {
        let grants = Grants::new();
        assert!(grants.try_reserve(0).is_none());
        assert!(grants.add(2, 100, 0, true));
        drop(grants.try_reserve(100).unwrap());
        assert!(!grants.try_reserve(100).unwrap().spend());
        // No bytes are left: only the exclusive right admits another batch.
        assert!(grants.try_reserve(1).unwrap().spend());
        assert!(grants.try_reserve(0).is_none());
        assert!(grants.add(1, 0, 0, false));
        assert!(grants.try_reserve(1).is_none());
        assert!(grants.try_reserve(0).is_some());
    }

    #[test]
    fn more_than_all_there_is_cannot_be_granted() {
        let grants = Grants::new();
        assert!(grants.add(CHANNEL_ITEMS_MAX as u32, WINDOW_BYTES_MAX as u32, BARRIERS_MAX as u32, true));
        assert!(!grants.add(1, 0, 0, false));
        assert!(!grants.add(0, 1, 0, false));
        assert!(!grants.add(0, 0, 1, false));
        assert!(!grants.add(0, 0, 0, true));
        assert!(!grants.add(u32::MAX, u32::MAX, u32::MAX, false));
        assert!(grants.add(0, 0, 0, false));
        assert!((0..BARRIERS_MAX).all(|_| grants.try_spend_barrier()) && !grants.try_spend_barrier());
    }

    #[tokio::test]
    async fn a_closed_channel_wakes_whoever_waits_for_it() {
        let grants = Grants::new();
        assert!(grants.add(1, 10, 0, false));
        let mut waiting = pin!(grants.reserve(11));
        assert!(poll_once(waiting.as_mut()).is_pending());
        grants.close(Cause::of("tested"));
        assert!(waiting.await.is_none());
        assert_eq!(grants.closed(), Some(&Cause::of("tested")));
        assert!(grants.reserve(0).await.is_none());
    }
}
