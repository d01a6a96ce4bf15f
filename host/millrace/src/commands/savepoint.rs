//! `millrace savepoint`: asks for a savepoint and waits until it is complete; or deletes one.

use anyhow::{Result, bail};
use millrace_client::Client;
use millrace_client::api::{DisposalRequest, SavepointTriggerRequest};
use serde_json::json;

use crate::cli::Savepoint;
use crate::commands::{absolute_folder, client, outcome, print_json, resolve_job};
use crate::progress::{Progress, println_stdout};

pub(crate) async fn run(options: Savepoint) -> Result<()> {
    let client = client(&options.cluster)?;
    let json = options.cluster.json;
    if let Some(path) = absolute_folder(options.dispose.as_deref())? {
        return dispose(&client, path, json).await;
    }
    let job = resolve_job(&client, options.job.as_deref().unwrap_or_default()).await?;
    let target_directory = absolute_folder(options.folder.as_deref())?;
    let request = SavepointTriggerRequest { target_directory, ..SavepointTriggerRequest::default() };
    let trigger = client.savepoint(&job, &request).await?.request_id;
    let location = wait(&client, &job, &trigger, json).await?;
    if json {
        return print_json(&json!({ "jobid": job, "location": location }));
    }
    println_stdout(&format!("Savepoint of job {job}: {location}"));
    println_stdout(&format!("`millrace run -s {location} BUNDLE` begins with it."));
    Ok(())
}

/// Waits until a savepoint is complete and tells where it is.
pub(crate) async fn wait(client: &Client, job: &str, trigger: &str, hidden: bool) -> Result<String> {
    let progress = Progress::new(hidden);
    progress.say("waiting for the savepoint");
    let outcome = outcome(async || client.savepoint_status(job, trigger).await).await?;
    progress.done();
    match (outcome.location, outcome.failure_cause) {
        (Some(location), _) => Ok(location),
        (None, Some(cause)) => bail!("there is no savepoint of job {job}: {}", cause.stack_trace),
        (None, None) => bail!("the cluster does not say where the savepoint of job {job} is"),
    }
}

async fn dispose(client: &Client, path: String, json: bool) -> Result<()> {
    let trigger = client.dispose(&DisposalRequest { savepoint_path: path.clone() }).await?.request_id;
    let outcome = outcome(async || client.disposal_status(&trigger).await).await?;
    if let Some(cause) = outcome.failure_cause {
        bail!("the savepoint {path} is still there: {}", cause.stack_trace);
    }
    if json {
        return print_json(&json!({ "disposed": path }));
    }
    println_stdout(&format!("The savepoint {path} is deleted."));
    Ok(())
}
