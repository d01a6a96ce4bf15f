//! The adaptive scheduler: a job goes on with the slots that are left, and takes up those that come.

use anyhow::{Result, ensure};
use millrace_client::api::JobDetails;
use millrace_tests::checkpoints;
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::query::Query;
use millrace_tests::repository;
use millrace_types::{ExecutionState, JobStatus};

/// One restart is allowed, which the death of a TaskManager costs; taking up slots is none.
const OPTIONS: [(&str, &str); 7] = [
    ("jobmanager.scheduler", "adaptive"),
    ("jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout", "300 ms"),
    ("jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling", "0 ms"),
    ("execution.checkpointing.interval", "200 ms"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "1"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

/// Waits until all tasks run, so many of each vertex.
async fn wait_for_parallelism(cluster: &Processes, job: &str, parallelism: u32) -> Result<JobDetails> {
    let runs = |details: &JobDetails| {
        details.state == JobStatus::Running
            && details.vertices.iter().all(|vertex| {
                let desired = vertex.desired_parallelism.unwrap_or(0);
                vertex.status == ExecutionState::Running && vertex.parallelism == parallelism.min(desired)
            })
    };
    let details = cluster.wait_for(job, |details| runs(details) || details.state.is_terminal()).await?;
    ensure!(!details.state.is_terminal(), "the job was {} before it ran at {parallelism}", details.state);
    ensure!(details.scheduler_type == "Adaptive", "{}", details.scheduler_type);
    Ok(details)
}

#[tokio::test]
async fn a_job_goes_on_at_the_parallelism_that_its_slots_allow() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // However busy the machine is, none but the dead one counts as lost.
    let patient = ["--file-root", "/", "-D", "heartbeat.timeout=10 s"];
    let mut cluster = Processes::start(folder.path(), 3, 1, &patient).await?;
    let query = Query::start(&cluster, folder.path(), "q5", 3, &OPTIONS).await?;
    let job = query.job.clone();
    wait_for_parallelism(&cluster, &job, 3).await?;
    checkpoints::wait_for(&cluster, &job, |figures| figures.completed >= 2).await?;

    cluster.kill_task_manager(0)?;
    wait_for_parallelism(&cluster, &job, 2).await?;
    let before = checkpoints::figures(&cluster.client, &job).await?.completed;
    checkpoints::wait_for(&cluster, &job, |figures| figures.completed > before).await?;

    cluster.add_task_manager()?;
    wait_for_parallelism(&cluster, &job, 3).await?;
    query.go_on(&cluster, 1).await?;
    let figures = checkpoints::figures(&cluster.client, &job).await?;
    assert_eq!(figures.restored, 2, "{figures:?}");
    let history = cluster.client.exceptions(&job).await?.exception_history;
    assert_eq!(history.entries.len(), 1, "only the death is a failure: {:#?}", history.entries);
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn a_job_that_lacks_slots_begins_with_those_that_there_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 1, 1, &[]).await?;
    let run = Run { args: vec!["unbounded"], parallelism: 2, options: OPTIONS[..3].to_vec(), ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    wait_for_parallelism(&cluster, &job, 1).await?;
    cluster.add_task_manager()?;
    wait_for_parallelism(&cluster, &job, 2).await?;
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    cluster.wait_for_slots(2, 2).await
}
