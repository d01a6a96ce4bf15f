//! Answers have the fields and types of those that a real Flink 2.3 gave.
//!
//! The recordings in `tests/flink` are of another job, so values differ; what a recorded object has, the answer has, with a
//! value of the same JSON type. Fields that Millrace adds are allowed.

use anyhow::{Context, Result};
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::repository;
use millrace_types::JobStatus;
use reqwest::Method;
use serde_json::Value;

/// Objects whose keys are data: states that a subtask happened to be in, options of the run.
const KEYS_ARE_DATA: [&str; 3] = ["status-duration", "user-config", "extendedResources"];

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What a recording has and an answer has not.
pub(crate) fn compare(path: &str, recorded: &Value, answer: &Value, wrong: &mut Vec<String>) {
    match (recorded, answer) {
        (Value::Object(recorded), Value::Object(answer)) => {
            for (key, value) in recorded {
                let path = format!("{path}.{key}");
                match answer.get(key) {
                    Some(_) if KEYS_ARE_DATA.contains(&key.as_str()) => (),
                    Some(found) => compare(&path, value, found, wrong),
                    None => wrong.push(format!("{path} is missing")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(answer)) => {
            // One element stands for all.
            if let (Some(recorded), Some(answer)) = (recorded.first(), answer.first()) {
                compare(&format!("{path}[0]"), recorded, answer, wrong);
            }
        }
        // What was not there then may be there now.
        (Value::Null, _) => (),
        (recorded, answer) if type_of(recorded) != type_of(answer) => {
            wrong.push(format!("{path} is {} and not {}", type_of(answer), type_of(recorded)));
        }
        _ => (),
    }
}

async fn answer(cluster: &Cluster, method: Method, path: &str) -> Result<Value> {
    let (status, text) = cluster.client.raw(method, path, None).await?;
    anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}

#[tokio::test]
async fn answers_have_the_recorded_fields_and_types() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let text = folder.path().join("in.txt");
    std::fs::write(&text, "a b\n")?;
    let output = folder.path().join("out");
    let args = vec!["--input", text.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let finished = cluster.run(&repository::bundle("wordcount")?, Run { args, ..Run::default() }).await?;
    cluster.wait_finished(&finished).await?;
    let id = cluster.client.upload(&repository::bundle("wordcount")?).await?;
    let bundle = repository::bundle("faulty")?;
    let failed = cluster.run(&bundle, Run { args: vec!["panic-at-1000"], ..Run::default() }).await?;
    cluster.wait_failed(&failed).await?;
    let job = cluster.run(&bundle, Run { args: vec!["unbounded"], parallelism: 2, ..Run::default() }).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Running).await?;
    let details = cluster.client.job(&finished).await?;
    let (source, sink) = (&details.vertices[0].id, &details.vertices[1].id);
    let task_manager = cluster.client.task_managers().await?.taskmanagers[0].id.clone();
    let get = |path: String| (Method::GET, path);
    let cases = [
        ("config", get("/config".into())),
        ("overview", get("/overview".into())),
        ("jars", get("/jars".into())),
        (
            "jars-plan-get",
            get(format!("/jars/{id}/plan?programArg=--input,{},--output,{}", text.display(), output.display())),
        ),
        ("jobs", get("/jobs".into())),
        ("jobs-overview", get("/jobs/overview".into())),
        ("job", get(format!("/jobs/{finished}"))),
        ("job-finished-after-stop", get(format!("/jobs/{finished}"))),
        ("job-status", get(format!("/jobs/{job}/status"))),
        ("job-plan", get(format!("/jobs/{finished}/plan"))),
        ("job-config", get(format!("/jobs/{job}/config"))),
        ("job-exceptions", get(format!("/jobs/{job}/exceptions"))),
        ("job-exceptions-after-tm-kill-tuned", get(format!("/jobs/{failed}/exceptions"))),
        ("vertex0", get(format!("/jobs/{finished}/vertices/{source}"))),
        ("vertex1", get(format!("/jobs/{finished}/vertices/{sink}"))),
        ("vertex0-subtasktimes", get(format!("/jobs/{finished}/vertices/{source}/subtasktimes"))),
        ("vertex0-taskmanagers", get(format!("/jobs/{finished}/vertices/{source}/taskmanagers"))),
        ("vertex0-subtask0", get(format!("/jobs/{finished}/vertices/{source}/subtasks/0"))),
        ("taskmanagers", get("/taskmanagers".into())),
        ("taskmanager", get(format!("/taskmanagers/{task_manager}"))),
        ("taskmanager-metrics", get(format!("/taskmanagers/{task_manager}/metrics"))),
        ("jobmanager-metrics", get("/jobmanager/metrics".into())),
        ("jobmanager-metrics-values", get("/jobmanager/metrics?get=numRunningJobs,taskSlotsTotal".into())),
        ("cancel-patch", (Method::PATCH, format!("/jobs/{job}?mode=cancel"))),
        ("jar-delete", (Method::DELETE, format!("/jars/{id}"))),
    ];
    let mut wrong = Vec::new();
    for (name, (method, path)) in cases {
        let recording = repository::root().join(format!("tests/flink/{name}.json"));
        let recorded = std::fs::read_to_string(&recording).with_context(|| recording.display().to_string())?;
        let found = answer(&cluster, method.clone(), &path).await?;
        compare(name, &serde_json::from_str(&recorded)?, &found, &mut wrong);
        if method == Method::GET {
            let bare = reqwest::get(format!("{}{path}", cluster.client.base_url())).await?;
            assert!(bare.status().is_success(), "{path} without /v1");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The numbers are those of what runs: they change as jobs come, work and go.
#[tokio::test]
async fn numbers_follow_what_the_jobs_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "3"])?;
    let numbers = async || -> Result<[u64; 6]> {
        let overview = answer(&cluster, Method::GET, "/overview").await?;
        let number = |name: &str| overview[name].as_u64().unwrap_or(u64::MAX);
        let names =
            ["slots-total", "slots-available", "jobs-running", "jobs-finished", "jobs-cancelled", "jobs-failed"];
        Ok(names.map(number))
    };
    assert_eq!(numbers().await?, [3, 3, 0, 0, 0, 0]);
    let bundle = repository::bundle("faulty")?;
    let running = cluster.run(&bundle, Run { args: vec!["passes"], parallelism: 2, ..Run::default() }).await?;
    let details = cluster.wait_running(&running).await?;
    assert_eq!(numbers().await?, [3, 1, 1, 0, 0, 0]);
    assert_eq!(details.vertices.iter().map(|vertex| vertex.parallelism).collect::<Vec<_>>(), [2, 2]);

    // What one vertex has written the other has read, but for what is between them; and both go on growing.
    let moved = |details: &millrace_client::api::JobDetails, least: u64| {
        let (source, sink) = (&details.vertices[0].metrics, &details.vertices[1].metrics);
        source.write_records > least && sink.read_records > least && sink.read_bytes > 0 && source.read_records == 0
    };
    let first = cluster.wait_for(&running, |details| moved(details, 0)).await?;
    let written = first.vertices[0].metrics.write_records;
    cluster.wait_for(&running, |details| moved(details, written)).await?;

    let failed = cluster.run(&bundle, Run { args: vec!["panic-at-1000"], ..Run::default() }).await?;
    cluster.wait_failed(&failed).await?;
    cluster.wait_for_slots(1, 1).await?;
    assert_eq!(numbers().await?, [3, 1, 1, 0, 0, 1]);
    cluster.client.cancel(&running).await?;
    cluster.wait_for(&running, |details| details.state == JobStatus::Canceled).await?;
    cluster.wait_for_slots(1, 3).await?;
    assert_eq!(numbers().await?, [3, 3, 0, 0, 1, 1]);
    Ok(())
}

/// The comparison itself must be able to fail.
#[test]
fn missing_fields_and_other_types_are_found() {
    let (recorded, answer) = (serde_json::json!({"a": 1, "b": [{"c": ""}]}), serde_json::json!({"b": [{"c": 2}]}));
    let mut wrong = Vec::new();
    compare("x", &recorded, &answer, &mut wrong);
    assert_eq!(wrong, ["x.a is missing", "x.b[0].c is a number and not a text"]);
}
