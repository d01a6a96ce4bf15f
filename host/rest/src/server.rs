//! The REST server: listens, serves, stops.

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_jobmanager::{Dispatcher, JobManager};
use millrace_types::{LogTail, Timestamp};
use tokio::net::TcpListener;

use crate::events::Hub;
use crate::gate::Gate;

/// How long a server that was told to stop waits for its requests. A client that waits for results waits longer.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How the REST server is set up.
#[derive(Debug, Clone)]
pub struct RestOptions {
    /// The address to listen on, as `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// The largest bundle that may be uploaded, in bytes.
    pub upload_bytes_max: u64,
    /// Millrace's own version.
    pub version: String,
    /// The options of the process, by name, without secrets.
    pub configuration: Vec<(String, String)>,
    /// The log of the process.
    pub process_log: LogTail,
    /// Whether clients may upload, run and delete bundles, and upgrade jobs: Flink's `web.submit.enable`. Not where a
    /// process runs one application alone.
    pub submissions: bool,
}

/// What handlers share, for as long as their leader leads.
#[derive(Clone)]
pub(crate) struct RestState {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) options: Arc<RestOptions>,
    pub(crate) address: SocketAddr,
    pub(crate) events: Hub,
}

/// A REST server that listens already.
pub struct RestServer {
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
}

impl RestServer {
    /// Listens. Connections are served once [`Self::run`] is called, by this process's JobManager while it leads, and
    /// through it by the leader.
    pub async fn bind(options: RestOptions, job_manager: &JobManager) -> std::io::Result<Self> {
        let listener = TcpListener::bind(&options.listen).await?;
        let address = listener.local_addr()?;
        let gate = Gate::new(job_manager.lead(), job_manager.group(), Arc::new(options), address);
        Ok(Self { listener, address, gate })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` completes, then finishes the requests under way, but for those that take some seconds more;
    /// streams of events end at once.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let stopping = self.gate.stopping();
        let mut told = stopping.subscribe();
        let stop = async move {
            stop.await;
            stopping.send_replace(true);
        };
        let late = async {
            // Without a word the server has ended by itself.
            let _ = told.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        tokio::select! {
            served = axum::serve(self.listener, self.gate.router()).with_graceful_shutdown(stop).into_future() => served,
            () = late => {
                tracing::warn!("requests that took more than {} s were cut off: the process stops", DRAIN_MAX.as_secs());
                Ok(())
            }
        }
    }
}

/// Now: durations of what goes on still are counted up to it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
