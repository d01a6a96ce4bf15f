//! From `kill -9` of a TaskManager to the first record processed again, with a spare standing by and default settings.
//!
//! The rows say it: each sample holds when its record was due and how much later it was processed. What was processed
//! before the kill and not yet committed is processed again, so the earliest moment behind the kill that any row names is
//! the first record's. A spare stands by when it has compiled what the job needs, which it begins when the job does.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::{checkpoints, metrics, repository, rows};

use crate::latency::sample;

/// How often a TaskManager is killed.
const KILLS: usize = 3;

/// Sentences a second, and for how many seconds.
const RATE: u64 = 20_000;
const SECONDS: u64 = 8;

/// The median of some runs, in milliseconds.
pub async fn measure(folder: &Path) -> Result<u64> {
    median(folder, "recovery", 1).await
}

/// The same where the leader of three JobManagers is killed together with the TaskManager.
pub async fn measure_with_leader(folder: &Path) -> Result<u64> {
    median(folder, "resume", 3).await
}

async fn median(folder: &Path, name: &str, job_managers: usize) -> Result<u64> {
    let mut times = Vec::new();
    for run in 0..KILLS {
        times.push(once(&folder.join(format!("{name}-{run}")), job_managers).await?);
    }
    times.sort_unstable();
    Ok(times[KILLS / 2])
}

async fn once(folder: &Path, job_managers: usize) -> Result<u64> {
    std::fs::create_dir_all(folder)?;
    // One runs the job, the other is the spare.
    let mut cluster = match job_managers {
        1 => Processes::start(folder, 2, 1, &["--file-root", "/"]).await?,
        more => Processes::start_group(folder, more, 2, 1, &["--file-root", "/"]).await?,
    };
    let (output, directory) = (folder.join("rows"), folder.join("checkpoints"));
    let (events, rate) = ((RATE * SECONDS).to_string(), RATE.to_string());
    let args = ["--query", "wc", "--latency", "--events", &events, "--rate", &rate, "--output"];
    let args = args.into_iter().chain([output.to_str().context("a path")?]).collect();
    let options = vec![
        ("execution.checkpointing.interval", "1 s"),
        ("execution.checkpointing.dir", directory.to_str().context("a path")?),
    ];
    let job =
        cluster.run(&repository::bundle("nexmark")?, Run { args, parallelism: 1, options, ..Run::default() }).await?;
    checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 2).await?;
    metrics::wait_for(&cluster, 2, |all| all.iter().all(|metrics| metrics.get(metrics::COMPONENTS) == Some(&1)))
        .await?;
    let victim = cluster.running(&job).await?;
    let leader = if job_managers > 1 { Some(cluster.leader().await?) } else { None };
    let killed_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64;
    cluster.kill_task_manager(victim)?;
    if let Some(leader) = leader {
        cluster.job_managers[leader].kill()?;
    }
    cluster.wait_finished(&job).await?;
    let mut first = None;
    for row in rows::sorted_rows(&output)? {
        let (due_ms, latency_ms) = sample(&row)?;
        let processed_ms = due_ms + latency_ms;
        if processed_ms > killed_ms {
            first = Some(first.map_or(processed_ms, |known: i64| known.min(processed_ms)));
        }
    }
    let first = first.context("no record was processed behind the kill")?;
    Ok(first.abs_diff(killed_ms))
}
