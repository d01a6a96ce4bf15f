//! The commands, one file each.

pub(crate) mod build;
pub(crate) mod cancel;
pub(crate) mod checkpoints;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod info;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod run;
pub(crate) mod savepoint;
pub(crate) mod stop;
mod toolchain;
pub(crate) mod top;
pub(crate) mod upgrade;

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use millrace_client::api::OperationStatus;
use millrace_client::{Client, ClientError, ClientOptions};
use serde::Serialize;

use crate::cli::ClusterArgs;
use crate::paths::make_absolute;
use crate::progress::println_stdout;

/// How often it is asked what became of something.
const POLL: Duration = Duration::from_millis(50);

/// Runs a command of a client.
pub(crate) fn block_on(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("cannot start")?.block_on(command)
}

fn client(cluster: &ClusterArgs) -> Result<Client> {
    Ok(Client::new(&cluster.jobmanager, &ClientOptions::default())?)
}

/// Asks how something stands until its outcome is there.
async fn outcome<T>(ask: impl AsyncFn() -> Result<OperationStatus<T>, ClientError>) -> Result<T> {
    loop {
        if let Some(outcome) = ask().await?.operation {
            return Ok(outcome);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn print_json(value: &impl Serialize) -> Result<()> {
    println_stdout(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A folder of a flag, as the cluster has to be told of it.
fn absolute_folder(path: Option<&str>) -> Result<Option<String>> {
    let Some(path) = path else { return Ok(None) };
    let folder = std::env::current_dir().context("cannot tell the current folder")?;
    Ok(Some(make_absolute(path, &folder)))
}

/// The one job whose id begins so.
async fn resolve_job(client: &Client, prefix: &str) -> Result<String> {
    let prefix = prefix.to_ascii_lowercase();
    let jobs = client.jobs().await?.jobs;
    let mut found = jobs.iter().filter(|job| job.jid.starts_with(&prefix));
    match (found.next(), found.next()) {
        (Some(job), None) => Ok(job.jid.clone()),
        (Some(_), Some(_)) => {
            bail!("several jobs' ids begin with \"{prefix}\": give more of it; `millrace list -a` shows them")
        }
        (None, _) => bail!("there is no job \"{prefix}\": `millrace list -a` shows those that there are"),
    }
}
