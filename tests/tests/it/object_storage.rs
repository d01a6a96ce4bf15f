//! Checkpoints, savepoints and bundles in S3, on a real server: nothing but the log of the JobManager is on a disk.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use millrace_storage::{S3Options, StorageAccess, StorageLocation};
use millrace_tests::checkpoints;
use millrace_tests::expected::{Expected, committed_rows};
use millrace_tests::metrics::{self, RESTORED_LOCAL, RESTORED_REMOTE};
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_tests::s3_server::S3Server;
use serde_json::Value;

use crate::upgrades::{Job, answer};

/// Events in a second of event time: sparse, so that a short run has many windows.
const EVENTS_PER_SECOND: u64 = 2_000;

/// How long the input of a job lasts that is to be stopped, in seconds: no machine is too busy for that.
const SECONDS: u64 = 60;

/// How a job begins.
#[derive(Clone, Copy)]
enum Begin<'a> {
    /// With so many records a second.
    AtRate,
    /// With what a savepoint has left, as fast as it goes.
    From(&'a str),
}

/// What a process of Millrace takes on its command line to reach the server.
fn reached(server: &S3Server) -> Vec<String> {
    let options = [
        format!("s3.endpoint={}", server.endpoint()),
        format!("s3.access-key={}", S3Server::ACCESS_KEY),
        format!("s3.secret-key={}", S3Server::SECRET_KEY),
        "s3.path.style.access=true".to_owned(),
    ];
    options.into_iter().flat_map(|option| ["-D".to_owned(), option]).collect()
}

struct InS3 {
    server: S3Server,
    cluster: Processes,
}

impl InS3 {
    async fn start(folder: &Path) -> Result<Self> {
        let server = S3Server::start()?;
        let mut options = reached(&server);
        for (key, prefix) in [
            ("execution.checkpointing.dir", "checkpoints"),
            ("high-availability.storageDir", "ha"),
            ("file.roots", "mine"),
        ] {
            options.extend(["-D".to_owned(), format!("{key}={}", server.prefix(prefix))]);
        }
        // Little state is in the description: what is tested is files.
        options.extend(["-D", "execution.checkpointing.data-inline-threshold=100 b"].map(str::to_owned));
        options.extend(["--file-root".to_owned(), folder.display().to_string()]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let cluster = Processes::start(folder, 2, 2, &options).await?;
        Ok(Self { server, cluster })
    }

    fn command(&self, command: &str, arguments: &[&str]) -> Result<Output> {
        let millrace = repository::millrace()?;
        Ok(Command::new(millrace).args([command, "--json", "-m", &self.cluster.address()]).args(arguments).output()?)
    }

    fn says(&self, command: &str, arguments: &[&str]) -> Result<Value> {
        let output = self.command(command, arguments)?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn run(&self, query: &str, records: u64, begin: Begin<'_>, parallelism: &str, output: &Path) -> Result<String> {
        let bundle = repository::bundle("nexmark")?;
        let (events, rate) = (records.to_string(), (records / SECONDS).to_string());
        let density = EVENTS_PER_SECOND.to_string();
        let mut arguments = vec!["-d", "-D", "execution.checkpointing.interval=1 s"];
        arguments.extend(["-D", "restart-strategy.type=fixed-delay", "-D", "restart-strategy.fixed-delay.delay=10 ms"]);
        arguments.extend(["-D", "restart-strategy.fixed-delay.attempts=3"]);
        arguments.extend(["-D", "execution.state-recovery.from-local=true"]);
        arguments.extend(["-p", parallelism]);
        if let Begin::From(savepoint) = begin {
            arguments.extend(["-s", savepoint]);
        }
        arguments.extend([bundle.to_str().context("a path")?, "--", "--query", query, "--events", &events]);
        arguments.extend(["--events-per-second", &density, "--output", output.to_str().context("a path")?]);
        if let Begin::AtRate = begin {
            arguments.extend(["--rate", &rate]);
        }
        Ok(self.says("run", &arguments)?["jobid"].as_str().context("no job")?.to_owned())
    }

    /// The names of what lies below a prefix.
    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let options = S3Options {
            endpoint: Some(self.server.endpoint()),
            access_key: Some(S3Server::ACCESS_KEY.to_owned()),
            secret_key: Some(S3Server::SECRET_KEY.to_owned()),
            path_style: true,
            ..S3Options::default()
        };
        let access = StorageAccess::new(options, std::env::temp_dir());
        let store = access.open(&StorageLocation::parse(&self.server.prefix(prefix))?)?;
        Ok(store.list(None).await?.into_iter().map(|file| file.path).collect())
    }

    /// Nobody is told the key.
    fn keeps_its_secret(&self, folder: &Path) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log" || extension == "out") {
                let text = std::fs::read_to_string(&path)?;
                ensure!(!text.contains(S3Server::SECRET_KEY), "{} has the key", path.display());
            }
        }
        let mut command = Command::new(repository::millrace()?);
        let shown = command.arg("config").args(reached(&self.server)).output()?;
        let text = String::from_utf8(shown.stdout)?;
        ensure!(text.contains("s3.secret-key = \"******\"") && text.contains("s3.endpoint = \"http://"), "{text}");
        ensure!(!text.contains(S3Server::SECRET_KEY) && !text.contains(S3Server::ACCESS_KEY), "{text}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_state_is_in_s3_survives_deaths_and_leaves_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut s3 = InS3::start(folder.path()).await?;
    let records = 200_000;
    let expected = Expected::of("q5", records, EVENTS_PER_SECOND)?;
    let output = folder.path().join("rows");
    let job = s3.run("q5", records, Begin::AtRate, "4", &output)?;
    checkpoints::wait_for(&s3.cluster, &job, |figures| figures.completed >= 2).await?;
    let path = checkpoints::figures(&s3.cluster.client, &job).await?.latest_path.context("no path")?;
    ensure!(path.starts_with(&s3.server.prefix(&format!("checkpoints/{job}/chk-"))), "{path}");
    ensure!(s3.names(&format!("checkpoints/{job}/shared")).await?.len() >= 4);
    let victim = s3.cluster.running(&job).await?;
    s3.cluster.kill_task_manager(victim)?;
    s3.cluster.add_task_manager()?;
    // Who had the state has copies, and the other one reads it in S3.
    metrics::wait_for(&s3.cluster, 2, |all| {
        let restored = |name: &str| all.iter().any(|metrics| metrics.get(name).is_some_and(|bytes| *bytes > 0));
        restored(RESTORED_LOCAL) && restored(RESTORED_REMOTE)
    })
    .await?;
    let restored = checkpoints::wait_for(&s3.cluster, &job, |figures| figures.restored > 0).await?;
    let behind = checkpoints::wait_for(&s3.cluster, &job, |figures| figures.latest > restored.latest).await?;
    s3.cluster.restart_job_manager().await?;
    s3.cluster.wait_running(&job).await?;
    checkpoints::wait_for(&s3.cluster, &job, |figures| figures.latest > behind.latest).await?;
    let stopped = s3.says("stop", &[&job, "-p", &s3.server.prefix("mine/savepoints")])?;
    let savepoint = stopped["location"].as_str().context("no location")?;
    let job = s3.run("q5", records, Begin::From(savepoint), "4", &output)?;
    s3.cluster.wait_finished(&job).await?;
    expected.compare(committed_rows(&output)?)?;
    // A finished job keeps no checkpoint; its files go beside its end.
    let give_up = std::time::Instant::now() + PATIENCE;
    while !s3.names("checkpoints").await?.is_empty() {
        ensure!(std::time::Instant::now() < give_up, "{:?} are left", s3.names("checkpoints").await?);
        tokio::time::sleep(POLL).await;
    }
    ensure!(s3.names("ha/blob").await?.len() >= 2, "the bundle is not there");
    ensure!(
        !folder.path().join("job-manager/blobs").exists() && !folder.path().join("job-manager/checkpoints").exists()
    );
    s3.keeps_its_secret(folder.path())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_savepoint_in_s3_is_begun_with_and_disposed_of() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut s3 = InS3::start(folder.path()).await?;
    let records = 40_000;
    let expected = Expected::of("wc", records, EVENTS_PER_SECOND)?;
    let output = folder.path().join("rows");
    let job = s3.run("wc", records, Begin::AtRate, "2", &output)?;
    checkpoints::wait_for(&s3.cluster, &job, |figures| figures.completed >= 1).await?;

    let outside = s3.command("savepoint", &[&job, &s3.server.prefix("elsewhere")])?;
    let refusal = String::from_utf8_lossy(&outside.stderr).into_owned();
    ensure!(!outside.status.success() && refusal.contains("file.roots"), "{refusal}");

    let target = s3.server.prefix("mine/savepoints");
    let stopped = s3.says("stop", &[&job, "-p", &target])?;
    let savepoint = stopped["location"].as_str().context("no location")?.to_owned();
    ensure!(stopped["status"] == "FINISHED" && savepoint.starts_with(&format!("{target}/savepoint-")), "{stopped}");
    // The bundle is read from S3 again, and so is what the job was told.
    s3.cluster.restart_job_manager().await?;
    s3.cluster.wait_for_slots(2, 4).await?;
    let job = s3.run("wc", records, Begin::From(&savepoint), "4", &output)?;
    s3.cluster.wait_finished(&job).await?;
    expected.compare(committed_rows(&output)?)?;

    ensure!(!s3.names("mine/savepoints").await?.is_empty());
    s3.says("savepoint", &["--dispose", &savepoint])?;
    ensure!(s3.names("mine/savepoints").await?.is_empty());
    let gone = s3.command("run", &["-s", &savepoint, repository::bundle("nexmark")?.to_str().context("a path")?])?;
    ensure!(!gone.status.success() && String::from_utf8_lossy(&gone.stderr).contains(&savepoint));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_is_replaced_at_a_barrier_whose_checkpoint_is_in_s3() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut s3 = InS3::start(folder.path()).await?;
    let job = Job::start_in(&s3.cluster, "rows", &s3.server.prefix("mine/checkpoints")).await?;
    let upgraded = answer(&job.upgrade(&s3.cluster, 2)?)?;
    ensure!(upgraded["way"] == "barrier", "{upgraded}");
    // What is restored from then on is the checkpoint of the upgrade, or a later one: with the new code.
    let victim = s3.cluster.running(&job.id).await?;
    s3.cluster.kill_task_manager(victim)?;
    s3.cluster.add_task_manager()?;
    checkpoints::wait_for(&s3.cluster, &job.id, |figures| figures.restored >= 1).await?;
    s3.cluster.wait_finished(&job.id).await?;
    let by_release = job.check()?;
    ensure!(by_release.keys().eq(&[1, 2]), "{by_release:?}");
    Ok(())
}
