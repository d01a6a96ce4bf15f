//! `millrace application`: one application, one JobManager, one end.

use std::path::Path;

use anyhow::Result;
use millrace_tests::jobs::Jobs;
use millrace_tests::process::Process;
use millrace_tests::{repository, rows, wait};
use reqwest::{Method, StatusCode};

fn application(folder: &Path, bundle: &str, args: &[&str]) -> Result<Process> {
    let (bundle, data) = (repository::bundle(bundle)?, folder.join("application"));
    let own = ["application", bundle.to_str().unwrap(), "-p", "2", "--listen", "127.0.0.1:0", "--rpc", "127.0.0.1:0"];
    let more = ["--data-dir", data.to_str().unwrap(), "--file-root", "/", "--"];
    let arguments: Vec<String> = own.iter().chain(&more).chain(args).map(ToString::to_string).collect();
    Process::start(folder, "application", &arguments)
}

fn task_manager(folder: &Path, application: &Process) -> Result<Process> {
    let (rpc, data) = (application.announced("TaskManagers at ")?, folder.join("task-managers"));
    let own = ["taskmanager", "--jobmanager", &rpc, "--slots", "2", "--file-root", "/", "--data-dir"];
    let arguments: Vec<String> = own.into_iter().chain([data.to_str().unwrap()]).map(str::to_owned).collect();
    Process::start(folder, "taskmanager", &arguments)
}

#[tokio::test]
async fn an_application_runs_alone_and_its_end_is_the_process_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (input, output) = (repository::data("text/emma.txt")?, folder.path().join("rows"));
    let args = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let mut application = application(folder.path(), "wordcount", &args)?;
    let jobs = Jobs::at(&application.announced("http://")?)?;
    let error = jobs.client.upload(&repository::bundle("flights")?).await.unwrap_err().to_string();
    assert!(error.contains("one application alone"), "{error}");
    let (status, _) = jobs.client.raw(Method::GET, "/jars", None).await?;
    assert!(status.is_success());
    let job = only_job(&application).await?;
    let upgrade = format!("/jobs/{job}/upgrade");
    let (status, text) = jobs.client.raw(Method::POST, &upgrade, Some("{}".to_owned())).await?;
    assert!(status == StatusCode::FORBIDDEN && text.contains("one application alone"), "{status}: {text}");
    let _task_manager = task_manager(folder.path(), &application)?;
    assert!(application.wait()?, "{}", application.log()?);
    let program = repository::root().join("tests/expected/wordcount.py");
    assert!(rows::sorted_rows(&output)? == rows::sorted_output(&program, &[&input])?);
    Ok(())
}

#[tokio::test]
async fn an_application_that_fails_says_so_and_one_that_was_killed_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut failing = application(folder.path(), "faulty", &["panic-at-1000"])?;
    let first_task_manager = task_manager(folder.path(), &failing)?;
    assert!(!failing.wait()?);
    assert!(failing.log()?.contains("is FAILED"), "{}", failing.log()?);
    drop(first_task_manager);

    let folder = tempfile::tempdir()?;
    let mut killed = application(folder.path(), "faulty", &["unbounded"])?;
    let job = only_job(&killed).await?;
    killed.kill()?;
    let again = application(folder.path(), "faulty", &["unbounded"])?;
    assert_eq!(only_job(&again).await?, job);
    let _task_manager = task_manager(folder.path(), &again)?;
    Jobs::at(&again.announced("http://")?)?.wait_running(&job).await?;
    Ok(())
}

/// The application's job, once it is there.
async fn only_job(application: &Process) -> Result<String> {
    let jobs = Jobs::at(&application.announced("http://")?)?;
    wait::until("the application's job", async || {
        Ok(jobs.client.jobs().await?.jobs.into_iter().next().map(|job| job.jid))
    })
    .await
}
