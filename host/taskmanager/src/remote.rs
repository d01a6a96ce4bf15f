//! A TaskManager whose JobManagers are other processes: it finds the leader, registers, serves, and looks for the next one
//! when the connection is lost.
//!
//! Invariants:
//! - A new leader may adopt what runs: tasks outlive the connection to the one that deployed them, for a limited time.
//! - To the leader that it was connected to, a closed connection is a dead TaskManager. Back with the same leader, whatever
//!   still ran is stopped, and a new life begins under a new id.
//! - No task waits for a leader: what nobody takes is noted ([`Witness`]) and dropped, and the next leader hears of it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_network::control::{ComponentClient, ControlClient, ControlClientOptions, ControlError, ControlEvent};
use millrace_protocol::ToJobManager;
use millrace_sandbox::Sandbox;
use millrace_types::{Digest, Failure, FailureKind, LeaderEpoch, TaskManagerId, TenantId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::components::ComponentSource;
use crate::error::TaskManagerError;
use crate::handle::TaskManagerHandle;
use crate::options::TaskManagerOptions;
use crate::service::TaskManager;
use crate::witness::Witness;

/// Messages to the JobManager that are on their way.
const OUTBOUND_MAX: usize = 1024;

/// The largest component that is fetched, in bytes. What a JobManager accepts in a bundle is less.
const COMPONENT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// How long to wait after the first and after every later round in which no JobManager was the leader.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The most JobManagers that a leader may name.
const JOB_MANAGERS_MAX: usize = 64;

/// The longest wait between rounds while tasks wait for a leader.
const RETRY_ORPHANED_MAX: Duration = Duration::from_millis(100);

/// How to reach the JobManagers.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// Their RPC addresses, `HOST:PORT`; one of them is the leader's.
    pub jobmanagers: Vec<String>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// After what silence the JobManager counts as gone.
    pub heartbeat_timeout: Duration,
    /// How long to look for a leader before giving up: Flink's `taskmanager.registration.timeout`.
    pub registration_timeout: Duration,
    /// How long tasks run on without a leader.
    pub orphan_timeout: Duration,
}

/// Told of each life of the TaskManager.
pub type OnRegistered = Box<dyn Fn(&TaskManagerHandle) + Send + Sync>;

/// Serves the JobManagers until `stop` completes. `options.id` is what the ids of all lives begin with.
///
/// # Errors
/// If no leader takes this TaskManager within the registration timeout, or it cannot be started.
pub async fn serve(
    options: TaskManagerOptions,
    remote: RemoteOptions,
    sandbox: Sandbox,
    stop: impl Future<Output = ()> + Send,
    on_registered: OnRegistered,
) -> Result<(), TaskManagerError> {
    let mut stop = std::pin::pin!(stop);
    let mut leaders = Leaders::new(&remote);
    loop {
        let id = TaskManagerId(format!("{}-{:08x}", options.id, rand::random::<u32>()));
        let connection = tokio::select! {
            () = &mut stop => return Ok(()),
            found = leaders.find(&id, remote.registration_timeout, RETRY_MAX) => found?,
        };
        let components = Arc::new(RemoteComponents::new(connection.client.components()));
        let (outbound, from_tasks) = mpsc::channel(OUTBOUND_MAX);
        let life = TaskManagerOptions { id, ..options.clone() };
        let handle = TaskManager::start(life, sandbox.clone(), components.clone(), outbound)?;
        tracing::info!(id = %handle.id(), jobmanager = %connection.jobmanager, "connected to the JobManager");
        on_registered(&handle);
        let mut life = Life { handle, components, from_tasks, witness: Witness::default(), newest: LeaderEpoch(0) };
        let ended = tokio::select! {
            () = &mut stop => None,
            error = life.live(connection, &mut leaders, remote.orphan_timeout) => Some(error),
        };
        life.end().await;
        match ended {
            None => return Ok(()),
            Some(error) => tracing::warn!(%error, "this life of the TaskManager is over; its tasks are stopped"),
        }
    }
}

/// A connection to a leader.
struct Connection {
    jobmanager: String,
    client: ControlClient,
    to_leader: mpsc::Sender<ToJobManager>,
}

/// Where leaders are looked for.
struct Leaders {
    remote: RemoteOptions,
    /// Whom to ask next; the first one last time, or a leader's address that another one told, comes first.
    candidates: VecDeque<String>,
}

impl Leaders {
    fn new(remote: &RemoteOptions) -> Self {
        Self { remote: remote.clone(), candidates: remote.jobmanagers.iter().cloned().collect() }
    }

    /// Takes what a leader says of its group in place of what an earlier one said. What the options name stays: a group may
    /// be replaced as a whole.
    fn learn(&mut self, mut addresses: Vec<String>) {
        addresses.truncate(JOB_MANAGERS_MAX);
        for stated in &self.remote.jobmanagers {
            if !addresses.contains(stated) {
                addresses.push(stated.clone());
            }
        }
        self.candidates = addresses.into();
    }

    /// Connects to the leader, asking all in turn until the timeout.
    async fn find(
        &mut self,
        id: &TaskManagerId,
        timeout: Duration,
        retry_max: Duration,
    ) -> Result<Connection, TaskManagerError> {
        let deadline = Instant::now() + timeout;
        let mut delay = RETRY_MIN;
        let mut told_of: Option<String> = None;
        loop {
            let mut last = None;
            for _ in 0..self.candidates.len() {
                let jobmanager = told_of.take().or_else(|| self.candidates.front().cloned()).unwrap_or_default();
                self.candidates.rotate_left(1);
                match self.connect(&jobmanager, id).await {
                    Ok(connection) => return Ok(connection),
                    Err(error @ ControlError::Address { .. }) => return Err(TaskManagerError::Registration(error)),
                    Err(error) => {
                        if let ControlError::NotLeader { leader: Some(leader), .. } = &error {
                            told_of = Some(leader.clone()).filter(|leader| *leader != jobmanager);
                        }
                        last = Some(error);
                    }
                }
            }
            match last {
                Some(error) if Instant::now() + delay > deadline => return Err(TaskManagerError::Registration(error)),
                Some(error) if delay == RETRY_MIN => tracing::warn!(%error, "looking for the leading JobManager"),
                Some(error) => tracing::debug!(%error, "there is still no leader"),
                None => return Err(TaskManagerError::NoJobManager),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(retry_max);
        }
    }

    async fn connect(&self, jobmanager: &str, id: &TaskManagerId) -> Result<Connection, ControlError> {
        let options = ControlClientOptions {
            jobmanager: jobmanager.to_owned(),
            id: id.clone(),
            connect_timeout: self.remote.connect_timeout,
            heartbeat_timeout: self.remote.heartbeat_timeout,
        };
        let (to_leader, messages) = mpsc::channel(OUTBOUND_MAX);
        let client = ControlClient::connect(&options, messages).await?;
        Ok(Connection { jobmanager: jobmanager.to_owned(), client, to_leader })
    }
}

/// One life of the TaskManager: under one id, with one leader after another.
struct Life {
    handle: TaskManagerHandle,
    components: Arc<RemoteComponents>,
    from_tasks: mpsc::Receiver<ToJobManager>,
    witness: Witness,
    /// The newest leader that it was connected to.
    newest: LeaderEpoch,
}

impl Life {
    /// Serves leaders until it has to end, and says why.
    async fn live(&mut self, first: Connection, leaders: &mut Leaders, orphan_timeout: Duration) -> String {
        let mut connection = first;
        loop {
            let epoch = connection.client.epoch();
            if epoch <= self.newest {
                return format!("the leader of epoch {} has lost it already", epoch.0);
            }
            self.newest = epoch;
            self.components.follow(connection.client.components());
            for message in self.witness.introduction() {
                if connection.to_leader.send(message).await.is_err() {
                    break;
                }
            }
            let lost = self.converse(&mut connection, leaders).await;
            drop(connection);
            if self.handle.has_stopped() {
                return lost;
            }
            tracing::warn!(reason = %lost, "the leading JobManager is lost; tasks run on and wait for the next one");
            connection = match self.next_leader(leaders, orphan_timeout).await {
                Ok(connection) => connection,
                Err(error) => return format!("no leader came within {} s: {error}", orphan_timeout.as_secs()),
            };
            tracing::info!(jobmanager = %connection.jobmanager, epoch = connection.client.epoch().0, "another leader");
        }
    }

    /// Looks for the next leader; what tasks say meanwhile is noted.
    async fn next_leader(
        &mut self,
        leaders: &mut Leaders,
        orphan_timeout: Duration,
    ) -> Result<Connection, TaskManagerError> {
        let id = self.handle.id().clone();
        let mut finding = std::pin::pin!(leaders.find(&id, orphan_timeout, RETRY_ORPHANED_MAX));
        loop {
            tokio::select! {
                found = &mut finding => return found,
                message = self.from_tasks.recv() => match message {
                    Some(message) => self.witness.heard(&message),
                    None => return Err(TaskManagerError::Stopped),
                },
            }
        }
    }

    /// Carries messages both ways until the connection ends. Neither way waits for the other.
    async fn converse(&mut self, connection: &mut Connection, leaders: &mut Leaders) -> String {
        let mut pending: Option<ToJobManager> = None;
        loop {
            tokio::select! {
                event = connection.client.recv() => match event {
                    Ok(ControlEvent::Message(message)) => {
                        self.witness.told(&message);
                        if let Err(error) = self.handle.send(*message).await {
                            return error.to_string();
                        }
                    }
                    Ok(ControlEvent::JobManagers(addresses)) => leaders.learn(addresses),
                    Ok(ControlEvent::FetchLog { request, log }) => {
                        let (handle, answers) = (self.handle.clone(), connection.client.log_answers());
                        tokio::spawn(async move {
                            let text = handle.task_log(log).await;
                            answers.answer(request, text.map_err(|error| error.to_string())).await;
                        });
                    }
                    Err(error) => return error.to_string(),
                },
                message = self.from_tasks.recv(), if pending.is_none() => match message {
                    Some(message) => {
                        self.witness.heard(&message);
                        pending = Some(message);
                    }
                    None => return TaskManagerError::Stopped.to_string(),
                },
                permit = connection.to_leader.reserve(), if pending.is_some() => match (permit, pending.take()) {
                    (Ok(permit), Some(message)) => permit.send(message),
                    _ => return "its stream of messages has ended".to_owned(),
                },
            }
        }
    }

    /// Stops what still runs. Nobody listens any more.
    async fn end(mut self) {
        let ignored = async { while self.from_tasks.recv().await.is_some() {} };
        tokio::join!(self.handle.shutdown(), ignored);
    }
}

/// Components from the leader.
struct RemoteComponents(RwLock<ComponentClient>);

impl RemoteComponents {
    fn new(client: ComponentClient) -> Self {
        Self(RwLock::new(client))
    }

    /// There is another leader.
    fn follow(&self, client: ComponentClient) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = client;
    }
}

#[async_trait]
impl ComponentSource for RemoteComponents {
    async fn fetch(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure> {
        let client = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let fetched = client.fetch(tenant, digest, COMPONENT_BYTES_MAX).await;
        fetched.map_err(|reason| {
            let message = format!("the component {digest} cannot be fetched from the JobManager: {reason}");
            Failure::new(FailureKind::TaskManagerLost, message)
        })
    }
}
