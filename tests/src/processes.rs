//! A cluster of several processes: a JobManager, or a group of them, and as many TaskManagers as a test wants.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::jobs::Jobs;
use crate::ports::free_address;
use crate::process::{PATIENCE, POLL, Process};
use crate::wait;

/// JobManagers and TaskManagers; killed when dropped.
pub struct Processes {
    /// The TaskManagers that were started and not yet killed, in the order of their start.
    pub task_managers: Vec<Process>,
    /// The JobManagers; those of a group have the ids 1, 2, ….
    pub job_managers: Vec<JobManager>,
    jobs: Jobs,
    slots: u32,
    folder: PathBuf,
    arguments: Vec<String>,
    started: usize,
}

/// A JobManager that can be killed and started again on its data and addresses.
pub struct JobManager {
    process: Process,
    /// Where clients reach it.
    pub rest: String,
    /// Where it takes TaskManagers and members; in a group others may be told another address.
    pub rpc: String,
    name: String,
    /// Which member it is, as its flags say it.
    membership: Vec<String>,
}

impl Deref for JobManager {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl JobManager {
    fn start(
        folder: &Path,
        name: &str,
        (rest, rpc): (&str, &str),
        membership: &[String],
        further: &[String],
    ) -> Result<Self> {
        let data = folder.join(name);
        let own = ["jobmanager", "--listen", rest, "--rpc", rpc, "--data-dir", &data.to_string_lossy()];
        let own = own.map(str::to_owned);
        let arguments: Vec<String> = own.iter().chain(membership).chain(further).cloned().collect();
        let process = Process::start(folder, name, &arguments)?;
        let (rest, rpc) = (process.announced("http://")?, process.announced("TaskManagers at ")?);
        Ok(Self { process, rest, rpc, name: name.to_owned(), membership: membership.to_vec() })
    }

    /// Whether its process is there.
    pub fn is_alive(&mut self) -> bool {
        self.process.is_alive()
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&mut self) -> Result<()> {
        self.process.terminate()
    }

    /// Starts it again, with these arguments for all members and these for it.
    fn start_again(&mut self, folder: &Path, further: &[String]) -> Result<()> {
        let addresses = (self.rest.clone(), self.rpc.clone());
        let name = self.name.clone();
        *self = Self::start(folder, &name, (&addresses.0, &addresses.1), &self.membership, further)?;
        Ok(())
    }
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
        let arguments = owned(arguments);
        let free = ("127.0.0.1:0", "127.0.0.1:0");
        let job_manager = JobManager::start(folder, "job-manager", free, &[], &arguments)?;
        Self::around(folder, vec![job_manager], arguments)?.with_task_managers(task_managers, slots).await
    }

    /// The same with a group of so many JobManagers.
    pub async fn start_group(
        folder: &Path,
        job_managers: usize,
        task_managers: u32,
        slots: u32,
        arguments: &[&str],
    ) -> Result<Self> {
        let addresses = (0..job_managers).map(|_| Ok((free_address()?, free_address()?)));
        let addresses: Vec<(String, String)> = addresses.collect::<Result<_>>()?;
        let reached = addresses.iter().map(|(_, rpc)| rpc.clone()).collect::<Vec<_>>();
        let group = Self::start_group_before(folder, &addresses, &reached, arguments)?;
        group.with_task_managers(task_managers, slots).await
    }

    /// A group at these addresses for clients and for others, of which others are told these instead; without
    /// TaskManagers.
    pub fn start_group_before(
        folder: &Path,
        addresses: &[(String, String)],
        reached: &[String],
        arguments: &[&str],
    ) -> Result<Self> {
        let arguments = owned(arguments);
        let mut peers = Vec::new();
        for (index, ((rest, _), reached)) in addresses.iter().zip(reached).enumerate() {
            let (_, port) = rest.rsplit_once(':').context("an address")?;
            peers.push(format!("{}={reached}:{port}", index + 1));
        }
        let storage = format!("high-availability.storageDir={}", folder.join("shared").display());
        let mut job_managers = Vec::new();
        for (index, (rest, rpc)) in addresses.iter().enumerate() {
            let id = (index + 1).to_string();
            let membership = owned(&["--id", &id, "--peers", &peers.join(","), "-D", &storage]);
            let name = format!("job-manager-{id}");
            job_managers.push(JobManager::start(folder, &name, (rest, rpc), &membership, &arguments)?);
        }
        for (job_manager, reached) in job_managers.iter_mut().zip(reached) {
            reached.clone_into(&mut job_manager.rpc);
        }
        Self::around(folder, job_managers, arguments)
    }

    fn around(folder: &Path, job_managers: Vec<JobManager>, arguments: Vec<String>) -> Result<Self> {
        let jobs = Jobs::at(&addresses_of(&job_managers))?;
        let folder = folder.to_owned();
        Ok(Self { task_managers: Vec::new(), job_managers, jobs, slots: 0, folder, arguments, started: 0 })
    }

    /// Starts so many TaskManagers of so many slots, and waits until all slots are there.
    pub async fn with_task_managers(mut self, task_managers: u32, slots: u32) -> Result<Self> {
        self.slots = slots;
        for _ in 0..task_managers {
            self.add_task_manager()?;
        }
        self.jobs.wait_for_slots(task_managers, task_managers * slots).await?;
        Ok(self)
    }

    /// Speaks to these JobManagers from now on, `HOST:PORT` separated by commas.
    pub fn speak_to(&mut self, addresses: &str) -> Result<()> {
        self.jobs = Jobs::at(addresses)?;
        Ok(())
    }

    /// Starts one more TaskManager.
    pub fn add_task_manager(&mut self) -> Result<()> {
        self.add_task_manager_with(&[])
    }

    /// Starts one more TaskManager with further arguments.
    pub fn add_task_manager_with(&mut self, further: &[&str]) -> Result<()> {
        self.started += 1;
        let (data, slots) = (self.folder.join("task-managers"), self.slots.to_string());
        let rpc: Vec<&str> = self.job_managers.iter().map(|job_manager| job_manager.rpc.as_str()).collect();
        let (rpc, data) = (rpc.join(","), data.to_string_lossy());
        let own = ["taskmanager", "--jobmanager", &rpc, "--slots", &slots, "--data-dir", &data];
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

    /// Which of the JobManagers leads, as soon as one does that lives.
    pub async fn leader(&mut self) -> Result<usize> {
        self.leader_that(|_| true).await
    }

    /// Which of the JobManagers leads, as soon as it is another one: the others go on to name a leader that is silent
    /// until its time is over.
    pub async fn leader_after(&mut self, silent: usize) -> Result<usize> {
        self.leader_that(|found| found != silent).await
    }

    /// Waits until all JobManagers that live, and none of which stands still, name the same leader.
    pub async fn agree(&mut self) -> Result<()> {
        wait::until("the JobManagers to name one leader", async || {
            let mut named = BTreeSet::new();
            for member in self.job_managers.iter_mut() {
                if member.is_alive() {
                    // While another one takes over, nobody may answer.
                    named.insert(Jobs::at(&member.rest)?.client.members().await.ok().and_then(|group| group.leader));
                }
            }
            Ok((named.len() == 1 && !named.contains(&None)).then_some(()))
        })
        .await
    }

    async fn leader_that(&mut self, is_meant: impl Fn(usize) -> bool) -> Result<usize> {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            // While another one takes over, nobody may answer.
            let leader = self.jobs.client.members().await.ok().and_then(|group| group.leader);
            let found = leader.and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
            if let Some(found) = found.filter(|found| is_meant(*found))
                && self.job_managers.get_mut(found).is_some_and(JobManager::is_alive)
            {
                return Ok(found);
            }
            anyhow::ensure!(
                std::time::Instant::now() < deadline,
                "nobody leads who is meant: the last that was named is {found:?}"
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills a JobManager and starts another one on the same data and addresses: the only one, or the leader of the
    /// group.
    pub async fn restart_job_manager(&mut self) -> Result<()> {
        let which = if self.job_managers.len() == 1 { 0 } else { self.leader().await? };
        self.job_managers[which].kill()?;
        self.start_job_manager(which, &[])
    }

    /// Kills all JobManagers, one after the other, and starts others with further arguments in their place.
    pub fn replace_job_managers_with(&mut self, further: &[&str]) -> Result<()> {
        (0..self.job_managers.len()).try_for_each(|which| {
            self.job_managers[which].kill()?;
            self.start_job_manager(which, further)
        })
    }

    /// Starts a JobManager for each one that has died by itself. Returns how many these were.
    pub fn replace_dead_job_managers(&mut self) -> Result<usize> {
        let mut dead = 0;
        for which in 0..self.job_managers.len() {
            if !self.job_managers[which].is_alive() {
                dead += 1;
                self.start_job_manager(which, &[])?;
            }
        }
        Ok(dead)
    }

    /// Starts a JobManager that was killed, with further arguments.
    pub fn start_job_manager(&mut self, which: usize, further: &[&str]) -> Result<()> {
        let arguments: Vec<String> = owned(further).into_iter().chain(self.arguments.iter().cloned()).collect();
        self.job_managers[which].start_again(&self.folder, &arguments)
    }

    /// Adds one more JobManager to those that exist, which waits to be added to the group, and says which one it is.
    pub fn add_job_manager(&mut self, id: u64) -> Result<usize> {
        let storage = format!("high-availability.storageDir={}", self.folder.join("shared").display());
        let membership = owned(&["--id", &id.to_string(), "--join", "-D", &storage]);
        let (rest, rpc) = (free_address()?, free_address()?);
        let name = format!("job-manager-{id}");
        let added = JobManager::start(&self.folder, &name, (&rest, &rpc), &membership, &self.arguments)?;
        self.job_managers.push(added);
        self.jobs = Jobs::at(&addresses_of(&self.job_managers))?;
        Ok(self.job_managers.len() - 1)
    }

    /// The only JobManager's process, or the first one's.
    pub fn job_manager(&mut self) -> &mut JobManager {
        &mut self.job_managers[0]
    }

    /// Where TaskManagers connect to the first JobManager.
    pub fn rpc_address(&self) -> &str {
        &self.job_managers[0].rpc
    }

    /// Where the processes' data are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn addresses_of(job_managers: &[JobManager]) -> String {
    let addresses: Vec<&str> = job_managers.iter().map(|job_manager| job_manager.rest.as_str()).collect();
    addresses.join(",")
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}
