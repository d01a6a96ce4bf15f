//! A JobManager dies under a job with state, windows and transactions: its tasks run on, and the rows are exact.

use anyhow::Result;
use millrace_tests::processes::Processes;
use millrace_tests::query::Query;

const OPTIONS: [(&str, &str); 4] = [
    ("execution.checkpointing.interval", "100 ms"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "3"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

#[tokio::test]
async fn windows_and_commits_go_on_under_the_next_leader() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // However busy the machine is, no task counts as lost.
    let patient = ["--file-root", "/", "-D", "heartbeat.timeout=10 s", "-D", "jobmanager.adoption.timeout=20 s"];
    let mut cluster = Processes::start(folder.path(), 2, 2, &patient).await?;
    let query = Query::start(&cluster, folder.path(), "q5", 4, &OPTIONS).await?;
    for _ in 0..3 {
        query.go_on(&cluster, 2).await?;
        query.still_runs(&cluster).await?;
        cluster.restart_job_manager().await?;
        cluster.wait_running(&query.job).await?;
    }
    query.go_on(&cluster, 1).await?;
    let attempts = query.attempts(&cluster).await?;
    assert!(attempts.iter().all(|(attempt, _)| *attempt == 0), "{attempts:?}");
    query.is_exact(&cluster).await
}
