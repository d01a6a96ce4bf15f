//! The end of a job: whether it is the right one, and what follows.

use std::sync::Arc;

use millrace_job_core::{StartFrom, StoredCheckpoint};
use millrace_types::JobStatus;

use millrace_resource_core::Input as ResourceInput;

use super::{World, user};

impl World {
    /// A job's end is durable.
    pub(crate) fn job_ended(&mut self, status: JobStatus) {
        if !status.is_terminal() {
            return;
        }
        if status != JobStatus::Finished {
            assert!(self.ledger.damaged && status == JobStatus::Failed, "the job is {status}: {}", self.status());
            return;
        }
        // Whoever leads now, and whether it knows that the job was to stop: its tasks did.
        let attempts = self.metadata.job(&super::tenant(), self.job.id).map(|record| record.attempts.clone());
        let recorded = |at: usize| attempts.as_ref().and_then(|attempts| attempts.get(at).copied()).unwrap_or(0);
        let vertices = &self.job.graph.vertices;
        let stop = self.ledger.stop_of(self.job.id, |attempt| {
            let at = vertices.iter().position(|vertex| vertex.id == attempt.vertex);
            at.is_some_and(|at| recorded(at) == attempt.attempt)
        });
        match stop {
            Some(location) if !self.draining.contains(&location) => {
                let checkpoint = self.store.description(&location);
                let mut checkpoint = checkpoint.unwrap_or_else(|| panic!("a savepoint is damaged"));
                Arc::make_mut(&mut checkpoint).folder = Some(location.clone());
                let from = StoredCheckpoint { checkpoint, location };
                let claim = self.scenario.claim;
                let start = StartFrom { from, allow_non_restored_state: false, claim };
                self.next = Some(start);
            }
            _ => self.output.check_end(&self.scenario, self.drained),
        }
    }

    /// A JobMaster has ended: the next job is submitted, if there is to be one.
    pub(crate) fn job_master_ended(&mut self) {
        if let Some(manager) = &mut self.job_manager {
            manager.master = None;
        }
        self.tell_resources(ResourceInput::JobGone { job: self.job.id });
        self.run_next();
    }

    /// Runs the job again from the savepoint that it was stopped with, at another parallelism.
    pub(crate) fn run_next(&mut self) {
        let Some(start) = self.next.take() else {
            self.done = true;
            return;
        };
        self.job = user::job(self.job.number + 1, &self.scenario, &mut self.rng, Some(start));
        self.submit();
        self.start_job_master(false);
    }
}
