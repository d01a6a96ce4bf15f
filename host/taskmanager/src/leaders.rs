//! Looking for the leader among several JobManagers.
//!
//! Invariants:
//! - Everyone is asked in each round, whatever others say of who leads: what they say may be out of date.
//! - Whom another one names is asked once, and what that one names is not followed: no circle of words is gone around.

use std::collections::VecDeque;
use std::time::Duration;

use millrace_network::control::{ControlClient, ControlClientOptions, ControlError};
use millrace_protocol::ToJobManager;
use millrace_types::{LeaderEpoch, TaskManagerId};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::TaskManagerError;
use crate::remote::RemoteOptions;

/// Messages to the JobManager that are on their way.
pub(crate) const OUTBOUND_MAX: usize = 1024;

/// The most JobManagers that a leader may name.
const JOB_MANAGERS_MAX: usize = 64;

/// How long to wait after the first round in which nobody was the leader; twice as long after each later one.
const RETRY_MIN: Duration = Duration::from_millis(50);

/// A connection to a leader.
pub(crate) struct Connection {
    pub jobmanager: String,
    pub client: ControlClient,
    pub to_leader: mpsc::Sender<ToJobManager>,
}

/// Where leaders are looked for.
pub(crate) struct Leaders {
    remote: RemoteOptions,
    /// Whom to ask, in turn: who was asked goes to the end, so that a leader that was lost is asked last.
    candidates: VecDeque<String>,
}

impl Leaders {
    pub(crate) fn new(remote: &RemoteOptions) -> Self {
        Self { remote: remote.clone(), candidates: remote.jobmanagers.iter().cloned().collect() }
    }

    /// Takes what a leader says of its group in place of what an earlier one said. What the options name stays: a group may
    /// be replaced as a whole.
    pub(crate) fn learn(&mut self, mut addresses: Vec<String>) {
        addresses.truncate(JOB_MANAGERS_MAX);
        for stated in &self.remote.jobmanagers {
            if !addresses.contains(stated) {
                addresses.push(stated.clone());
            }
        }
        tracing::info!(jobmanagers = %addresses.join(","), "told of the group's JobManagers");
        self.candidates = addresses.into();
    }

    /// Connects to the leader, asking all in turn until the timeout. One of an epoch before `newest` has been replaced and
    /// does not know it yet.
    pub(crate) async fn find(
        &mut self,
        id: &TaskManagerId,
        newest: LeaderEpoch,
        timeout: Duration,
        retry_max: Duration,
    ) -> Result<Connection, TaskManagerError> {
        let deadline = Instant::now() + timeout;
        let mut delay = RETRY_MIN;
        loop {
            match self.ask_all(id, newest).await? {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() + delay > deadline => return Err(TaskManagerError::Registration(error)),
                Err(error) if delay == RETRY_MIN => tracing::warn!(%error, "looking for the leading JobManager"),
                Err(error) => tracing::debug!(%error, "there is still no leader"),
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(retry_max);
        }
    }

    /// Asks everyone once. Gives the leader, or why the last one is not. What the user has to put right is an error: an
    /// address that was stated here, and not one that a leader has told.
    async fn ask_all(
        &mut self,
        id: &TaskManagerId,
        newest: LeaderEpoch,
    ) -> Result<Result<Connection, ControlError>, TaskManagerError> {
        let mut last = None;
        for _ in 0..self.candidates.len() {
            self.candidates.rotate_left(1);
            let Some(asked) = self.candidates.back() else { break };
            let error = match self.connect(asked, id, newest).await {
                Ok(connection) => return Ok(Ok(connection)),
                Err(error @ ControlError::Address { .. }) if self.remote.jobmanagers.contains(asked) => {
                    return Err(TaskManagerError::Registration(error));
                }
                Err(error) => error,
            };
            if let ControlError::NotLeader { leader: Some(named), .. } = &error
                && named != asked
                && let Ok(connection) = self.connect(named, id, newest).await
            {
                return Ok(Ok(connection));
            }
            last = Some(error);
        }
        last.map(Err).ok_or(TaskManagerError::NoJobManager)
    }

    async fn connect(
        &self,
        jobmanager: &str,
        id: &TaskManagerId,
        newest: LeaderEpoch,
    ) -> Result<Connection, ControlError> {
        let options = ControlClientOptions {
            jobmanager: jobmanager.to_owned(),
            id: id.clone(),
            connect_timeout: self.remote.connect_timeout,
            heartbeat_timeout: self.remote.heartbeat_timeout,
        };
        let (to_leader, messages) = mpsc::channel(OUTBOUND_MAX);
        let client = ControlClient::connect(&options, messages).await?;
        if client.epoch() < newest {
            return Err(ControlError::NotLeader { address: jobmanager.to_owned(), leader: None });
        }
        Ok(Connection { jobmanager: jobmanager.to_owned(), client, to_leader })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::net::SocketAddr;
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;
    use millrace_network::control::{
        ControlHandler, ControlServer, ControlServerOptions, LeaderHandler, TaskManagerLink,
    };
    use millrace_types::{Digest, Failure, FailureKind, LeaderEpoch, TenantId};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A JobManager that leads, or names who does.
    struct JobManager(Result<LeaderEpoch, Option<String>>);

    impl ControlHandler for JobManager {
        fn leader(&self) -> Result<Arc<dyn LeaderHandler>, Option<String>> {
            Ok(Arc::new(Leader(self.0.clone()?)))
        }
    }

    struct Leader(LeaderEpoch);

    #[async_trait]
    impl LeaderHandler for Leader {
        fn epoch(&self) -> LeaderEpoch {
            self.0
        }

        fn job_managers(&self) -> Vec<String> {
            Vec::new()
        }

        fn connected(&self, _: &TaskManagerId, _: TaskManagerLink) -> Result<(), String> {
            Ok(())
        }

        async fn received(&self, _: &TaskManagerId, _: ToJobManager) {}

        async fn disconnected(&self, _: &TaskManagerId, _: &str) {}

        async fn component(&self, _: &TenantId, _: &Digest) -> Result<Bytes, Failure> {
            Err(Failure::new(FailureKind::Internal, "there is none"))
        }
    }

    fn start(leading: Result<u64, Option<String>>) -> ControlServer {
        let options = ControlServerOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            heartbeat_interval: Duration::from_millis(50),
            heartbeat_timeout: PATIENCE,
        };
        ControlServer::bind(options, Arc::new(JobManager(leading.map(LeaderEpoch))), None).unwrap()
    }

    async fn find(jobmanagers: &[&ControlServer], timeout: Duration) -> Result<String, TaskManagerError> {
        let found = leaders(jobmanagers, timeout).find(&id(), LeaderEpoch(0), timeout, RETRY_MIN).await?;
        Ok(found.jobmanager)
    }

    fn id() -> TaskManagerId {
        TaskManagerId("tm".to_owned())
    }

    fn leaders(jobmanagers: &[&ControlServer], timeout: Duration) -> Leaders {
        Leaders::new(&RemoteOptions {
            jobmanagers: jobmanagers.iter().map(|server| server.address().to_string()).collect(),
            connect_timeout: PATIENCE,
            heartbeat_timeout: PATIENCE,
            registration_timeout: timeout,
            orphan_timeout: timeout,
        })
    }

    #[tokio::test]
    async fn a_leader_that_was_replaced_is_passed_by_and_members_that_came_later_are_known() {
        let (old, new) = (start(Ok(3)), start(Ok(4)));
        let mut leaders = leaders(&[&old], PATIENCE);
        leaders.learn(vec!["no address".to_owned(), new.address().to_string()]);
        for _ in 0..2 {
            let found = leaders.find(&id(), LeaderEpoch(4), PATIENCE, RETRY_MIN).await.unwrap();
            assert_eq!(found.jobmanager, new.address().to_string());
        }
        drop(new);
        let error = leaders.find(&id(), LeaderEpoch(4), Duration::ZERO, RETRY_MIN).await.err().unwrap();
        assert!(matches!(error, TaskManagerError::Registration(_)), "{error}");
    }

    #[tokio::test]
    async fn the_leader_is_found_whatever_others_say() {
        let leader = start(Ok(1));
        let address = leader.address().to_string();
        let knows = start(Err(Some(address.clone())));
        assert_eq!(find(&[&knows], PATIENCE).await.unwrap(), address);
        // A leader of the past that nobody listens for, what is no address, and each other.
        let past = start(Err(None)).address().to_string();
        let unsure = start(Err(None));
        for named in [past, "no address".to_owned(), unsure.address().to_string()] {
            let mistaken = start(Err(Some(named)));
            assert_eq!(find(&[&mistaken, &unsure, &leader], PATIENCE).await.unwrap(), address);
            assert_eq!(find(&[&mistaken, &leader], PATIENCE).await.unwrap(), address);
        }
    }

    #[tokio::test]
    async fn the_search_ends_with_the_reason() {
        let nobody = start(Err(Some("no address".to_owned())));
        let error = find(&[&nobody], Duration::ZERO).await.unwrap_err();
        assert!(matches!(&error, TaskManagerError::Registration(ControlError::NotLeader { .. })), "{error}");
        assert!(matches!(find(&[], PATIENCE).await, Err(TaskManagerError::NoJobManager)));
    }
}
