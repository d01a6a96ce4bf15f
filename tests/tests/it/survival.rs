//! Clients and servers die; bundles and jobs do not.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::{repository, rows, wait};
use millrace_types::JobStatus;

fn lines(path: &Path, count: usize) -> Result<()> {
    let text: String = (0..count).map(|line| format!("line {}\n", line % 100)).collect();
    Ok(std::fs::write(path, text)?)
}

#[tokio::test]
async fn killing_the_client_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let mut client = Command::new(repository::millrace()?)
        .args(["run", "-m", &cluster.address()])
        .arg(repository::bundle("faulty")?)
        .args(["--", "unbounded"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let job = wait::until("the client's job", async || {
        assert!(client.try_wait()?.is_none(), "the client ended before its job");
        Ok(cluster.client.jobs().await?.jobs.into_iter().next().map(|job| job.jid))
    });
    let job = job.await?;
    let written = |details: &millrace_client::api::JobDetails| details.state == JobStatus::Running;
    cluster.wait_for(&job, written).await?;
    client.kill()?;
    client.wait()?;
    assert_eq!(cluster.client.status(&job).await?.status, JobStatus::Running);
    cluster.client.cancel(&job).await?;
    let ended = cluster.wait_for(&job, |details| details.state.is_terminal()).await?;
    assert_eq!(ended.state, JobStatus::Canceled);
    Ok(())
}

#[tokio::test]
async fn a_restarted_server_has_the_same_bundles_and_runs_unfinished_jobs_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let (input, output) = (folder.path().join("lines.txt"), folder.path().join("rows"));
    lines(&input, 200_000)?;
    let paths = [input.to_str().unwrap(), output.to_str().unwrap()];
    let wordcount = repository::bundle("wordcount")?;
    let run = || Run { args: vec!["--input", paths[0], "--output", paths[1]], parallelism: 1, ..Run::default() };
    let finished = cluster.run(&wordcount, run()).await?;
    cluster.wait_finished(&finished).await?;
    let expected = rows::sorted_rows(&output)?;
    let unbounded = Run { args: vec!["unbounded"], ..Run::default() };
    let running = cluster.run(&repository::bundle("faulty")?, unbounded).await?;
    cluster.wait_for(&running, |details| details.state == JobStatus::Running).await?;
    let bundles = cluster.client.bundles().await?.files;
    let interrupted = cluster.run(&wordcount, run()).await?;

    cluster.kill_and_restart()?;

    assert_eq!(cluster.client.bundles().await?.files, bundles);
    assert_eq!(cluster.client.status(&finished).await?.status, JobStatus::Finished);
    let again = cluster.wait_for(&running, |details| details.state == JobStatus::Running).await?;
    let vertex = cluster.client.vertex(&running, &again.vertices[0].id).await?;
    assert_eq!(vertex.subtasks[0].attempt, 1, "the tasks of the new life have higher attempt numbers");
    cluster.wait_finished(&interrupted).await?;
    // Each of the two runs has written its own part files, whole, and none twice.
    let mut twice: Vec<_> = expected.iter().chain(&expected).cloned().collect();
    twice.sort_unstable();
    assert_eq!(rows::sorted_rows(&output)?, twice);
    cluster.client.cancel(&running).await?;
    cluster.wait_for(&running, |details| details.state == JobStatus::Canceled).await?;

    // A job that was cancelled stays so.
    cluster.kill_and_restart()?;
    assert_eq!(cluster.client.status(&running).await?.status, JobStatus::Canceled);
    Ok(())
}
