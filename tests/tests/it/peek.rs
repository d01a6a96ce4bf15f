//! A look at the records on an edge, wherever its tasks run.

use anyhow::{Result, ensure};
use millrace_client::api::PeekedRecords;
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::repository;
use millrace_types::JobStatus;
use reqwest::{Method, StatusCode};

async fn peek(cluster: &Processes, job: &str, vertex: &str, query: &str) -> Result<(StatusCode, String)> {
    Ok(cluster.client.raw(Method::GET, &format!("/jobs/{job}/vertices/{vertex}/peek?{query}"), None).await?)
}

async fn records(cluster: &Processes, job: &str, vertex: &str, query: &str) -> Result<PeekedRecords> {
    let (status, text) = peek(cluster, job, vertex, query).await?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

#[tokio::test]
async fn records_are_shown_as_they_pass_and_none_when_none_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Processes::start(folder.path(), 2, 2, &[]).await?;
    let faulty = repository::bundle("faulty")?;
    let run = Run { args: vec!["passes"], parallelism: 2, ..Run::default() };
    let job = cluster.run(&faulty, run).await?;
    let details = cluster.wait_running(&job).await?;
    let (source, sink) = (&details.vertices[0].id, &details.vertices[1].id);

    let found = records(&cluster, &job, source, &format!("output={sink}&limit=7")).await?;
    ensure!(found.records.len() == 7 && found.truncated, "{found:?}");
    for record in &found.records {
        ensure!(record.format == "text" && record.subtask < 2, "{record:?}");
        record.value.parse::<u64>()?;
    }
    // The next ones are others.
    let next = records(&cluster, &job, source, "limit=7").await?;
    ensure!(next.records.iter().all(|record| !found.records.contains(record)), "{found:?} {next:?}");
    for query in ["output=".to_owned() + source, "limit=none".to_owned()] {
        assert_eq!(peek(&cluster, &job, source, &query).await?.0, StatusCode::BAD_REQUEST, "{query}");
    }
    let (status, text) = peek(&cluster, &job, sink, "").await?;
    ensure!(status == StatusCode::BAD_REQUEST && text.contains("sends no records to other vertices"), "{text}");
    let nowhere = "0".repeat(32);
    assert_eq!(peek(&cluster, &job, &nowhere, "").await?.0, StatusCode::NOT_FOUND);
    cluster.client.cancel(&job).await?;
    cluster.wait_for(&job, |details| details.state == JobStatus::Canceled).await?;
    assert_eq!(records(&cluster, &job, source, "").await?.records, []);

    // Between operators of one component records are in its SDK's own codec. Words are their own keys, and nothing else.
    let args = vec!["--query", "wc", "--rate", "100"];
    let words = cluster.run(&repository::bundle("nexmark")?, Run { args, ..Run::default() }).await?;
    let details = cluster.wait_running(&words).await?;
    let found = records(&cluster, &words, &details.vertices[0].id, "limit=3").await?;
    let readable = |printable: &str| printable.chars().any(|character| character.is_ascii_lowercase());
    ensure!(!found.records.is_empty(), "no records");
    ensure!(found.records.iter().all(|record| record.format == "bytes"), "{found:?}");
    ensure!(found.records.iter().any(|record| record.printable_key.as_deref().is_some_and(readable)), "{found:?}");
    Ok(())
}
