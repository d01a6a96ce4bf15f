//! Has workers started and stopped as the registry and the requests of jobs ask for it.

use std::collections::BTreeMap;

use millrace_types::{TaskManagerId, Timestamp};

use crate::core::ResourceCore;
use crate::event::Command;
use crate::slot::SlotState;
use crate::workers::{Lacking, Situation, Workers, wanted};

impl ResourceCore {
    /// Orders what is needed now. Behind every change of slots, requests or workers, and at their deadline.
    pub(crate) fn provision(&mut self, out: &mut Vec<Command>) {
        let Some(mut workers) = self.workers.take() else { return };
        workers.observe(&self.registry, self.now);
        for worker in workers.stop_overdue(self.now) {
            out.push(Command::StopWorker { worker });
        }
        let plan = wanted(&self.situation(workers.slots_expected(self.now)), &workers.options);
        for worker in workers.start(plan.start, self.now) {
            out.push(Command::StartWorker { worker });
        }
        let mut dispensable = plan.dispensable;
        for worker in workers.idle(self.now) {
            let task_managers = Workers::task_managers(&worker, &self.registry);
            let known = &self.registry.known;
            let slots = task_managers.iter().filter_map(|id| known.get(id)).map(|found| found.slots.len() as u32);
            let slots: u32 = slots.sum();
            if slots <= dispensable {
                dispensable -= slots;
                workers.stop(&worker, self.now);
                for id in task_managers {
                    // Nobody has a slot of it, and nobody gets one any more.
                    self.task_manager_lost(&id, "it is idle and was told to stop", out);
                }
                out.push(Command::StopWorker { worker });
            }
        }
        workers.plan_to_wake(plan.start > 0, self.now);
        self.workers = Some(workers);
    }

    fn situation(&self, expected: u32) -> Situation {
        let mut order: Vec<_> = self.requests.iter().map(|(job, request)| (request.sequence, *job)).collect();
        order.sort_unstable();
        let mut situation = Situation { expected, registered: self.registry.total(), ..Situation::default() };
        let mut held = BTreeMap::<_, u32>::new();
        for (_, slot) in self.registry.slots() {
            match slot {
                SlotState::Free | SlotState::Freeing { .. } => situation.free += 1,
                SlotState::Pending { grant, .. } | SlotState::Allocated { grant, .. } => {
                    *held.entry(grant.job).or_default() += 1;
                }
            }
        }
        for (_, job) in order {
            let request = &self.requests[&job];
            let slots = request.count.saturating_sub(held.get(&job).copied().unwrap_or(0));
            if slots > 0 {
                situation.lacking.push(Lacking { slots, partly: request.partly });
            }
        }
        situation
    }

    /// Whether a TaskManager is one of a worker that is to end.
    pub(crate) fn is_stopping(&self, id: &TaskManagerId) -> bool {
        self.workers.as_ref().is_some_and(|workers| workers.is_stopping(id))
    }

    /// What the driver says changes what is known of the workers.
    pub(crate) fn driver_said(&mut self, change: impl FnOnce(&mut Workers, Timestamp)) {
        if let Some(workers) = &mut self.workers {
            change(workers, self.now);
            self.unplaced_changes = true;
        }
    }
}
