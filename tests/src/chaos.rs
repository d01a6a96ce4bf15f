//! Chaos: a job on one JobManager and three TaskManagers whose processes are killed, stopped and starved of disk at
//! random moments; what it has committed at the end equals the reference record for record, and nothing of it that was
//! visible before was ever taken back.
//!
//! Invariants: a round's plan is a function of its seed, so a seed replays its events, if not their exact timing; every
//! wait has a limit; processes die with the round.

mod job;
mod limits;
mod output;
mod plan;
mod round;

pub use plan::{Fault, Harm, JobPlan, Moment, Plan, Size};
pub use round::{Outcome, run};
