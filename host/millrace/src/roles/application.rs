//! `millrace application`: a JobManager that runs one application and ends with it, as in Flink's application mode.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use millrace_jobmanager::{Dispatcher, RunRequest};
use millrace_types::{JobId, JobStatus, TenantId};

use crate::cli::Application;
use crate::paths::absolute_arguments;
use crate::progress::println_stdout;
use crate::roles::jobmanager::{Core, Plan, Start, announce, bind_rest};
use crate::roles::{block_on, setup, stop_signal};

pub(crate) fn run(options: &Application) -> Result<()> {
    let plan = Plan::new(&options.common)?;
    let folder = std::env::current_dir().context("cannot tell the current folder")?;
    let name = options.name.iter().map(|name| ("pipeline.name".to_owned(), name.clone()));
    let request = RunRequest {
        job: None,
        entry: None,
        args: absolute_arguments(&options.args, &folder),
        parallelism: options.parallelism,
        options: name.chain(options.state.options(&folder)).collect(),
    };
    let bytes = std::fs::read(&options.bundle).with_context(|| format!("cannot read {}", options.bundle.display()))?;
    let file = options.bundle.file_name().map_or_else(|| "application".into(), |name| name.to_string_lossy());
    let file = file.into_owned();
    block_on(async move {
        let mut stop = Box::pin(stop_signal()?);
        let core = Core::start(
            &plan.configuration,
            &plan.data_dir,
            plan.reach.clone(),
            Start { adopts: true, driver: plan.driver.clone(), ..Start::default() },
        )
        .await?;
        let control = plan.listen(&core)?;
        let mut rest = setup::rest_options(&plan.configuration)?;
        rest.submissions = false;
        let server = bind_rest(rest, &core.job_manager).await?;
        announce(&server, control);
        let Some(dispatcher) = core.leads(&mut stop).await? else {
            core.close();
            bail!("stopped before it could begin: start the process again on the same --data-dir");
        };
        let submitting = dispatcher.clone();
        let submission = async move { submit(&submitting, &file, Bytes::from(bytes), request).await };
        let job = dispatcher.spawn(submission).await.context("the submission was lost")??;
        println_stdout(&format!("Job {job} has been submitted."));
        let (ending, ended) = tokio::sync::oneshot::channel();
        let watched = dispatcher.clone();
        let watching = tokio::spawn(async move {
            let status = watched.wait_until_ended(&TenantId::default_tenant(), job).await;
            // The server below waits for it.
            let _ = ending.send(());
            status
        });
        let until = async move {
            tokio::select! {
                () = &mut stop => (),
                _ = ended => (),
            }
        };
        core.serve(server, until).await?;
        let status =
            if watching.is_finished() { Some(watching.await.context("the job was lost sight of")??) } else { None };
        core.close();
        report(&job, status)
    })
}

/// Starts the application, or finds it where an earlier life of this process left it.
async fn submit(dispatcher: &Dispatcher, name: &str, bytes: Bytes, request: RunRequest) -> Result<JobId> {
    let tenant = TenantId::default_tenant();
    if let Some(unfinished) = dispatcher.jobs(&tenant).into_iter().find(|job| !job.record.status.is_terminal()) {
        return Ok(unfinished.record.submission.id);
    }
    let bundle = dispatcher.upload_bundle(&tenant, name, bytes).await?;
    Ok(dispatcher.run(&tenant, &bundle.id, request).await?)
}

/// The process's end is the job's: only a job that has finished is a success.
fn report(job: &JobId, status: Option<JobStatus>) -> Result<()> {
    match status {
        Some(JobStatus::Finished) => {
            println_stdout(&format!("Job {job} finished."));
            Ok(())
        }
        Some(other) => bail!("job {job} is {other}"),
        None => bail!("stopped while job {job} runs: start the process again on the same --data-dir to go on"),
    }
}
