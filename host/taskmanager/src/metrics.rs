//! What a subtask has done so far, shared between the task and whoever reports it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use millrace_protocol::TaskFigures;

use crate::time_account::{Activity, TimeAccount};

/// The figures of one attempt. Records and bytes count at the task's borders only.
#[derive(Debug)]
pub(crate) struct TaskMetrics {
    began: Instant,
    /// None before the task runs: what it takes to begin is nobody's busy time.
    time: Mutex<Option<TimeAccount>>,
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    records_out: AtomicU64,
    bytes_out: AtomicU64,
}

impl TaskMetrics {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            time: Mutex::new(None),
            records_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    /// The task is running from now on, and busy.
    pub(crate) fn begin_running(&self) {
        let account = TimeAccount::new(self.began.elapsed(), Activity::Busy);
        *self.lock_time() = Some(account);
    }

    /// Says what the task does from now on. Returns what it did before.
    pub(crate) fn switch(&self, activity: Activity) -> Activity {
        let now = self.began.elapsed();
        self.lock_time().as_mut().map_or(Activity::Busy, |time| time.switch(now, activity))
    }

    fn lock_time(&self) -> MutexGuard<'_, Option<TimeAccount>> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count_in(&self, records: usize, bytes: usize) {
        self.records_in.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_out(&self, records: usize, bytes: u64) {
        self.records_out.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> TaskFigures {
        let time = self.lock_time();
        let now = self.began.elapsed();
        let total_ms = |activity| time.as_ref().map_or(0, |time| time.total_ms(now, activity));
        TaskFigures {
            records_in: self.records_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            records_out: self.records_out.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            busy_ms: total_ms(Activity::Busy),
            idle_ms: total_ms(Activity::Idle),
            backpressured_ms: total_ms(Activity::Backpressured),
        }
    }
}
