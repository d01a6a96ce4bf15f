//! The bounds of what the state machine holds. All replicas must agree on them: they are part of the state machine,
//! not of anybody's configuration, and lowering one can make an old log unreadable.

/// The most tenants that own anything.
pub const TENANTS_MAX: usize = 1_000;

/// The most bundles of a tenant.
pub const BUNDLES_PER_TENANT_MAX: usize = 1_000;

/// The most components of a bundle.
pub const COMPONENTS_PER_BUNDLE_MAX: usize = 256;

/// The longest name that is kept of an application, a component or a job, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;

/// The most uploads of a tenant that run at a time.
pub const UPLOADS_PER_TENANT_MAX: usize = 64;

/// The most blobs of a tenant that wait for their deletion; uploads are refused beyond it.
pub const CONDEMNED_PER_TENANT_MAX: usize = 10_000;

/// The most jobs of a tenant that have not ended.
pub const UNFINISHED_JOBS_PER_TENANT_MAX: usize = 1_000;

/// What a tenant's unfinished jobs may take, in bytes of arguments, settings and graphs.
pub const UNFINISHED_BYTES_PER_TENANT_MAX: u64 = 256 * 1024 * 1024;

/// What one job may take, in bytes of arguments, settings and graphs.
pub const JOB_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The archived details of a job, in bytes.
pub const DETAILS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most ended jobs of a tenant that are remembered. The one that ended first leaves when another one ends.
pub const HISTORY_JOBS_PER_TENANT_MAX: usize = 1_000;

/// What a tenant's ended jobs may take, in bytes, archived details included. Those that ended first leave.
pub const HISTORY_BYTES_PER_TENANT_MAX: u64 = 64 * 1024 * 1024;

/// The most vertices of a job.
pub const VERTICES_PER_JOB_MAX: usize = 10_000;

/// The longest reason of a takeover that is kept, in bytes; longer ones are cut.
pub const TAKEOVER_REASON_BYTES_MAX: usize = 1_024;

/// The most checkpoints of a job that are retained at a time, a claimed savepoint included.
pub const CHECKPOINTS_PER_JOB_MAX: usize = 100;

/// The longest path of a checkpoint's folder, in bytes.
pub const CHECKPOINT_FOLDER_BYTES_MAX: usize = 4096;

/// The most ids that are reserved at a time.
pub const IDS_PER_BLOCK_MAX: u32 = 1 << 20;

/// The longest line of a failure that is kept, in bytes; longer ones are cut.
pub const FAILURE_LINE_BYTES_MAX: usize = 1_024;
