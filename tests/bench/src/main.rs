//! Measures a standalone cluster: records per CPU-second of each query beside a plain Rust loop that does the same work,
//! start, run, memory and latency. Prints a table and writes `target/bench.json`.
//!
//! Figures are of this machine and this moment. Compare ratios within one run, not numbers of two runs: the loop runs right
//! before the query that it is compared with.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod latency;
mod native;
mod process;
mod queries;
mod start;

use anyhow::{Context, Result, ensure};
use millrace_tests::repository;

use process::Standalone;
use queries::{QUERIES, Query};

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &String| QUERIES.iter().any(|query| query.name == *name);
    ensure!(wanted.iter().all(known), "usage: millrace-bench [{}]...", QUERIES.map(|query| query.name).join("|"));
    let is_wanted = |query: &&Query| wanted.is_empty() || wanted.iter().any(|name| name == query.name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(QUERIES.iter().filter(is_wanted).collect()))
}

async fn measure(queries: Vec<&Query>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    start::warm_up(folder.path())?;
    let cluster = Standalone::start(&folder.path().join("cluster"))?;
    println!("start to slots ready     {:>10.0} ms", cluster.ready_ms);
    println!("memory of an idle process{:>10} MB", cluster.idle_memory_mb().await?);
    let bundle = cluster.client.upload(&repository::bundle("nexmark")?).await?;
    println!("run to all tasks running {:>10.1} ms", start::run_ms(&cluster, &bundle).await?);
    println!("\n{}", queries::HEADER);
    let mut results = Vec::new();
    for query in queries {
        for parallelism in [1, 2] {
            let result = query.measure(&cluster, &bundle, parallelism).await?;
            println!("{result}");
            results.push(result);
        }
    }
    if let Some(exchange) = results.iter().find(|result| result.name == "q0x" && result.parallelism == 1) {
        let rate = (exchange.records_per_s / 2.0) as u64;
        let latency = latency::measure(&cluster, &bundle, rate, folder.path()).await?;
        println!("\nq0x at {rate} records a second: {latency}");
    }
    let path = repository::root().join("target/bench.json");
    let json = serde_json::to_string_pretty(&results)?;
    std::fs::write(&path, json + "\n").with_context(|| path.display().to_string())
}
