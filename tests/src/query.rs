//! A query of nexmark that runs for as long as a test needs it, and whose rows are known.
//!
//! A job that ends by itself may be over before a busy machine has come to what a test does to it. So there is far more
//! input than is read at its rate meanwhile. When the test is done the job is stopped with a savepoint, and another one
//! reads what is left as fast as it goes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::checkpoints;
use crate::expected::{Expected, committed_rows};
use crate::jobs::{Jobs, Run};
use crate::repository;

/// Events in a second of event time, and so many are made in a second; of sentences of the word count there are fewer.
pub const EVENTS_PER_SECOND: u64 = 10_000;
const SENTENCES_PER_SECOND: u64 = 500;

/// How long the input lasts at this rate, in seconds.
const SECONDS: u64 = 90;

/// A query that runs.
pub struct Query {
    /// The job.
    pub job: String,
    query: &'static str,
    parallelism: u32,
    options: Vec<(&'static str, String)>,
    folder: PathBuf,
    expected: Expected,
}

impl Query {
    /// Starts it with these options, with its rows and savepoints below a folder, and waits until all its tasks run.
    pub async fn start(
        jobs: &Jobs,
        folder: &Path,
        query: &'static str,
        parallelism: u32,
        options: &[(&'static str, &str)],
    ) -> Result<Self> {
        let expected = Expected::of(query, per_second(query) * SECONDS, EVENTS_PER_SECOND)?;
        let options = options.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let folder = folder.join(query);
        let mut query = Self { job: String::new(), query, parallelism, options, folder, expected };
        query.run(jobs, None).await?;
        jobs.wait_running(&query.job).await?;
        Ok(query)
    }

    async fn run(&mut self, jobs: &Jobs, from: Option<&str>) -> Result<()> {
        let output = self.output();
        let rate = per_second(self.query);
        let (records, rate, density) = ((rate * SECONDS).to_string(), rate.to_string(), EVENTS_PER_SECOND.to_string());
        let mut args =
            vec!["--query", self.query, "--events", &records, "--output", output.to_str().context("a path")?];
        if self.query != "wc" {
            args.extend(["--events-per-second", &density]);
        }
        if from.is_none() {
            args.extend(["--rate", &rate]);
        }
        let options = self.options.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let run = Run { args, parallelism: self.parallelism, options, from, ..Run::default() };
        self.job = jobs.run(&repository::bundle("nexmark")?, run).await?;
        Ok(())
    }

    fn output(&self) -> PathBuf {
        self.folder.join("rows")
    }

    /// Waits for this many more checkpoints.
    pub async fn go_on(&self, jobs: &Jobs, more: u64) -> Result<()> {
        // The first may be another leader's, of which this one counts none.
        let before = checkpoints::wait_for(jobs, &self.job, |figures| figures.latest.is_some()).await?;
        let until = before.latest.unwrap_or_default() + more;
        checkpoints::wait_for(jobs, &self.job, |figures| figures.latest.is_some_and(|id| id >= until)).await?;
        Ok(())
    }

    /// Which attempts of its tasks run, and since when.
    pub async fn attempts(&self, jobs: &Jobs) -> Result<Vec<(u32, i64)>> {
        jobs.attempts(&self.job).await
    }

    /// Checks that it is not over: what was done to it was done to a job that runs.
    pub async fn still_runs(&self, jobs: &Jobs) -> Result<()> {
        let state = jobs.client.job(&self.job).await?.state;
        ensure!(!state.is_terminal(), "the job is {state} already: it was to last {SECONDS} s");
        Ok(())
    }

    /// Stops it, has what is left read, and compares all that was committed.
    pub async fn is_exact(mut self, jobs: &Jobs) -> Result<()> {
        let savepoint = checkpoints::stop_at_last(jobs, &self.job, &self.folder.join("savepoints")).await?;
        self.run(jobs, Some(&savepoint)).await?;
        jobs.wait_finished(&self.job).await?;
        self.expected.compare(committed_rows(&self.output())?)?;
        Ok(())
    }
}

/// How many records there are in a second.
fn per_second(query: &str) -> u64 {
    if query == "wc" { SENTENCES_PER_SECOND } else { EVENTS_PER_SECOND }
}
