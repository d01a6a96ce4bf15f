//! `millrace stop`: a savepoint, then the job's end.

use anyhow::Result;
use millrace_client::Client;
use millrace_client::api::StopRequest;
use millrace_types::JobStatus;
use serde_json::json;

use crate::cli::Stop;
use crate::commands::{POLL, absolute_folder, client, print_json, resolve_job, savepoint};
use crate::progress::{Progress, println_stdout};

pub(crate) async fn run(options: Stop) -> Result<()> {
    let client = client(&options.cluster)?;
    let json = options.cluster.json;
    let job = resolve_job(&client, &options.job).await?;
    let request = StopRequest {
        target_directory: absolute_folder(options.savepoint_path.as_deref())?,
        drain: Some(options.drain),
        ..StopRequest::default()
    };
    let (location, status) = stop(&client, &job, &request, json).await?;
    if json {
        return print_json(&json!({ "jobid": job, "status": status, "location": location }));
    }
    println_stdout(&format!("Job {job} is {status}. Its savepoint: {location}"));
    Ok(())
}

/// Stops a job and tells where its savepoint is and how it ended.
pub(crate) async fn stop(
    client: &Client,
    job: &str,
    request: &StopRequest,
    hidden: bool,
) -> Result<(String, JobStatus)> {
    let trigger = client.stop(job, request).await?.request_id;
    let location = savepoint::wait(client, job, &trigger, hidden).await?;
    let progress = Progress::new(hidden);
    progress.say("waiting for the tasks to end");
    loop {
        let status = client.status(job).await?.status;
        if status.is_terminal() {
            progress.done();
            return Ok((location, status));
        }
        tokio::time::sleep(POLL).await;
    }
}
