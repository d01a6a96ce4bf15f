//! The jobs that have a JobMaster in this process, and the most recent of those that ended.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_job_core::JobView;
use millrace_types::{JobId, TenantId};
use tokio::sync::{mpsc, watch};

use crate::job_master::MasterInput;
use crate::results::Results;

/// How many ended jobs keep their uncollected results in memory.
const ENDED_JOBS_MAX: usize = 100;

/// A job of this process.
#[derive(Clone)]
pub(crate) struct JobEntry {
    pub(crate) tenant: TenantId,
    pub(crate) master: mpsc::Sender<MasterInput>,
    pub(crate) view: watch::Receiver<JobView>,
    pub(crate) results: Results,
}

#[derive(Default)]
struct Jobs {
    by_id: BTreeMap<JobId, JobEntry>,
    ended: VecDeque<JobId>,
}

/// The jobs of this process; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct JobRegistry {
    jobs: Arc<Mutex<Jobs>>,
}

impl JobRegistry {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; `false`: it is there already.
    pub(crate) fn insert_new(&self, job: JobId, entry: JobEntry) -> bool {
        match self.lock().by_id.entry(job) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
                true
            }
        }
    }

    pub(crate) fn get(&self, job: JobId) -> Option<JobEntry> {
        self.lock().by_id.get(&job).cloned()
    }

    pub(crate) fn of_tenant(&self, tenant: &TenantId, job: JobId) -> Option<JobEntry> {
        self.get(job).filter(|entry| entry.tenant == *tenant)
    }

    /// A job's inbox, for messages from TaskManagers.
    pub(crate) fn master(&self, job: JobId) -> Option<mpsc::Sender<MasterInput>> {
        self.lock().by_id.get(&job).map(|entry| entry.master.clone())
    }

    /// All jobs as they stand.
    pub(crate) fn views(&self) -> Vec<JobView> {
        self.lock().by_id.values().map(|entry| entry.view.borrow().clone()).collect()
    }

    /// A job has ended; the one that ended longest ago is let go of if there are too many.
    pub(crate) fn ended(&self, job: JobId) {
        let mut jobs = self.lock();
        jobs.ended.push_back(job);
        if jobs.ended.len() > ENDED_JOBS_MAX
            && let Some(oldest) = jobs.ended.pop_front()
        {
            jobs.by_id.remove(&oldest);
        }
    }

    /// A job left the history.
    pub(crate) fn forget(&self, job: JobId) {
        let mut jobs = self.lock();
        jobs.by_id.remove(&job);
        jobs.ended.retain(|ended| *ended != job);
    }
}
