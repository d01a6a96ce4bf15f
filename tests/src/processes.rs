//! A cluster of several processes: one JobManager and as many TaskManagers as a test wants.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::jobs::Jobs;
use crate::process::Process;

/// A JobManager and its TaskManagers; killed when dropped.
pub struct Processes {
    /// The TaskManagers that were started and not yet killed, in the order of their start.
    pub task_managers: Vec<Process>,
    job_manager: Process,
    jobs: Jobs,
    rest: String,
    rpc: String,
    slots: u32,
    folder: PathBuf,
    arguments: Vec<String>,
    started: usize,
}

impl Deref for Processes {
    type Target = Jobs;

    fn deref(&self) -> &Jobs {
        &self.jobs
    }
}

impl Processes {
    /// Starts a JobManager and TaskManagers of so many slots, with their data below `folder` and these further
    /// arguments for all of them, and waits until all slots are there.
    pub async fn start(folder: &Path, task_managers: u32, slots: u32, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let job_manager = job_manager(folder, "127.0.0.1:0", "127.0.0.1:0", &arguments)?;
        let (rest, rpc) = (job_manager.announced("http://")?, job_manager.announced("TaskManagers at ")?);
        let jobs = Jobs::at(&rest)?;
        let (folder, started) = (folder.to_owned(), 0);
        let mut processes =
            Self { task_managers: Vec::new(), job_manager, jobs, rest, rpc, slots, folder, arguments, started };
        for _ in 0..task_managers {
            processes.add_task_manager()?;
        }
        processes.jobs.wait_for_slots(task_managers, task_managers * slots).await?;
        Ok(processes)
    }

    /// Starts one more TaskManager.
    pub fn add_task_manager(&mut self) -> Result<()> {
        self.add_task_manager_with(&[])
    }

    /// Starts one more TaskManager with further arguments.
    pub fn add_task_manager_with(&mut self, further: &[&str]) -> Result<()> {
        self.started += 1;
        let (data, slots) = (self.folder.join("task-managers"), self.slots.to_string());
        let own = ["taskmanager", "--jobmanager", &self.rpc, "--slots", &slots, "--data-dir", &data.to_string_lossy()];
        let own = own.iter().chain(further).map(ToString::to_string);
        let arguments: Vec<String> = own.chain(self.arguments.iter().cloned()).collect();
        let process = Process::start(&self.folder, &format!("taskmanager-{}", self.started), &arguments)?;
        self.task_managers.push(process);
        Ok(())
    }

    /// Kills a TaskManager, as a power cut would.
    pub fn kill_task_manager(&mut self, which: usize) -> Result<()> {
        self.task_managers.remove(which).kill()
    }

    /// Starts a TaskManager for each one that has died by itself. Returns how many these were.
    pub fn replace_dead_task_managers(&mut self) -> Result<usize> {
        let before = self.task_managers.len();
        self.task_managers.retain_mut(Process::is_alive);
        let dead = before - self.task_managers.len();
        (0..dead).try_for_each(|_| self.add_task_manager())?;
        Ok(dead)
    }

    /// Which of the TaskManagers runs tasks of a job.
    pub async fn running(&self, job: &str) -> Result<usize> {
        for vertex in &self.jobs.client.job(job).await?.vertices {
            for subtask in self.jobs.client.vertex(job, &vertex.id).await?.subtasks {
                let runs_it = |process: &Process| process.announcement.contains(&subtask.taskmanager_id);
                if let Some(found) = self.task_managers.iter().position(runs_it) {
                    return Ok(found);
                }
            }
        }
        bail!("no TaskManager runs tasks of job {job}")
    }

    /// Kills the JobManager and starts another one on the same data and addresses.
    pub fn restart_job_manager(&mut self) -> Result<()> {
        self.restart_job_manager_with(&[])
    }

    /// The same, with further arguments for it.
    pub fn restart_job_manager_with(&mut self, further: &[&str]) -> Result<()> {
        self.job_manager.kill()?;
        let further = further.iter().map(ToString::to_string);
        let arguments: Vec<String> = further.chain(self.arguments.iter().cloned()).collect();
        self.job_manager = job_manager(&self.folder, &self.rest, &self.rpc, &arguments)?;
        // The old client's connections are dead.
        self.jobs = Jobs::at(&self.rest)?;
        Ok(())
    }

    /// The JobManager's process.
    pub fn job_manager(&mut self) -> &mut Process {
        &mut self.job_manager
    }

    /// Where TaskManagers connect.
    pub fn rpc_address(&self) -> &str {
        &self.rpc
    }

    /// Where the processes' data are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn job_manager(folder: &Path, rest: &str, rpc: &str, arguments: &[String]) -> Result<Process> {
    let data = folder.join("job-manager");
    let own = ["jobmanager", "--listen", rest, "--rpc", rpc, "--data-dir", &data.to_string_lossy()].map(str::to_owned);
    let arguments: Vec<String> = own.into_iter().chain(arguments.iter().cloned()).collect();
    Process::start(folder, "jobmanager", &arguments)
}
