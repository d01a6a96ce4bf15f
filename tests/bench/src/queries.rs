//! Each query: over enough records for some seconds of processor time, beside its native loop.

use std::fmt;
use std::time::Instant;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::native;
use crate::process::Standalone;

/// The native loop runs over one record in so many.
pub const NATIVE_ONE_IN: u64 = 4;

/// What is measured.
pub struct Query {
    pub name: &'static str,
    records: u64,
}

/// In the order of the table.
pub const QUERIES: [Query; 6] = [
    Query { name: "chain", records: 150_000_000 },
    Query { name: "q0", records: 12_000_000 },
    Query { name: "q0x", records: 8_000_000 },
    Query { name: "q1", records: 12_000_000 },
    Query { name: "q2", records: 16_000_000 },
    Query { name: "wc", records: 1_500_000 },
];

/// One line of `target/bench.json`.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub name: &'static str,
    pub parallelism: u32,
    records: u64,
    records_per_cpu_s: u64,
    native_records_per_cpu_s: u64,
    rss_mb: u64,
    /// By the clock on the wall, from request to end.
    #[serde(skip)]
    pub records_per_s: f64,
}

pub const HEADER: &str = "query    p   records/CPU-s   native loop  ratio  ns/record   records/s  peak memory";

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, native) = (self.records_per_cpu_s as f64, self.native_records_per_cpu_s as f64);
        write!(
            f,
            "{:<7}{:>3} {:>13.2} M {:>11.2} M {:>6.2} {:>10.1} {:>9.2} M {:>9} MB",
            self.name,
            self.parallelism,
            ours / 1e6,
            native / 1e6,
            ours / native,
            1e9 / ours,
            self.records_per_s / 1e6,
            self.rss_mb
        )
    }
}

/// The processor time of this thread, in seconds.
pub fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

impl Query {
    /// Runs the native loop and then the query.
    pub async fn measure(&self, cluster: &Standalone, bundle: &str, parallelism: u32) -> Result<Measured> {
        let native_records = self.records / NATIVE_ONE_IN;
        let began = thread_seconds();
        native::run(self.name, native_records)?;
        let native_s = thread_seconds() - began;

        cluster.forget_peak()?;
        let (began, cpu_before) = (Instant::now(), cluster.cpu_seconds()?);
        let arguments = ["--query", self.name, "--events", &self.records.to_string()].map(str::to_owned);
        let job = cluster.run(bundle, arguments.to_vec(), parallelism).await?;
        cluster.wait_finished(&job).await?;
        let (wall_s, cpu_s) = (began.elapsed().as_secs_f64(), cluster.cpu_seconds()? - cpu_before);
        Ok(Measured {
            name: self.name,
            parallelism,
            records: self.records,
            records_per_cpu_s: (self.records as f64 / cpu_s) as u64,
            native_records_per_cpu_s: (native_records as f64 / native_s) as u64,
            rss_mb: cluster.peak_memory_mb()?,
            records_per_s: self.records as f64 / wall_s,
        })
    }
}
