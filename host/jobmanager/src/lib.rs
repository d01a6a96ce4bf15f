//! Dispatcher, JobMasters and ResourceManager: thin shells around the pure cores.
//!
//! A shell owns one core. It feeds the core with inputs from its bounded inbox, with completions of the IO that the core
//! ordered and with deadlines, and executes the commands that come out.
//!
//! Invariants:
//! - All of it belongs to one tenure of a leader and ends with it ([`leading`]).
//! - A shell never waits for another one while its own inbox fills: commands leave through an outbox that is worked
//!   off beside the inbox ([`shell`]), so that no circle of full queues can stand still.
//! - One JobMaster per job, supervised: its fault ends that job's attempt and nothing else.
//! - What a client is told was written to the metadata log before.
//! - Everything that is asked for is looked up under a tenant; what belongs to another does not exist.

mod bundles;
mod checkpoint_files;
mod checkpoint_folders;
mod clock;
mod cluster;
mod dispatcher;
mod driver;
mod error;
mod figures;
mod flame_graphs;
mod gateway;
mod group;
mod job_master;
mod jobs;
mod leading;
mod operations;
mod options;
mod peeks;
mod planner;
mod processes;
mod recovery;
mod registry;
mod rescaling;
mod resource_manager;
mod results;
mod router;
mod run_settings;
mod savepoints;
mod shell;
mod start;
mod task_managers;
mod traces;
mod trial;
mod triggers;
mod upgrades;
mod views;
mod warming;

pub use cluster::JobManager;
pub use dispatcher::{Dispatcher, Overview};
pub use driver::{DriverError, ResourceDriver};
pub use error::DispatcherError;
pub use figures::{ClusterFigures, JobFlow, VertexFlow, input_watermark, time_share};
pub use flame_graphs::{FlameGraph, FlameOptions, FlameSample, SubtaskSamples};
pub use gateway::{GatewayError, TaskManagerGateway};
pub use group::Group;
pub use jobs::{JobInfo, RunRequest};
pub use leading::Lead;
pub use millrace_job_core::{
    CHECKPOINT_OPTIONS, CheckpointOptions, NamedOption, RESTART_OPTIONS, RestartOptions, SCHEDULER_OPTIONS,
    SchedulerOptions,
};
pub use millrace_metadata::{GroupStatus, MemberAddresses, MemberId, MemberRole, MemberStatus};
pub use millrace_resource_core::{WORKER_OPTIONS, WorkerId, WorkerOption, WorkerOptionError, WorkerOptions};
pub use operations::Outcome;
pub use options::JobManagerOptions;
pub use peeks::PeekedRecords;
pub use planner::{Plan, Planner};
pub use processes::{MemberKeeper, MemberNote, ProcessDriver, ProcessOptions};
pub use results::{ResultRows, ResultsError};
pub use run_settings::{ClaimMode, RUN_OPTIONS, RunSettings, inline_bytes, recovery_options, state_backend};
pub use savepoints::SavepointRequest;
pub use traces::TraceOptions;
pub use upgrades::UpgradeRequest;
