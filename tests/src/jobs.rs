//! Running jobs on a cluster, whatever it is made of, and waiting for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use millrace_client::api::{JobDetails, RunRequest};
use millrace_client::{Client, ClientOptions};
use millrace_types::{ExecutionState, JobStatus};

use crate::process::{PATIENCE, POLL};

/// A cluster, as its users see it.
pub struct Jobs {
    /// Speaks to it.
    pub client: Client,
}

impl Jobs {
    /// The cluster that listens there.
    pub fn at(address: &str) -> Result<Self> {
        Ok(Self { client: Client::new(address, &ClientOptions::default())? })
    }

    /// Where it is, as `-m` takes it.
    pub fn address(&self) -> String {
        self.client.base_url().trim_start_matches("http://").to_owned()
    }

    /// Uploads a bundle, runs it and returns the job's id.
    pub async fn run(&self, bundle: &Path, run: Run<'_>) -> Result<String> {
        let id = self.client.upload(bundle).await?;
        Ok(self.client.run(&id, &run.request()).await?.jobid)
    }

    /// The attempt of each task, and when it was deployed.
    pub async fn attempts(&self, job: &str) -> Result<Vec<(u32, i64)>> {
        let mut attempts = Vec::new();
        for vertex in self.client.job(job).await?.vertices {
            let vertex = self.client.vertex(job, &vertex.id).await?;
            attempts.extend(vertex.subtasks.iter().map(|subtask| (subtask.attempt, subtask.start_time)));
        }
        Ok(attempts)
    }

    /// Waits until a job is in a state that satisfies a condition.
    pub async fn wait_for(&self, job: &str, condition: impl Fn(&JobDetails) -> bool) -> Result<JobDetails> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let details = self.client.job(job).await?;
            if condition(&details) {
                return Ok(details);
            }
            if Instant::now() > deadline {
                bail!("job {job} is {} after {PATIENCE:?}: {details:#?}", details.state);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until all tasks of a job run, or it has ended well; a failure's text is the error.
    pub async fn wait_running(&self, job: &str) -> Result<JobDetails> {
        let runs = |details: &JobDetails| {
            details.state == JobStatus::Running
                && details.vertices.iter().all(|vertex| vertex.status == ExecutionState::Running)
        };
        let details = self.wait_for(job, |details| runs(details) || details.state.is_terminal()).await?;
        if details.state.is_terminal() && details.state != JobStatus::Finished {
            bail!("job {job} is {} and should run: {}", details.state, self.failure(job).await?);
        }
        Ok(details)
    }

    /// Waits until a job has ended well; a failure's text is the error.
    pub async fn wait_finished(&self, job: &str) -> Result<JobDetails> {
        let details = self.wait_for(job, |details| details.state.is_terminal()).await?;
        if details.state != JobStatus::Finished {
            bail!("job {job} is {}: {}", details.state, self.failure(job).await?);
        }
        Ok(details)
    }

    /// Waits until a job has failed and returns why.
    pub async fn wait_failed(&self, job: &str) -> Result<String> {
        let details = self.wait_for(job, |details| details.state.is_terminal()).await?;
        if details.state != JobStatus::Failed {
            bail!("job {job} is {} and should have failed", details.state);
        }
        self.failure(job).await
    }

    /// Why a job failed last.
    pub async fn failure(&self, job: &str) -> Result<String> {
        let history = self.client.exceptions(job).await?.exception_history;
        Ok(history.entries.first().map(|entry| entry.stacktrace.clone()).unwrap_or_default())
    }

    /// Waits until so many TaskManagers with so many free slots are there.
    pub async fn wait_for_slots(&self, task_managers: u32, free: u32) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let overview = self.client.overview().await?;
            if (overview.taskmanagers, overview.slots_available) == (task_managers, free) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("there should be {task_managers} TaskManagers with {free} free slots: {overview:?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// How to run a bundle.
#[derive(Debug, Clone, Default)]
pub struct Run<'a> {
    /// The application's arguments.
    pub args: Vec<&'a str>,
    /// The parallelism.
    pub parallelism: u32,
    /// The seed of the mode that throws instances away.
    pub discard_seed: Option<u64>,
    /// Further options of the run.
    pub options: Vec<(&'a str, &'a str)>,
    /// The savepoint or retained checkpoint to begin with.
    pub from: Option<&'a str>,
}

impl Run<'_> {
    /// The request that it stands for.
    pub fn request(&self) -> RunRequest {
        let seed = self.discard_seed.map(|seed| ("sandbox.discard-instances.seed".to_owned(), seed.to_string()));
        let options = self.options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        RunRequest {
            program_args_list: Some(self.args.iter().map(ToString::to_string).collect()),
            parallelism: Some(i64::from(self.parallelism.max(1))),
            savepoint_path: self.from.map(str::to_owned),
            flink_configuration: Some(options.chain(seed).collect::<BTreeMap<_, _>>()),
            ..RunRequest::default()
        }
    }
}
