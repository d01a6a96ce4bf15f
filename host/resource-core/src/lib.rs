//! The ResourceManager as a pure state machine: which TaskManagers there are, and which job gets which of their slots.
//!
//! A job says how many slots it needs in all ([`Input::SlotsRequested`]). The ResourceManager chooses them ([`solve`]),
//! asks their TaskManagers to offer them to the job, and repeats what is not reacted to. A slot goes back when the job
//! releases it and its TaskManager has freed it.
//!
//! Invariants:
//! - No IO, no clock, no random numbers: the same inputs give the same commands.
//! - No slot is under two grants at once; a grant's id is never used twice.
//! - A TaskManager that counts as lost stays so: if it wakes, it has to register under a new id.

mod allocation;
mod core;
mod dropped;
mod event;
mod membership;
mod options;
mod provision;
mod reconcile;
mod registry;
mod slot;
mod solve;
mod workers;

pub use crate::core::ResourceCore;
pub use dropped::{DropReason, Dropped};
pub use event::{Command, Input};
pub use options::ResourceOptions;
pub use registry::TaskManagerView;
pub use solve::{Assignment, Demand, Problem, solve};
pub use workers::{WORKER_OPTIONS, WorkerId, WorkerOption, WorkerOptionError, WorkerOptions};
