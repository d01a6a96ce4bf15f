//! State and windows through checkpoints: the rows of a separate computation, at several parallelisms, with and without a
//! TaskManager killed in the middle.

use anyhow::{Context, Result};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;

/// The density of event time that all figures are given for.
const EVENTS_PER_SECOND: u64 = 100_000;

/// How long a job runs at least in which a TaskManager is killed, in seconds.
const SECONDS_WITH_KILL: u64 = 4;

/// Often, so that even a fast run has some.
const CHECKPOINTS: [(&str, &str); 4] = [
    ("execution.checkpointing.interval", "50 ms"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "3"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

async fn gives_the_expected_rows(query: &str, records: u64) -> Result<()> {
    let expected = Expected::of(query, records, EVENTS_PER_SECOND)?;
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 3, 2, &["--file-root", "/"]).await?;
    let directory = folder.path().join("checkpoints");
    // A job that is to lose a TaskManager in the middle takes some seconds, however fast the machine is.
    let (records, rate) = (records.to_string(), (records / SECONDS_WITH_KILL).to_string());
    for (parallelism, kill) in [(1, false), (2, false), (4, false), (1, true), (2, true), (4, true)] {
        let case = format!("{query} at parallelism {parallelism}, kill: {kill}");
        let output = folder.path().join(format!("rows-{parallelism}-{kill}"));
        let mut args = vec!["--query", query, "--events", &records, "--output", output.to_str().context("a path")?];
        if kill {
            args.extend(["--rate", &rate]);
        }
        let mut options = CHECKPOINTS.to_vec();
        options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
        let run = Run { args, parallelism, options, ..Run::default() };
        let job = cluster.run(&repository::bundle("nexmark")?, run).await?;
        if kill {
            checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 1).await.context(case.clone())?;
            let victim = cluster.running(&job).await?;
            cluster.kill_task_manager(victim)?;
            cluster.add_task_manager()?;
        }
        cluster.wait_finished(&job).await.context(case.clone())?;
        let figures = checkpoints::figures(&cluster.client, &job).await?;
        assert_eq!(figures.restored > 0, kill, "{case}: {figures:?}");
        expected.compare(committed_rows(&output)?).context(case)?;
        std::fs::remove_dir_all(&output)?;
    }
    Ok(())
}

#[tokio::test]
async fn q5() -> Result<()> {
    gives_the_expected_rows("q5", 5_000_000).await
}

#[tokio::test]
async fn q7() -> Result<()> {
    gives_the_expected_rows("q7", 5_000_000).await
}

#[tokio::test]
async fn q8() -> Result<()> {
    gives_the_expected_rows("q8", 5_000_000).await
}

/// Ten words in each sentence: as many events as the others have. `MILLRACE_SENTENCES` asks for other numbers.
#[tokio::test]
async fn wc() -> Result<()> {
    let sentences = std::env::var("MILLRACE_SENTENCES").map_or(Ok(500_000), |text| text.parse())?;
    gives_the_expected_rows("wc", sentences).await
}
