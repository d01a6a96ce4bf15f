//! A consumer that is slower than its producer: memory, backpressure, neighbours.

use std::time::Instant;

use anyhow::{Context, Result};
use millrace_client::api::JobDetails;
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::JobStatus;

/// The buffers of a TaskManager in this test.
const BUFFER_BYTES: u64 = 4 * 1024 * 1024;

/// What a TaskManager may take in all: its buffers, two jobs' instances, and itself.
const RESIDENT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// So many records have to pass before a rate is worth something.
const RECORDS: u64 = 2_000_000;

/// Records a second that a job's second vertex reads, over so many records.
async fn rate(cluster: &Processes, job: &str) -> Result<f64> {
    let first = cluster.wait_for(job, |details| read(details) > 0).await?;
    let began = Instant::now();
    let last = cluster.wait_for(job, |details| read(details) > read(&first) + RECORDS).await?;
    Ok((read(&last) - read(&first)) as f64 / began.elapsed().as_secs_f64())
}

fn read(details: &JobDetails) -> u64 {
    details.vertices[1].metrics.read_records
}

#[tokio::test]
async fn backpressure_bounds_memory_and_leaves_a_neighbour_its_share() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["-D", "taskmanager.memory.network.max=4 mb"];
    let cluster = Processes::start(folder.path(), 1, 2, &options).await?;
    let faulty = repository::bundle("faulty")?;
    let neighbour = cluster.run(&faulty, Run { args: vec!["passes"], ..Run::default() }).await?;
    cluster.wait_running(&neighbour).await?;
    let alone = rate(&cluster, &neighbour).await?;

    let slow = cluster.run(&faulty, Run { args: vec!["slow"], ..Run::default() }).await?;
    cluster.wait_running(&slow).await?;
    // The source is held up, the operator behind it works.
    let held_up = |details: &JobDetails| {
        let (source, operator) = (&details.vertices[0].metrics, &details.vertices[1].metrics);
        source.accumulated_backpressured_time > 2_000 && operator.accumulated_busy_time > 1_000.0
    };
    let details = cluster.wait_for(&slow, held_up).await?;
    let (source, operator) = (&details.vertices[0].metrics, &details.vertices[1].metrics);
    assert!(source.accumulated_busy_time < source.accumulated_backpressured_time as f64, "{source:?}");
    assert!(operator.accumulated_backpressured_time == 0, "{operator:?}");
    assert!((operator.accumulated_idle_time as f64) < operator.accumulated_busy_time, "{operator:?}");

    let beside = rate(&cluster, &neighbour).await?;
    println!("the neighbour's rate: {alone:.0} alone, {beside:.0} beside the slow job");
    // Three tasks want the processors, and other tests may have come for them since: one that is shut out reads nothing.
    assert!(beside > alone / 20.0, "the neighbour fell from {alone:.0} to {beside:.0} records a second");

    let task_manager = cluster.client.task_managers().await?.taskmanagers[0].id.clone();
    let names = ["Status.Shuffle.Netty.UsedMemory", "Status.Shuffle.Netty.TotalMemory", "Status.JVM.Memory.Heap.Used"];
    let found = cluster.client.task_manager_metrics(&task_manager, &names).await?;
    let value = |name: &str| {
        let metric = found.iter().find(|metric| metric.id == name).and_then(|metric| metric.value.clone());
        metric.with_context(|| format!("{name} has no value"))?.parse::<u64>().context("no number")
    };
    assert_eq!(value(names[1])?, BUFFER_BYTES);
    assert!(value(names[0])? <= BUFFER_BYTES);
    assert!(value(names[2])? < RESIDENT_BYTES_MAX, "{} bytes resident", value(names[2])?);
    for job in [&slow, &neighbour] {
        cluster.client.cancel(job).await?;
        cluster.wait_for(job, |details| details.state == JobStatus::Canceled).await?;
    }
    Ok(())
}
