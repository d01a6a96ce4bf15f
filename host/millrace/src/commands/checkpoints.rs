//! `millrace checkpoints`: what a job's checkpoints were like.

use anyhow::{Result, bail};
use millrace_client::Client;
use millrace_client::api::{CheckpointEntry, CheckpointTriggerRequest};
use millrace_types::format_bytes;

use crate::cli::Checkpoints;
use crate::commands::{client, outcome, print_json, resolve_job};
use crate::progress::{Progress, println_stdout, span};

pub(crate) async fn run(options: Checkpoints) -> Result<()> {
    let client = client(&options.cluster)?;
    let job = resolve_job(&client, &options.job).await?;
    if options.trigger {
        trigger(&client, &job, options.cluster.json).await?;
    }
    let statistics = client.checkpoints(&job).await?;
    if options.cluster.json {
        return print_json(&statistics);
    }
    let counts = statistics.counts;
    println_stdout(&format!(
        "{} completed, {} failed, {} in progress, {} restored",
        counts.completed, counts.failed, counts.in_progress, counts.restored
    ));
    statistics.history.iter().for_each(|entry| println_stdout(&line(entry)));
    Ok(())
}

fn line(entry: &CheckpointEntry) -> String {
    let acknowledged = format!("{}/{}", entry.num_acknowledged_subtasks, entry.num_subtasks);
    let sizes = format!("{} of {}", format_bytes(entry.checkpointed_size), format_bytes(entry.state_size));
    let what = entry.external_path.as_deref().or(entry.failure_message.as_deref()).unwrap_or_default();
    let kind = if entry.is_savepoint { "savepoint" } else { "checkpoint" };
    let took = span(entry.end_to_end_duration);
    format!("{:<6} {kind:<10} {:<11} {acknowledged:<9} {took:<9} {sizes:<22} {what}", entry.id, entry.status)
}

async fn trigger(client: &Client, job: &str, hidden: bool) -> Result<()> {
    let trigger = client.trigger_checkpoint(job, &CheckpointTriggerRequest::default()).await?.request_id;
    let progress = Progress::new(hidden);
    progress.say("waiting for the checkpoint");
    let outcome = outcome(async || client.checkpoint_status(job, &trigger).await).await?;
    progress.done();
    match outcome.failure_cause {
        Some(cause) => bail!("there is no checkpoint of job {job}: {}", cause.stack_trace),
        None => Ok(()),
    }
}
