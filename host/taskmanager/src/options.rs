//! What can be set, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

use millrace_connectors::{FileRoots, HttpOrigins};
use millrace_network::{BufferBudget, CONNECT_TIMEOUT, DataPlaneOptions};
use millrace_storage::{LocalCopies, StorageAccess};
use millrace_types::{CrashPoints, LogTail, TaskManagerId};

/// The options of a TaskManager.
#[derive(Debug, Clone)]
pub struct TaskManagerOptions {
    /// Its id in this life of the process.
    pub id: TaskManagerId,
    /// The number of its slots.
    pub slots: u32,
    /// The threads that run tasks.
    pub cores: usize,
    /// The process's folder; logs of tasks stand in `logs` below it.
    pub data_dir: PathBuf,
    /// The folders that native connectors may reach.
    pub file_roots: FileRoots,
    /// The origins that native connectors may send requests to.
    pub http_origins: HttpOrigins,
    /// Opens the folders of checkpoints and savepoints.
    pub storage: StorageAccess,
    /// What batches between tasks may take, in bytes.
    pub buffer_bytes: u32,
    /// What a chain's state may take in memory where it is kept on disk (`state.backend.type: redb`), in bytes.
    pub state_memory_bytes: u64,
    /// What a chain's state may take on disk, in bytes.
    pub state_disk_bytes_max: u64,
    /// Copies of state on the process's own disks, which outlast its lives; `None`: it makes none.
    pub local_state: Option<LocalCopies>,
    /// How often it says that it is alive.
    pub heartbeat_interval: Duration,
    /// How long a task waits for those that it exchanges records with.
    pub connect_timeout: Duration,
    /// How it exchanges records with other TaskManagers; `None`: it does not.
    pub data: Option<DataPlaneOptions>,
    /// The log of its process.
    pub process_log: LogTail,
    /// Where the process is to die, for tests of recovery.
    pub crash_points: CrashPoints,
}

impl TaskManagerOptions {
    /// The default options: as many threads as the machine has cores, and neither folder nor origin for
    /// native connectors.
    pub fn new(id: TaskManagerId, slots: u32, data_dir: PathBuf) -> Self {
        Self {
            id,
            slots,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            data_dir,
            file_roots: FileRoots::none(),
            http_origins: HttpOrigins::none(),
            storage: StorageAccess::default(),
            buffer_bytes: BufferBudget::DEFAULT_BYTES,
            state_memory_bytes: 64 * 1024 * 1024,
            state_disk_bytes_max: 256 * 1024 * 1024 * 1024,
            local_state: None,
            heartbeat_interval: Duration::from_millis(500),
            connect_timeout: CONNECT_TIMEOUT,
            data: None,
            process_log: LogTail::default(),
            crash_points: CrashPoints::default(),
        }
    }
}
