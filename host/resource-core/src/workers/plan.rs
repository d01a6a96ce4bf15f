//! How many workers there should be, as a pure function of what jobs lack and what there is.

use crate::workers::WorkerOptions;

/// What a job lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// So many slots.
    pub slots: u32,
    /// Whether fewer are of use to it too.
    pub partly: bool,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Situation {
    /// What jobs lack, in the order in which they are served.
    pub lacking: Vec<Lacking>,
    /// Slots that nobody has, or that are about to be freed.
    pub free: u32,
    /// Slots that are still to come.
    pub expected: u32,
    /// All slots of registered TaskManagers.
    pub registered: u32,
}

/// What should become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// Workers to start.
    pub start: u32,
    /// Slots that may go.
    pub dispensable: u32,
}

/// What is left of the room for more, and of the slots.
struct Balance {
    slots_each: u32,
    /// Workers that may still be started.
    room: u32,
    start: u32,
    /// Slots that nobody counts on yet.
    unclaimed: u32,
}

impl Balance {
    fn workers_for(&self, slots: u32) -> u32 {
        slots.div_ceil(self.slots_each)
    }

    /// Starts workers for slots that are missing, as far as there is room.
    fn add(&mut self, missing: u32) {
        let more = self.workers_for(missing).min(self.room);
        self.room -= more;
        self.start += more;
        self.unclaimed = self.unclaimed.saturating_add(more.saturating_mul(self.slots_each));
    }
}

/// Chooses how many workers to start, or else how many slots may go.
pub(crate) fn wanted(situation: &Situation, options: &WorkerOptions) -> Wanted {
    let slots_each = options.slots_per_worker.max(1);
    let total = situation.registered.saturating_add(situation.expected);
    let room = options.slots_max.saturating_sub(total) / slots_each;
    let unclaimed = situation.free.saturating_add(situation.expected);
    let mut balance = Balance { slots_each, room, start: 0, unclaimed };
    for lacking in &situation.lacking {
        let missing = lacking.slots.saturating_sub(balance.unclaimed);
        if balance.workers_for(missing) > balance.room && !lacking.partly {
            // It would wait all the same: what is started for it would stand idle.
            continue;
        }
        balance.add(missing);
        balance.unclaimed = balance.unclaimed.saturating_sub(lacking.slots);
    }
    let in_use = !situation.lacking.is_empty() || situation.free < situation.registered;
    let spare = if in_use { options.redundant_workers.saturating_mul(slots_each) } else { 0 };
    balance.add(spare.saturating_sub(balance.unclaimed));
    let started = balance.start.saturating_mul(slots_each);
    balance.add(options.slots_min.saturating_sub(total.saturating_add(started)));
    if balance.start > 0 {
        return Wanted { start: balance.start, dispensable: 0 };
    }
    let beyond_least = total.saturating_sub(options.slots_min);
    Wanted { start: 0, dispensable: balance.unclaimed.saturating_sub(spare).min(beyond_least) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: WorkerOptions = WorkerOptions { slots_per_worker: 2, slots_max: 8, ..WorkerOptions::DEFAULT };

    fn whole(slots: u32) -> Lacking {
        Lacking { slots, partly: false }
    }

    #[track_caller]
    fn check(situation: &Situation, options: &WorkerOptions, start: u32, dispensable: u32) {
        assert_eq!(wanted(situation, options), Wanted { start, dispensable });
    }

    #[test]
    fn what_jobs_lack_is_started_in_whole_workers() {
        check(&Situation { lacking: vec![whole(3)], ..Situation::default() }, &OPTIONS, 2, 0);
        // The odd slot serves the next one.
        check(&Situation { lacking: vec![whole(3), whole(1)], ..Situation::default() }, &OPTIONS, 2, 0);
        check(&Situation { lacking: vec![whole(3), whole(2)], ..Situation::default() }, &OPTIONS, 3, 0);
        let some = Situation { lacking: vec![whole(5)], free: 1, expected: 2, registered: 2 };
        check(&some, &OPTIONS, 1, 0);
    }

    #[test]
    fn nothing_is_started_for_a_job_that_would_wait_all_the_same() {
        check(&Situation { lacking: vec![whole(9)], ..Situation::default() }, &OPTIONS, 0, 0);
        check(&Situation { lacking: vec![whole(9), whole(2)], ..Situation::default() }, &OPTIONS, 1, 0);
        let partly = Lacking { slots: 9, partly: true };
        check(&Situation { lacking: vec![partly], ..Situation::default() }, &OPTIONS, 4, 0);
        let taken = Situation { lacking: vec![whole(4)], free: 0, expected: 0, registered: 6 };
        check(&taken, &OPTIONS, 0, 0);
    }

    #[test]
    fn what_nobody_needs_may_go_beyond_the_least_and_the_spare() {
        let idle = Situation { lacking: vec![], free: 6, expected: 0, registered: 6 };
        check(&idle, &OPTIONS, 0, 6);
        check(&idle, &WorkerOptions { slots_min: 4, ..OPTIONS }, 0, 2);
        check(&idle, &WorkerOptions { redundant_workers: 1, ..OPTIONS }, 0, 6);
        let half = Situation { lacking: vec![], free: 4, expected: 0, registered: 6 };
        check(&half, &WorkerOptions { redundant_workers: 1, ..OPTIONS }, 0, 2);
        check(&half, &WorkerOptions { redundant_workers: 3, ..OPTIONS }, 1, 0);
        let none = Situation::default();
        check(&none, &WorkerOptions { slots_min: 3, redundant_workers: 1, ..OPTIONS }, 2, 0);
    }

    #[test]
    fn slots_that_will_be_needed_do_not_go() {
        let waiting = Situation { lacking: vec![whole(4)], free: 2, expected: 2, registered: 2 };
        check(&waiting, &OPTIONS, 0, 0);
        let more = Situation { lacking: vec![whole(4)], free: 4, expected: 2, registered: 4 };
        check(&more, &OPTIONS, 0, 2);
    }
}
