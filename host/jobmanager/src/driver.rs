//! Native mode's other half: what starts, stops and watches TaskManagers for the ResourceManager.
//!
//! The ResourceManager's core says which workers there should be; a [`ResourceDriver`] makes it so, on this machine
//! ([`crate::ProcessDriver`]) or on another kind of cluster. Between them runs one loop per leader.
//!
//! Invariants:
//! - The loop belongs to its leader's runtime: a leader that has been replaced orders nothing any more, and what it has
//!   started goes on.
//! - What the driver says is told in the order in which it happened: a listing never contradicts a start that was told
//!   before it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millrace_resource_core::{Input, WorkerId};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Orders that wait for the driver. Each worker has one at a time, two if it is stopped while it starts.
const ORDERS_MAX: usize = 4_096;

/// How long one call of the driver may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the driver is asked what there is, if it does not say itself that something has changed.
const LIST_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait after a listing that failed, and at least between two listings.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const LIST_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// Why a driver did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DriverError(pub String);

/// Starts, stops and watches workers: processes, pods, each with one TaskManager.
///
/// A driver keeps no plan of its own, and what it knows outlives the leader: the next one asks it what there is.
/// Calls come one at a time from one leader; the one before may still have a call under way.
#[async_trait]
pub trait ResourceDriver: Debug + Send + Sync {
    /// All workers that any leader of this cluster has started and that have not ended, as far as this driver can reach
    /// them.
    ///
    /// # Errors
    /// It cannot be told now. It is asked again.
    async fn workers(&self) -> Result<BTreeSet<WorkerId>, DriverError>;

    /// Starts a worker: a TaskManager whose `taskmanager.resource-id` is the worker's name. It need not have registered
    /// when this returns, but is among [`Self::workers`] from then on, until it has ended.
    ///
    /// # Errors
    /// It cannot be started, and has left nothing behind.
    async fn start(&self, worker: &WorkerId) -> Result<(), DriverError>;

    /// Has a worker end by itself if it can, by force after a while. Returns as soon as that is under way. One that has
    /// ended already is no error.
    ///
    /// # Errors
    /// It could not be told. It is told again later.
    async fn stop(&self, worker: &WorkerId) -> Result<(), DriverError>;

    /// Completes when [`Self::workers`] may answer otherwise than before. It may complete for nothing, and need not tell
    /// everything: the driver is asked now and then anyway.
    async fn changed(&self);
}

/// What the ResourceManager orders.
#[derive(Debug)]
pub(crate) enum Order {
    Start(WorkerId),
    Stop(WorkerId),
}

/// Runs the loop on the present runtime; orders go where this says.
pub(crate) fn spawn(driver: Arc<dyn ResourceDriver>, told: mpsc::Sender<Input>) -> mpsc::Sender<Order> {
    let (orders, receiver) = mpsc::channel(ORDERS_MAX);
    tokio::spawn(run(driver, receiver, told));
    orders
}

/// Carries orders to the driver, and what it says to the ResourceManager, until either has gone.
async fn run(driver: Arc<dyn ResourceDriver>, mut orders: mpsc::Receiver<Order>, told: mpsc::Sender<Input>) {
    loop {
        let listed = limited(driver.workers()).await;
        let (input, interval) = match listed {
            Ok(workers) => (Some(Input::WorkersListed { workers }), LIST_INTERVAL),
            Err(error) => {
                tracing::warn!(%error, "it cannot be told which TaskManagers run");
                (None, RETRY_INTERVAL)
            }
        };
        if let Some(input) = input
            && told.send(input).await.is_err()
        {
            return;
        }
        tokio::select! {
            order = orders.recv() => match order {
                Some(order) => {
                    if let Some(input) = execute(driver.as_ref(), order).await
                        && told.send(input).await.is_err()
                    {
                        return;
                    }
                }
                None => return,
            },
            () = tokio::time::sleep(interval) => {}
            () = changed(driver.as_ref()) => {}
        }
    }
}

/// Completes when the driver says that something has changed, though not too often.
async fn changed(driver: &dyn ResourceDriver) {
    tokio::time::sleep(LIST_INTERVAL_MIN).await;
    driver.changed().await;
}

async fn execute(driver: &dyn ResourceDriver, order: Order) -> Option<Input> {
    match order {
        Order::Start(worker) => match limited(driver.start(&worker)).await {
            Ok(()) => {
                tracing::info!(%worker, "a TaskManager is being started");
                Some(Input::WorkerStarted { worker })
            }
            Err(error) => {
                tracing::error!(%worker, %error, "a TaskManager could not be started");
                Some(Input::WorkerNotStarted { worker })
            }
        },
        Order::Stop(worker) => {
            match limited(driver.stop(&worker)).await {
                Ok(()) => tracing::info!(%worker, "a TaskManager is being stopped"),
                Err(error) => tracing::error!(%worker, %error, "a TaskManager could not be stopped"),
            }
            None
        }
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
    let late = || DriverError(format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
    timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|_| Err(late()))
}
