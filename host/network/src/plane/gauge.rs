//! Counting what exists.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

/// A number of things that exist.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge(Arc<AtomicUsize>);

/// One thing that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Gauge {
    pub(crate) fn count(&self) -> Counted {
        self.0.fetch_add(1, Ordering::AcqRel);
        Counted(Arc::clone(&self.0))
    }

    /// Counts one more unless there are so many already.
    pub(crate) fn count_up_to(&self, max: usize) -> Option<Counted> {
        let counted = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < max).then_some(now + 1));
        counted.ok().map(|_| Counted(Arc::clone(&self.0)))
    }

    pub(crate) fn now(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A number of things that exist, which can be waited for.
#[derive(Debug, Default)]
pub(crate) struct WatchedGauge(Arc<watch::Sender<usize>>);

/// One thing that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct Watched(Arc<watch::Sender<usize>>);

impl WatchedGauge {
    pub(crate) fn count(&self) -> Watched {
        self.0.send_modify(|now| *now += 1);
        Watched(Arc::clone(&self.0))
    }

    /// Completes when there are none. Cancel-safe.
    pub(crate) async fn zero(&self) {
        // An error would mean that the sender is gone, which this very object holds.
        let _ = self.0.subscribe().wait_for(|now| *now == 0).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.send_modify(|now| *now -= 1);
    }
}

/// What a data plane has at the moment.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub connections: Gauge,
    pub half_open: Gauge,
    pub channels_out: Gauge,
    pub channels_in: Gauge,
}
