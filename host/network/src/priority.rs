//! What a gate is told ahead of its queue: that a barrier lies in it which may overtake, or has overtaken.
//!
//! There is one place for the newest of all channels. Whoever tells puts the barrier itself into the queue afterwards,
//! which wakes a gate that waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_types::{Barrier, CheckpointId};

/// A barrier that lies in a channel.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub channel: u32,
    pub barrier: Arc<Barrier>,
    pub overtaking: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Priority {
    /// Whether there is something to take: asked for with every item.
    is_told: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    announced: Option<Announced>,
    /// The newest that was ever told, and whether it had overtaken.
    newest: Option<(CheckpointId, bool)>,
}

impl Priority {
    /// Tells of a barrier, if that is news.
    pub(crate) fn tell(&self, announced: Announced) {
        let news = Some((announced.barrier.checkpoint, announced.overtaking));
        let mut state = self.lock();
        if news > state.newest {
            state.newest = news;
            state.announced = Some(announced);
            self.is_told.store(true, Ordering::Release);
        }
    }

    pub(crate) fn take(&self) -> Option<Announced> {
        if !self.is_told.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        self.is_told.store(false, Ordering::Release);
        state.announced.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
