//! Metrics, backpressure, flame graphs and the answer for Prometheus have Flink's shapes and names, and follow what the
//! jobs do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use millrace_tests::exposition;
use millrace_tests::jobs::Run;
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use reqwest::Method;
use serde_json::Value;

use crate::rest_shapes::compare;

/// A JobManager and two TaskManagers, so that questions travel and records do.
async fn cluster(folder: &std::path::Path) -> Result<Processes> {
    let options = [
        "-D",
        "rest.flamegraph.num-samples=40",
        "-D",
        "rest.flamegraph.delay-between-samples=10 ms",
        "-D",
        "rest.flamegraph.refresh-interval=1 s",
    ];
    Processes::start(folder, 2, 1, &options).await
}

async fn get(cluster: &Processes, path: &str) -> Result<Value> {
    let (status, text) = cluster.client.raw(Method::GET, path, None).await?;
    anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))
}

/// Asks until an answer satisfies a condition.
async fn until(cluster: &Processes, path: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(cluster, path).await?;
        if condition(&answer) {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("{path} should have come to something else than {answer:#}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Values by name.
fn values(answer: &Value) -> BTreeMap<String, f64> {
    let entry = |metric: &Value| {
        let value = metric["value"].as_str()?.parse().ok()?;
        Some((metric["id"].as_str()?.to_owned(), value))
    };
    answer.as_array().into_iter().flatten().filter_map(entry).collect()
}

/// What an answer has of one name.
fn statistic(answer: &Value, id: &str, statistic: &str) -> f64 {
    let found = answer.as_array().into_iter().flatten().find(|metric| metric["id"] == id);
    found.and_then(|metric| metric[statistic].as_f64()).unwrap_or(f64::NAN)
}

/// A job whose second vertex is slower than its first, which is held up.
#[tokio::test]
async fn figures_follow_a_job_that_is_held_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = cluster(folder.path()).await?;
    let options = vec![("execution.checkpointing.interval", "500 ms")];
    let run = Run { args: vec!["slow"], parallelism: 2, options, ..Run::default() };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    let details = cluster.wait_running(&job).await?;
    let [source, sink] = [0, 1].map(|vertex| format!("/jobs/{job}/vertices/{}", details.vertices[vertex].id));

    let is_high = |answer: &Value| answer["backpressureLevel"] == "high";
    let held_up = until(&cluster, &format!("{source}/backpressure"), is_high).await?;
    let is_busy = |answer: &Value| {
        let mut subtasks = answer["subtasks"].as_array().into_iter().flatten();
        subtasks.all(|task| task["busyRatio"].as_f64() > Some(0.7))
    };
    let working = until(&cluster, &format!("{sink}/backpressure"), is_busy).await?;
    assert_eq!(working["backpressureLevel"], "ok", "{working:#}");
    assert!(held_up["subtasks"][0]["idleRatio"].as_f64() < Some(0.2), "{held_up:#}");

    // What one vertex has written the other one reads, from both TaskManagers; and the guest's time is the task's.
    let names = "numRecordsIn,numRecordsInPerSecond,numBuffersInLocal,numBuffersInRemote,busyTimeMsPerSecond,\
                 sandbox.cpuTimeMs,sandbox.cpuTimeMsPerSecond,sandbox.linearMemory,sandbox.calls,\
                 sandbox.instantiateTimeMs,sandbox.cacheHits,sandbox.cacheMisses,breaks.numRecordsIn";
    let read = format!("{sink}/subtasks/metrics?get={names}");
    let first = until(&cluster, &read, |answer| statistic(answer, "numBuffersInRemote", "sum") > 0.0).await?;
    let at_first = statistic(&first, "numRecordsIn", "sum");
    let later = until(&cluster, &read, |answer| statistic(answer, "numRecordsIn", "sum") > at_first).await?;
    assert!(statistic(&later, "numBuffersInLocal", "sum") > 0.0, "{later:#}");
    assert!(statistic(&later, "breaks.numRecordsIn", "sum") >= at_first, "{later:#}");
    assert!(statistic(&later, "sandbox.linearMemory", "min") > 60_000.0, "{later:#}");
    assert!(statistic(&later, "sandbox.cpuTimeMsPerSecond", "sum") > 20.0, "{later:#}");
    let components = ["sandbox.cacheHits", "sandbox.cacheMisses"].map(|name| statistic(&later, name, "sum"));
    assert!((2.0..=4.0).contains(&components.iter().sum()), "{later:#}");
    let written = get(&cluster, &format!("{source}/subtasks/metrics?get=numRecordsOut&agg=sum")).await?;
    assert!(statistic(&written, "numRecordsOut", "sum") >= at_first, "{written:#}");
    let one = get(&cluster, &format!("{sink}/subtasks/metrics?get=numRecordsIn&agg=sum&subtasks=1")).await?;
    let two = get(&cluster, &format!("{sink}/subtasks/metrics?get=numRecordsIn&agg=sum,max&subtasks=0-1")).await?;
    assert!(statistic(&one, "numRecordsIn", "sum") < statistic(&two, "numRecordsIn", "sum"), "{one} {two}");

    let checkpoints = format!(
        "/jobs/{job}/metrics?get=numberOfCompletedCheckpoints,lastCompletedCheckpointId,uptime,numRestarts,\
         lastCheckpointDuration"
    );
    let completed = |answer: &Value| values(answer).get("numberOfCompletedCheckpoints") > Some(&0.0);
    let told = values(&until(&cluster, &checkpoints, completed).await?);
    assert!(told["uptime"] > 0.0 && told["numRestarts"] == 0.0 && told["lastCheckpointDuration"] >= 0.0, "{told:?}");

    shapes(&cluster, &job, &source, &sink).await?;
    flame_graphs(&cluster, &source, &sink).await?;
    prometheus(&cluster, &job).await?;

    let wrong = [
        (format!("{sink}/subtasks/metrics?agg=median"), 400),
        (format!("{sink}/subtasks/metrics?subtasks=2-1"), 400),
        (format!("{sink}/subtasks/9/metrics"), 404),
        (format!("{sink}/flamegraph?type=half"), 400),
        ("/jobs/metrics?jobs=7".to_owned(), 400),
        (format!("/jobs/{}/metrics", "0".repeat(32)), 404),
    ];
    for (path, expected) in wrong {
        let (status, text) = cluster.client.raw(Method::GET, &path, None).await?;
        assert_eq!(status.as_u16(), expected, "{path}: {text}");
    }

    // Who has ended has what it did, and nothing happens.
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state.is_terminal()).await?;
    let ended = values(&get(&cluster, &format!("{sink}/metrics?get=0.numRecordsIn,0.numRecordsInPerSecond")).await?);
    assert!(ended["0.numRecordsIn"] > 0.0 && ended["0.numRecordsInPerSecond"] == 0.0, "{ended:?}");
    assert_eq!(get(&cluster, &format!("{sink}/backpressure")).await?["status"], "deprecated");
    assert_eq!(get(&cluster, &format!("{sink}/flamegraph")).await?["endTimestamp"], -1);
    let (_, text) = raw(&cluster, "/metrics").await?;
    assert!(!text.contains(&job), "an ended job has series");
    Ok(())
}

/// All answers have the recorded fields and types.
async fn shapes(cluster: &Processes, job: &str, source: &str, sink: &str) -> Result<()> {
    let task_manager = cluster.client.task_managers().await?.taskmanagers[0].id.clone();
    let cases = [
        ("job-metrics", format!("/jobs/{job}/metrics")),
        ("job-metrics-values", format!("/jobs/{job}/metrics?get=numRestarts,lastCheckpointExternalPath")),
        ("jobs-metrics", "/jobs/metrics".to_owned()),
        ("jobmanager-metrics", "/jobmanager/metrics".to_owned()),
        ("taskmanager-metrics-values", format!("/taskmanagers/{task_manager}/metrics?get=Status.JVM.CPU.Load")),
        ("taskmanagers-metrics", "/taskmanagers/metrics".to_owned()),
        ("vertex1-metrics", format!("{sink}/metrics")),
        ("vertex1-metrics-values", format!("{sink}/metrics?get=0.busyTimeMsPerSecond")),
        ("vertex1-subtasks-metrics", format!("{sink}/subtasks/metrics")),
        ("vertex1-subtasks-metrics-values", format!("{sink}/subtasks/metrics?get=idleTimeMsPerSecond")),
        ("vertex1-subtasks-metrics-agg", format!("{sink}/subtasks/metrics?get=numRecordsIn&agg=min,max,sum,avg")),
        ("vertex1-subtask0-metrics", format!("{sink}/subtasks/0/metrics")),
        ("vertex0-backpressure", format!("{source}/backpressure")),
        ("vertex0-watermarks", format!("{source}/watermarks")),
        ("vertex1-watermarks", format!("{sink}/watermarks")),
        ("vertex0-jm-operator-metrics", format!("{source}/jm-operator-metrics")),
        ("vertex1-jm-operator-metrics", format!("{sink}/jm-operator-metrics")),
        ("job-accumulators", format!("/jobs/{job}/accumulators")),
        ("vertex0-accumulators", format!("{source}/accumulators")),
        ("vertex0-subtasks-accumulators", format!("{source}/subtasks/accumulators")),
        ("vertex0-flamegraph", format!("{source}/flamegraph")),
    ];
    let mut wrong = Vec::new();
    for (name, path) in cases {
        let recording = repository::root().join(format!("tests/flink/{name}.json"));
        let recorded: Value = serde_json::from_str(&std::fs::read_to_string(&recording)?)?;
        let found = get(cluster, &path).await?;
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        assert_eq!(is_empty(&recorded), is_empty(&found), "{name}: {found}");
        compare(name, &recorded, &found, &mut wrong);
        let bare = reqwest::get(format!("{}{path}", cluster.client.base_url())).await?;
        assert!(bare.status().is_success(), "{path} without /v1");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Of the recorded names those that have a meaning here are here.
    let names = |answer: &Value| -> BTreeSet<String> {
        answer.as_array().into_iter().flatten().filter_map(|metric| metric["id"].as_str().map(str::to_owned)).collect()
    };
    let without = ["lastCheckpointMetadataSize"];
    let recorded = std::fs::read_to_string(repository::root().join("tests/flink/job-metrics.json"))?;
    let missing: Vec<String> = names(&serde_json::from_str(&recorded)?)
        .difference(&names(&get(cluster, &format!("/jobs/{job}/metrics")).await?))
        .cloned()
        .collect();
    assert!(missing.iter().all(|name| without.contains(&name.as_str())), "{missing:?}");
    let recorded = std::fs::read_to_string(repository::root().join("tests/flink/vertex1-subtasks-metrics.json"))?;
    let here = names(&get(cluster, &format!("{sink}/subtasks/metrics")).await?);
    let missing = names(&serde_json::from_str(&recorded)?).difference(&here).cloned().collect::<Vec<_>>();
    // There is no mailbox, no memory segment, and of what waits the longest nobody keeps account; operators have other names.
    let meaningless = [
        "mailbox",
        "count-reduce",
        "discard__Writer",
        "max",
        "inputExclusiveBuffersUsage",
        "inputQueueSize",
        "outputQueueSize",
    ];
    let missing: Vec<_> = missing.iter().filter(|name| !meaningless.iter().any(|part| name.contains(part))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

/// What a flame graph has below a node whose name contains a text: that node's samples.
fn samples_of(node: &Value, part: &str) -> u64 {
    if node["name"].as_str().is_some_and(|name| name.contains(part)) {
        return node["value"].as_u64().unwrap_or(0);
    }
    node["children"].as_array().into_iter().flatten().map(|child| samples_of(child, part)).sum()
}

async fn flame_graphs(cluster: &Processes, source: &str, sink: &str) -> Result<()> {
    let taken = |answer: &Value| answer["endTimestamp"].as_i64() > Some(0);
    let working = until(cluster, &format!("{sink}/flamegraph?type=on_cpu"), taken).await?["data"].clone();
    // On a busy machine a task also waits for a processor, which is no function of the guest's.
    let (of_operator, hot) = (samples_of(&working, "breaks"), samples_of(&working, "work_for_ms"));
    assert!(hot * 2 > of_operator && of_operator >= hot, "{hot} of {of_operator}: {working:#}");
    let one = until(cluster, &format!("{sink}/flamegraph?type=on_cpu&subtaskindex=1"), taken).await?["data"].clone();
    assert!(samples_of(&one, "root") < samples_of(&working, "root"), "{one:#}");
    let waiting = until(cluster, &format!("{source}/flamegraph?type=off_cpu"), taken).await?["data"].clone();
    let (all, held_up) = (samples_of(&waiting, "root"), samples_of(&waiting, "output buffers"));
    assert!(held_up * 2 > all && held_up > 0, "{held_up} of {all}: {waiting:#}");
    Ok(())
}

async fn raw(cluster: &Processes, path: &str) -> Result<(String, String)> {
    let answer = reqwest::get(format!("{}{path}", cluster.client.base_url())).await?;
    let kind = answer.headers()["content-type"].to_str()?.to_owned();
    Ok((kind, answer.error_for_status()?.text().await?))
}

/// The answer parses, has Flink's names and labels, and all that the dashboard asks for.
async fn prometheus(cluster: &Processes, job: &str) -> Result<()> {
    let (kind, text) = raw(cluster, "/metrics").await?;
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let samples = exposition::parse(&text)?;
    let distinct: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
    let sample = |metric: &str| {
        let found = samples.iter().find(|sample| sample.name == metric);
        found.with_context(|| format!("{metric} is missing"))
    };
    assert!((sample("flink_jobmanager_numRunningJobs")?.value - 1.0).abs() < f64::EPSILON);
    let records = sample("flink_taskmanager_job_task_numRecordsIn")?;
    assert_eq!(records.labels.get("job_id").map(String::as_str), Some(job));
    let labels =
        ["host", "tm_id", "job_name", "task_id", "task_name", "task_attempt_id", "task_attempt_num", "subtask_index"];
    assert!(labels.iter().all(|label| records.labels.contains_key(*label)), "{records:?}");
    let operator = sample("flink_taskmanager_job_task_operator_sandbox_cpuTimeMs")?;
    assert_eq!(operator.labels.get("operator_name").map(String::as_str), Some("breaks"));
    for metric in dashboard_metrics()? {
        assert!(distinct.contains(metric.as_str()), "the dashboard asks for {metric}, which there is none of");
    }
    Ok(())
}

/// The metrics that the queries of the dashboard name.
fn dashboard_metrics() -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(repository::root().join("deploy/grafana/millrace.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(queries.len() > 20, "{queries:?}");
    let words = |query: &&str| -> Vec<String> {
        let parts = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        parts.filter(|word| word.starts_with("flink_") || word.starts_with("millrace_")).map(str::to_owned).collect()
    };
    assert!(queries.iter().all(|query| !words(query).is_empty()), "a query names no metric");
    Ok(queries.iter().flat_map(words).collect())
}
