//! The running member: its threads, and how they end.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use openraft::error::{InitializeError, RaftError};
use openraft::{Config, SnapshotPolicy};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use crate::acks::Acks;
use crate::batcher;
use crate::disk::{Disk, Fault};
use crate::error::MetadataError;
use crate::group::Group;
use crate::handle::MetadataHandle;
use crate::lead;
use crate::leadership::Leadership;
use crate::log_storage::LogStorage;
use crate::machine::{Machine, Snapshots};
use crate::options::{
    APPEND_ENTRIES_MAX, Formation, LOG_BYTES_MIN, LOG_KEPT_DIVISOR, MEMBERS_MAX, MetadataOptions, QUEUE_COMMANDS_MAX,
    SNAPSHOT_CHUNK_BYTES,
};
use crate::peers::{GrpcTransport, PeerEndpoint, PeerServer, Peers, Transport, serve};
use crate::store::{Loaded, Store};
use crate::types::Raft;

/// The threads of Raft: one may wait while another one answers.
const THREADS: usize = 2;

/// How long a group of one may take to begin.
const ALONE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long what runs in the background has to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a member may take to install the last piece of a snapshot.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the length of the log is looked at.
const LOG_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The running metadata store of one member. Dropping it closes it.
pub struct MetadataService {
    started: Started,
    endpoint: PeerEndpoint,
    fault: Fault,
    /// Runs Raft, and nothing else: no job delays an election.
    runtime: Option<Runtime>,
    writer: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for MetadataService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetadataService").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl MetadataService {
    /// Opens or creates the file and takes part in the group. Blocks while the file is read, and for a group of one
    /// until it leads.
    ///
    /// # Errors
    /// [`MetadataError::Locked`], [`MetadataError::Open`], [`MetadataError::Corrupt`], [`MetadataError::NewerVersion`],
    /// [`MetadataError::OlderVersion`], [`MetadataError::OtherMember`] or [`MetadataError::Options`]: each says what to
    /// do.
    pub fn open(options: &MetadataOptions) -> Result<(Self, MetadataHandle), MetadataError> {
        Self::start(options, Arc::new(GrpcTransport::default()), || Store::open(options))
    }

    /// Opens the store by `open`, then takes part in the group.
    pub(crate) fn start(
        options: &MetadataOptions,
        transport: Arc<dyn Transport>,
        open: impl FnOnce() -> Result<(Store, Loaded), MetadataError>,
    ) -> Result<(Self, MetadataHandle), MetadataError> {
        let config = check(options)?;
        // redb asserts where a file contradicts itself; for whoever starts the process that is a damaged file.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(open));
        let contradiction = || MetadataError::corrupt(&options.path, "it contradicts itself");
        let (store, loaded) = opened.unwrap_or_else(|_| Err(contradiction()))?;

        let failed = |cause: std::io::Error| MetadataError::while_opening(&options.path, cause);
        let fault = Fault::default();
        let (disk, writer) = Disk::start(store, fault.clone()).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("metadata")
            .enable_all()
            .build()
            .map_err(failed)?;
        let acks = Arc::new(Acks::new(options.member, options.timing.lease(), fault.clone()));
        let starting =
            Starting { options: options.clone(), config, disk, loaded, transport, acks, fault: fault.clone() };
        let started = wait_on(runtime.handle(), starting.start());
        let (started, handle) = match started.unwrap_or_else(|| Err(contradiction())) {
            Ok(started) => started,
            Err(error) => {
                end(None, runtime, writer);
                return Err(error);
            }
        };
        let server = PeerServer { member: options.member, raft: started.raft.clone(), acks: Arc::clone(&started.acks) };
        let endpoint = PeerEndpoint::new(server);
        Ok((Self { started, endpoint, fault, runtime: Some(runtime), writer: Some(writer) }, handle))
    }

    /// Answers the other members. It is served wherever they reach this one: on a server of the caller's
    /// ([`crate::PEER_PATH`]), or by [`MetadataService::listen`].
    pub fn endpoint(&self) -> PeerEndpoint {
        self.endpoint.clone()
    }

    /// Serves the other members at an address of its own, from the metadata's own threads, until it is closed. Gives the
    /// address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn listen(&self, address: SocketAddr) -> std::io::Result<SocketAddr> {
        let runtime = self.runtime.as_ref().ok_or(std::io::ErrorKind::NotConnected)?;
        serve(self.endpoint(), address, runtime.handle())
    }

    /// Waits until the metadata cannot go on, and says why: a write or a read has failed, say. Nothing is decided or
    /// answered any more, and the process ought to end with this cause.
    pub fn fatal(&self) -> impl Future<Output = MetadataError> + Send + 'static {
        let fault = self.fault.clone();
        async move { fault.wait().await }
    }

    /// Closes the file and returns when another process can open it. Blocks for the last write. What waits in the queue
    /// is answered by [`MetadataError::Closed`].
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let (Some(runtime), Some(writer)) = (self.runtime.take(), self.writer.take()) {
            self.started.lead.abort();
            end(Some(self.started.raft.clone()), runtime, writer);
            self.started.acks.end();
        }
    }
}

impl Drop for MetadataService {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends Raft, then its threads, then the thread that writes.
fn end(raft: Option<Raft>, runtime: Runtime, writer: JoinHandle<()>) {
    // On a thread of its own: a runtime must not be ended from within another one.
    let ending = std::thread::spawn(move || {
        if let Some(raft) = raft {
            let shutdown = runtime.block_on(async { tokio::time::timeout(CLOSE_TIMEOUT, raft.shutdown()).await });
            if shutdown.is_err() {
                tracing::warn!("Raft did not end in time");
            }
        }
        runtime.shutdown_timeout(CLOSE_TIMEOUT);
        if writer.join().is_err() {
            tracing::error!("the metadata's thread has panicked");
        }
    });
    if ending.join().is_err() {
        tracing::error!("closing the metadata has panicked");
    }
}

/// Runs a future on a runtime and waits for it, also from within another runtime. `None`: it has panicked.
fn wait_on<T: Send + 'static>(runtime: &Handle, future: impl Future<Output = T> + Send + 'static) -> Option<T> {
    let (done, answer) = std::sync::mpsc::sync_channel(1);
    runtime.spawn(async move {
        // The other end waits.
        let _ = done.send(future.await);
    });
    answer.recv().ok()
}

/// What Raft is told, if the options make sense.
fn check(options: &MetadataOptions) -> Result<Arc<Config>, MetadataError> {
    let refused = |what: String| Err(MetadataError::Options(what));
    if let Formation::Bootstrap(members) = &options.formation {
        if !members.contains_key(&options.member) {
            return refused(format!("member {} is not among the group's first members", options.member));
        }
        if members.len() > MEMBERS_MAX {
            return refused(format!("a group has at most {MEMBERS_MAX} members"));
        }
        if members.len() > 1
            && let Some((member, _)) = members.iter().find(|(_, addresses)| addresses.rpc.is_empty())
        {
            return refused(format!("member {member} has no address"));
        }
    }
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let timing = options.timing;
    let config = Config {
        cluster_name: "metadata".to_owned(),
        heartbeat_interval: millis(timing.heartbeat_interval).max(1),
        election_timeout_min: millis(timing.election_timeout_min),
        election_timeout_max: millis(timing.election_timeout_max),
        install_snapshot_timeout: millis(INSTALL_TIMEOUT),
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_entries.max(1)),
        // Whoever lags further gets a snapshot, which has to be newer than that.
        replication_lag_threshold: options.snapshot_entries.saturating_mul(2).max(2),
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
        max_in_snapshot_log_to_keep: options.snapshot_entries / LOG_KEPT_DIVISOR,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| MetadataError::Options(error.to_string()))
}

/// What has started.
struct Started {
    raft: Raft,
    acks: Arc<Acks>,
    /// The task that says who leads.
    lead: AbortHandle,
}

/// What it takes to start.
struct Starting {
    options: MetadataOptions,
    config: Arc<Config>,
    disk: Disk,
    loaded: Loaded,
    transport: Arc<dyn Transport>,
    acks: Arc<Acks>,
    fault: Fault,
}

impl Starting {
    async fn start(self) -> Result<(Started, MetadataHandle), MetadataError> {
        let Self { options, config, disk, loaded, transport, acks, fault } = self;
        let last_index = loaded.last.map_or(0, |last| last.index);
        let (published, state) = watch::channel(Arc::default());
        let appended = Arc::new(AtomicU64::new(loaded.log_bytes));
        let snapshots = Arc::new(Snapshots::new(disk.clone(), &loaded));
        let log = LogStorage::new(disk.clone(), &loaded, snapshots.covered(), Arc::clone(&appended));
        let syncs = Arc::clone(&disk.store.syncs);
        let machine = Machine::new(disk, Arc::clone(&snapshots), loaded, published);
        let peers = Peers { transport, acks: Arc::clone(&acks) };
        let unnamed = |error: &dyn std::fmt::Display| MetadataError::Internal(format!("Raft did not start: {error}"));
        let named = |error: &dyn std::fmt::Display| fault.cause().unwrap_or_else(|| unnamed(error));
        let raft = Raft::new(options.member, config, peers, log, machine).await.map_err(|error| named(&error))?;
        if let Formation::Bootstrap(members) = &options.formation
            && let Err(error) = raft.initialize(members.clone()).await
            // The group has been formed.
            && !matches!(error, RaftError::APIError(InitializeError::NotAllowed(_)))
        {
            return Err(named(&error));
        }
        let (published_lead, leadership) = watch::channel(Leadership::NoLeader);
        let follower = lead::Follower {
            member: options.member,
            raft: raft.clone(),
            acks: Arc::clone(&acks),
            fault: fault.clone(),
            patience: options.timing.election_timeout_max,
        };
        let lead = tokio::spawn(follower.follow(published_lead)).abort_handle();
        tokio::spawn(bound_log(raft.clone(), snapshots, appended));
        let (runtime, lease) = (Handle::current(), options.timing.lease());
        let group = Group {
            raft: raft.clone(),
            runtime,
            acks,
            fault: fault.clone(),
            leadership: leadership.clone(),
            lease,
            has_decided: Arc::default(),
            syncs,
        };
        if is_alone(options.member, &raft).await {
            let leads = wait_to_lead(&raft, &fault, leadership.clone(), last_index);
            let late = || MetadataError::Internal("a group of one did not begin in time".to_owned());
            tokio::time::timeout(ALONE_TIMEOUT, leads).await.map_err(|_| late())??;
        }
        let (proposals, queue) = mpsc::channel(QUEUE_COMMANDS_MAX);
        tokio::spawn(batcher::run(group.clone(), queue));
        let started = Started { raft, acks: Arc::clone(&group.acks), lead };
        Ok((started, MetadataHandle::new(proposals, state, leadership, group)))
    }
}

/// Whether no other member votes.
async fn is_alone(member: u64, raft: &Raft) -> bool {
    let voters = raft.with_raft_state(|state| state.membership_state.effective().voter_ids().collect::<Vec<_>>()).await;
    voters.is_ok_and(|voters| voters == [member])
}

/// Waits until the only member leads and has carried out all that is in its log.
async fn wait_to_lead(
    raft: &Raft,
    fault: &Fault,
    mut leadership: watch::Receiver<Leadership>,
    last_index: u64,
) -> Result<(), MetadataError> {
    let leads = async {
        let leads = leadership.wait_for(|leadership| matches!(leadership, Leadership::Leader { .. })).await;
        leads.map(drop).map_err(|_| MetadataError::Closed)?;
        let applied = raft.wait(Some(ALONE_TIMEOUT)).applied_index_at_least(Some(last_index), "its own log").await;
        applied.map(drop).map_err(|error| MetadataError::Internal(error.to_string()))
    };
    tokio::select! {
        leads = leads => leads,
        cause = fault.wait() => Err(cause),
    }
}

/// Calls for a snapshot where few entries have made the log large.
async fn bound_log(raft: Raft, snapshots: Arc<Snapshots>, appended: Arc<AtomicU64>) {
    let mut seen = *snapshots.covered().borrow();
    loop {
        tokio::time::sleep(LOG_CHECK_INTERVAL).await;
        let covered = *snapshots.covered().borrow();
        if covered != seen {
            seen = covered;
            appended.store(0, Ordering::Relaxed);
        } else if appended.load(Ordering::Relaxed) >= LOG_BYTES_MIN.max(snapshots.bytes()) {
            appended.store(0, Ordering::Relaxed);
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
    }
}
