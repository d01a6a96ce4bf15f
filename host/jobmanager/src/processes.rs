//! TaskManagers as processes of this machine.
//!
//! Each worker has a folder that bears its name. The truth about what runs is the machine's table of processes: a worker
//! is a process that was started with its folder ([`table`]). So a JobManager that starts again finds what its former life
//! left, whenever that ended, and there is no note that could be missing or stale.
//!
//! Invariants:
//! - A process is signalled through a handle of its own (pidfd), opened and then checked: never one that has got the same
//!   number since.
//! - A process belongs to a group of its own: what is typed at a terminal reaches the JobManager alone.
//! - Nothing here ends a process because a JobManager ends, unless that is asked for.

mod folders;
mod members;
mod spawner;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt};
use millrace_resource_core::WorkerId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::driver::{DriverError, ResourceDriver};
use crate::processes::folders::Folders;
pub use crate::processes::members::{MemberKeeper, MemberNote};
use crate::processes::spawner::Spawner;

/// How long a process that was told to end may take before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How processes are started.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, without its addresses, folder and configuration.
    pub arguments: Vec<String>,
    /// The file that it is to read its options from, as TOML. Options of this process's environment are none of its.
    pub configuration: String,
    /// The folder that has one for each worker. JobManagers of one cluster on one machine may share it.
    pub folder: PathBuf,
    /// Whether processes end with this one, however it ends.
    pub end_with_this_process: bool,
}

/// Starts, watches and stops TaskManagers as processes of this machine.
#[derive(Debug)]
pub struct ProcessDriver {
    shared: Arc<Shared>,
    spawner: Spawner,
    /// Where TaskManagers connect; empty until that is known.
    job_managers: watch::Sender<Vec<String>>,
}

#[derive(Debug)]
struct Shared {
    folders: Folders,
    running: Mutex<BTreeMap<WorkerId, Running>>,
}

/// A worker's process.
#[derive(Debug)]
struct Running {
    handle: OwnedFd,
    /// If this process has started it.
    child: Option<Child>,
    /// When it is killed, since it was told to end.
    kill_at: Option<Instant>,
}

impl ProcessDriver {
    /// Makes the folder. Nothing is listed or started before [`Self::connect_to`].
    ///
    /// # Errors
    /// If the folder or a thread cannot be made.
    pub fn open(options: ProcessOptions) -> io::Result<Self> {
        let folders = Folders::open(&options.folder)?;
        let spawner = Spawner::start(options, folders.clone())?;
        let shared = Arc::new(Shared { folders, running: Mutex::default() });
        Ok(Self { shared, spawner, job_managers: watch::Sender::new(Vec::new()) })
    }

    /// Says where TaskManagers find the JobManagers: `HOST:PORT` of each.
    pub fn connect_to(&self, job_managers: Vec<String>) {
        self.job_managers.send_replace(job_managers);
    }

    async fn job_managers(&self) -> Result<Vec<String>, DriverError> {
        let mut known = self.job_managers.subscribe();
        let known = known.wait_for(|addresses| !addresses.is_empty()).await;
        known.map(|addresses| addresses.clone()).map_err(|_| DriverError("the driver has stopped".to_owned()))
    }

    /// Does what blocks where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DriverError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        let failed = |error: &dyn std::fmt::Display| DriverError(error.to_string());
        done.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

#[async_trait]
impl ResourceDriver for ProcessDriver {
    async fn workers(&self) -> Result<BTreeSet<WorkerId>, DriverError> {
        self.job_managers().await?;
        self.blocking(Shared::list).await
    }

    async fn start(&self, worker: &WorkerId) -> Result<(), DriverError> {
        let job_managers = self.job_managers().await?;
        // The thread takes note of the child: this call may be given up, and its runtime may end.
        self.spawner.start_worker(worker.clone(), job_managers, Arc::clone(&self.shared)).await
    }

    async fn stop(&self, worker: &WorkerId) -> Result<(), DriverError> {
        let worker = worker.clone();
        self.blocking(move |shared| shared.stop(&worker)).await
    }

    async fn changed(&self) {
        let (handles, kill_at) = self.shared.watched();
        let mut ended = FuturesUnordered::new();
        for handle in handles {
            #[expect(deprecated, reason = "what took its place is unsafe code; an OwnedFd keeps what that asks for")]
            if let Ok(handle) = AsyncFd::with_interest(handle, Interest::READABLE) {
                ended.push(async move { handle.readable().await.map(drop) });
            }
        }
        let one_has_ended = async {
            if ended.next().await.is_none() {
                std::future::pending::<()>().await;
            }
        };
        let one_is_to_be_killed = async {
            match kill_at {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = one_has_ended => {}
            () = one_is_to_be_killed => {}
        }
    }
}

impl Shared {
    fn running(&self) -> std::sync::MutexGuard<'_, BTreeMap<WorkerId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a child.
    fn started(&self, worker: WorkerId, child: Child) -> io::Result<()> {
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(handle) => {
                self.running().insert(worker, Running { handle, child: Some(child), kill_at: None });
                Ok(())
            }
            Err(error) => {
                end(child);
                Err(error.into())
            }
        }
    }

    /// All processes of workers, after those that have ended were buried and those that would not end were killed.
    fn list(&self) -> io::Result<BTreeSet<WorkerId>> {
        let mut running = self.running();
        for process in running.values_mut() {
            process.reap();
        }
        let there = table::workers(self.folders.root())?;
        let gone: Vec<WorkerId> = running.keys().filter(|worker| !there.contains_key(*worker)).cloned().collect();
        for worker in gone {
            if let Some(process) = running.remove(&worker) {
                process.bury(&worker, &self.folders);
            }
        }
        for (worker, pid) in &there {
            if !running.contains_key(worker)
                && let Some(handle) = table::handle(*pid, worker, self.folders.root())
            {
                tracing::info!(%worker, pid = pid.as_raw_pid(), "a TaskManager of an earlier JobManager is here");
                running.insert(worker.clone(), Running { handle, child: None, kill_at: None });
            }
        }
        let now = Instant::now();
        for (worker, process) in running.iter_mut() {
            process.kill_if_due(worker, now);
            self.folders.trim_log(worker);
        }
        self.folders.delete_leftovers(|worker| running.contains_key(worker));
        Ok(running.keys().cloned().collect())
    }

    fn stop(&self, worker: &WorkerId) -> io::Result<()> {
        let mut running = self.running();
        let Some(process) = running.get_mut(worker) else { return Ok(()) };
        if process.kill_at.is_none() {
            process.signal(Signal::TERM)?;
            process.kill_at = Some(Instant::now() + STOP_GRACE);
        }
        Ok(())
    }

    /// What to wait for: the end of any process, and the next time when one is to be killed.
    fn watched(&self) -> (Vec<OwnedFd>, Option<Instant>) {
        let running = self.running();
        let handles = running.values().filter_map(|process| process.handle.try_clone().ok()).collect();
        (handles, running.values().filter_map(|process| process.kill_at).min())
    }
}

impl Running {
    fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.handle, signal) {
            // It has ended meanwhile.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the exit status of a child that has ended, so that it leaves the table of processes.
    fn reap(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.try_wait();
        }
    }

    fn kill_if_due(&mut self, worker: &WorkerId, now: Instant) {
        if self.kill_at.is_some_and(|at| at <= now) {
            tracing::warn!(%worker, "a TaskManager did not end in {} s and is killed", STOP_GRACE.as_secs());
            if let Err(error) = self.signal(Signal::KILL) {
                tracing::error!(%worker, %error, "a TaskManager could not be killed");
            }
            self.kill_at = Some(now + STOP_GRACE);
        }
    }

    /// It has ended: says how, and puts its folder away.
    fn bury(mut self, worker: &WorkerId, folders: &Folders) {
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        let status = status.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        let last_words = folders.last_words(worker);
        folders.put_away(worker);
        if self.kill_at.is_some() {
            tracing::info!(%worker, %status, "a TaskManager was stopped");
        } else {
            tracing::warn!(%worker, %status, last_words, "a TaskManager has ended by itself");
        }
    }
}

/// Ends a child that cannot be watched.
fn end(mut child: Child) {
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}
