//! Copies of state on the TaskManagers' own disks: tasks that come back to where they were are restored from them, and a
//! copy that is damaged changes nothing but the time it takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use millrace_client::api::JobDetails;
use millrace_tests::checkpoints;
use millrace_tests::expected::committed_rows;
use millrace_tests::jobs::Run;
use millrace_tests::metrics::{self, COPIES, Metrics, RESTORED_LOCAL, RESTORED_REMOTE};
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;

/// Keys, some 35 bytes of state each; those that come again; records in all, and in a second: more than are read until the
/// test is done.
const KEYS: u64 = 100_000;
const AGAIN: u64 = 1_000;
const RECORDS: u64 = 1_500_000;
const RATE: u64 = 25_000;

/// Checkpoints when the test takes them alone, so that it knows what each restart begins with.
const OPTIONS: [(&str, &str); 5] = [
    ("execution.checkpointing.interval", "1 h"),
    ("execution.state-recovery.from-local", "true"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "10"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

/// What was restored so far, in bytes: from copies and from the checkpoint folder.
type Restored = (u64, u64);

/// What each TaskManager has restored, by its id.
async fn restored(cluster: &Processes) -> Result<BTreeMap<String, Restored>> {
    let all = metrics::of_task_managers(cluster).await?;
    let value = |metrics: &Metrics, name: &str| metrics.get(name).copied().unwrap_or_default();
    let restored = |metrics: &Metrics| (value(metrics, RESTORED_LOCAL), value(metrics, RESTORED_REMOTE));
    Ok(all.iter().map(|(id, metrics)| (id.clone(), restored(metrics))).collect())
}

/// Waits until what TaskManagers say they have restored satisfies a condition.
async fn wait_for(
    cluster: &Processes,
    condition: impl Fn(&BTreeMap<String, Restored>) -> bool,
) -> Result<BTreeMap<String, Restored>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = restored(cluster).await?;
        if condition(&all) {
            return Ok(all);
        }
        if Instant::now() > deadline {
            bail!("from copies and from the checkpoint folder were restored {all:?}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Flips a bit in each copy of state, and says how many there are.
fn damage_all(task_managers: &Path) -> Result<usize> {
    let mut damaged = 0;
    for own in std::fs::read_dir(task_managers)? {
        let Ok(copies) = std::fs::read_dir(own?.path().join("local-state")) else { continue };
        for copy in copies {
            let path = copy?.path();
            let mut bytes = std::fs::read(&path)?;
            let middle = bytes.len() / 2;
            *bytes.get_mut(middle).context("an empty copy")? ^= 1;
            std::fs::write(&path, bytes)?;
            damaged += 1;
        }
    }
    Ok(damaged)
}

fn expected() -> Vec<String> {
    let row = |index: u64| match index.checked_sub(KEYS) {
        None => format!("key-{index},1"),
        // Each of these keys has come once before, and again in turn.
        Some(_) => format!("key-{},{}", index % AGAIN, index / AGAIN - KEYS / AGAIN + 2),
    };
    let mut rows: Vec<String> = (0..RECORDS).map(row).collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn tasks_that_come_back_are_restored_from_their_copies_unless_these_are_damaged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 3, 1, &["--file-root", "/"]).await?;
    let (output, directory) = (folder.path().join("rows"), folder.path().join("checkpoints"));
    let numbers = [KEYS, AGAIN, RECORDS, RATE].map(|number| number.to_string());
    let mut unlimited = vec!["--query", "keys", "--keys", &numbers[0], "--again", &numbers[1], "--events", &numbers[2]];
    unlimited.extend(["--output", output.to_str().context("a path")?]);
    let args = [unlimited.as_slice(), &["--rate", &numbers[3]]].concat();
    let mut options = OPTIONS.to_vec();
    options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
    let bundle = repository::bundle("nexmark")?;
    let job = cluster.run(&bundle, Run { args, parallelism: 2, options: options.clone(), ..Run::default() }).await?;
    let all_keys = |details: &JobDetails| {
        details.vertices.iter().any(|vertex| vertex.metrics.read_records > KEYS) || details.state.is_terminal()
    };
    cluster.wait_for(&job, all_keys).await?;
    checkpoints::take(&cluster, &job).await?;

    // Two run the job, and one of them dies.
    let victim = cluster.running(&job).await?;
    cluster.kill_task_manager(victim)?;
    let first = wait_for(&cluster, |all| {
        all.values().any(|(local, _)| *local > 1_000_000) && all.values().any(|(_, remote)| *remote > 1_000_000)
    })
    .await?;
    // Who had the state has fetched none, and the spare had none.
    ensure!(first.values().all(|(local, remote)| *local == 0 || *remote == 0), "{first:?}");

    cluster.wait_running(&job).await?;
    checkpoints::take(&cluster, &job).await?;
    assert!(damage_all(&folder.path().join("task-managers"))? >= 2);
    cluster.add_task_manager()?;
    let victim = cluster.running(&job).await?;
    cluster.kill_task_manager(victim)?;
    let before = |id: &String| first.get(id).copied().unwrap_or_default();
    let second = wait_for(&cluster, |all| {
        all.len() == 2 && all.iter().all(|(id, (_, remote))| *remote > before(id).1 + 1_000_000)
    })
    .await?;
    let unused = second.iter().all(|(id, (local, _))| *local == before(id).0);
    ensure!(unused, "a damaged copy was used: {first:?}, {second:?}");
    let logs: Vec<String> = cluster.task_managers.iter().map(|process| process.log()).collect::<Result<_>>()?;
    assert!(logs.iter().any(|log| log.contains("a local copy of state cannot be used")), "{logs:?}");

    let savepoint = checkpoints::stop_at_last(&cluster, &job, &folder.path().join("savepoints")).await?;
    let run = Run { args: unlimited, parallelism: 2, options, from: Some(&savepoint), ..Run::default() };
    let job = cluster.run(&bundle, run).await?;
    cluster.wait_finished(&job).await?;
    let mut rows = committed_rows(&output)?;
    rows.sort_unstable();
    assert!(rows == expected(), "{} rows", rows.len());
    // The jobs have ended, and their copies are of no use.
    metrics::wait_for(&cluster, 2, |all| all.iter().all(|metrics| metrics.get(COPIES) == Some(&0))).await?;
    Ok(())
}
