//! Checkpoints whose files are damaged or gone: the job goes on from the one before, and says so.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::JobStatus;

const SENTENCES: u64 = 60_000;

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
    let expected = Expected::of("wc", SENTENCES, 100_000)?;
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let (output, directory) = (folder.path().join("rows"), folder.path().join("checkpoints"));
    let sentences = SENTENCES.to_string();
    let mut args = vec!["--query", "wc", "--events", &sentences, "--rate", "10000"];
    args.extend(["--output", output.to_str().context("a path")?]);
    let mut options = OPTIONS.to_vec();
    options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
    let job =
        cluster.run(&repository::bundle("nexmark")?, Run { args, parallelism: 2, options, ..Run::default() }).await?;
    cluster.wait_running(&job).await?;
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
    cluster.wait_finished(&job).await?;
    let figures = checkpoints::figures(&cluster.client, &job).await?;
    assert_eq!(figures.restored_id, Some(good), "{figures:?}");
    let history = serde_json::to_string(&cluster.client.exceptions(&job).await?)?;
    assert!(history.contains(&format!("checkpoint {newest}")), "{history}");
    expected.compare(committed_rows(&output)?)?;
    Ok(())
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
    let expected = Expected::of("wc", SENTENCES, 100_000)?;
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let (bundle, directory) = (repository::bundle("nexmark")?, folder.path().join("checkpoints"));
    let sentences = SENTENCES.to_string();
    let mut jobs = Vec::new();
    for name in ["first", "second"] {
        let output = folder.path().join(name);
        let mut args = vec!["--query", "wc", "--events", &sentences, "--rate", "10000"];
        args.extend(["--output", output.to_str().context("a path")?]);
        let mut options = OPTIONS.to_vec();
        options.push(("execution.checkpointing.dir", directory.to_str().context("a path")?));
        let job = cluster.run(&bundle, Run { args, parallelism: 2, options, ..Run::default() }).await?;
        cluster.wait_running(&job).await?;
        let taken = checkpoints::take(&cluster, &job).await?;
        let metadata = directory.join(&job).join(format!("chk-{taken}/_metadata"));
        jobs.push((job, taken, metadata, output));
    }
    jobs.iter().try_for_each(|(_, _, metadata, _)| hide(metadata))?;
    cluster.restart_job_manager().await?;
    let [(first, taken, metadata, output), (second, ..)] = jobs.as_slice() else { panic!("two jobs") };
    for job in [first, second] {
        // Else it would be over before it had waited.
        cluster.wait_for(job, |details| details.state == JobStatus::Initializing).await?;
        let why = cluster.failure(job).await?;
        assert!(why.contains("cannot read") && why.contains("_metadata"), "{why}");
    }
    // Their tasks have no JobMaster; and whoever does not want to wait need not.
    cluster.wait_for_slots(2, 4).await?;
    cluster.client.cancel(second).await?;
    cluster.wait_for(second, |details| details.state == JobStatus::Canceled).await?;
    show(metadata)?;
    cluster.wait_finished(first).await?;
    assert_eq!(checkpoints::figures(&cluster.client, first).await?.restored_id, Some(*taken));
    expected.compare(committed_rows(output)?)?;
    Ok(())
}
