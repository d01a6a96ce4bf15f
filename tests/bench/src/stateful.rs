//! Keyed state and windows with exactly-once checkpoints each second: beside native loops that keep the same state and take
//! none, and beside Apache Flink's figures with checkpoints.

use std::fmt;

use anyhow::Result;
use millrace_tests::checkpoints::{self, Taken};
use serde::Serialize;

use crate::native;
use crate::process::Standalone;
use crate::queries::{NATIVE_ONE_IN, thread_seconds};

/// How often checkpoints are taken.
const INTERVAL: (&str, &str) = ("execution.checkpointing.interval", "1 s");

/// A query on a backend.
pub struct Stateful {
    pub name: &'static str,
    backend: &'static str,
    records: u64,
    /// Flink 2.3 at p = 2 with a checkpoint each second, on its backend of the same kind: records a CPU-second, measured
    /// on a machine like this one.
    flink: u64,
}

/// In the order of the table.
pub const STATEFUL: [Stateful; 6] = [
    Stateful { name: "wc", backend: "hashmap", records: 6_000_000, flink: 206_000 },
    Stateful { name: "wc", backend: "redb", records: 6_000_000, flink: 19_000 },
    Stateful { name: "q5", backend: "hashmap", records: 24_000_000, flink: 276_000 },
    Stateful { name: "q5", backend: "redb", records: 24_000_000, flink: 29_000 },
    Stateful { name: "q7", backend: "hashmap", records: 80_000_000, flink: 904_000 },
    Stateful { name: "q8", backend: "hashmap", records: 80_000_000, flink: 1_120_000 },
];

/// One line of `target/bench.json`.
#[derive(Debug, Serialize)]
pub struct Measured {
    name: &'static str,
    backend: &'static str,
    parallelism: u32,
    records: u64,
    records_per_cpu_s: u64,
    native_records_per_cpu_s: u64,
    flink_records_per_cpu_s: u64,
    checkpoints: usize,
    checkpoint_ms_p50: u64,
    checkpoint_bytes: u64,
    state_bytes: u64,
    pause_ms_max: u64,
    rss_mb: u64,
}

pub const HEADER: &str = "with checkpoints  p   records/CPU-s   native loop  ratio  Flink ×  checkpoints  \
                          ms p50      bytes  pause max  peak memory";

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, native) = (self.records_per_cpu_s as f64, self.native_records_per_cpu_s as f64);
        write!(
            f,
            "{:<4}{:<12}{:>3} {:>13.2} M {:>11.2} M {:>6.2} {:>8.1} {:>12} {:>7} {:>10} {:>7} ms {:>9} MB",
            self.name,
            self.backend,
            self.parallelism,
            ours / 1e6,
            native / 1e6,
            ours / native,
            ours / self.flink_records_per_cpu_s as f64,
            self.checkpoints,
            self.checkpoint_ms_p50,
            self.checkpoint_bytes,
            self.pause_ms_max,
            self.rss_mb
        )
    }
}

fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

impl Stateful {
    /// Runs the native loop and then the query.
    pub async fn measure(&self, cluster: &Standalone, bundle: &str, parallelism: u32) -> Result<Measured> {
        let native_records = self.records / NATIVE_ONE_IN;
        let began = thread_seconds();
        native::run(self.name, native_records)?;
        let native_s = thread_seconds() - began;

        cluster.forget_peak()?;
        let cpu_before = cluster.cpu_seconds()?;
        let arguments = ["--query", self.name, "--events", &self.records.to_string()].map(str::to_owned).to_vec();
        let options = [INTERVAL, ("state.backend.type", self.backend)];
        let job = cluster.run_with(bundle, arguments, parallelism, &options).await?;
        cluster.wait_finished(&job).await?;
        let cpu_s = cluster.cpu_seconds()? - cpu_before;
        let rss_mb = cluster.peak_memory_mb()?;
        let taken = checkpoints::taken(&cluster.client, &job).await?;
        Ok(Measured {
            name: self.name,
            backend: self.backend,
            parallelism,
            records: self.records,
            records_per_cpu_s: (self.records as f64 / cpu_s) as u64,
            native_records_per_cpu_s: (native_records as f64 / native_s) as u64,
            flink_records_per_cpu_s: self.flink,
            checkpoints: taken.len(),
            checkpoint_ms_p50: median(taken.iter().map(|taken| taken.duration_ms)),
            checkpoint_bytes: median(taken.iter().map(|taken| taken.bytes)),
            state_bytes: median(taken.iter().map(|taken| taken.state_bytes)),
            pause_ms_max: taken.iter().map(|taken| taken.pause_ms).max().unwrap_or_default(),
            rss_mb,
        })
    }
}

/// Keys that change between two checkpoints.
const KEYS_CHANGING: u64 = 10_000;

/// Records after all keys have come once: some seconds' worth.
const RECORDS_CHANGING: u64 = 15_000_000;

/// What a checkpoint weighs with that many keys of which always as many change.
#[derive(Debug, Serialize)]
pub struct Weight {
    keys: u64,
    keys_changing: u64,
    checkpoint_bytes: u64,
    state_bytes: u64,
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keys, keys_changing, checkpoint_bytes, state_bytes } = self;
        write!(f, "{keys_changing} of {keys} keys change: {checkpoint_bytes} bytes a checkpoint, {state_bytes} in all")
    }
}

/// Measures what checkpoints weigh.
pub async fn weight(cluster: &Standalone, bundle: &str, keys: u64) -> Result<Weight> {
    let (events, all, again) = ((keys + RECORDS_CHANGING).to_string(), keys.to_string(), KEYS_CHANGING.to_string());
    let arguments = ["--query", "keys", "--keys", &all, "--again", &again, "--events", &events].map(str::to_owned);
    let job = cluster.run_with(bundle, arguments.to_vec(), 1, &[INTERVAL]).await?;
    cluster.wait_finished(&job).await?;
    let taken = checkpoints::taken(&cluster.client, &job).await?;
    // The later half: by then all keys have long come.
    let later: &[Taken] = &taken[taken.len() / 2..];
    Ok(Weight {
        keys,
        keys_changing: KEYS_CHANGING,
        checkpoint_bytes: median(later.iter().map(|taken| taken.bytes)),
        state_bytes: median(later.iter().map(|taken| taken.state_bytes)),
    })
}
