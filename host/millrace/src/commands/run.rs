//! `millrace run`: uploads a bundle, starts it, follows it until it ends.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use millrace_client::Client;
use millrace_client::api::{JobDetails, RunRequest};
use millrace_types::JobStatus;
use serde_json::json;

use crate::cli::Run;
use crate::commands::{client, print_json};
use crate::config::parse_definitions;
use crate::paths::absolute_arguments;
use crate::progress::{Progress, job_line, println_stdout, span};

/// How long a request for results waits at the server, which is also how often the progress line is renewed.
const RESULTS_WAIT_MS: u64 = 200;

pub(crate) async fn run(options: Run) -> Result<()> {
    let client = client(&options.cluster)?;
    let folder = std::env::current_dir().context("cannot tell the current folder")?;
    let progress = Progress::new(options.cluster.json);
    progress.say(format!("uploading {}", options.bundle.display()));
    let bundle = client.upload(&options.bundle).await?;
    let mut configuration = parse_definitions(&options.define)?;
    if let Some(name) = &options.name {
        configuration.insert("pipeline.name".to_owned(), name.clone());
    }
    configuration.extend(options.state.options(&folder));
    let request = RunRequest {
        program_args_list: Some(absolute_arguments(&options.args, &folder)),
        parallelism: options.parallelism.map(i64::from),
        flink_configuration: Some(configuration),
        ..RunRequest::default()
    };
    progress.say("starting");
    let job = client.run(&bundle, &request).await?.jobid;
    if options.detached {
        progress.done();
        if options.cluster.json {
            return print_json(&json!({ "jobid": job }));
        }
        println_stdout(&format!("Job {job} has been submitted. `millrace list` shows how it fares."));
        return Ok(());
    }
    if !options.cluster.json {
        progress.output(&format!("Job {job} has been submitted."));
    }
    let mut rows = Vec::new();
    let mut output = |row: String| if options.cluster.json { rows.push(row) } else { progress.output(&row) };
    let details = follow(&client, &job, &progress, &mut output).await?;
    progress.done();
    if options.cluster.json {
        let duration = details.duration;
        print_json(&json!({ "jobid": job, "status": details.state, "duration": duration, "rows": rows }))?;
    }
    report(&client, &details, options.cluster.json).await
}

/// Hands on collected rows as they come, until the job has ended.
async fn follow(
    client: &Client,
    job: &str,
    progress: &Progress,
    output: &mut impl FnMut(String),
) -> Result<JobDetails> {
    let mut next = 0;
    loop {
        let details = client.job(job).await?;
        progress.say(job_line(&details));
        let results = client.results(job, next, RESULTS_WAIT_MS).await?;
        next = results.next;
        results.rows.into_iter().for_each(&mut *output);
        if details.state.is_terminal() && results.end {
            return Ok(details);
        }
        if details.state.is_terminal() {
            // The rows that are left follow without waiting.
            continue;
        }
        if results.end {
            // No sink collects any more, but the job goes on for a moment.
            tokio::time::sleep(Duration::from_millis(RESULTS_WAIT_MS / 4)).await;
        }
    }
}

async fn report(client: &Client, details: &JobDetails, json: bool) -> Result<()> {
    match details.state {
        JobStatus::Finished => {
            if !json {
                println_stdout(&format!("Job {} finished in {}.", details.jid, span(details.duration)));
            }
            Ok(())
        }
        JobStatus::Failed => {
            let history = client.exceptions(&details.jid).await?.exception_history;
            let cause = history.entries.first().map_or("no cause was recorded", |entry| entry.stacktrace.as_str());
            bail!("job {} failed: {cause}", details.jid)
        }
        other => bail!("job {} is {other}", details.jid),
    }
}
