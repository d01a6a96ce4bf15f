//! `millrace upgrade`: another bundle takes over a job's state: at a barrier, without a restart, where the graph keeps its
//! shape; else by a savepoint and a restart.
//!
//! What can be refused is refused before the job is stopped: the cluster plans the new bundle, and asks the job's tasks
//! whether their state fits it.

use anyhow::{Context, Result, bail};
use millrace_client::Client;
use millrace_client::api::{
    JobConfig, RunRequest, StopRequest, UPGRADE_BY_RESTART, UPGRADED_AT_A_BARRIER, UpgradeOutcome, UpgradeRequest,
};
use millrace_types::JobStatus;
use serde_json::json;

use crate::cli::Upgrade;
use crate::commands::{absolute_folder, client, outcome, print_json, resolve_job, stop};
use crate::paths::absolute_arguments;
use crate::progress::{Progress, println_stdout};

/// Options of the running job that name the state that it began with itself.
const STATE_RECOVERY: &str = "execution.state-recovery.";

pub(crate) async fn run(options: Upgrade) -> Result<()> {
    let client = client(&options.cluster)?;
    let json = options.cluster.json;
    let job = resolve_job(&client, &options.job).await?;
    let progress = Progress::new(json);
    progress.say(format!("uploading {}", options.bundle.display()));
    let bundle = client.upload(&options.bundle).await?;
    let request = request_of(&client.job_config(&job).await?, &options)?;
    progress.say("planning, and making the tasks ready");
    let outcome = ask(&client, &job, &bundle, &request).await;
    progress.done();
    let UpgradeOutcome { mode, checkpoint_id, reason, failure_cause } = outcome?;
    match (mode.as_deref(), failure_cause) {
        (Some(UPGRADED_AT_A_BARRIER), _) => upgraded(&job, checkpoint_id.unwrap_or_default(), json),
        (Some(UPGRADE_BY_RESTART), _) => {
            let reason = reason.unwrap_or_default();
            if !json {
                println_stdout(&format!("The code cannot be replaced at a barrier: {reason}."));
            }
            restart(&client, &job, &bundle, request, &options, &reason).await
        }
        (_, Some(cause)) => bail!("job {job} was not upgraded: {}", cause.stack_trace),
        (mode, None) => bail!("the cluster does not say what became of the upgrade of job {job}: {mode:?}"),
    }
}

/// Asks for the upgrade and waits for its outcome.
async fn ask(client: &Client, job: &str, bundle: &str, request: &RunRequest) -> Result<UpgradeOutcome> {
    let wanted = UpgradeRequest {
        jar_id: bundle.to_owned(),
        program_args_list: request.program_args_list.clone(),
        parallelism: request.parallelism,
        allow_non_restored_state: request.allow_non_restored_state,
        trigger_id: None,
    };
    let asked = client.upgrade(job, &wanted).await;
    let trigger = asked.context("the new bundle was refused, and the job runs on")?.request_id;
    outcome(async || client.upgrade_status(job, &trigger).await).await
}

fn upgraded(job: &str, checkpoint: u64, json: bool) -> Result<()> {
    if json {
        return print_json(&json!({ "jobid": job, "way": UPGRADED_AT_A_BARRIER, "checkpoint": checkpoint }));
    }
    println_stdout(&format!(
        "Job {job} runs the new code behind checkpoint {checkpoint}: its graph kept its shape and its"
    ));
    println_stdout("state fits, so that the code was replaced at a barrier, without a restart.");
    Ok(())
}

async fn restart(
    client: &Client,
    job: &str,
    bundle: &str,
    request: RunRequest,
    options: &Upgrade,
    reason: &str,
) -> Result<()> {
    let json = options.cluster.json;
    let target_directory = absolute_folder(options.savepoint_path.as_deref())?;
    let (location, status) =
        stop::stop(client, job, &StopRequest { target_directory, ..StopRequest::default() }, json).await?;
    if status != JobStatus::Finished {
        bail!("job {job} is {status} since it was to be stopped; its savepoint {location} is complete");
    }
    let request = RunRequest { savepoint_path: Some(location.clone()), ..request };
    let started = client.run(bundle, &request).await.with_context(|| {
        format!(
            "the new bundle could not be started. `millrace run -s {location} BUNDLE` begins where job {job} stopped"
        )
    })?;
    if json {
        return print_json(&json!({
            "jobid": started.jobid, "replaces": job, "location": location, "way": UPGRADE_BY_RESTART, "reason": reason
        }));
    }
    println_stdout(&format!("Job {job} was stopped with the savepoint {location},"));
    println_stdout(&format!("and job {} goes on from it with the new code (by savepoint and restart).", started.jobid));
    Ok(())
}

/// The run of the new bundle: as that of the old one, but for what is stated.
fn request_of(old: &JobConfig, options: &Upgrade) -> Result<RunRequest> {
    let mut configuration = old.execution_config.user_config.clone();
    // The server shows the arguments among the options.
    configuration.retain(|key, _| key != "program-args" && !key.starts_with(STATE_RECOVERY));
    let folder = std::env::current_dir().context("cannot tell the current folder")?;
    let args = if options.args.is_empty() {
        old.program_args_list.clone()
    } else {
        absolute_arguments(&options.args, &folder)
    };
    Ok(RunRequest {
        program_args_list: Some(args),
        parallelism: Some(options.parallelism.map_or(i64::from(old.execution_config.job_parallelism), i64::from)),
        flink_configuration: Some(configuration),
        allow_non_restored_state: options.allow_non_restored_state.then_some(true),
        ..RunRequest::default()
    })
}
