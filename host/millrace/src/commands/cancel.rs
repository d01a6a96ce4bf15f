//! `millrace cancel`: asks, then waits until the job has ended.

use anyhow::Result;
use serde_json::json;

use crate::cli::Cancel;
use crate::commands::{POLL, client, print_json, resolve_job};
use crate::progress::{Progress, println_stdout};

pub(crate) async fn run(options: Cancel) -> Result<()> {
    let client = client(&options.cluster)?;
    let job = resolve_job(&client, &options.job).await?;
    client.cancel(&job).await?;
    let progress = Progress::new(options.cluster.json);
    progress.say("waiting for the tasks to stop");
    let status = loop {
        let status = client.status(&job).await?.status;
        if status.is_terminal() {
            break status;
        }
        tokio::time::sleep(POLL).await;
    };
    progress.done();
    if options.cluster.json {
        return print_json(&json!({ "jobid": job, "status": status }));
    }
    println_stdout(&format!("Job {job} is {status}."));
    Ok(())
}
