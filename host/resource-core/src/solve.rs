//! Which job gets which slot, as a pure function of what is asked for and what was decided before.
//!
//! Invariants:
//! - What was decided is never taken back.
//! - First come, first served, whole or not at all: a job gets what it lacks in one go or nothing, so that two jobs never
//!   hold half of what each needs. A job that does not fit is passed over for now, so that it does not hold up smaller
//!   ones behind it. A job that can run with fewer slots says so, and gets those that there are.
//! - A job's slots are packed: first where it runs already, then TaskManager by TaskManager in the order of their ids,
//!   which keeps its exchanges within few processes (Flink's default, `cluster.evenly-spread-out-slots: false`).

use std::collections::{BTreeMap, BTreeSet};

use millrace_types::{JobId, SlotId, TaskManagerId};

/// What a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The job.
    pub job: JobId,
    /// The slots that it needs in all.
    pub slots: u32,
    /// Whether fewer are of use to it too.
    pub partly: bool,
}

/// What there is and what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// What jobs ask for, in the order in which they first did.
    pub demands: Vec<Demand>,
    /// The slots that nobody has.
    pub free: BTreeSet<SlotId>,
}

/// Which job has which slot.
pub type Assignment = BTreeMap<SlotId, JobId>;

/// Extends the previous assignment by free slots.
pub fn solve(problem: &Problem, previous: &Assignment) -> Assignment {
    let mut assignment = previous.clone();
    let mut free = problem.free.clone();
    free.retain(|slot| !previous.contains_key(slot));
    for demand in &problem.demands {
        let held = assignment.values().filter(|job| **job == demand.job).count();
        let lacking = (demand.slots as usize).saturating_sub(held);
        if lacking == 0 || (lacking > free.len() && !demand.partly) {
            continue;
        }
        let serving: BTreeSet<TaskManagerId> = assignment
            .iter()
            .filter(|(_, job)| **job == demand.job)
            .map(|(slot, _)| slot.task_manager.clone())
            .collect();
        let (mut chosen, others): (Vec<_>, Vec<_>) =
            free.iter().cloned().partition(|slot| serving.contains(&slot.task_manager));
        chosen.extend(others);
        for slot in chosen.into_iter().take(lacking) {
            free.remove(&slot);
            assignment.insert(slot, demand.job);
        }
    }
    assignment
}
