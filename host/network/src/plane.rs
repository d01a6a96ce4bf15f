//! Channels between TaskManagers: framed TCP, one connection for all channels from one TaskManager to another.
//!
//! The producers' TaskManager opens the connection when the first channel needs it, and closes it when the last one
//! has ended. `millrace_wire::Frame` says what travels on it; [`crate::BufferBudget`] why nobody waits for ever.
//!
//! Invariants:
//! - A slow channel never holds up another one of its connection.
//! - Whatever comes from outside is checked before it costs memory; what is wrong is counted by its reason, and ends
//!   its connection.
//! - When a connection ends, every channel on it has ended; when the last channel has ended, so has the connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use millrace_protocol::ChannelId;
use millrace_types::TaskManagerId;
use millrace_wire::ID_BYTES_MAX;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::channel::ChannelSender;
use crate::error::{DataPlaneError, ExchangeError};
use crate::exchange::Exchange;

mod accept;
mod dial;
mod gauge;
mod granting;
mod grants;
mod incoming;
mod outgoing;
mod queue;
mod refusals;
mod shared;
mod stream;

pub(crate) use grants::Granted;
pub(crate) use outgoing::RemoteLink;
use shared::Shared;

/// How long a data plane that closes waits until what was sent has arrived.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of a data plane.
#[derive(Debug, Clone)]
pub struct DataPlaneOptions {
    /// The address that it listens on, as `host:port`; port 0 takes any that is free.
    pub listen: String,
    /// The host that others reach it by; without one, that of `listen`.
    pub advertised_host: Option<String>,
    /// How long a connection may take to say who it is.
    pub handshake_timeout: Duration,
    /// The most connections that are listened to before they have said who they are; more wait.
    pub half_open_max: usize,
    /// The most connections; more are refused.
    pub connections_max: usize,
}

impl DataPlaneOptions {
    /// The default options, listening here.
    pub fn new(listen: impl Into<String>) -> Self {
        Self {
            listen: listen.into(),
            advertised_host: None,
            handshake_timeout: Duration::from_secs(5),
            half_open_max: 64,
            connections_max: 1024,
        }
    }
}

/// What a data plane has at the moment, and what it has refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataPlaneFigures {
    /// Connections, in both directions.
    pub connections: usize,
    /// Connections that have not said who they are.
    pub half_open: usize,
    /// Channels to gates elsewhere.
    pub channels_out: usize,
    /// Channels from producers elsewhere.
    pub channels_in: usize,
    /// Connections, frames and channels that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// The data plane of a TaskManager. Cheap to clone; when the last clone is dropped, it closes.
#[derive(Debug, Clone)]
pub struct DataPlane(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    address: String,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl DataPlane {
    /// Listens for others, and runs on the threads of `runtime`. Their channels end in gates of `exchange`.
    ///
    /// # Errors
    /// If the address cannot be listened on, says nothing to others, or the id is too long.
    pub fn bind(
        options: DataPlaneOptions,
        id: TaskManagerId,
        exchange: Exchange,
        runtime: &Handle,
    ) -> Result<Self, DataPlaneError> {
        if id.0.is_empty() || id.0.len() > ID_BYTES_MAX {
            return Err(DataPlaneError::Id { bytes: id.0.len() });
        }
        let refused = |source| DataPlaneError::Listen { address: options.listen.clone(), source };
        let listener = std::net::TcpListener::bind(&options.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let bound = listener.local_addr().map_err(refused)?;
        let address = advertised(bound, options.advertised_host.as_deref())?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener).map_err(refused)?
        };
        let shared = Arc::new(Shared::new(options, id, exchange, runtime.clone()));
        shared.spawn(accept::accept(Arc::clone(&shared), listener));
        Ok(Self(Arc::new(Owner { shared, address })))
    }

    /// Where others reach it, as `host:port`.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The sending ends of channels to another TaskManager, in order, when all consumers are there. Waits at most the
    /// exchange's connect timeout. When the future is dropped, their gates see it.
    ///
    /// # Errors
    /// If the TaskManager cannot be reached, is another one by now, or has no such consumers.
    pub async fn connect(
        &self,
        peer: &TaskManagerId,
        address: &str,
        ids: &[ChannelId],
    ) -> Result<Vec<ChannelSender>, ExchangeError> {
        let shared = &self.0.shared;
        let Some(first) = ids.first() else {
            return Ok(Vec::new());
        };
        let unreachable = |channel: &ChannelId, reason: &str| ExchangeError::Unreachable {
            channel: *channel,
            peer: peer.clone(),
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        let opening = shared.with_connection(peer, address, |connection| connection.open(ids));
        let opening = opening.ok_or_else(|| unreachable(first, "it has too many channels"))?;
        let waited = shared.exchange.connect_timeout();
        let deadline = Instant::now() + waited;
        let mut senders = Vec::with_capacity(ids.len());
        for (sender, opened) in opening {
            let channel = sender.id();
            match tokio::time::timeout_at(deadline, opened).await {
                Ok(Ok(Ok(()))) => senders.push(sender),
                Ok(Ok(Err(error))) => return Err(error),
                Ok(Err(_)) => return Err(unreachable(&channel, "the connection was closed")),
                Err(_) => return Err(ExchangeError::TimedOut { channel, waited }),
            }
        }
        Ok(senders)
    }

    /// What it has at the moment.
    pub fn figures(&self) -> DataPlaneFigures {
        let Shared { gauges, refusals, .. } = &*self.0.shared;
        DataPlaneFigures {
            connections: gauges.connections.now(),
            half_open: gauges.half_open.now(),
            channels_out: gauges.channels_out.now(),
            channels_in: gauges.channels_in.now(),
            refused: refusals.by_name(),
        }
    }

    /// Closes all connections and waits until nothing of them is left. What was sent through channels that have ended
    /// is delivered first, if that takes no longer than a moment; other channels fail.
    pub async fn shutdown(&self) {
        if tokio::time::timeout(DELIVERY_TIMEOUT, self.0.shared.ending.zero()).await.is_err() {
            tracing::warn!("another TaskManager has not taken the end of its records in time");
        }
        self.0.shared.close();
        self.0.shared.ended().await;
    }
}

/// What others are told.
fn advertised(bound: SocketAddr, host: Option<&str>) -> Result<String, DataPlaneError> {
    let port = bound.port();
    match host {
        // An address of version 6 has colons of its own.
        Some(host) => match host.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::new(ip, port).to_string()),
            Err(_) => Ok(format!("{host}:{port}")),
        },
        None if bound.ip().is_unspecified() => Err(DataPlaneError::NoHost { address: bound }),
        None => Ok(bound.to_string()),
    }
}
