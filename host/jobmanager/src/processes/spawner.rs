//! The thread that starts processes. It lives as long as the driver: a child that is to end with its parent ends, by the
//! kernel's rules, with the thread that started it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use millrace_resource_core::WorkerId;
use tokio::sync::{mpsc, oneshot};

use crate::driver::DriverError;
use crate::processes::folders::Folders;
use crate::processes::table::{FOLDER_FLAG, ROLE};
use crate::processes::{ProcessOptions, Shared};

/// Processes that wait to be started.
const WAITING_MAX: usize = 64;

/// What begins with this in the environment sets options of this process, which its children have in a file; the level of
/// their logs alone is not among them.
pub(crate) const OPTIONS_PREFIX: &[u8] = b"MILLRACE_";
const LOG_LEVEL: &[u8] = b"MILLRACE_LOG";

/// One process to start.
struct Job {
    worker: WorkerId,
    job_managers: Vec<String>,
    shared: Arc<Shared>,
    done: oneshot::Sender<io::Result<()>>,
}

/// The thread's handle.
#[derive(Debug)]
pub(crate) struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    pub(crate) fn start(options: ProcessOptions, folders: Folders) -> io::Result<Self> {
        let (jobs, mut waiting) = mpsc::channel::<Job>(WAITING_MAX);
        std::thread::Builder::new().name("process-driver".to_owned()).spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                let started = spawn(&options, &folders, &job).and_then(|child| job.shared.started(job.worker, child));
                // Nobody waits any more for a leader that was replaced; the next one finds the process.
                let _ = job.done.send(started);
            }
        })?;
        Ok(Self { jobs })
    }

    pub(crate) async fn start_worker(
        &self,
        worker: WorkerId,
        job_managers: Vec<String>,
        shared: Arc<Shared>,
    ) -> Result<(), DriverError> {
        let (done, started) = oneshot::channel();
        let ended = || DriverError("the thread that starts processes has ended".to_owned());
        self.jobs.send(Job { worker, job_managers, shared, done }).await.map_err(|_| ended())?;
        started.await.map_err(|_| ended())?.map_err(|error| DriverError(error.to_string()))
    }
}

fn spawn(options: &ProcessOptions, folders: &Folders, job: &Job) -> io::Result<Child> {
    let prepared = folders.prepare(&job.worker, &options.configuration)?;
    let mut command = Command::new(&options.program);
    command
        .arg(ROLE)
        .arg(FOLDER_FLAG)
        .arg(&prepared.folder)
        .arg("--config")
        .arg(&prepared.configuration)
        .arg("--jobmanager")
        .arg(job.job_managers.join(","))
        .args(["-D", &format!("taskmanager.resource-id={}", job.worker)])
        .args(&options.arguments)
        .stdin(Stdio::null())
        .stdout(prepared.log.try_clone()?)
        .stderr(prepared.log)
        .process_group(0);
    if options.end_with_this_process {
        command.arg("--end-with").arg(std::process::id().to_string());
    }
    for (name, _) in std::env::vars_os() {
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(OPTIONS_PREFIX) && bytes != LOG_LEVEL {
            command.env_remove(&name);
        }
    }
    let spawned = command.spawn();
    if spawned.is_err() {
        folders.put_away(&job.worker);
    }
    spawned
}
