//! `millrace logs`: the newest lines of the logs of a job's tasks.

use anyhow::Result;

use crate::cli::Logs;
use crate::commands::{client, print_json, resolve_job};
use crate::progress::println_stdout;

pub(crate) async fn run(options: Logs) -> Result<()> {
    let client = client(&options.cluster)?;
    let job = resolve_job(&client, &options.job).await?;
    let log = client.log(&job, options.vertex.as_deref(), options.subtask).await?;
    if options.cluster.json {
        return print_json(&log);
    }
    if log.log.is_empty() {
        eprintln!("The tasks of job {job} have logged nothing.");
    } else {
        println_stdout(log.log.trim_end());
    }
    Ok(())
}
