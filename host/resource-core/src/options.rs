//! How the ResourceManager treats TaskManagers.

use crate::workers::WorkerOptions;

/// How the ResourceManager treats TaskManagers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResourceOptions {
    /// How long a TaskManager may be silent before it counts as lost, in milliseconds: Flink's `heartbeat.timeout`,
    /// shorter.
    pub heartbeat_timeout_ms: u64,
    /// How long a TaskManager has to offer a slot, or to free one, before it is told again, in milliseconds: Flink's
    /// `taskmanager.slot.timeout`.
    pub slot_timeout_ms: u64,
    /// How often a TaskManager is asked for one slot before another slot is sought.
    pub slot_request_attempts_max: u32,
    /// TaskManagers that may be registered at once.
    pub task_managers_max: usize,
    /// Slots that one TaskManager may have.
    pub slots_per_task_manager_max: u32,
    /// Native mode: TaskManagers are started and stopped as jobs need them.
    pub workers: Option<WorkerOptions>,
}

impl Default for ResourceOptions {
    fn default() -> Self {
        Self {
            heartbeat_timeout_ms: 3_000,
            slot_timeout_ms: 10_000,
            slot_request_attempts_max: 3,
            task_managers_max: 1_000,
            slots_per_task_manager_max: 1_024,
            workers: None,
        }
    }
}
