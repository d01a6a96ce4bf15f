//! How long it takes until something runs.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_types::{ExecutionState, JobStatus};

use crate::process::Standalone;

/// How often a job is started.
const RUNS: usize = 7;

/// How often it is looked whether all tasks run.
const POLL: Duration = Duration::from_micros(500);

/// How long that may take.
const RUN_TIME_MAX: Duration = Duration::from_secs(10);

/// Starts a cluster once, so that the one that is measured finds the program in the page cache.
pub fn warm_up(folder: &Path) -> Result<()> {
    drop(Standalone::start(&folder.join("warm-up"))?);
    Ok(())
}

/// From the request to run a compiled bundle until all tasks run, in milliseconds: the median of some runs.
pub async fn run_ms(cluster: &Standalone, bundle: &str) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        let job = cluster.run(bundle, ["--query", "q0x"].map(str::to_owned).to_vec(), 1).await?;
        loop {
            let details = cluster.client.job(&job).await?;
            let runs = |status: ExecutionState| status == ExecutionState::Running;
            if !details.vertices.is_empty() && details.vertices.iter().all(|vertex| runs(vertex.status)) {
                break;
            }
            ensure!(began.elapsed() < RUN_TIME_MAX, "job {job} does not run: {details:?}");
            tokio::time::sleep(POLL).await;
        }
        times.push(began.elapsed().as_secs_f64() * 1e3);
        cluster.client.cancel(&job).await?;
        while cluster.client.job(&job).await?.state != JobStatus::Canceled {
            tokio::time::sleep(POLL).await;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[RUNS / 2])
}
