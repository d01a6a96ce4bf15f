//! Tasks that commit in two phases and have further outputs: what a sink commits and what goes on from the same records
//! are both exact, whichever of the processes dies.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;

const RECORDS: u64 = 30_000;

/// The words alone, of rows of words and their counts.
fn words(counts: &[String]) -> Vec<String> {
    let mut words: Vec<String> =
        counts.iter().map(|row| row.split(',').next().unwrap_or_default().to_owned()).collect();
    words.sort_unstable();
    words
}

fn compare(output: &Path, expected: &Expected) -> Result<()> {
    let counts = committed_rows(&output.join("counts"))?;
    let mut read = committed_rows(&output.join("words"))?;
    read.sort_unstable();
    ensure!(read == words(&counts), "{} words were committed, and {} counts", read.len(), counts.len());
    expected.compare(counts).context("beside the exchange")?;
    expected.compare(committed_rows(&output.join("again"))?).context("behind the exchange")?;
    Ok(())
}

/// The source's task commits words and sends them on; the counting task commits counts and sends them on.
#[tokio::test]
async fn what_a_task_commits_and_what_it_sends_on_are_both_exact_after_a_kill() -> Result<()> {
    let expected = Expected::of("wc", RECORDS, 100_000)?;
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 3, 2, &["--file-root", "/"]).await?;
    let directory = folder.path().join("checkpoints");
    let (records, rate) = (RECORDS.to_string(), (RECORDS / 4).to_string());
    for unaligned in ["false", "true"] {
        let output = folder.path().join(format!("rows-{unaligned}"));
        let path = output.to_str().context("a path")?;
        let args = vec!["--query", "wc-twice", "--events", &records, "--rate", &rate, "--output", path];
        let options = vec![
            ("execution.checkpointing.interval", "100 ms"),
            ("execution.checkpointing.dir", directory.to_str().context("a path")?),
            ("execution.checkpointing.unaligned.enabled", unaligned),
            ("restart-strategy.type", "fixed-delay"),
            ("restart-strategy.fixed-delay.attempts", "3"),
            ("restart-strategy.fixed-delay.delay", "10 ms"),
        ];
        let run = Run { args, parallelism: 3, options, ..Run::default() };
        let job = cluster.run(&repository::bundle("nexmark")?, run).await?;
        checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 2).await?;
        let victim = cluster.running(&job).await?;
        cluster.kill_task_manager(victim)?;
        cluster.add_task_manager()?;
        cluster.wait_finished(&job).await?;
        let figures = checkpoints::figures(&cluster.client, &job).await?;
        ensure!(figures.restored >= 1, "{figures:?}");
        compare(&output, &expected).with_context(|| format!("unaligned: {unaligned}"))?;
    }
    Ok(())
}
