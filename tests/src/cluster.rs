//! A standalone cluster in a process of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use millrace_client::api::{JobDetails, RunRequest};
use millrace_client::{Client, ClientOptions};
use millrace_types::JobStatus;

use crate::repository;

/// How long anything may take before a test gives up. Generous: machines are slow and busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A cluster; killed when dropped.
pub struct Cluster {
    process: Child,
    folder: PathBuf,
    arguments: Vec<String>,
    /// Speaks to it.
    pub client: Client,
}

impl Cluster {
    /// Starts a cluster with its data below `folder` and these further arguments.
    pub fn start(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (process, address) = spawn(folder, &arguments)?;
        let client = Client::new(&address, &ClientOptions::default())?;
        Ok(Self { process, folder: folder.to_owned(), arguments, client })
    }

    /// Kills the process, as a power cut would, and starts another one on the same data.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        let (process, address) = spawn(&self.folder, &self.arguments)?;
        self.process = process;
        self.client = Client::new(&address, &ClientOptions::default())?;
        Ok(())
    }

    /// Kills the process.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// The process's id.
    pub fn process_id(&self) -> u32 {
        self.process.id()
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

    /// Waits until a job is in a status that satisfies a condition.
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

    async fn failure(&self, job: &str) -> Result<String> {
        let history = self.client.exceptions(job).await?.exception_history;
        Ok(history.entries.first().map(|entry| entry.stacktrace.clone()).unwrap_or_default())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.kill();
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
}

impl Run<'_> {
    fn request(&self) -> RunRequest {
        let seed = self.discard_seed.map(|seed| ("sandbox.discard-instances.seed".to_owned(), seed.to_string()));
        RunRequest {
            program_args_list: Some(self.args.iter().map(ToString::to_string).collect()),
            parallelism: Some(i64::from(self.parallelism.max(1))),
            flink_configuration: Some(BTreeMap::from_iter(seed)),
            ..RunRequest::default()
        }
    }
}

/// Starts the process and waits until it says where it listens.
fn spawn(folder: &Path, arguments: &[String]) -> Result<(Child, String)> {
    let (output, log) = (folder.join("output"), folder.join("log"));
    let mut command = Command::new(repository::millrace()?);
    command.args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("data")).args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(File::create(&output)?)
        .stderr(File::options().create(true).append(true).open(&log)?);
    let mut process = command.spawn().context("cannot start the cluster")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(&output)?;
        if let Some(address) = text.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()) {
            return Ok((process, address.to_owned()));
        }
        if process.try_wait()?.is_some() || Instant::now() > deadline {
            bail!("the cluster did not start: {}", std::fs::read_to_string(&log)?);
        }
        std::thread::park_timeout(POLL);
    }
}
