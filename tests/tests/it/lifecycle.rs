//! A job's life as REST shows it: slots are taken and given back, figures follow what the job does.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::{ExecutionState, JobStatus};

#[tokio::test]
async fn slots_are_taken_and_given_back_and_a_job_without_slots_waits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let bundle = repository::bundle("faulty")?;
    let unbounded = |parallelism| Run { args: vec!["unbounded"], parallelism, ..Run::default() };
    let first = cluster.run(&bundle, unbounded(2)).await?;
    let running = cluster.wait_for(&first, |details| details.state == JobStatus::Running).await?;
    assert_eq!(running.vertices.iter().map(|vertex| vertex.parallelism).collect::<Vec<_>>(), [2]);
    let overview = cluster.client.overview().await?;
    assert_eq!((overview.slots_total, overview.slots_available, overview.jobs_running), (2, 0, 1));

    let second = cluster.run(&bundle, unbounded(1)).await?;
    let waiting = cluster.wait_for(&second, |details| details.waiting_for.is_some()).await?;
    assert_eq!(waiting.state, JobStatus::Created);
    assert!(waiting.waiting_for.is_some_and(|text| text.contains("needs 1 slots and has 0")));

    cluster.client.cancel(&first).await?;
    let ended = cluster.wait_for(&first, |details| details.state.is_terminal()).await?;
    assert_eq!(ended.state, JobStatus::Canceled);
    assert!(ended.vertices.iter().all(|vertex| vertex.status == ExecutionState::Canceled));
    assert!(ended.end_time >= ended.start_time && ended.duration >= 0);
    // The slots that the first gave back make the second run by itself.
    cluster.wait_for(&second, |details| details.state == JobStatus::Running).await?;
    // It may have been given one before the other was free.
    cluster.wait_for_slots(1, 1).await?;
    let overview = cluster.client.overview().await?;
    assert_eq!((overview.jobs_running, overview.jobs_cancelled), (1, 1));
    let task_managers = cluster.client.task_managers().await?.taskmanagers;
    assert_eq!((task_managers[0].slots_number, task_managers[0].assigned_tasks), (2, 1));
    cluster.client.cancel(&second).await?;
    cluster.client.cancel(&second).await?;
    cluster.wait_for(&second, |details| details.state == JobStatus::Canceled).await?;
    Ok(())
}

#[tokio::test]
async fn figures_count_what_crosses_between_tasks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let (input, output) = (folder.path().join("in.txt"), folder.path().join("out"));
    std::fs::write(&input, "a b c\n".repeat(1_000))?;
    let args = vec!["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let job = cluster.run(&repository::bundle("wordcount")?, Run { args, parallelism: 2, ..Run::default() }).await?;
    let details = cluster.wait_finished(&job).await?;
    let [source, sink] = details.vertices.as_slice() else { panic!("{:?}", details.vertices) };
    assert_eq!(source.name, "Source: lines -> split -> pair");
    assert_eq!((source.metrics.read_records, source.metrics.write_records), (0, 3_000));
    assert_eq!((sink.metrics.read_records, sink.metrics.write_records), (3_000, 0));
    assert_eq!(source.metrics.write_bytes, sink.metrics.read_bytes);
    assert!(source.metrics.write_bytes > 3_000);
    let vertex = cluster.client.vertex(&job, &sink.id).await?;
    assert_eq!(vertex.subtasks.iter().map(|subtask| subtask.metrics.read_records).sum::<u64>(), 3_000);
    assert_eq!(vertex.aggregated.metrics["read-records"].sum, 3_000);
    Ok(())
}

#[tokio::test]
async fn a_bundle_goes_when_it_is_deleted_and_its_jobs_go_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let bundle = repository::bundle("faulty")?;
    let id = cluster.client.upload(&bundle).await?;
    assert_eq!(cluster.client.upload(&bundle).await?, id, "the same bytes are the same bundle");
    let job = cluster.run(&bundle, Run { args: vec!["unbounded"], ..Run::default() }).await?;
    cluster.client.delete_bundle(&id).await?;
    assert_eq!(cluster.client.bundles().await?.files, []);
    assert!(cluster.client.delete_bundle(&id).await.is_err_and(|error| error.is_status(400)));
    cluster.wait_for(&job, |details| details.state == JobStatus::Running).await?;
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_runs_though_its_client_hangs_up_when_it_has_said_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "1"])?;
    let id = cluster.client.upload(&repository::bundle("faulty")?).await?;
    let job = "0123456789abcdef0123456789abcdef";
    let body = format!(r#"{{"jobId":"{job}","programArgsList":["unbounded"]}}"#);
    let head = "Host: millrace\r\nContent-Type: application/json\r\nContent-Length";
    let deadline = Instant::now() + PATIENCE;
    while cluster.client.job(job).await.is_err() {
        ensure!(Instant::now() < deadline, "it was never stored");
        // The end of the connection may be seen before the request is: then nothing has begun, and it is sent again.
        let mut client = TcpStream::connect(cluster.address())?;
        write!(client, "POST /v1/jars/{id}/run HTTP/1.1\r\n{head}: {}\r\n\r\n{body}", body.len())?;
        drop(client);
        tokio::time::sleep(POLL).await;
    }
    cluster.wait_running(job).await?;
    Ok(())
}

#[tokio::test]
async fn a_job_manager_ends_though_a_client_waits_for_rows() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 0, 1, &[]).await?;
    let run = Run { args: vec!["unbounded"], ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    let mut client = TcpStream::connect(cluster.address())?;
    write!(client, "GET /v1/jobs/{job}/results?from=0&wait-ms=30000 HTTP/1.1\r\nHost: millrace\r\n\r\n")?;
    cluster.client.job(&job).await?;
    let told = Instant::now();
    cluster.job_manager().terminate()?;
    ensure!(told.elapsed() < Duration::from_secs(20), "it took {:?}", told.elapsed());
    Ok(())
}
