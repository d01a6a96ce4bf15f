//! What can be set, with its defaults.

use millrace_connectors::FileRoots;
use millrace_job_core::RestartOptions;
use millrace_metadata_core::JobRetention;
use millrace_resource_core::ResourceOptions;
use millrace_storage::BundleLimits;
use millrace_types::{BUFFER_TIMEOUT_MS, SandboxLimits};

/// How a JobManager is set up.
#[derive(Debug, Clone)]
pub struct JobManagerOptions {
    /// The parallelism of runs that state none: Flink's `parallelism.default`.
    pub default_parallelism: u32,
    /// How long a partly filled batch waits for more rows.
    pub buffer_timeout_ms: u64,
    /// How jobs restart that do not say so themselves: Flink's `restart-strategy.*`.
    pub restart: RestartOptions,
    /// Which folders file connectors may reach.
    pub file_roots: FileRoots,
    /// What a bundle may be.
    pub bundle_limits: BundleLimits,
    /// What an instance may use where its manifest asks for nothing else.
    pub sandbox_limits: SandboxLimits,
    /// How long ended jobs are kept.
    pub retention: JobRetention,
    /// The ResourceManager's limits and timeouts.
    pub resources: ResourceOptions,
    /// Rows of `collect` sinks that wait for their client, per job, in bytes; then the job waits.
    pub results_bytes_max: usize,
}

impl Default for JobManagerOptions {
    fn default() -> Self {
        Self {
            default_parallelism: 1,
            buffer_timeout_ms: BUFFER_TIMEOUT_MS,
            restart: RestartOptions::default(),
            file_roots: FileRoots::none(),
            bundle_limits: BundleLimits::default(),
            sandbox_limits: SandboxLimits::default(),
            retention: JobRetention::default(),
            resources: ResourceOptions::default(),
            results_bytes_max: 8 * 1024 * 1024,
        }
    }
}
