//! A job whose keyed state is many times larger than the memory that it may take, through checkpoints and a kill.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints;
use millrace_tests::expected::committed_rows;
use millrace_tests::jobs::Run;
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;

/// What a task's state may take in memory, of which there is one in each TaskManager.
const MEMORY_BYTES: u64 = 1024 * 1024;

/// The keys, each of which comes so many times, in turn.
const KEYS: u64 = 600_000;
const ROUNDS: u64 = 3;

/// What a TaskManager may have beyond that: the program, the instances with their caches of decoded values, records
/// between tasks, timers, part files on their way. It does not depend on the number of keys.
const SLACK_BYTES: u64 = 160 * 1024 * 1024;

/// Every count of every key.
fn expected() -> Vec<String> {
    let mut rows: Vec<String> =
        (0..KEYS).flat_map(|key| (1..=ROUNDS).map(move |count| format!("key-{key},{count}"))).collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn state_of_ten_times_its_memory_goes_through_checkpoints_and_a_kill() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let memory = format!("state.backend.redb.memory-per-task={MEMORY_BYTES} b");
    let arguments = ["--file-root", "/", "-D", &memory, "-D", "taskmanager.memory.network.max=16 mb"];
    let mut cluster = Processes::start(folder.path(), 2, 1, &arguments).await?;
    let (output, directory) = (folder.path().join("rows"), folder.path().join("checkpoints"));
    let (keys, records) = (KEYS.to_string(), (KEYS * ROUNDS).to_string());
    let path = output.to_str().context("a path")?;
    let args = vec!["--query", "keys", "--keys", &keys, "--again", &keys, "--events", &records, "--output", path];
    let options = vec![
        ("state.backend.type", "redb"),
        ("execution.checkpointing.interval", "500 ms"),
        ("execution.checkpointing.dir", directory.to_str().context("a path")?),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "3"),
        ("restart-strategy.fixed-delay.delay", "10 ms"),
    ];
    let run = Run { args, parallelism: 2, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("nexmark")?, run).await?;

    let (mut most, mut state, mut killed) = (0, 0, false);
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        for process in &cluster.task_managers {
            // One that was just started may not be read yet.
            most = most.max(process.resident_bytes().unwrap_or_default());
        }
        let taken = checkpoints::latest_state_bytes(&cluster.client, &job).await?;
        state = state.max(taken);
        if !killed && taken > 10 * MEMORY_BYTES {
            cluster.kill_task_manager(0)?;
            cluster.add_task_manager()?;
            killed = true;
        }
        if cluster.client.status(&job).await?.status.is_terminal() {
            break;
        }
        ensure!(Instant::now() < deadline, "job {job} does not end");
        tokio::time::sleep(POLL).await;
    }
    cluster.wait_finished(&job).await?;
    ensure!(checkpoints::figures(&cluster.client, &job).await?.restored >= 1, "nothing was restored");
    // Two tasks share the state.
    ensure!(state > 2 * 10 * MEMORY_BYTES, "the state has {state} bytes, and a task may have {MEMORY_BYTES} in memory");
    let mut rows = committed_rows(&output)?;
    rows.sort_unstable();
    ensure!(rows == expected(), "{} rows of {}", rows.len(), KEYS * ROUNDS);
    println!("{state} bytes of state; a TaskManager had at most {most} bytes");
    ensure!(most < MEMORY_BYTES + SLACK_BYTES, "a TaskManager had {most} bytes");
    Ok(())
}
