//! What can be set, with its defaults.

use std::sync::Arc;

use millrace_connectors::{FileRoots, HttpOrigins};
use millrace_job_core::{CheckpointOptions, RestartOptions, SchedulerOptions};
use millrace_metadata_core::JobRetention;
use millrace_protocol::CheckpointSettings;
use millrace_resource_core::ResourceOptions;
use millrace_storage::{BundleLimits, S3Roots, StorageAccess, StorageLocation};
use millrace_types::{BUFFER_TIMEOUT_MS, CrashPoints, SandboxLimits, StateBackendKind};

use crate::driver::ResourceDriver;
use crate::flame_graphs::FlameOptions;
use crate::processes::MemberKeeper;
use crate::traces::TraceOptions;

/// How a JobManager is set up.
#[derive(Debug, Clone)]
pub struct JobManagerOptions {
    /// The parallelism of runs that state none: Flink's `parallelism.default`.
    pub default_parallelism: u32,
    /// How long a partly filled batch waits for more rows.
    pub buffer_timeout_ms: u64,
    /// How jobs restart that do not say so themselves: Flink's `restart-strategy.*`.
    pub restart: RestartOptions,
    /// What becomes of jobs that cannot have all slots that they need, and do not say so themselves: Flink's
    /// `jobmanager.scheduler` and `jobmanager.adaptive-scheduler.*`.
    pub scheduler: SchedulerOptions,
    /// How checkpoints of jobs are taken that do not say so themselves: Flink's `execution.checkpointing.*`.
    pub checkpoints: CheckpointOptions,
    /// Opens the folders of checkpoints and savepoints.
    pub storage: StorageAccess,
    /// Where checkpoints are written, which all processes share: Flink's `execution.checkpointing.dir`.
    pub checkpoint_dir: StorageLocation,
    /// Where savepoints are written for which no folder is named: Flink's `execution.checkpointing.savepoint-dir`.
    pub savepoint_dir: Option<StorageLocation>,
    /// State of at most so many bytes stands in a checkpoint's metadata: Flink's
    /// `execution.checkpointing.data-inline-threshold`.
    pub inline_bytes_max: u32,
    /// What keyed state is kept in: Flink's `state.backend.type`.
    pub state_backend: StateBackendKind,
    /// Whether state is copied to the disks of the TaskManagers that have it: Flink's
    /// `execution.checkpointing.local-backup.enabled`; `None`: where such copies are read.
    pub local_backup: Option<bool>,
    /// Whether tasks that come back are restored from such copies: Flink's `execution.state-recovery.from-local`.
    pub from_local: bool,
    /// Which folders file connectors may reach.
    pub file_roots: FileRoots,
    /// Which origins HTTP connectors may send requests to.
    pub http_origins: HttpOrigins,
    /// Where in S3 clients may have checkpoints and savepoints written and read.
    pub s3_roots: S3Roots,
    /// What a bundle may be.
    pub bundle_limits: BundleLimits,
    /// What an instance may use where its manifest asks for nothing else.
    pub sandbox_limits: SandboxLimits,
    /// How long ended jobs are kept.
    pub retention: JobRetention,
    /// The ResourceManager's limits and timeouts.
    pub resources: ResourceOptions,
    /// What starts and stops TaskManagers where `resources.workers` says how many; `None`: nobody does.
    pub driver: Option<Arc<dyn ResourceDriver>>,
    /// Starts JobManagers of this machine again that have died; `None`: that is for others to do.
    pub keeper: Option<Arc<MemberKeeper>>,
    /// How long a new leader waits for reports of tasks that outlived the one before, in milliseconds; `None`: there are
    /// none, as TaskManagers end with their leader.
    pub adoption_timeout_ms: Option<u64>,
    /// How flame graphs are made: Flink's `rest.flamegraph.*`.
    pub flame_graphs: FlameOptions,
    /// Where traces are sent: Flink's `traces.reporter.*`.
    pub traces: TraceOptions,
    /// Rows of `collect` sinks that wait for their client, per job, in bytes; then the job waits.
    pub results_bytes_max: usize,
    /// Where the process is to die, for tests of recovery.
    pub crash_points: CrashPoints,
}

impl Default for JobManagerOptions {
    fn default() -> Self {
        Self {
            default_parallelism: 1,
            buffer_timeout_ms: BUFFER_TIMEOUT_MS,
            restart: RestartOptions::default(),
            scheduler: SchedulerOptions::default(),
            checkpoints: CheckpointOptions::default(),
            local_backup: None,
            from_local: false,
            storage: StorageAccess::default(),
            checkpoint_dir: StorageLocation::Local("/var/lib/millrace/checkpoints".into()),
            savepoint_dir: None,
            inline_bytes_max: CheckpointSettings::default().inline_bytes_max,
            state_backend: StateBackendKind::default(),
            file_roots: FileRoots::none(),
            http_origins: HttpOrigins::none(),
            s3_roots: S3Roots::default(),
            bundle_limits: BundleLimits::default(),
            sandbox_limits: SandboxLimits::default(),
            retention: JobRetention::default(),
            resources: ResourceOptions::default(),
            driver: None,
            keeper: None,
            adoption_timeout_ms: None,
            flame_graphs: FlameOptions::default(),
            traces: TraceOptions::default(),
            results_bytes_max: 8 * 1024 * 1024,
            crash_points: CrashPoints::default(),
        }
    }
}
