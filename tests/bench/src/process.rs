//! The cluster that is measured, and what the kernel says about it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use millrace_client::api::RunRequest;
use millrace_client::{Client, ClientOptions};
use millrace_types::JobStatus;

/// How long a process is left alone before it counts as idle.
const IDLE_TIME: Duration = Duration::from_secs(1);

/// How often a job's end is looked for: rarely, because each look is work for the cluster.
const POLL: Duration = Duration::from_millis(50);

/// How long a job may take.
const JOB_TIME_MAX: Duration = Duration::from_secs(120);

/// A standalone process; killed when dropped.
pub struct Standalone {
    process: Child,
    pub client: Client,
    /// From nothing to slots ready.
    pub ready_ms: f64,
}

impl Standalone {
    /// Starts a cluster with its data in `folder`.
    pub fn start(folder: &Path) -> Result<Self> {
        let began = Instant::now();
        // Built beside this program.
        let program = std::env::current_exe()?.with_file_name("millrace");
        ensure!(program.exists(), "{} is not there: `just build` makes it", program.display());
        let mut command = Command::new(program);
        command.args(["standalone", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().context("cannot start the cluster")?;
        let output = process.stdout.take().context("the cluster has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready_ms = began.elapsed().as_secs_f64() * 1e3;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.context("the cluster did not start")?;
        let client = Client::new(address, &ClientOptions::default())?;
        Ok(Self { process, client, ready_ms })
    }

    /// Starts a job of these arguments.
    pub async fn run(&self, bundle: &str, arguments: Vec<String>, parallelism: u32) -> Result<String> {
        self.run_with(bundle, arguments, parallelism, &[]).await
    }

    /// Starts a job of these arguments and options.
    pub async fn run_with(
        &self,
        bundle: &str,
        arguments: Vec<String>,
        parallelism: u32,
        options: &[(&str, &str)],
    ) -> Result<String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let request = RunRequest {
            program_args_list: Some(arguments),
            parallelism: Some(parallelism.into()),
            flink_configuration: Some(options.collect()),
            ..RunRequest::default()
        };
        Ok(self.client.run(bundle, &request).await?.jobid)
    }

    /// Waits until a job has finished.
    pub async fn wait_finished(&self, job: &str) -> Result<()> {
        let deadline = Instant::now() + JOB_TIME_MAX;
        loop {
            let details = self.client.job(job).await?;
            if details.state == JobStatus::Finished {
                return Ok(());
            }
            if details.state.is_terminal() || Instant::now() > deadline {
                let history = self.client.exceptions(job).await?.exception_history;
                let cause = history.entries.first().map(|entry| entry.stacktrace.clone()).unwrap_or_default();
                bail!("job {job} is {}: {cause}", details.state);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The processor time of the process and of the compilers that it started, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds_of(self.process.id())
    }

    /// The resident memory after some time without work, in MB.
    pub async fn idle_memory_mb(&self) -> Result<u64> {
        tokio::time::sleep(IDLE_TIME).await;
        self.memory_mb("VmRSS:")
    }

    /// The largest resident memory since [`Self::forget_peak`], in MB.
    pub fn peak_memory_mb(&self) -> Result<u64> {
        self.memory_mb("VmHWM:")
    }

    /// Has the kernel measure the peak anew.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }

    fn memory_mb(&self, field: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = text.lines().find(|line| line.starts_with(field)).with_context(|| format!("no {field}"))?;
        let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024)
    }
}

/// The processor time of a process and of those that it started and that have ended, in seconds.
pub fn cpu_seconds_of(process: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold anything: user and system time, own and of children, are fields 14 to 17.
    let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).context("no name")?;
    let ticks: Vec<u64> = fields.skip(11).take(4).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64)
}

impl Drop for Standalone {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
