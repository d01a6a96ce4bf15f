//! The Dispatcher: what clients speak to. Its bundles are in `bundles.rs`, its jobs in `jobs.rs`.

use std::sync::Arc;

use millrace_resource_core::TaskManagerView;
use millrace_types::{JobStatus, TaskManagerId, TenantId};

use crate::cluster::Services;
use crate::error::DispatcherError;

/// The cluster in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overview {
    /// TaskManagers that are alive.
    pub task_managers: u32,
    /// Their slots.
    pub slots_total: u32,
    /// Those of them that are free.
    pub slots_available: u32,
    /// Jobs that have not ended.
    pub jobs_running: u32,
    /// Jobs that have processed all their input.
    pub jobs_finished: u32,
    /// Jobs that were cancelled.
    pub jobs_cancelled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
}

/// The entrance of a JobManager; cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    pub(crate) services: Arc<Services>,
}

impl Dispatcher {
    /// The cluster as a tenant sees it.
    pub fn overview(&self, tenant: &TenantId) -> Overview {
        let mut overview = Overview::default();
        for task_manager in self.task_managers() {
            overview.task_managers += 1;
            overview.slots_total += task_manager.registration.slots;
            overview.slots_available += task_manager.slots_free();
        }
        for job in self.jobs(tenant) {
            match job.view.status {
                JobStatus::Finished => overview.jobs_finished += 1,
                JobStatus::Canceled => overview.jobs_cancelled += 1,
                JobStatus::Failed => overview.jobs_failed += 1,
                _ => overview.jobs_running += 1,
            }
        }
        overview
    }

    /// The TaskManagers that are alive.
    pub fn task_managers(&self) -> Vec<TaskManagerView> {
        self.services.resources.task_managers()
    }

    /// One TaskManager.
    pub fn task_manager(&self, id: &TaskManagerId) -> Result<TaskManagerView, DispatcherError> {
        let found = self.task_managers().into_iter().find(|task_manager| task_manager.registration.id == *id);
        found.ok_or_else(|| DispatcherError::NotFound(format!("No TaskManager registered under {id}.")))
    }
}
