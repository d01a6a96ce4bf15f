//! The job of a round on its cluster: run, looked at, harmed, and continued from savepoints.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use millrace_types::{CrashAt, ExecutionState, JobStatus};

use super::limits::{POLL, STEP_TIME_MAX, eventually};
use super::output::Output;
use super::plan::{EVENTS_PER_SECOND, Harm, JobPlan, Moment, SLOTS, TASK_MANAGERS};
use crate::checkpoints::{self, Figures, Savepoint};
use crate::jobs::Run;
use crate::processes::Processes;
use crate::repository;

/// Dead and silent TaskManagers are found sooner than by default, so that a round stays short.
const CLUSTER: [&str; 6] = ["--file-root", "/", "-D", "heartbeat.interval=200 ms", "-D", "heartbeat.timeout=1 s"];

/// How large files may grow on a full disk.
const FULL_DISK_BYTES: u64 = 4096;

/// The folder of its rows.
const ROWS: &str = "rows";

/// How long a job is given to notice a failure.
const RESTART_NOTICED_MAX: Duration = Duration::from_millis(1_500);

/// How often a stop with a savepoint is tried: what kills a task ends it.
const STOPS_MAX: u32 = 20;

/// The cluster and what runs on it.
pub struct Job {
    cluster: Processes,
    plan: JobPlan,
    id: String,
    folder: String,
    output: Output,
    /// What comes to an end, and when.
    reliefs: Vec<(Instant, Relief)>,
    savepoints: u32,
}

/// The end of a harm to the process of this id.
#[derive(Debug, Clone, Copy)]
enum Relief {
    Thaw(u32),
    FreeDisk(u32),
}

impl Job {
    /// Starts the cluster and the job, with everything below a folder.
    pub async fn start(plan: &JobPlan, folder: &Path) -> Result<Self> {
        let cluster = match plan.job_managers {
            1 => Processes::start(folder, TASK_MANAGERS as u32, SLOTS, &CLUSTER).await?,
            more => Processes::start_group(folder, more, TASK_MANAGERS as u32, SLOTS, &CLUSTER).await?,
        };
        let output = Output::new(folder.join(ROWS));
        let folder = folder.to_string_lossy().into_owned();
        let (plan, id) = (plan.clone(), String::new());
        let mut job = Self { cluster, plan, id, folder, output, reliefs: Vec::new(), savepoints: 0 };
        job.run(job.plan.parallelism, None).await?;
        Ok(job)
    }

    /// Where the job's rows are.
    pub fn output(&self) -> String {
        format!("{}/{ROWS}", self.folder)
    }

    async fn run(&mut self, parallelism: u32, from: Option<&str>) -> Result<()> {
        let JobPlan { query, records, rate, backend, unaligned_after_ms, interval_ms, tolerated, .. } = &self.plan;
        let (records, rate, density) = (records.to_string(), rate.to_string(), EVENTS_PER_SECOND.to_string());
        let (output, tolerated) = (self.output(), tolerated.to_string());
        let directory = format!("{}/checkpoints", self.folder);
        let interval = interval_ms.map(|ms| format!("{ms} ms"));
        let unaligned = unaligned_after_ms.map(|ms| format!("{ms} ms"));
        let mut options = vec![
            ("restart-strategy.type", "fixed-delay"),
            ("restart-strategy.fixed-delay.attempts", "100000"),
            ("restart-strategy.fixed-delay.delay", "20 ms"),
        ];
        if let Some(interval) = &interval {
            options.extend([
                ("execution.checkpointing.interval", interval.as_str()),
                ("execution.checkpointing.timeout", "10 s"),
                ("execution.checkpointing.tolerable-failed-checkpoints", &tolerated),
                ("execution.checkpointing.dir", &directory),
                ("state.backend.type", backend),
            ]);
        }
        if let (Some(_), Some(unaligned)) = (&interval, &unaligned) {
            options.push(("execution.checkpointing.unaligned.enabled", "true"));
            options.push(("execution.checkpointing.aligned-checkpoint-timeout", unaligned));
        }
        let args = ["--query", query, "--events", &records, "--rate", &rate, "--output", &output];
        let mut args = args.to_vec();
        if *query != "wc" {
            args.extend(["--events-per-second", &density]);
        }
        let run = Run { args, parallelism, options, from, ..Run::default() };
        self.id = self.cluster.run(&repository::bundle("nexmark")?, run).await?;
        Ok(())
    }

    /// The job's status, as soon as somebody knows it.
    async fn status(&mut self) -> Result<JobStatus> {
        let status = eventually("the job's status", STEP_TIME_MAX, async || {
            self.relieve()?;
            Ok(Some(self.cluster.client.status(&self.id).await?.status))
        });
        match status.await? {
            JobStatus::Failed => bail!("job {} failed: {}", self.id, self.cluster.failure(&self.id).await?),
            status => Ok(status),
        }
    }

    /// How the job's checkpoints fare, as soon as somebody knows it.
    pub async fn figures(&mut self) -> Result<Figures> {
        if self.plan.interval_ms.is_none() {
            return Ok(Figures::default());
        }
        eventually("the checkpoints' figures", STEP_TIME_MAX, async || {
            self.relieve()?;
            Ok(Some(checkpoints::figures(&self.cluster.client, &self.id).await?))
        })
        .await
    }

    /// Waits for a moment; false: the job is over.
    pub async fn reach(&mut self, when: Moment) -> Result<bool> {
        let before = self.figures().await?.latest.unwrap_or_default();
        let began = Instant::now();
        loop {
            if self.status().await?.is_terminal() {
                return Ok(false);
            }
            let reached = match when {
                Moment::After(ms) => began.elapsed() >= Duration::from_millis(ms),
                Moment::Completed(more) => self.figures().await?.latest.unwrap_or_default() >= before + more,
                Moment::InProgress => self.figures().await?.in_progress > 0,
                // Where nobody can tell, a JobManager is amid a restart of its own.
                Moment::Restarting => began.elapsed() >= RESTART_NOTICED_MAX || !self.all_run().await.unwrap_or(false),
            };
            if reached {
                return Ok(true);
            }
            ensure!(began.elapsed() < STEP_TIME_MAX, "waited {STEP_TIME_MAX:?} for the moment {when:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn all_run(&self) -> Result<bool> {
        let details = self.cluster.client.job(&self.id).await?;
        let settled = [ExecutionState::Running, ExecutionState::Finished];
        Ok(details.vertices.iter().all(|vertex| settled.contains(&vertex.status)))
    }

    /// Does harm; false: the job was over before.
    pub async fn suffer(&mut self, harm: Harm) -> Result<bool> {
        self.relieve()?;
        match harm {
            Harm::Kill(victim) => self.kill(victim)?,
            Harm::KillMost => {
                for _ in 1..TASK_MANAGERS {
                    self.cluster.kill_task_manager(1)?;
                }
                for _ in 1..TASK_MANAGERS {
                    self.cluster.add_task_manager()?;
                }
            }
            Harm::Freeze(victim, ms) => {
                let process = &self.cluster.task_managers[victim];
                process.freeze()?;
                self.reliefs.push((Instant::now() + Duration::from_millis(ms), Relief::Thaw(process.id())));
            }
            Harm::FullDisk(victim, ms) => {
                let process = &self.cluster.task_managers[victim];
                process.limit_files(Some(FULL_DISK_BYTES))?;
                self.reliefs.push((Instant::now() + Duration::from_millis(ms), Relief::FreeDisk(process.id())));
            }
            Harm::RestartJobManager => self.cluster.restart_job_manager().await?,
            Harm::KillAllJobManagers => self.cluster.replace_job_managers_with(&[])?,
            Harm::KillLeaderAnd(victim) => {
                let leader = self.cluster.leader().await?;
                self.cluster.job_managers[leader].kill()?;
                self.kill(victim)?;
                self.cluster.start_job_manager(leader, &[])?;
            }
            Harm::KillFollower => {
                let members = self.cluster.job_managers.len();
                let follower = (self.cluster.leader().await? + 1) % members;
                self.cluster.job_managers[follower].kill()?;
                self.cluster.start_job_manager(follower, &[])?;
            }
            Harm::FreezeLeader(ms) => {
                let leader = self.cluster.leader().await?;
                let process = &self.cluster.job_managers[leader];
                process.freeze()?;
                // Nobody asks it anything meanwhile: it would take the question and not answer.
                tokio::time::sleep(Duration::from_millis(ms)).await;
                process.thaw()?;
            }
            Harm::CrashTaskManager(at) => return self.crash_task_manager(at).await,
            Harm::CrashJobManager(at) => return self.crash_job_manager(at).await,
            Harm::Rescale(parallelism) => return self.rescale(parallelism, None).await,
            Harm::RescaleAndKill(parallelism, victim) => return self.rescale(parallelism, Some(victim)).await,
        }
        Ok(true)
    }

    fn kill(&mut self, victim: usize) -> Result<()> {
        self.cluster.kill_task_manager(victim)?;
        self.cluster.add_task_manager()
    }

    /// All are replaced, since nobody knows which of them will have tasks. Those that outlive the first are left armed,
    /// and replaced whenever they die.
    async fn crash_task_manager(&mut self, at: CrashAt) -> Result<bool> {
        while !self.cluster.task_managers.is_empty() {
            self.cluster.kill_task_manager(0)?;
        }
        for _ in 0..TASK_MANAGERS {
            self.cluster.add_task_manager_with(&["--crash-at", &at.to_string()])?;
        }
        self.until_dead(at).await
    }

    async fn crash_job_manager(&mut self, at: CrashAt) -> Result<bool> {
        self.cluster.replace_job_managers_with(&["--crash-at", &at.to_string()])?;
        self.until_dead(at).await
    }

    /// Waits until a process has died by itself and another one has taken its place; false: the job was over before.
    async fn until_dead(&mut self, at: CrashAt) -> Result<bool> {
        let began = Instant::now();
        loop {
            if self.relieve()? > 0 {
                return Ok(true);
            }
            // A JobManager that has died in between does not answer.
            if self.cluster.client.status(&self.id).await.is_ok_and(|answer| answer.status.is_terminal()) {
                return Ok(false);
            }
            ensure!(began.elapsed() < STEP_TIME_MAX, "no process has died at {at} within {STEP_TIME_MAX:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn rescale(&mut self, parallelism: u32, mut victim: Option<usize>) -> Result<bool> {
        for _ in 0..STOPS_MAX {
            self.savepoints += 1;
            let folder = format!("{}/savepoints-{}", self.folder, self.savepoints);
            let asked = checkpoints::stop(&self.cluster.client, &self.id, &folder).await;
            if let Some(victim) = victim.take() {
                self.kill(victim)?;
            }
            let outcome = match &asked {
                Ok(request) => self.outcome(request).await?,
                Err(error) => Savepoint::Failed(format!("{error:#}")),
            };
            match outcome {
                Savepoint::Complete(location) => {
                    self.finished(STEP_TIME_MAX).await?;
                    self.run(parallelism, Some(&location)).await?;
                    return Ok(true);
                }
                // A job that has read all its input is over whether or not it was asked to stop.
                _ if self.status().await?.is_terminal() => return Ok(false),
                _ => self.wait_until_all_run().await?,
            }
        }
        bail!("job {} could not be stopped with a savepoint in {STOPS_MAX} attempts", self.id)
    }

    async fn outcome(&mut self, request: &str) -> Result<Savepoint> {
        eventually("the savepoint", STEP_TIME_MAX, async || {
            self.relieve()?;
            let outcome = checkpoints::outcome(&self.cluster.client, &self.id, request).await?;
            Ok((outcome != Savepoint::InProgress).then_some(outcome))
        })
        .await
    }

    async fn wait_until_all_run(&mut self) -> Result<()> {
        eventually("the job to run again", STEP_TIME_MAX, async || {
            self.relieve()?;
            let over = self.cluster.client.status(&self.id).await?.status.is_terminal();
            Ok((over || self.all_run().await?).then_some(()))
        })
        .await
    }

    /// Waits until the job has finished.
    pub async fn finished(&mut self, limit: Duration) -> Result<()> {
        let began = Instant::now();
        while self.status().await? != JobStatus::Finished {
            if began.elapsed() > limit {
                let details = self.cluster.client.job(&self.id).await?;
                bail!("job {} is {} {limit:?} after the last fault: {details:#?}", self.id, details.state);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends what has lasted long enough, and replaces processes that have died by themselves. Returns how many these were.
    fn relieve(&mut self) -> Result<usize> {
        let dead = self.cluster.replace_dead_task_managers()? + self.cluster.replace_dead_job_managers()?;
        self.end_harms()?;
        Ok(dead)
    }

    /// Checks that nothing that was ever visible of the output was taken back. Without checkpoints nothing is visible before
    /// the end, and an end that does not succeed takes it back.
    pub fn check_output(&self) -> Result<()> {
        if self.plan.interval_ms.is_some() { self.output.check() } else { Ok(()) }
    }

    fn end_harms(&mut self) -> Result<()> {
        self.output.look()?;
        let now = Instant::now();
        let due: Vec<Relief> = self.reliefs.extract_if(.., |(at, _)| *at <= now).map(|(_, relief)| relief).collect();
        for relief in due {
            let (Relief::Thaw(id) | Relief::FreeDisk(id)) = relief;
            // It may have been killed meanwhile.
            let Some(process) = self.cluster.task_managers.iter().find(|process| process.id() == id) else { continue };
            match relief {
                Relief::Thaw(_) => process.thaw()?,
                Relief::FreeDisk(_) => process.limit_files(None)?,
            }
        }
        Ok(())
    }
}
