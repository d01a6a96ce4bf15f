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
use millrace_network::control::{ComponentClient, ControlEvent};
use millrace_protocol::{ToJobManager, ToTaskManager};
use millrace_sandbox::Sandbox;
use millrace_types::{Digest, Failure, FailureKind, LeaderEpoch, TaskManagerId, TenantId};
use tokio::sync::mpsc;

use crate::components::ComponentSource;
use crate::error::TaskManagerError;
use crate::handle::{Inbound, TaskManagerHandle};
use crate::leaders::{Connection, Leaders, OUTBOUND_MAX};
use crate::options::TaskManagerOptions;
use crate::service::TaskManager;
use crate::witness::Witness;

/// The largest component that is fetched, in bytes. What a JobManager accepts in a bundle is less.
const COMPONENT_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The longest wait between rounds in which no JobManager was the leader.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The same while tasks wait for a leader.
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
            found = leaders.find(&id, LeaderEpoch(0), remote.registration_timeout, RETRY_MAX) => found?,
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
        let mut finding = std::pin::pin!(leaders.find(&id, self.newest, orphan_timeout, RETRY_ORPHANED_MAX));
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

    /// Introduces the TaskManager, and carries messages both ways until the connection ends. Neither way waits for the
    /// other.
    async fn converse(&mut self, connection: &mut Connection, leaders: &mut Leaders) -> String {
        let mut outgoing = VecDeque::from(self.witness.introduction());
        let mut incoming: Option<ToTaskManager> = None;
        loop {
            tokio::select! {
                event = connection.client.recv(), if incoming.is_none() => match event {
                    Ok(ControlEvent::Message(message)) => {
                        self.witness.told(&message);
                        incoming = Some(*message);
                    }
                    Ok(ControlEvent::JobManagers(addresses)) => leaders.learn(addresses),
                    Ok(ControlEvent::FetchLog { request, log }) => {
                        let (handle, answers) = (self.handle.clone(), connection.client.log_answers());
                        tokio::spawn(async move {
                            let text = handle.log(log).await;
                            answers.answer(request, text.map_err(|error| error.to_string())).await;
                        });
                    }
                    Ok(ControlEvent::Ask { request, question }) => {
                        let (handle, answers) = (self.handle.clone(), connection.client.log_answers());
                        tokio::spawn(async move {
                            let answer = handle.ask(*question).await;
                            answers.answer_question(request, answer).await;
                        });
                    }
                    Err(error) => return error.to_string(),
                },
                permit = self.handle.reserve(), if incoming.is_some() => match (permit, incoming.take()) {
                    (Ok(permit), Some(message)) => permit.send(Inbound::Message(message)),
                    _ => return TaskManagerError::Stopped.to_string(),
                },
                message = self.from_tasks.recv(), if outgoing.is_empty() => match message {
                    Some(message) => {
                        self.witness.heard(&message);
                        outgoing.push_back(message);
                    }
                    None => return TaskManagerError::Stopped.to_string(),
                },
                permit = connection.to_leader.reserve(), if !outgoing.is_empty() => match (permit, outgoing.pop_front()) {
                    (Ok(permit), Some(message)) => permit.send(message),
                    _ => return "its stream of messages has ended".to_owned(),
                },
            }
        }
    }

    /// Stops what still runs. Nobody listens any more.
    async fn end(self) {
        let Self { handle, mut from_tasks, .. } = self;
        // For ever: tasks that do not end in time are left behind, and may still have something to say.
        let ignoring = async {
            while from_tasks.recv().await.is_some() {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = handle.shutdown() => {}
            () = ignoring => {}
        }
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
