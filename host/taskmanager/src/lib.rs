//! One TaskManager: its slots, the tasks that run in them, their logs and figures.
//!
//! Invariants:
//! - Control never waits for data: the loop that takes messages and sends heartbeats runs apart from the tasks, which
//!   have a runtime of their own, and it never blocks on what it sends.
//! - A message of an older leader, for a slot granted otherwise or for an attempt that is not here is dropped, and
//!   counted by its reason.
//! - A task's end is reported once, when nothing of the task is left.
//! - A guest's fault ends its task's attempt and touches no other.
//!
//! [`TaskManager::start`] takes [`TaskManagerOptions`] and gives a [`TaskManagerHandle`].

mod components;
mod error;
mod flame;
mod gauges;
mod handle;
mod inquiry;
mod leaders;
mod log;
mod machine;
mod metrics;
mod options;
mod peek;
mod prefetch;
mod rates;
mod remote;
mod run;
mod sampler;
mod service;
mod slots;
mod splits;
mod stale;
mod task_table;
mod threads;
mod time_account;
mod witness;

pub use components::ComponentSource;
pub use error::TaskManagerError;
pub use gauges::TaskManagerFigures;
pub use handle::TaskManagerHandle;
pub use log::{LOG_FILE_BYTES_MAX, LOG_JOBS_MAX};
pub use millrace_network::DataPlaneOptions;
pub use options::TaskManagerOptions;
pub use remote::{OnRegistered, RemoteOptions, serve};
pub use service::TaskManager;
