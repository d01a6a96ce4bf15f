//! Checkpoints and savepoints of a job, by REST: Flink's paths and fields.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use millrace_client::Client;
use millrace_types::JobStatus;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::jobs::Jobs;
use crate::process::{PATIENCE, POLL};

/// How often a stop is tried: a task that fails, or another leader, ends it.
const STOPS_MAX: usize = 5;

/// How a job's checkpoints fare.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How many are complete.
    pub completed: u64,
    /// How many are under way.
    pub in_progress: u64,
    /// How many failed.
    pub failed: u64,
    /// How often the job was restored from one.
    pub restored: u64,
    /// The latest that is complete.
    pub latest: Option<u64>,
    /// Where its files are.
    pub latest_path: Option<String>,
    /// The one that the job was restored from last.
    pub restored_id: Option<u64>,
}

/// How a savepoint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Savepoint {
    /// It is not complete.
    InProgress,
    /// It lies there.
    Complete(String),
    /// Why there is none.
    Failed(String),
}

/// How a job's checkpoints fare now.
pub async fn figures(client: &Client, job: &str) -> Result<Figures> {
    let text = get(client, &format!("/jobs/{job}/checkpoints")).await?;
    let count = |name: &str| text.pointer(&format!("/counts/{name}")).and_then(Value::as_u64).unwrap_or_default();
    let latest = text.pointer("/latest/completed");
    Ok(Figures {
        completed: count("completed"),
        in_progress: count("in_progress"),
        failed: count("failed"),
        restored: count("restored"),
        latest: latest.and_then(|latest| latest["id"].as_u64()),
        latest_path: latest.and_then(|latest| latest["external_path"].as_str()).map(str::to_owned),
        restored_id: text.pointer("/latest/restored/id").and_then(Value::as_u64),
    })
}

/// Has a checkpoint taken and waits until it is complete; returns its number.
pub async fn take(jobs: &Jobs, job: &str) -> Result<u64> {
    let body = json!({ "checkpointType": "CONFIGURED" }).to_string();
    let (status, text) = jobs.client.raw(Method::POST, &format!("/jobs/{job}/checkpoints"), Some(body)).await?;
    ensure!(status == StatusCode::ACCEPTED, "a checkpoint of job {job} is answered by {status}: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    let request = answer["request-id"].as_str().context("no request-id")?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(&jobs.client, &format!("/jobs/{job}/checkpoints/{request}")).await?;
        if answer.pointer("/status/id").and_then(Value::as_str) == Some("COMPLETED") {
            let id = answer.pointer("/operation/checkpointId").and_then(Value::as_u64);
            return id.with_context(|| format!("the checkpoint that was asked for failed: {answer}"));
        }
        ensure!(Instant::now() < deadline, "the checkpoint {request} of job {job} is not complete: {answer}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until a job's checkpoints are as they should be; an error if it ends before.
pub async fn wait_for(jobs: &Jobs, job: &str, condition: impl Fn(&Figures) -> bool) -> Result<Figures> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = figures(&jobs.client, job).await?;
        if condition(&found) {
            return Ok(found);
        }
        let status = jobs.client.status(job).await?.status;
        ensure!(
            !status.is_terminal(),
            "job {job} is {status} before its checkpoints were as they should be: {found:?}"
        );
        ensure!(Instant::now() < deadline, "job {job} has these checkpoints after {PATIENCE:?}: {found:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Asks for a savepoint in that folder behind which the job ends; returns what the request is called.
pub async fn stop(client: &Client, job: &str, folder: &str) -> Result<String> {
    stop_with(client, job, folder, false).await
}

/// The same, with the sources ended first.
pub async fn drain(client: &Client, job: &str, folder: &str) -> Result<String> {
    stop_with(client, job, folder, true).await
}

async fn stop_with(client: &Client, job: &str, folder: &str, drain: bool) -> Result<String> {
    let body = json!({ "targetDirectory": folder, "drain": drain }).to_string();
    let (status, text) = client.raw(Method::POST, &format!("/jobs/{job}/stop"), Some(body)).await?;
    ensure!(status == StatusCode::ACCEPTED, "the stop of job {job} is answered by {status}: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    Ok(answer["request-id"].as_str().context("no request-id")?.to_owned())
}

/// Stops a job with a savepoint below that folder, and says where it is.
pub async fn stop_at_last(jobs: &Jobs, job: &str, folder: &Path) -> Result<String> {
    let mut outcome = None;
    for number in 0..STOPS_MAX {
        let state = jobs.wait_running(job).await?.state;
        ensure!(!state.is_terminal(), "job {job} is {state} already: it was to last until it is stopped");
        let folder = folder.join(number.to_string());
        outcome = Some(match stop(&jobs.client, job, &folder.to_string_lossy()).await {
            Ok(request) => ended(&jobs.client, job, &request).await,
            Err(error) => Err(error),
        });
        // Another leader knows nothing of the request, but how the job ended.
        if jobs.client.status(job).await?.status == JobStatus::Finished {
            return savepoint_in(&folder);
        }
    }
    bail!("job {job} could not be stopped with a savepoint in {STOPS_MAX} attempts: {outcome:?}")
}

/// The savepoint in a folder that was made for it.
fn savepoint_in(folder: &Path) -> Result<String> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.join("_metadata").exists() {
            return Ok(path.to_string_lossy().into_owned());
        }
    }
    bail!("there is no savepoint in {}", folder.display())
}

/// What became of such a request.
pub async fn outcome(client: &Client, job: &str, request: &str) -> Result<Savepoint> {
    let answer = get(client, &format!("/jobs/{job}/savepoints/{request}")).await?;
    match answer.pointer("/status/id").and_then(Value::as_str) {
        Some("IN_PROGRESS") => Ok(Savepoint::InProgress),
        Some("COMPLETED") => Ok(match answer.pointer("/operation/location").and_then(Value::as_str) {
            Some(location) => Savepoint::Complete(location.to_owned()),
            None => Savepoint::Failed(answer["operation"]["failure-cause"].to_string()),
        }),
        _ => bail!("the savepoint {request} of job {job} is in no state: {answer}"),
    }
}

/// What became of such a request in the end: its answer comes behind the end of the job.
pub async fn ended(client: &Client, job: &str, request: &str) -> Result<Savepoint> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match outcome(client, job, request).await? {
            Savepoint::InProgress => ensure!(Instant::now() < deadline, "the savepoint {request} has no outcome"),
            outcome => return Ok(outcome),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// One line of a job's history of checkpoints.
#[derive(Debug, Clone)]
pub struct Taken {
    /// From the trigger to the last acknowledgement, in milliseconds.
    pub duration_ms: u64,
    /// What was written for it.
    pub bytes: u64,
    /// What it refers to, in bytes.
    pub state_bytes: u64,
    /// The longest time that a subtask did not process for it: waiting for barriers and sealing, in milliseconds.
    pub pause_ms: u64,
}

/// The completed checkpoints among the latest ones, oldest first.
pub async fn taken(client: &Client, job: &str) -> Result<Vec<Taken>> {
    let answer = get(client, &format!("/jobs/{job}/checkpoints")).await?;
    let mut taken = Vec::new();
    for entry in answer["history"].as_array().context("no history")?.iter().rev() {
        let number = |name: &str| entry[name].as_u64().unwrap_or_default();
        if entry["status"] != "COMPLETED" {
            continue;
        }
        taken.push(Taken {
            duration_ms: number("end_to_end_duration"),
            bytes: number("checkpointed_size"),
            state_bytes: number("state_size"),
            pause_ms: pause_ms(client, job, number("id")).await?,
        });
    }
    Ok(taken)
}

/// The size of the state of the latest completed checkpoint, in bytes; 0: there is none.
pub async fn latest_state_bytes(client: &Client, job: &str) -> Result<u64> {
    let answer = get(client, &format!("/jobs/{job}/checkpoints")).await?;
    Ok(answer.pointer("/latest/completed/state_size").and_then(Value::as_u64).unwrap_or_default())
}

async fn pause_ms(client: &Client, job: &str, id: u64) -> Result<u64> {
    let details = get(client, &format!("/jobs/{job}/checkpoints/details/{id}")).await?;
    let mut longest = 0;
    for vertex in details["tasks"].as_object().into_iter().flatten().map(|(vertex, _)| vertex) {
        let answer = get(client, &format!("/jobs/{job}/checkpoints/details/{id}/subtasks/{vertex}")).await?;
        for subtask in answer["subtasks"].as_array().into_iter().flatten() {
            let number = |path: &str| subtask.pointer(path).and_then(Value::as_u64).unwrap_or_default();
            longest = longest.max(number("/checkpoint/sync") + number("/alignment/duration"));
        }
    }
    Ok(longest)
}

async fn get(client: &Client, path: &str) -> Result<Value> {
    let (status, text) = client.raw(Method::GET, path, None).await?;
    ensure!(status.is_success(), "{path} is answered by {status}: {text}");
    Ok(serde_json::from_str(&text)?)
}
