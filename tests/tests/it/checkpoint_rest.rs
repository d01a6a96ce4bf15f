//! Checkpoints and savepoints over REST, without a job that takes any: the shapes of the answers, and what is refused.

use anyhow::{Context, Result};
use millrace_client::api;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::{repository, wait};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn recorded(name: &str) -> Result<Value> {
    let path = repository::root().join(format!("tests/flink/{name}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// A recorded answer is read into the type that the server answers with, and is the same when it is written again: field
/// for field, value for value.
fn assert_same<T: DeserializeOwned + Serialize>(name: &str) -> Result<()> {
    let recorded = recorded(name)?;
    let read: T = serde_json::from_value(recorded.clone()).with_context(|| name.to_owned())?;
    assert_eq!(serde_json::to_value(read)?, recorded, "{name}");
    Ok(())
}

#[test]
fn the_answers_types_are_those_of_the_recordings() -> Result<()> {
    assert_same::<api::CheckpointStatistics>("job-checkpoints")?;
    assert_same::<api::CheckpointStatistics>("job-checkpoints-restored")?;
    assert_same::<api::CheckpointConfig>("job-checkpoints-config")?;
    assert_same::<api::CheckpointEntry>("job-checkpoint-details")?;
    assert_same::<api::VertexCheckpointDetails>("job-checkpoint-subtasks-v0")?;
    assert_same::<api::VertexCheckpointDetails>("job-checkpoint-subtasks-v1")?;
    for name in ["savepoint-trigger", "stop-with-savepoint", "checkpoint-trigger", "savepoint-disposal"] {
        assert_same::<api::TriggerResponse>(name)?;
    }
    for name in ["savepoint-status-first", "savepoint-status-completed", "stop-status-first", "stop-status-completed"] {
        assert_same::<api::OperationStatus<api::SavepointOutcome>>(name)?;
    }
    for name in ["checkpoint-trigger-status-in-progress", "checkpoint-trigger-status-completed"] {
        assert_same::<api::OperationStatus<api::CheckpointOutcome>>(name)?;
    }
    assert_same::<api::OperationStatus<api::DisposalOutcome>>("savepoint-disposal-status")
}

/// What a client gets that asks for the wrong thing: status, and a word of the text.
#[tokio::test]
async fn wrong_requests_are_refused_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    std::fs::create_dir(&root)?;
    let cluster = Cluster::start(folder.path(), &["--slots", "1", "--file-root", root.to_str().unwrap()])?;
    let bundle = repository::bundle("faulty")?;
    let id = cluster.client.upload(&bundle).await?;
    let job = cluster.run(&bundle, Run { args: vec!["unbounded"], ..Run::default() }).await?;
    cluster.wait_running(&job).await?;
    let nowhere = "0".repeat(32);
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), Some(body.to_string()));
    let get = |path: String| (Method::GET, path, None);
    let run = |body: Value| post(&format!("/jars/{id}/run"), body);
    let savepoints = format!("/jobs/{job}/savepoints");
    let savepoint = root.join("nothing");
    let cases = [
        (post(&format!("/jobs/{nowhere}/savepoints"), json!({})), 404, "not found"),
        (post(&format!("/jobs/{nowhere}/stop"), json!({})), 404, "not found"),
        (post(&format!("/jobs/{nowhere}/checkpoints"), json!({})), 404, "not found"),
        (get(format!("/jobs/{nowhere}/checkpoints")), 404, "not found"),
        (get(format!("{savepoints}/{nowhere}")), 404, "There is no savepoint operation with triggerId="),
        (get(format!("/jobs/{job}/checkpoints/{nowhere}")), 404, "triggerId="),
        (get(format!("/savepoint-disposal/{nowhere}")), 404, "triggerId="),
        (get(format!("{savepoints}/nothex")), 400, "triggerid"),
        (get(format!("/jobs/{job}/checkpoints/details/7")), 404, "checkpoint 7"),
        (get(format!("/jobs/{job}/checkpoints/details/x")), 400, "checkpointid"),
        (post(&savepoints, json!({})), 400, "execution.checkpointing.savepoint-dir"),
        (post(&savepoints, json!({"target-directory": "/tmp"})), 400, "root"),
        (post(&savepoints, json!({"target-directory": root, "formatType": "AVRO"})), 400, "formatType"),
        (post(&savepoints, json!({"targetDirectory": root})), 400, "targetDirectory"),
        (post(&savepoints, json!({"target-directory": root, "triggerId": "x"})), 400, "triggerId"),
        (post(&format!("/jobs/{job}/stop"), json!({"target-directory": root})), 400, "target-directory"),
        (post("/savepoint-disposal", json!({})), 400, "savepoint-path"),
        (run(json!({"savepointPath": savepoint, "claimMode": "LEGACY"})), 400, "LEGACY"),
        (run(json!({"savepointPath": savepoint})), 400, "no savepoint or checkpoint"),
        (run(json!({"savepointPath": "/etc"})), 400, "root"),
        (run(json!({"flinkConfiguration": {"execution.checkpointing.interval": "often"}})), 400, "interval"),
        (run(json!({"flinkConfiguration": {"execution.checkpointing.dir": "/tmp"}})), 400, "root"),
    ];
    for ((method, path, body), expected, text) in cases {
        let (status, found) = cluster.client.raw(method.clone(), &path, body.clone()).await?;
        assert_eq!(status.as_u16(), expected, "{method} {path} {body:?}: {found}");
        assert!(found.contains(text), "{method} {path} {body:?}: \"{text}\" is missing in: {found}");
    }
    let dispose = api::DisposalRequest { savepoint_path: savepoint.to_string_lossy().into_owned() };
    let trigger = cluster.client.dispose(&dispose).await?.request_id;
    let outcome = wait::until("the disposal", async || Ok(cluster.client.disposal_status(&trigger).await?.operation));
    let cause = outcome.await?.failure_cause.unwrap().stack_trace;
    assert!(cause.contains("no savepoint or checkpoint"), "{cause}");
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state.is_terminal()).await?;
    let (status, text) = cluster.client.raw(Method::POST, &savepoints, Some("{}".to_owned())).await?;
    assert!(status.as_u16() == 409 && text.contains("CANCELED"), "{status}: {text}");
    Ok(())
}

/// A run's own options go before the cluster's, and a job that takes no checkpoints says so as Flink does.
#[tokio::test]
async fn the_settings_of_a_run_are_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["--slots", "1", "-D", "execution.checkpointing.timeout=1 min"];
    let cluster = Cluster::start(folder.path(), &options)?;
    let bundle = repository::bundle("faulty")?;
    let options = vec![("execution.checkpointing.mode", "AT_LEAST_ONCE"), ("state.backend.type", "redb")];
    let job = cluster.run(&bundle, Run { args: vec!["unbounded"], options, ..Run::default() }).await?;
    let config = cluster.client.checkpoint_config(&job).await?;
    assert_eq!((config.mode.as_str(), config.timeout, config.interval), ("at_least_once", 60_000, i64::MAX));
    assert_eq!(config.state_backend, "RedbStateBackend");
    let statistics = cluster.client.checkpoints(&job).await?;
    assert_eq!((statistics.counts, statistics.history.len()), (api::CheckpointCounts::default(), 0));
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state.is_terminal()).await?;
    Ok(())
}
