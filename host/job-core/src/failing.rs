//! Failures: of tasks, of deployments, of slots, of whole TaskManagers. The restart strategy decides about the first one;
//! those that follow until the job has come to rest are kept with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use millrace_types::{AllocationId, AttemptId, Failure, FailureKind, JobStatus, TaskManagerId};

use crate::core::{JobCore, Phase};
use crate::dropped::DropReason;
use crate::event::Command;
use crate::exceptions::ExceptionEntry;
use crate::rescales::RescaleCause;
use crate::tasks::Task;

/// Why checkpoints are aborted.
const WHY_STOPPED: &str = "tasks have failed";

impl JobCore {
    /// A region fails, for the reason of one of its tasks or as a whole. Callers see to the ends of tasks afterwards.
    pub(crate) fn fail(&mut self, failure: &Failure, region: usize, task: Option<Task>, out: &mut Vec<Command>) {
        let under_way = self.restart_under_way().filter(|_| !self.fails_anew(region));
        let permanent = failure.kind.is_permanent() && !self.undoes_upgrade();
        let entry = self.exception(failure.clone(), task);
        let max = self.spec.options.exceptions_max;
        let history = Arc::make_mut(&mut self.view.exceptions);
        match (&self.phase, under_way) {
            (Phase::Initializing | Phase::Waiting | Phase::Running | Phase::Restarting { .. }, None) => {
                history.add_root(entry, max);
                match self.restart_delay(failure, region) {
                    Some(delay_ms) => {
                        self.view.restarts += 1;
                        self.begin_rescale(RescaleCause::RecoverableFailover);
                        self.restart_region(region, self.now.plus_ms(delay_ms), WHY_STOPPED, out);
                    }
                    None => self.stop(JobStatus::Failing, out),
                }
            }
            (_, Some(_)) if permanent || self.coordinator.is_lost(region) => {
                history.add_root(entry, max);
                self.stop(JobStatus::Failing, out);
            }
            (_, Some(restart_at)) => {
                history.add_concurrent(entry, max);
                if !(self.pending.contains(&region) && self.has_stopped(region)) {
                    self.restart_region(region, restart_at, WHY_STOPPED, out);
                }
            }
            (Phase::Stopping(_), None) => history.add_concurrent(entry, max),
            // Nothing of it was deployed yet, or the job's end is decided.
            (Phase::Adopting(_) | Phase::Persisting { .. } | Phase::Ended, None) => {
                self.drop_message(DropReason::TooLate)
            }
        }
    }

    /// The job fails, whatever its restart strategy.
    pub(crate) fn fail_for_good(&mut self, failure: Failure, out: &mut Vec<Command>) {
        self.note_exception(failure);
        self.stop(JobStatus::Failing, out);
    }

    /// All regions that have not finished fail, for a reason of the job as a whole.
    pub(crate) fn fail_everywhere(&mut self, failure: &Failure, out: &mut Vec<Command>) {
        let ended =
            |region: &usize| self.tasks_of(*region).into_iter().all(|task| self.subtask(task).state.is_terminal());
        let regions: Vec<_> = (0..self.regions.count()).filter(|region| !ended(region)).collect();
        self.fail_regions(failure, &regions, out);
    }

    /// These regions fail as one.
    pub(crate) fn fail_regions(&mut self, failure: &Failure, regions: &[usize], out: &mut Vec<Command>) {
        if let [first, others @ ..] = regions {
            self.fail(failure, *first, None, out);
            if let Some(restart_at) = self.restart_under_way() {
                others.iter().for_each(|region| self.restart_region(*region, restart_at, WHY_STOPPED, out));
            }
        }
        self.tasks_ended(out);
    }

    /// Whether a region's failure is none of the restart under way: the region has stopped, and is to be deployed again.
    fn fails_anew(&self, region: usize) -> bool {
        matches!(self.phase, Phase::Waiting) && self.pending.contains(&region)
    }

    /// A task has failed, or is as good as failed.
    pub(crate) fn task_failed(&mut self, task: Task, failure: &Failure, out: &mut Vec<Command>) {
        let told = self.note_unreadable(task, failure);
        let failure = told.as_ref().unwrap_or(failure);
        self.enter_failed(task, failure);
        // What a task says while the user's cancellation tears it down is no failure of the job.
        if self.view.status != JobStatus::Cancelling {
            self.fail(failure, self.region_of(task), Some(task), out);
        }
        self.tasks_ended(out);
    }

    pub(crate) fn deploy_failed(&mut self, attempt: &AttemptId, failure: &Failure, out: &mut Vec<Command>) {
        match self.live_task(attempt) {
            Ok(task) => self.task_failed(task, failure, out),
            Err(reason) => self.drop_message(reason),
        }
    }

    pub(crate) fn slots_lost(&mut self, allocations: &[AllocationId], out: &mut Vec<Command>) {
        let mut lost = BTreeSet::new();
        for allocation in allocations {
            if self.slots.remove(*allocation) {
                lost.insert(*allocation);
            } else {
                self.drop_message(DropReason::UnknownAllocation);
            }
        }
        let failure = Failure::new(FailureKind::TaskManagerLost, "the TaskManager took the task's slot away")
            .with_remedy("look into the TaskManager's log for the reason");
        self.slots_gone(&lost, &self.unfinished_under(&lost), &failure, out);
    }

    pub(crate) fn task_manager_lost(&mut self, task_manager: &TaskManagerId, reason: &str, out: &mut Vec<Command>) {
        let lost = self.slots.remove_task_manager(task_manager).into_iter().collect();
        let failure =
            Failure::new(FailureKind::TaskManagerLost, format!("TaskManager {task_manager} was lost: {reason}"))
                .with_remedy("look into that TaskManager's log; start it again if its process has ended");
        self.slots_gone(&lost, &self.unfinished_on(task_manager), &failure, out);
    }

    /// Slots are gone, and with them tasks.
    pub(crate) fn slots_gone(
        &mut self,
        lost: &BTreeSet<AllocationId>,
        tasks: &[Task],
        failure: &Failure,
        out: &mut Vec<Command>,
    ) {
        self.assigned_slots.retain(|_, (_, allocation)| !lost.contains(allocation));
        let mut regions = BTreeSet::new();
        tasks.iter().for_each(|task| self.enter_failed(*task, failure));
        // All have ended before the job reacts, so that none of them is told to stop.
        for task in tasks {
            let region = self.region_of(*task);
            if self.view.status != JobStatus::Cancelling && regions.insert(region) {
                self.fail(failure, region, Some(*task), out);
            }
        }
        if !lost.is_empty() && self.goes_on() {
            self.replace_lost_slots(out);
        }
        self.tasks_ended(out);
    }

    /// Keeps a failure of the job as a whole that the restart strategy is not asked about.
    pub(crate) fn note_exception(&mut self, failure: Failure) {
        let entry = self.exception(failure, None);
        let max = self.spec.options.exceptions_max;
        Arc::make_mut(&mut self.view.exceptions).add_root(entry, max);
    }

    fn exception(&self, failure: Failure, task: Option<Task>) -> ExceptionEntry {
        ExceptionEntry {
            failure,
            at: self.now,
            task_name: task.map(|task| self.task_name(task)),
            attempt: task.map(|task| self.attempt_id(task)),
            task_manager: task.and_then(|task| self.subtask(task).task_manager.clone()),
            concurrent: Vec::new(),
        }
    }
}
