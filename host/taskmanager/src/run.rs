//! Running one task.

mod chain;
mod collect;
mod guest;
mod host;
mod input;
mod open;
mod outlet;
mod segment;
mod shared;
mod source;
mod stop;
mod task;

pub(crate) use open::TaskEnvironment;
pub(crate) use source::ASSIGNMENTS_MAX;
pub(crate) use stop::{Stop, Stopper, stop_signal};
pub(crate) use task::{TaskEnd, TaskLinks, run_task, task_report};
