//! The end of a job: slots back, end written, end told. Persist before you acknowledge: the terminal status is shown
//! only once its write is durable.

use millrace_types::JobStatus;

use crate::core::{JobCore, Phase};
use crate::dropped::DropReason;
use crate::event::{Command, WriteId};
use crate::rescales::RescaleEnd;
use crate::view::JobView;

impl JobCore {
    /// Reacts to the ends of tasks: the job may end, or run again.
    pub(crate) fn tasks_ended(&mut self, out: &mut Vec<Command>) {
        self.wait_if_stopped(out);
        self.end_if_all_ended(out);
    }

    /// Begins to end the job if all its tasks have ended.
    pub(crate) fn end_if_all_ended(&mut self, out: &mut Vec<Command>) {
        if self.unfinished > 0 || self.end_waits() {
            return;
        }
        let status = match (&self.phase, self.view.status) {
            (Phase::Running, _) => JobStatus::Finished,
            (Phase::Stopping(_), JobStatus::Cancelling) => JobStatus::Canceled,
            (Phase::Stopping(_), _) => JobStatus::Failed,
            _ => return,
        };
        assert!(self.unfinished_tasks().is_empty(), "the number of unfinished tasks is wrong");
        if status == JobStatus::Finished {
            self.end_rescale(RescaleEnd::JobFinished);
            self.give_up_checkpoints("the job has finished", out);
            out.push(Command::RequestSlots { count: 0 });
        }
        let slots = self.slots.drain();
        if !slots.is_empty() {
            out.push(Command::ReleaseSlots { slots });
        }
        let mut view = Box::new(self.view.clone());
        view.enter(status, self.now);
        let write = self.persist(status, view.clone(), out);
        self.phase = Phase::Persisting { view, write: Ok(write) };
    }

    fn persist(&mut self, status: JobStatus, view: Box<JobView>, out: &mut Vec<Command>) -> WriteId {
        let write = self.next_write();
        out.push(Command::PersistStatus { write, status, view });
        write
    }

    pub(crate) fn metadata_written(&mut self, written: WriteId, out: &mut Vec<Command>) {
        if self.ids_written(written) || self.pointer_written(written, out) {
            return;
        }
        if self.attempts_written(written) {
            if self.goes_on() {
                self.record_attempts(out);
                self.deploy_if_ready(out);
            }
            return;
        }
        let Phase::Persisting { view, write: Ok(write) } = &self.phase else {
            return self.drop_message(DropReason::AlreadyAnswered);
        };
        if *write != written {
            return self.drop_message(DropReason::AlreadyAnswered);
        }
        let status = view.status;
        // The messages dropped since then belong to the picture too.
        let dropped = std::mem::take(&mut self.view.dropped);
        self.view = JobView { dropped, ..(**view).clone() };
        self.phase = Phase::Ended;
        self.leave_checkpoints(status, out);
        out.push(Command::JobEnded { status });
    }

    pub(crate) fn metadata_write_failed(&mut self, failed: WriteId, out: &mut Vec<Command>) {
        if self.attempts_write_failed(failed) || self.ids_write_failed(failed) || self.pointer_write_failed(failed, out)
        {
            return;
        }
        let retry_at = self.now.plus_ms(self.spec.options.persist_retry_ms);
        match &mut self.phase {
            Phase::Persisting { write, .. } if *write == Ok(failed) => *write = Err(retry_at),
            _ => self.drop_message(DropReason::AlreadyAnswered),
        }
    }

    pub(crate) fn persisting_deadline(&mut self, out: &mut Vec<Command>) {
        let Phase::Persisting { view, write: Err(retry_at) } = &self.phase else { return };
        if self.now < *retry_at {
            return;
        }
        let view = view.clone();
        let write = self.persist(view.status, view.clone(), out);
        self.phase = Phase::Persisting { view, write: Ok(write) };
    }
}
