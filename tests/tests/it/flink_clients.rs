//! Public clients of Flink work with Millrace as they are: Flink's own command line, and a client library of its REST API.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use millrace_tests::checkpoints;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::repository;
use millrace_types::JobStatus;
use sha2::{Digest, Sha256};

/// Where `scripts/setup` puts what outlives a clean clone.
fn cache() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from).or_else(home);
    Ok(cache.context("HOME is not set")?.join("millrace"))
}

/// The packages of `tests/clients/requirements.txt`.
pub(crate) fn python_packages() -> Result<PathBuf> {
    let wanted = std::fs::read(repository::root().join("tests/clients/requirements.txt"))?;
    let digest: String = Sha256::digest(wanted).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let begins = format!("clients-{digest}-py");
    let folders = std::fs::read_dir(cache()?).context("`scripts/setup` fetches what is needed")?;
    let mut folders = folders.flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begins))
            && path.extension().is_none_or(|end| end != "new")
    };
    folders.find(is_it).with_context(|| format!("there is no {begins}…: `scripts/setup` fetches it"))
}

/// Flink's command line, configured for a cluster.
struct Flink {
    jars: String,
    conf: PathBuf,
}

impl Flink {
    fn new(folder: &Path, address: &str) -> Result<Self> {
        let lib = cache()?.join("flink-2.3.0/lib");
        ensure!(lib.exists(), "{} is not there: `scripts/setup` fetches it", lib.display());
        let (host, port) = address.rsplit_once(':').context("HOST:PORT")?;
        let conf = folder.join("flink-conf");
        std::fs::create_dir_all(&conf)?;
        std::fs::write(conf.join("config.yaml"), format!("rest.address: {host}\nrest.port: {port}\n"))?;
        Ok(Self { jars: format!("{}/*", lib.display()), conf })
    }

    fn output(&self, arguments: &[&str]) -> Result<Output> {
        Command::new("java")
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", &self.jars])
            .arg("org.apache.flink.client.cli.CliFrontend")
            .args(arguments)
            .env("FLINK_CONF_DIR", &self.conf)
            .output()
            .context("java: `scripts/setup` installs it")
    }

    /// What a command prints that succeeds.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "flink {arguments:?}: {said}\n{complaints}");
        Ok(said)
    }
}

/// What stands behind a word in a text, up to the end of its line.
fn behind<'a>(text: &'a str, word: &str) -> Result<&'a str> {
    let rest = text.split_once(word).with_context(|| format!("no \"{word}\" in: {text}"))?.1;
    Ok(rest.lines().next().unwrap_or_default().trim())
}

#[tokio::test]
async fn the_command_line_of_flink_steers_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2", "--file-root", "/"])?;
    let flink = Flink::new(folder.path(), &cluster.address())?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (output, savepoints) = (path("rows"), path("savepoints"));
    let args = vec!["--query", "wc", "--events", "100000000", "--rate", "2000", "--output", &output];
    let bundle = repository::bundle("nexmark")?;
    let run = |from| Run { args: args.clone(), parallelism: 2, from, ..Run::default() };
    let job = cluster.run(&bundle, run(None)).await?;
    cluster.wait_running(&job).await?;
    let listed = flink.run(&["list"])?;
    assert!(listed.contains(&job) && listed.contains("(RUNNING)"), "{listed}");

    let saved = flink.run(&["savepoint", &job, &savepoints])?;
    let saved = behind(&saved, "Savepoint completed. Path: ")?.to_owned();
    assert!(saved.contains(&savepoints), "{saved}");
    let disposed = flink.run(&["savepoint", "-d", &saved])?;
    assert!(disposed.contains("disposed") && !Path::new(saved.trim_start_matches("file:")).exists(), "{disposed}");

    let stopped = flink.run(&["stop", "-p", &savepoints, &job])?;
    let stopped = behind(&stopped, "Savepoint completed. Path: ")?.to_owned();
    assert_eq!(cluster.client.job(&job).await?.state, JobStatus::Finished);
    let again = cluster.run(&bundle, run(Some(stopped.trim_start_matches("file:")))).await?;
    cluster.wait_running(&again).await?;
    assert_eq!(checkpoints::figures(&cluster.client, &again).await?.restored, 1);
    flink.run(&["cancel", &again])?;
    cluster.wait_for(&again, |details| details.state == JobStatus::Canceled).await?;

    let listed = flink.run(&["list", "-a"])?;
    assert!(listed.contains("No running jobs") && listed.contains("(FINISHED)"), "{listed}");
    assert!(listed.contains(&format!("{again} : ")) && listed.contains("(CANCELED)"), "{listed}");
    let refused = flink.output(&["cancel", &"f".repeat(32)])?;
    let complaint = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && complaint.contains("not found"), "{complaint}");
    Ok(())
}

#[tokio::test]
async fn a_client_library_of_flinks_rest_api_has_its_session() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2", "--file-root", "/"])?;
    let address = cluster.address();
    let (host, port) = address.rsplit_once(':').context("HOST:PORT")?;
    let output = Command::new("python3")
        .arg(repository::root().join("tests/clients/rest_session.py"))
        .args([host, port])
        .arg(repository::bundle("nexmark")?)
        .arg(folder.path())
        .env("PYTHONPATH", python_packages()?)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && output.stdout == b"ok\n", "{complaints}");
    Ok(())
}
