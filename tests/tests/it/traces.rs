//! What jobs leave behind when they end, however they end: nothing. And how soon they end when they are told to.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use millrace_tests::jobs::Run;
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::{repository, rows};
use millrace_types::JobStatus;

/// What a TaskManager must have none of when no job runs.
const TRACES: [&str; 6] = [
    "Status.Millrace.Tasks",
    "Status.Millrace.Instances",
    "Status.Millrace.Channels",
    "Status.Millrace.WaitingChannels",
    "Status.Millrace.Connections",
    "Status.Shuffle.Netty.UsedMemory",
];

/// What a TaskManager must not have more of than before.
const HELD: [&str; 2] = ["Status.JVM.FileDescriptor.Open", "Status.JVM.Threads.Count"];

/// The values of metrics, summed over all TaskManagers.
async fn metrics(cluster: &Processes, names: &[&str]) -> Result<Vec<u64>> {
    let mut sums = vec![0; names.len()];
    for task_manager in cluster.client.task_managers().await?.taskmanagers {
        let found = cluster.client.task_manager_metrics(&task_manager.id, names).await?;
        for (sum, name) in sums.iter_mut().zip(names) {
            let metric = found.iter().find(|metric| metric.id == *name).and_then(|metric| metric.value.as_ref());
            *sum += metric.with_context(|| format!("{name} has no value"))?.parse::<u64>()?;
        }
    }
    Ok(sums)
}

/// Waits until no TaskManager has anything of any job.
async fn wait_for_no_traces(cluster: &Processes) -> Result<()> {
    wait_for_at_most(cluster, &TRACES, &[0; TRACES.len()]).await
}

/// Waits until the TaskManagers have no more than so much.
async fn wait_for_at_most(cluster: &Processes, names: &[&str], most: &[u64]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = metrics(cluster, names).await?;
        if found.iter().zip(most).all(|(found, most)| found <= most) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("of {names:?} there are {found:?} and should be at most {most:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Runs a job to one of its ends: finished, failed, cancelled while it works, cancelled at once.
async fn run_one(cluster: &Processes, number: usize, text: &Path, output: &Path) -> Result<()> {
    let faulty = repository::bundle("faulty")?;
    let faulty = async |fault| cluster.run(&faulty, Run { args: vec![fault], parallelism: 4, ..Run::default() }).await;
    match number % 4 {
        0 => {
            let output = output.join(number.to_string());
            let args = vec!["--input", text.to_str().unwrap(), "--output", output.to_str().unwrap()];
            let run = Run { args, parallelism: 4, ..Run::default() };
            let job = cluster.run(&repository::bundle("wordcount")?, run).await?;
            cluster.wait_finished(&job).await?;
            assert_eq!(rows::sorted_rows(&output)?, ["a,1", "b,2"]);
        }
        1 => {
            let job = faulty("panic-at-1000").await?;
            let failure = cluster.wait_failed(&job).await?;
            assert!(failure.contains("panicked at record 1000"), "{failure}");
        }
        ends => {
            let job = faulty("passes").await?;
            if ends == 2 {
                cluster.wait_running(&job).await?;
            }
            cluster.client.cancel(&job).await?;
            cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_hundred_jobs_leave_nothing_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let (text, output) = (folder.path().join("text"), folder.path().join("output"));
    std::fs::write(&text, "a b\nb\n")?;
    // The first jobs make what is kept on purpose: compiled code, pools, threads.
    for number in 0..8 {
        run_one(&cluster, number, &text, &output).await?;
    }
    wait_for_no_traces(&cluster).await?;
    let before = metrics(&cluster, &HELD).await?;
    for number in 8..208 {
        run_one(&cluster, number, &text, &output).await.with_context(|| format!("job {number}"))?;
    }
    wait_for_no_traces(&cluster).await?;
    cluster.wait_for_slots(2, 4).await?;
    // Threads that wait for blocking work end when there has been none for a while.
    wait_for_at_most(&cluster, &HELD, &before).await?;
    let hidden = files(&output)?.into_iter().filter(|path| path.contains("inprogress")).collect::<Vec<_>>();
    assert!(hidden.is_empty(), "{hidden:?}");
    // What is left of the processes' own: logs, compiled code, bundles; no temporary file.
    let own = folder.path().to_string_lossy().into_owned();
    let temporary = files(folder.path())?.into_iter().filter(|path| path.replace(&own, "").contains(".tmp"));
    let temporary: Vec<_> = temporary.collect();
    assert!(temporary.is_empty(), "{temporary:?}");
    Ok(())
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

/// The guest is in a call that would take a minute more; nobody waits for that.
#[tokio::test]
async fn a_cancellation_interrupts_a_guest_in_its_call() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 1, &["-D", "taskmanager.sandbox.call-deadline=10 min"]).await?;
    let run = Run { args: vec!["never-returns"], parallelism: 2, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    cluster.wait_running(&job).await?;
    // Both processors are at work in the guests.
    let busy = |details: &millrace_client::api::JobDetails| details.vertices[0].metrics.accumulated_busy_time > 200.0;
    cluster.wait_for(&job, busy).await?;
    let told = Instant::now();
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    println!("cancelled within {:?}", told.elapsed());
    assert!(told.elapsed() < Duration::from_secs(60), "nothing but the deadline ended the call");
    wait_for_no_traces(&cluster).await
}
