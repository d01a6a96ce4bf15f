//! Requests of the user: a checkpoint now, a savepoint, the stop of the job behind one.
//!
//! Invariant: each request is answered once. One that stops the job is answered when the job has finished, or when it is
//! clear that it will not: then the job goes on.

use millrace_types::{Failure, FailureKind, SAVEPOINT_FOLDER_BYTES_MAX};

use super::coordinator::{Request, Stop};
use crate::core::{JobCore, Phase};
use crate::event::{Command, RequestId, SnapshotLocation, StopMode};

/// The most requests that wait.
const REQUESTS_MAX: usize = 16;

impl JobCore {
    pub(crate) fn checkpoint_requested(&mut self, id: RequestId, out: &mut Vec<Command>) {
        self.snapshot_requested(Request { id, folder: None, stop: None }, out);
    }

    pub(crate) fn savepoint_requested(
        &mut self,
        id: RequestId,
        folder: Box<str>,
        stop: Option<StopMode>,
        out: &mut Vec<Command>,
    ) {
        let same_everywhere = folder.starts_with('/') || folder.starts_with("s3://");
        let usable = same_everywhere && folder.len() <= SAVEPOINT_FOLDER_BYTES_MAX;
        let request = Request { id, folder: Some(folder), stop };
        if !usable {
            let why = format!(
                "its folder has to be an absolute path or s3://bucket/prefix, of at most {SAVEPOINT_FOLDER_BYTES_MAX} bytes"
            );
            return self.refuse(&request, &why, out);
        }
        self.snapshot_requested(request, out);
    }

    fn snapshot_requested(&mut self, request: Request, out: &mut Vec<Command>) {
        // A source may finish while the request is on its way: a job whose tasks have all ended is past it.
        let why = if !matches!(self.phase, Phase::Running) || self.unfinished == 0 {
            Some(format!("the job is {}: its tasks have to run", self.view.status))
        } else if self.coordinator.stop.is_some() {
            Some("the job is being stopped".to_owned())
        } else if request.stop.is_some() && self.coordinator.upgrade.is_some() {
            Some("the job is being upgraded: ask again when that is over".to_owned())
        } else if self.coordinator.requests.len() >= REQUESTS_MAX {
            Some(format!("{REQUESTS_MAX} requests wait already: ask again later"))
        } else if !self.tasks_run() {
            Some("not all of the job's tasks run yet, or some are about to stop: ask again later".to_owned())
        } else {
            None
        };
        if let Some(why) = why {
            return self.refuse(&request, &why, out);
        }
        if request.stop.is_some() {
            self.coordinator.stop = Some(Stop { request: request.id, drained: false, taken: None });
        }
        self.coordinator.requests.push_back(request);
    }

    pub(crate) fn tasks_run(&self) -> bool {
        use millrace_types::ExecutionState::{Finished, Running};
        self.all_tasks().into_iter().all(|task| matches!(self.subtask(task).state, Running | Finished))
    }

    /// Has the sources end. The savepoint's order follows the same way and so finds them at their end. No other checkpoint
    /// is begun behind it: whoever goes back reads on from where the sources were.
    pub(crate) fn drain(&mut self, out: &mut Vec<Command>) {
        if let Some(stop) = &mut self.coordinator.stop {
            stop.drained = true;
        }
        for task in self.unfinished_tasks().into_iter().filter(|task| self.is_source(*task)) {
            if let Some(task_manager) = self.subtask(task).task_manager.clone() {
                out.push(Command::DrainSource { task_manager, attempt: self.attempt_id(task) });
            }
        }
    }

    /// What a request asked for is complete.
    pub(crate) fn taken(&mut self, request: &Request, at: SnapshotLocation, out: &mut Vec<Command>) {
        match &mut self.coordinator.stop {
            Some(stop) if stop.request == request.id => {
                stop.taken = Some(at);
                if !matches!(self.phase, Phase::Running) {
                    self.not_stopped("a task failed, or the job was cancelled", out);
                }
            }
            _ => out.push(Command::SavepointEnded { request: request.id, result: Ok(at) }),
        }
    }

    /// What a request asked for will not be.
    pub(crate) fn refuse(&mut self, request: &Request, why: &str, out: &mut Vec<Command>) {
        let what = if request.folder.is_some() { "savepoint" } else { "checkpoint" };
        let failure = Failure::new(FailureKind::Checkpoint, format!("the {what} could not be taken: {why}"));
        let stop = self.coordinator.stop.take_if(|stop| stop.request == request.id);
        // A restart that is under way takes all regions along already.
        if stop.is_some_and(|stop| stop.drained) && matches!(self.phase, Phase::Running) {
            self.coordinator.undrain = Some(failure.clone());
        }
        out.push(Command::SavepointEnded { request: request.id, result: Err(failure) });
    }

    /// All of the job goes back to its last checkpoint, if its sources were told to end for a savepoint that there is not:
    /// otherwise it would finish with a part of its input.
    pub(crate) fn undrain(&mut self, out: &mut Vec<Command>) {
        if let Some(failure) = self.coordinator.undrain.take().filter(|_| matches!(self.phase, Phase::Running)) {
            let failure = failure.with_remedy("remove the cause, and drain the job again: it goes on until then");
            let regions: Vec<_> = (0..self.regions.count()).collect();
            self.fail_regions(&failure, &regions, out);
            self.tasks_ended(out);
        }
    }

    /// The job has finished behind its savepoint.
    pub(crate) fn stopped(&mut self, out: &mut Vec<Command>) {
        if let Some(Stop { request, taken: Some(at), .. }) = self.coordinator.stop.take() {
            out.push(Command::SavepointEnded { request, result: Ok(at) });
        }
    }

    /// The job does not stop behind its savepoint, which is complete.
    pub(crate) fn not_stopped(&mut self, why: &str, out: &mut Vec<Command>) {
        let taken = |stop: &mut Stop| stop.taken.is_some();
        if let Some(Stop { request, taken: Some(at), .. }) = self.coordinator.stop.take_if(taken) {
            let message = format!("the savepoint is complete, at {}, but the job did not stop: {why}", at.location);
            let failure = Failure::new(FailureKind::Checkpoint, message);
            out.push(Command::SavepointEnded { request, result: Err(failure) });
        }
    }

    /// Whether the job's end has to wait: for a pointer of which it is not known whether it was written, or for the
    /// savepoint that the job is to stop behind, or to go back for.
    pub(crate) fn end_waits(&self) -> bool {
        let stops = self.coordinator.stop.as_ref().is_some_and(|stop| stop.taken.is_none());
        let asked = stops
            || self.coordinator.undrain.is_some()
            || self.coordinator.pending.values().any(|pending| pending.request.is_some());
        self.coordinator.unsettled().is_some() || (asked && self.goes_on())
    }
}
