//! What a collector of OpenTelemetry hears of a job: its checkpoints, what it was in, and its life.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Result, bail};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::process::{PATIENCE, POLL};
use millrace_tests::repository;
use serde_json::Value;

type Heard = Arc<Mutex<Vec<Value>>>;

async fn take(State(heard): State<Heard>, Json(request): Json<Value>) -> Json<Value> {
    assert_eq!(request["resourceSpans"][0]["resource"]["attributes"][0]["value"]["stringValue"], "the-test");
    let spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
    heard.lock().unwrap().extend(spans);
    Json(Value::Object(serde_json::Map::new()))
}

fn named<'a>(spans: &'a [Value], name: &str) -> Vec<&'a Value> {
    spans.iter().filter(|span| span["name"] == name).collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let found = span["attributes"].as_array().and_then(|all| all.iter().find(|attribute| attribute["key"] == key));
    found.map_or(&Value::Null, |attribute| &attribute["value"])
}

#[tokio::test]
async fn a_collector_hears_of_a_job_and_its_checkpoints() -> Result<()> {
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("traces.reporter.otel.exporter.endpoint=http://{}", listener.local_addr()?);
    let router = Router::new().route("/v1/traces", post(take)).with_state(heard.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir()?;
    let options = ["-D", &endpoint, "-D", "traces.reporter.otel.service.name=the-test", "--slots", "1"];
    let cluster = Cluster::start(folder.path(), &options)?;
    let run = Run {
        args: vec!["unbounded"],
        options: vec![("execution.checkpointing.interval", "200 ms")],
        ..Run::default()
    };
    let job = cluster.run(&repository::bundle("faulty")?, run).await?;
    let wait = async |condition: &dyn Fn(&[Value]) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spans = heard.lock().unwrap().clone();
            if condition(&spans) {
                return Ok(spans);
            }
            if Instant::now() > deadline {
                bail!("the collector heard only of {spans:#?}");
            }
            tokio::time::sleep(POLL).await;
        }
    };
    wait(&|spans| named(spans, "Checkpoint").len() >= 2).await?;
    cluster.client.cancel(&job).await?;
    let spans = wait(&|spans| !named(spans, "Job").is_empty()).await?;
    let life = named(&spans, "Job")[0];
    assert_eq!(attribute(life, "jobStatus")["stringValue"], "CANCELED");
    assert!(
        life.get("parentSpanId").is_none() && spans.iter().all(|span| span["traceId"] == job.as_str()),
        "{spans:#?}"
    );
    assert_eq!(named(&spans, "Job RUNNING").len(), 1, "{spans:#?}");
    let completed = named(&spans, "Checkpoint");
    assert_eq!(attribute(completed[0], "checkpointStatus")["stringValue"], "COMPLETED");
    assert_eq!(completed[0]["parentSpanId"], life["spanId"]);
    let mut ids: Vec<_> = spans.iter().map(|span| span["spanId"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "a span was told twice");
    Ok(())
}
