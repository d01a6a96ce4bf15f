//! A job that is to be drained and cannot be: it goes on as if nobody had asked.

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints::{self, Savepoint};
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::JobStatus;

const RECORDS: u64 = 30_000;

/// Asks for the drain and waits for what becomes of it.
async fn drain(cluster: &Processes, job: &str, folder: &str) -> Result<Savepoint> {
    let request = checkpoints::drain(&cluster.client, job, folder).await?;
    checkpoints::ended(&cluster.client, job, &request).await
}

#[tokio::test]
async fn a_drain_whose_savepoint_cannot_be_written_loses_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let (output, directory) = (folder.path().join("rows"), folder.path().join("checkpoints"));
    // No folder can be made below a file.
    let target = folder.path().join("savepoints");
    std::fs::write(&target, "a file")?;
    let records = RECORDS.to_string();
    let rate = (RECORDS / 5).to_string();
    let args =
        vec!["--query", "wc", "--events", &records, "--rate", &rate, "--output", output.to_str().context("a path")?];
    let options = vec![
        ("execution.checkpointing.interval", "100 ms"),
        ("execution.checkpointing.dir", directory.to_str().context("a path")?),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "3"),
        ("restart-strategy.fixed-delay.delay", "10 ms"),
    ];
    let run = Run { args, parallelism: 4, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("nexmark")?, run).await?;
    checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 2).await?;

    let outcome = drain(&cluster, &job, target.to_str().context("a path")?).await?;
    let Savepoint::Failed(why) = outcome else { anyhow::bail!("the savepoint cannot be complete: {outcome:?}") };
    ensure!(why.contains("savepoint could not be taken"), "{why}");
    let details = cluster.client.job(&job).await?;
    ensure!(details.state != JobStatus::Finished, "it ended with a part of its input");
    checkpoints::wait_for(&cluster, &job, |figures| figures.restored >= 1).await?;
    ensure!(cluster.failure(&job).await?.contains("savepoint could not be taken"));

    cluster.wait_finished(&job).await?;
    Expected::of("wc", RECORDS, 100_000)?.compare(committed_rows(&output)?)?;
    Ok(())
}
