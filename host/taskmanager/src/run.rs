//! Running one task.

mod asynchronous;
mod chain;
mod checkpoints;
mod collect;
mod generators;
mod guest;
mod host;
mod input;
mod open;
mod orders;
mod outlet;
mod overtaken;
mod restore;
mod segment;
mod shared;
mod snapshot;
mod source;
mod stop;
mod task;
mod upgrade;
mod uploads;

pub(crate) use open::TaskEnvironment;
pub(crate) use orders::{OrderBox, TaskOrder};
pub(crate) use source::ASSIGNMENTS_MAX;
pub(crate) use stop::{Stop, Stopper, stop_signal};
pub(crate) use task::{TaskEnd, TaskLinks, run_task, task_report};
pub(crate) use upgrade::UpgradeOrder;
