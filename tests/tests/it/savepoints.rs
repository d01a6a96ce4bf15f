//! Savepoints by the command line: a job stops, moves, and goes on at another parallelism.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use serde_json::Value;

/// Events in a second of event time: sparse, so that a short run has many windows.
const EVENTS_PER_SECOND: u64 = 2_000;

/// What a command prints for scripts.
fn millrace(cluster: &Processes, command: &str, arguments: &[&str]) -> Result<Value> {
    let output = Command::new(repository::millrace()?)
        .args([command, "--json", "-m", &cluster.address()])
        .args(arguments)
        .output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A query that no machine is too busy to stop before its input is read; what the last job has of that it reads at once.
struct Case<'a> {
    query: &'a str,
    records: u64,
    rate: u64,
}

/// Whether a job is to be stopped, or is to read what is left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    AtRate,
    Unlimited,
}

impl Case<'_> {
    /// Starts it detached and returns the job's id.
    fn run(
        &self,
        cluster: &Processes,
        (parallelism, pace): (u32, Pace),
        from: Option<&str>,
        output: &Path,
    ) -> Result<String> {
        let directory = format!("execution.checkpointing.dir={}", cluster.folder().join("checkpoints").display());
        let (parallelism, bundle) = (parallelism.to_string(), repository::bundle("nexmark")?);
        let mut arguments =
            vec!["-d", "-p", &parallelism, "-D", &directory, "-D", "execution.checkpointing.interval=100 ms"];
        arguments.extend(from.into_iter().flat_map(|path| ["-s", path]));
        let (records, rate, density) = (self.records.to_string(), self.rate.to_string(), EVENTS_PER_SECOND.to_string());
        arguments.extend([bundle.to_str().context("a path")?, "--", "--query", self.query]);
        arguments.extend(["--events", &records, "--events-per-second", &density]);
        if pace == Pace::AtRate {
            arguments.extend(["--rate", &rate]);
        }
        arguments.extend(["--output", output.to_str().context("a path")?]);
        let started = millrace(cluster, "run", &arguments)?;
        Ok(started["jobid"].as_str().context("no job")?.to_owned())
    }
}

/// Stops a job that has taken a checkpoint, and returns where its savepoint is.
async fn stop(cluster: &Processes, job: &str) -> Result<String> {
    checkpoints::wait_for(cluster, job, |figures| figures.completed >= 1).await?;
    let folder = cluster.folder().join("savepoints");
    let stopped = millrace(cluster, "stop", &[job, "-p", folder.to_str().context("a path")?])?;
    ensure!(stopped["status"] == "FINISHED", "{stopped}");
    let location = stopped["location"].as_str().context("no location")?;
    Ok(location.trim_start_matches("file:").to_owned())
}

#[tokio::test]
async fn a_job_goes_on_at_another_parallelism_with_nothing_lost_and_nothing_doubled() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let cases = [
        Case { query: "wc", records: 30_000, rate: 500 },
        Case { query: "q5", records: 180_000, rate: 3_000 },
        Case { query: "q8", records: 180_000, rate: 3_000 },
    ];
    for case in cases {
        let expected = Expected::of(case.query, case.records, EVENTS_PER_SECOND)?;
        let output = folder.path().join(case.query);
        let job = case.run(&cluster, (4, Pace::AtRate), None, &output)?;
        let savepoint = stop(&cluster, &job).await?;
        // One reader holds all four splits: what the one that is read first has ahead must not make the others late.
        let job = case.run(&cluster, (1, Pace::AtRate), Some(&savepoint), &output)?;
        let savepoint = stop(&cluster, &job).await?;
        let job = case.run(&cluster, (3, Pace::Unlimited), Some(&savepoint), &output)?;
        cluster.wait_finished(&job).await?;
        expected.compare(committed_rows(&output)?)?;
    }
    Ok(())
}

/// Nobody but its owner deletes a savepoint, and it refers to nothing outside of its folder.
#[tokio::test]
async fn a_savepoint_can_be_moved_and_begun_with_more_than_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let case = Case { query: "wc", records: 30_000, rate: 500 };
    let expected = Expected::of(case.query, case.records, EVENTS_PER_SECOND)?;
    let before = folder.path().join("before");
    let job = case.run(&cluster, (2, Pace::AtRate), None, &before)?;
    let savepoint = PathBuf::from(stop(&cluster, &job).await?);
    std::fs::remove_dir_all(folder.path().join("checkpoints"))?;
    let moved = folder.path().join("moved");
    std::fs::rename(&savepoint, &moved)?;
    for parallelism in [1, 4] {
        let after = folder.path().join(format!("after-{parallelism}"));
        let from = moved.to_str().context("a path")?;
        let job = case.run(&cluster, (parallelism, Pace::Unlimited), Some(from), &after)?;
        cluster.wait_finished(&job).await?;
        let mut rows = committed_rows(&before)?;
        rows.extend(committed_rows(&after)?);
        expected.compare(rows)?;
    }
    Ok(())
}
