//! How long records take from the source to the end of the graph, through an exchange.
//!
//! A record's latency counts from the moment at which the rate demands it, and not from when the source got round to it:
//! a source that falls behind shows.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use millrace_tests::rows::sorted_rows;

use crate::process::Standalone;

/// How long records come.
const SECONDS: u64 = 8;

/// What is left out while all gets warm.
const WARM_UP_MS: i64 = 2_000;

/// What was found, in milliseconds.
pub struct Latency {
    p50_ms: i64,
    p99_ms: i64,
    max_ms: i64,
    samples: usize,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p99_ms, max_ms, samples } = self;
        write!(f, "latency p50 {p50_ms} ms, p99 {p99_ms} ms, longest {max_ms} ms, of {samples} samples")
    }
}

/// Runs q0x at a rate, in records a second.
pub async fn measure(cluster: &Standalone, bundle: &str, rate: u64, folder: &Path) -> Result<Latency> {
    let output = folder.join("latencies");
    let (events, rate) = ((rate * SECONDS).to_string(), rate.to_string());
    let path = output.to_string_lossy();
    let arguments = ["--query", "q0x", "--latency", "--events", &events, "--rate", &rate, "--output", &path];
    let job = cluster.run(bundle, arguments.map(str::to_owned).to_vec(), 1).await?;
    cluster.wait_finished(&job).await?;
    let samples: Vec<(i64, i64)> = sorted_rows(&output)?.iter().map(|row| sample(row)).collect::<Result<_>>()?;
    let first = samples.iter().map(|(due_ms, _)| *due_ms).min().context("no record was sampled")?;
    let warm = samples.iter().filter(|(due_ms, _)| *due_ms >= first + WARM_UP_MS);
    let mut latencies: Vec<i64> = warm.map(|(_, latency_ms)| *latency_ms).collect();
    latencies.sort_unstable();
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied();
    Ok(Latency {
        p50_ms: at(50).context("no record was sampled behind the warm-up")?,
        p99_ms: at(99).unwrap_or_default(),
        max_ms: latencies.last().copied().unwrap_or_default(),
        samples: latencies.len(),
    })
}

/// When a row's record was due, in milliseconds since 1970, and how many milliseconds later it was processed.
pub fn sample(row: &str) -> Result<(i64, i64)> {
    let (due, latency) = row.split_once(',').with_context(|| format!("not a sample: {row}"))?;
    Ok((due.parse()?, latency.parse()?))
}
