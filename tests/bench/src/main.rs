//! Measures a standalone cluster: records per CPU-second of each query beside a plain Rust loop that does the same work,
//! without and with checkpoints, start, run, memory and latency; and how long a dead TaskManager is missed. Prints a table and writes `target/bench.json`.
//!
//! Figures are of this machine and this moment. Compare ratios within one run, not numbers of two runs: the loop runs right
//! before the query that it is compared with.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod group;
mod latency;
mod native;
mod process;
mod queries;
mod recovery;
mod start;
mod stateful;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use millrace_tests::repository;
use serde::Serialize;

use process::Standalone;
use queries::QUERIES;
use stateful::STATEFUL;

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let queries = QUERIES.iter().map(|query| query.name).chain(STATEFUL.iter().map(|query| query.name));
    let known: BTreeSet<&str> = queries.chain([RECOVERY, GROUP]).collect();
    let usage = || format!("usage: millrace-bench [{}]...", Vec::from_iter(known.iter().copied()).join("|"));
    ensure!(wanted.iter().all(|name| known.contains(name.as_str())), usage());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&wanted))
}

/// What measures how long a dead TaskManager is missed, beside the names of queries.
const RECOVERY: &str = "recovery";

/// What measures a group of JobManagers.
const GROUP: &str = "group";

/// What `target/bench.json` holds.
#[derive(Default, Serialize)]
struct Report {
    queries: Vec<queries::Measured>,
    with_checkpoints: Vec<stateful::Measured>,
    checkpoint_weights: Vec<stateful::Weight>,
    recovery_ms: Option<u64>,
    group: Option<group::Measured>,
}

async fn measure(wanted: &[String]) -> Result<()> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let folder = tempfile::tempdir()?;
    start::warm_up(folder.path())?;
    let cluster = Standalone::start(&folder.path().join("cluster"))?;
    println!("start to slots ready     {:>10.0} ms", cluster.ready_ms);
    println!("memory of an idle process{:>10} MB", cluster.idle_memory_mb().await?);
    let bundle = cluster.client.upload(&repository::bundle("nexmark")?).await?;
    println!("run to all tasks running {:>10.1} ms", start::run_ms(&cluster, &bundle).await?);
    let mut report = Report::default();
    println!("\n{}", queries::HEADER);
    for query in QUERIES.iter().filter(|query| is_wanted(query.name)) {
        for parallelism in [1, 2] {
            let result = query.measure(&cluster, &bundle, parallelism).await?;
            println!("{result}");
            report.queries.push(result);
        }
    }
    if let Some(exchange) = report.queries.iter().find(|result| result.name == "q0x" && result.parallelism == 1) {
        let rate = (exchange.records_per_s / 2.0) as u64;
        let latency = latency::measure(&cluster, &bundle, rate, folder.path()).await?;
        println!("\nq0x at {rate} records a second: {latency}");
    }
    println!("\n{}", stateful::HEADER);
    for query in STATEFUL.iter().filter(|query| is_wanted(query.name)) {
        for parallelism in [1, 2] {
            let result = query.measure(&cluster, &bundle, parallelism).await?;
            println!("{result}");
            report.with_checkpoints.push(result);
        }
    }
    if wanted.is_empty() {
        for keys in [100_000, 1_000_000] {
            let weight = stateful::weight(&cluster, &bundle, keys).await?;
            println!("{weight}");
            report.checkpoint_weights.push(weight);
        }
    }
    drop(cluster);
    if is_wanted(RECOVERY) {
        let recovery_ms = recovery::measure(folder.path()).await?;
        println!("\nkill -9 of a TaskManager to the first record processed again: {recovery_ms} ms");
        report.recovery_ms = Some(recovery_ms);
    }
    if is_wanted(GROUP) {
        let group = group::measure(folder.path()).await?;
        println!("\n{group}");
        report.group = Some(group);
    }
    let path = repository::root().join("target/bench.json");
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(&path, json + "\n").with_context(|| path.display().to_string())
}
