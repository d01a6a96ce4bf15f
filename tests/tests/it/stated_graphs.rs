//! Graphs that a manifest states, and the native connectors that the examples do not use.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use millrace_tests::cluster::{Cluster, Run};
use millrace_tests::rows;
use zip::write::SimpleFileOptions;

/// A bundle without components: a source of the host, straight into a sink of the host.
fn native_bundle(folder: &Path, source: &str, sink: &str, format: &str) -> Result<PathBuf> {
    write_bundle(
        folder,
        &format!(
            "[graph.nodes.from]\nnative-source = {source}\n\n[graph.nodes.to]\nnative-sink = {sink}\n\n\
             [[graph.edges]]\nfrom = \"from\"\nto = \"to\"\npartitioning = \"rebalance\"\nformat = \"{format}\"\n"
        ),
    )
}

/// A bundle without components, of these nodes and edges.
pub fn write_bundle(folder: &Path, graph: &str) -> Result<PathBuf> {
    let manifest =
        format!("[application]\nname = \"native\"\nversion = \"1\"\n\n[graph]\nname = \"native\"\n\n{graph}");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("millrace.toml", SimpleFileOptions::default())?;
    zip.write_all(manifest.as_bytes())?;
    let path = folder.join("native.mrb");
    std::fs::write(&path, zip.finish()?.into_inner())?;
    Ok(path)
}

#[tokio::test]
async fn collected_rows_reach_the_client_once_and_in_full() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let source = "{ connector = \"datagen\", options = { kind = \"sequence\", rows = 50000 } }";
    let bundle = native_bundle(folder.path(), source, "{ connector = \"collect\" }", "raw")?;
    let job = cluster.run(&bundle, Run { parallelism: 2, ..Run::default() }).await?;
    let mut numbers = Vec::new();
    let mut next = 0;
    loop {
        let results = cluster.client.results(&job, next, 1_000).await?;
        // An answer that was lost on its way can be asked for again. One without rows may have some by then.
        if let Some(first) = results.rows.first() {
            assert_eq!(cluster.client.results(&job, next, 0).await?.rows.first(), Some(first));
        }
        next = results.next;
        for row in results.rows {
            numbers.push(row.parse::<u64>()?);
        }
        if results.end {
            break;
        }
    }
    cluster.wait_finished(&job).await?;
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..50_000), "{} rows", numbers.len());
    Ok(())
}

/// A source in the guest: its splits are spread over the subtasks and each is read once, from offset to offset, though
/// instances are thrown away in between.
#[tokio::test]
async fn a_source_in_the_guest_is_polled_to_the_end_of_its_splits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &["--slots", "2"])?;
    let bundle = millrace_tests::repository::bundle("faulty")?;
    for (parallelism, discard_seed) in [(1, None), (2, None), (1, Some(3)), (2, Some(4))] {
        let run = Run { args: vec!["guest-source"], parallelism, discard_seed, ..Run::default() };
        let job = cluster.run(&bundle, run).await?;
        cluster.wait_finished(&job).await?;
        let results = cluster.client.results(&job, 0, 1_000).await?;
        let mut rows = results.rows;
        rows.sort_unstable();
        let expected: Vec<String> =
            ["a", "b", "c"].iter().flat_map(|s| (0..5).map(move |n| format!("{s}{n}"))).collect();
        assert_eq!(rows, expected, "parallelism {parallelism}, seed {discard_seed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn printed_rows_are_in_the_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let source = "{ connector = \"datagen\", options = { kind = \"sequence\", rows = 20 } }";
    let bundle = native_bundle(folder.path(), source, "{ connector = \"print\" }", "raw")?;
    let job = cluster.run(&bundle, Run::default()).await?;
    cluster.wait_finished(&job).await?;
    let log = cluster.client.log(&job, None, None).await?.log;
    let printed = log.lines().filter(|line| line.contains(" to ") || line.contains("to:")).count();
    assert_eq!(printed, 20, "{log}");
    Ok(())
}

#[tokio::test]
async fn json_lines_are_read_and_what_is_no_json_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out"));
    let source = format!("{{ connector = \"file\", options = {{ paths = [{input:?}], format = \"json-lines\" }} }}");
    let sink = format!("{{ connector = \"file\", options = {{ path = {output:?} }} }}");
    let bundle = native_bundle(folder.path(), &source, &sink, "json")?;
    std::fs::write(&input, "{\"a\": 1}\n\n[2, 3]\n\"x\"\n")?;
    let job = cluster.run(&bundle, Run::default()).await?;
    cluster.wait_finished(&job).await?;
    assert_eq!(rows::sorted_rows(&output)?, ["\"x\"", "[2, 3]", "{\"a\": 1}"]);
    std::fs::write(&input, "{\"a\": 1}\n{\"a\": \n")?;
    let job = cluster.run(&bundle, Run::default()).await?;
    let failure = cluster.wait_failed(&job).await?;
    assert!(failure.contains("in.jsonl") && failure.contains("MR-CONNECTOR"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn a_stream_in_another_format_than_its_source_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(folder.path(), &[])?;
    let source = "{ connector = \"datagen\", options = { kind = \"sequence\", rows = 20 } }";
    let bundle = native_bundle(folder.path(), source, "{ connector = \"discard\" }", "json")?;
    let Err(error) = cluster.run(&bundle, Run::default()).await else { panic!("it was accepted") };
    assert!(error.to_string().contains("\"from\"") && error.to_string().contains("Raw"), "{error}");
    let source = "{ connector = \"kafka\" }";
    let bundle = native_bundle(folder.path(), source, "{ connector = \"discard\" }", "raw")?;
    let Err(error) = cluster.run(&bundle, Run::default()).await else { panic!("it was accepted") };
    assert!(error.to_string().contains("kafka") && error.to_string().contains("datagen"), "{error}");
    Ok(())
}
