//! What all connections of a data plane share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_types::TaskManagerId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::exchange::Exchange;
use crate::plane::DataPlaneOptions;
use crate::plane::gauge::{Gauges, WatchedGauge};
use crate::plane::outgoing::Outgoing;
use crate::plane::refusals::{Fault, Refusals};

/// Ends a task when it is dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: TaskManagerId,
    pub(crate) options: DataPlaneOptions,
    pub(crate) exchange: Exchange,
    pub(crate) refusals: Refusals,
    pub(crate) gauges: Gauges,
    runtime: Handle,
    /// The connections to others that take channels, by TaskManager and address.
    outgoing: Mutex<BTreeMap<(TaskManagerId, String), Arc<Outgoing>>>,
    closing: watch::Sender<bool>,
    /// The futures that run.
    live: WatchedGauge,
    /// Channels to gates elsewhere whose producers have said their last word, and which may still be on its way.
    pub(crate) ending: WatchedGauge,
}

impl Shared {
    pub(crate) fn new(options: DataPlaneOptions, id: TaskManagerId, exchange: Exchange, runtime: Handle) -> Self {
        Self {
            id,
            options,
            exchange,
            refusals: Refusals::default(),
            gauges: Gauges::default(),
            runtime,
            outgoing: Mutex::default(),
            closing: watch::Sender::new(false),
            live: WatchedGauge::default(),
            ending: WatchedGauge::default(),
        }
    }

    /// Runs a future on the data plane's threads.
    pub(crate) fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_counted(future);
    }

    /// Runs a future as long as what this returns lives.
    pub(crate) fn spawn_aborting(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) -> AbortOnDrop {
        AbortOnDrop(self.spawn_counted(future))
    }

    fn spawn_counted(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let live = self.live.count();
        let future = async move {
            future.await;
            drop(live);
        };
        self.runtime.spawn(future).abort_handle()
    }

    /// The connection to another TaskManager; a new one, if `use_it` can do nothing with the one that is there.
    pub(crate) fn with_connection<T>(
        self: &Arc<Self>,
        peer: &TaskManagerId,
        address: &str,
        mut use_it: impl FnMut(&Arc<Outgoing>) -> Option<T>,
    ) -> Option<T> {
        let key = (peer.clone(), address.to_owned());
        let mut outgoing = self.lock();
        if let Some(used) = outgoing.get(&key).and_then(&mut use_it) {
            return Some(used);
        }
        let connection = Arc::new(Outgoing::new(Arc::clone(self), peer.clone(), address.to_owned()));
        let used = use_it(&connection);
        outgoing.insert(key, Arc::clone(&connection));
        drop(outgoing);
        let counted = self.gauges.connections.count();
        self.spawn(async move {
            connection.run().await;
            drop(counted);
        });
        used
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget(&self, connection: &Arc<Outgoing>) {
        let key = (connection.peer.clone(), connection.address.clone());
        let mut outgoing = self.lock();
        if outgoing.get(&key).is_some_and(|known| Arc::ptr_eq(known, connection)) {
            outgoing.remove(&key);
        }
    }

    /// Counts and logs why a connection has ended.
    pub(crate) fn note(&self, fault: &Fault, peer: &str, address: &str) {
        match fault {
            Fault::Refused { refusal, text } => {
                self.refusals.count(*refusal);
                tracing::warn!(peer, address, reason = refusal.as_str(), "a data connection was refused: {text}");
            }
            Fault::Io(_) | Fault::Other(_) => tracing::debug!(peer, address, "a data connection ended: {fault}"),
        }
    }

    /// Ends everything that runs.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Completes when everything is to end. Cancel-safe.
    pub(crate) async fn closed(&self) {
        // The sender lives in this very object.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Completes when nothing runs. Cancel-safe.
    pub(crate) async fn ended(&self) {
        self.live.zero().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(TaskManagerId, String), Arc<Outgoing>>> {
        // Every change is whole before anything can panic.
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
