//! Checkpoints whose files are damaged or gone: the job goes on from the one before, and says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use millrace_tests::checkpoints;
use millrace_tests::processes::Processes;
use millrace_tests::query::Query;
use millrace_types::JobStatus;

/// Checkpoints are taken when the test says so, and at the end; all state stands in files.
const OPTIONS: [(&str, &str); 6] = [
    ("execution.checkpointing.interval", "1 h"),
    ("execution.checkpointing.num-retained", "3"),
    ("execution.checkpointing.data-inline-threshold", "0 b"),
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "10"),
    ("restart-strategy.fixed-delay.delay", "50 ms"),
];

fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

fn is_metadata(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "_metadata")
}

fn flip_a_bit(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).context("an empty file")? ^= 1;
    Ok(fs::write(path, bytes)?)
}

/// Damages files of the newest checkpoint alone, has the job restored, and looks what from.
async fn falls_back(damage: impl Fn(&Path) -> Result<()>, of_metadata: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let directory = folder.path().join("checkpoints");
    let mut options = OPTIONS.to_vec();
    options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
    let query = Query::start(&cluster, folder.path(), "wc", 2, &options).await?;
    let job = query.job.clone();
    checkpoints::take(&cluster, &job).await?;
    let good = checkpoints::take(&cluster, &job).await?;
    let before = files(&directory)?;
    let newest = checkpoints::take(&cluster, &job).await?;
    assert!(newest > good);
    let added: Vec<PathBuf> = files(&directory)?.difference(&before).cloned().collect();
    let damaged: Vec<&PathBuf> = added.iter().filter(|path| is_metadata(path) == of_metadata).collect();
    assert!(!damaged.is_empty(), "{added:?}");
    damaged.iter().try_for_each(|path| damage(path))?;
    if of_metadata {
        // The tasks must not outlive it: a new leader would adopt them.
        (0..2).try_for_each(|_| cluster.kill_task_manager(0))?;
        cluster.restart_job_manager().await?;
        (0..2).try_for_each(|_| cluster.add_task_manager())?;
    } else {
        let victim = cluster.running(&job).await?;
        cluster.kill_task_manager(victim)?;
        cluster.add_task_manager()?;
    }
    checkpoints::wait_for(&cluster, &job, |figures| figures.restored_id == Some(good)).await?;
    let history = serde_json::to_string(&cluster.client.exceptions(&job).await?)?;
    assert!(history.contains(&format!("checkpoint {newest}")), "{history}");
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn a_state_file_with_a_wrong_bit_is_found() -> Result<()> {
    falls_back(flip_a_bit, false).await
}

#[tokio::test]
async fn a_missing_state_file_is_found() -> Result<()> {
    falls_back(|path| Ok(fs::remove_file(path)?), false).await
}

#[tokio::test]
async fn metadata_with_a_wrong_bit_are_found() -> Result<()> {
    falls_back(flip_a_bit, true).await
}

/// Puts something in a file's place that no one can open, as where storage does not answer. What is there stays beside it.
fn hide(path: &Path) -> Result<()> {
    fs::rename(path, path.with_extension("hidden"))?;
    // It leads to itself.
    Ok(std::os::unix::fs::symlink(path, path)?)
}

fn show(path: &Path) -> Result<()> {
    Ok(fs::rename(path.with_extension("hidden"), path)?)
}

#[tokio::test]
async fn jobs_whose_checkpoints_cannot_be_read_for_a_while_wait_for_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let directory = folder.path().join("checkpoints");
    let mut options = OPTIONS.to_vec();
    options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
    let mut jobs = Vec::new();
    for name in ["first", "second"] {
        let query = Query::start(&cluster, &folder.path().join(name), "wc", 2, &options).await?;
        let taken = checkpoints::take(&cluster, &query.job).await?;
        let metadata = directory.join(&query.job).join(format!("chk-{taken}/_metadata"));
        jobs.push((query, taken, metadata));
    }
    jobs.iter().try_for_each(|(_, _, metadata)| hide(metadata))?;
    cluster.restart_job_manager().await?;
    for (query, ..) in &jobs {
        cluster.wait_for(&query.job, |details| details.state == JobStatus::Initializing).await?;
        let why = cluster.failure(&query.job).await?;
        assert!(why.contains("cannot read") && why.contains("_metadata"), "{why}");
    }
    // Their tasks have no JobMaster; and whoever does not want to wait need not.
    cluster.wait_for_slots(2, 4).await?;
    let (second, ..) = jobs.pop().context("two jobs")?;
    cluster.client.cancel(&second.job).await?;
    cluster.wait_for(&second.job, |details| details.state == JobStatus::Canceled).await?;
    let (first, taken, metadata) = jobs.pop().context("two jobs")?;
    show(&metadata)?;
    checkpoints::wait_for(&cluster, &first.job, |figures| figures.restored_id == Some(taken)).await?;
    first.is_exact(&cluster).await
}
