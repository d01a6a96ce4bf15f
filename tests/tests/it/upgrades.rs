//! `millrace upgrade` of a job that runs: at a barrier where the graph keeps its shape, else by savepoint and restart, or
//! not at all. The rows of `tally` say which release read a number and which one counted it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints;
use millrace_tests::expected::committed_rows;
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use serde_json::Value;

/// How many numbers there are, and how many in a second.
const ROWS: u64 = 40_000;
const RATE: u64 = 4_000;

fn command(cluster: &Processes, command: &str, arguments: &[&str]) -> Result<Output> {
    let mut millrace = Command::new(repository::millrace()?);
    Ok(millrace.args([command, "--json", "-m", &cluster.address()]).args(arguments).output()?)
}

fn answer(output: &Output) -> Result<Value> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

struct Job {
    id: String,
    output: PathBuf,
}

impl Job {
    fn arguments(output: &Path, release: u32) -> Result<Vec<String>> {
        let output = output.to_str().context("a path")?.to_owned();
        let (rows, rate, release) = (ROWS.to_string(), RATE.to_string(), release.to_string());
        let all = ["--", "--rows", &rows, "--rate", &rate, "--output", &output, "--release", &release];
        Ok(all.map(str::to_owned).to_vec())
    }

    /// Runs release 1 and waits for a checkpoint.
    async fn start(cluster: &Processes, name: &str) -> Result<Self> {
        let output = cluster.folder().join(name);
        let directory = format!("execution.checkpointing.dir={}", cluster.folder().join("checkpoints").display());
        let bundle = repository::bundle("tally")?;
        let mut arguments = vec!["-d", "-p", "2", "-D", &directory, "-D", "execution.checkpointing.interval=200 ms"];
        arguments.push(bundle.to_str().context("a path")?);
        let own = Self::arguments(&output, 1)?;
        arguments.extend(own.iter().map(String::as_str));
        let started = answer(&command(cluster, "run", &arguments)?)?;
        let id = started["jobid"].as_str().context("no job")?.to_owned();
        checkpoints::wait_for(cluster, &id, |figures| figures.completed >= 1).await?;
        Ok(Self { id, output })
    }

    fn upgrade(&self, cluster: &Processes, release: u32) -> Result<Output> {
        let (bundle, folder) = (repository::bundle("tally")?, cluster.folder().join("savepoints"));
        let own = Self::arguments(&self.output, release)?;
        let mut arguments = vec!["--savepoint-path", folder.to_str().context("a path")?];
        arguments.extend([self.id.as_str(), bundle.to_str().context("a path")?]);
        arguments.extend(own.iter().map(String::as_str));
        command(cluster, "upgrade", &arguments)
    }

    /// Each number was counted once and in order, by the release that read it, and releases only grow. Returns how many
    /// rows each release has.
    fn check(&self) -> Result<BTreeMap<u32, u64>> {
        let mut rows = Vec::new();
        for row in committed_rows(&self.output)? {
            let fields: Vec<u64> = row.split(',').map(str::parse).collect::<Result<_, _>>()?;
            let &[number, count, read_by, counted_by] = fields.as_slice() else { anyhow::bail!("{row}") };
            ensure!(count == number / 10 + 1, "{row}: the state was lost");
            ensure!(read_by == counted_by, "{row}: a record in front of the barrier was processed behind it");
            rows.push((number, u32::try_from(read_by)?));
        }
        rows.sort_unstable();
        ensure!(
            rows.iter().map(|(number, _)| *number).eq(0..ROWS),
            "of {} rows some are missing or doubled",
            rows.len()
        );
        ensure!(rows.is_sorted_by_key(|(_, release)| *release), "the releases are mixed");
        let mut by_release = BTreeMap::new();
        rows.iter().for_each(|(_, release)| *by_release.entry(*release).or_default() += 1);
        Ok(by_release)
    }
}

#[tokio::test]
async fn code_is_replaced_at_a_barrier_and_recovery_uses_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let job = Job::start(&cluster, "rows").await?;
    let before = cluster.attempts(&job.id).await?;
    let upgraded = answer(&job.upgrade(&cluster, 2)?)?;
    ensure!((&upgraded["way"], &upgraded["jobid"]) == (&"barrier".into(), &job.id.as_str().into()), "{upgraded}");
    ensure!(cluster.attempts(&job.id).await? == before, "a task was restarted");
    let behind = upgraded["checkpoint"].as_u64();
    checkpoints::wait_for(&cluster, &job.id, |figures| figures.latest > behind).await?;
    let victim = cluster.running(&job.id).await?;
    cluster.kill_task_manager(victim)?;
    cluster.add_task_manager()?;
    checkpoints::wait_for(&cluster, &job.id, |figures| figures.restored >= 1).await?;
    cluster.restart_job_manager().await?;
    cluster.wait_finished(&job.id).await?;
    let by_release = job.check()?;
    ensure!(by_release.keys().eq(&[1, 2]), "{by_release:?}");
    Ok(())
}

#[tokio::test]
async fn another_shape_takes_a_restart_and_another_type_of_state_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let mut job = Job::start(&cluster, "rows").await?;
    let before = cluster.attempts(&job.id).await?;
    let refused = job.upgrade(&cluster, 4)?;
    let text = String::from_utf8_lossy(&refused.stderr);
    ensure!(!refused.status.success() && text.contains("class") && text.contains("count"), "{text}");
    ensure!(cluster.attempts(&job.id).await? == before, "a task was restarted");
    let replaced = answer(&job.upgrade(&cluster, 3)?)?;
    ensure!(replaced["way"] == "savepoint-and-restart" && replaced["replaces"] == job.id, "{replaced}");
    ensure!(replaced["reason"].as_str().is_some_and(|reason| reason.contains("operators")), "{replaced}");
    job.id = replaced["jobid"].as_str().context("no job")?.to_owned();
    cluster.wait_finished(&job.id).await?;
    let by_release = job.check()?;
    ensure!(by_release.keys().eq(&[1, 3]), "{by_release:?}");
    Ok(())
}

/// Whatever comes first, the pointer decides: no number is lost or counted twice, and none by two releases.
#[tokio::test]
async fn a_task_manager_that_dies_amid_the_upgrade_costs_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let job = Job::start(&cluster, "rows").await?;
    let victim = cluster.running(&job.id).await?;
    let address = cluster.address();
    std::thread::scope(|scope| {
        let upgrading = scope.spawn(|| {
            let own = Job::arguments(&job.output, 2)?;
            let bundle = repository::bundle("tally")?;
            let mut millrace = Command::new(repository::millrace()?);
            millrace.args(["upgrade", "--json", "-m", &address, &job.id]).arg(bundle).args(own);
            anyhow::Ok(millrace.output()?)
        });
        cluster.kill_task_manager(victim)?;
        cluster.add_task_manager()?;
        upgrading.join().map_err(|_| anyhow::anyhow!("the upgrade's thread panicked"))?
    })?;
    cluster.wait_finished(&job.id).await?;
    let by_release = job.check()?;
    ensure!(by_release.keys().all(|release| [1, 2].contains(release)), "{by_release:?}");
    Ok(())
}
