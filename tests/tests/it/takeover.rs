//! A JobManager dies under a job with state, windows and transactions: its tasks run on, and the rows are exact.

use anyhow::{Context, Result};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::JobStatus;

const EVENTS: u64 = 600_000;
const EVENTS_PER_SECOND: u64 = 100_000;

/// So that the job lasts some seconds.
const RATE: &str = "100000";

const CHECKPOINTS: [(&str, &str); 4] = [
    ("execution.checkpointing.interval", "100 ms"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "3"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

#[tokio::test]
async fn windows_and_commits_go_on_under_the_next_leader() -> Result<()> {
    let expected = Expected::of("q5", EVENTS, EVENTS_PER_SECOND)?;
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let (directory, output) = (folder.path().join("checkpoints"), folder.path().join("rows"));
    let (events, to) = (EVENTS.to_string(), output.to_str().context("a path")?);
    let args = vec!["--query", "q5", "--events", &events, "--output", to, "--rate", RATE];
    let mut options = CHECKPOINTS.to_vec();
    options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
    let run = Run { args, parallelism: 4, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("nexmark")?, run).await?;
    for _ in 0..3 {
        checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 2).await?;
        let running = cluster.client.job(&job).await?;
        assert_eq!(running.state, JobStatus::Running, "the job was over before its JobManager was killed");
        cluster.restart_job_manager().await?;
        cluster.wait_running(&job).await?;
    }
    cluster.wait_finished(&job).await?;
    let attempts = cluster.attempts(&job).await?;
    assert!(attempts.iter().all(|(attempt, _)| *attempt == 0), "{attempts:?}");
    expected.compare(committed_rows(&output)?)?;
    Ok(())
}
