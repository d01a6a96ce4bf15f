//! The Dispatcher: what clients speak to. Its bundles are in `bundles.rs`, its jobs in `jobs.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use millrace_graph::SlotSharing;
use millrace_job_core::JobView;
use millrace_resource_core::TaskManagerView;
use millrace_sandbox::process_use;
use millrace_types::{JobId, JobStatus, LeaderEpoch, TaskManagerId, TenantId};
use tokio::task::JoinHandle;

use crate::cluster::Services;
use crate::error::DispatcherError;
use crate::group::Group;
use crate::views::live_tasks;

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
    /// Which leader this is.
    pub fn epoch(&self) -> LeaderEpoch {
        self.services.epoch
    }

    /// Whether nobody else can lead at this moment.
    pub fn is_sure_of_its_lead(&self) -> bool {
        self.services.gateways.may_act()
    }

    /// The group of JobManagers.
    pub fn group(&self) -> Group {
        Group::new(self.services.metadata.clone())
    }

    /// Runs something that ends, unfinished, with this leader's tenure. Whatever changes the cluster is called so.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.services.runtime.spawn(work)
    }

    /// Waits until so many slots are registered.
    pub async fn wait_for_slots(&self, slots: u32) {
        let enough = |task_managers: &Vec<TaskManagerView>| {
            task_managers.iter().map(|task_manager| task_manager.registration.slots).sum::<u32>() >= slots
        };
        self.services.resources.wait_for(enough).await;
    }

    /// The cluster as a tenant sees it.
    pub fn overview(&self, tenant: &TenantId) -> Overview {
        let mut overview = Overview::default();
        for task_manager in self.task_managers() {
            overview.task_managers += 1;
            overview.slots_total += task_manager.registration.slots;
            overview.slots_available += task_manager.slots_free;
        }
        for record in self.job_records(tenant) {
            // Of what has ended the record has it all: its details are large.
            let live = || self.services.registry.of_tenant(tenant, record.submission.id);
            let status = if record.status.is_terminal() { None } else { live().map(|job| job.view.borrow().status) };
            match status.unwrap_or(record.status) {
                JobStatus::Finished => overview.jobs_finished += 1,
                JobStatus::Canceled => overview.jobs_cancelled += 1,
                JobStatus::Failed => overview.jobs_failed += 1,
                _ => overview.jobs_running += 1,
            }
        }
        overview
    }

    /// The JobManager's metrics, by the names under which REST shows them: Flink's where it has one.
    pub fn metrics(&self, tenant: &TenantId) -> BTreeMap<String, u64> {
        let overview = self.overview(tenant);
        let (control, process) = (self.services.door.current(), process_use());
        let named = [
            ("numRegisteredTaskManagers", u64::from(overview.task_managers)),
            ("taskSlotsTotal", u64::from(overview.slots_total)),
            ("taskSlotsAvailable", u64::from(overview.slots_available)),
            ("numRunningJobs", u64::from(overview.jobs_running)),
            ("Status.JVM.CPU.Load", self.services.load.millionths(process.cpu_ns)),
            ("Status.JVM.CPU.Time", process.cpu_ns),
            ("Status.JVM.Memory.Heap.Used", process.resident_bytes),
            ("Status.JVM.Memory.Heap.Committed", process.resident_bytes),
            ("Status.JVM.Threads.Count", process.threads),
            ("Status.JVM.FileDescriptor.Open", process.open_files),
            ("Status.JVM.FileDescriptor.Max", process.open_files_max),
            ("Status.Millrace.Connections", control.connections as u64),
            ("Status.Millrace.RefusedMessages", control.refused.values().sum()),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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

    /// The newest lines of a TaskManager's own log, of about so many bytes.
    pub async fn process_log(&self, id: &TaskManagerId, bytes_max: u64) -> Result<String, DispatcherError> {
        self.task_manager(id)?;
        let log = self.services.gateways.process_log(id, bytes_max).await;
        log.map_err(|error| DispatcherError::Unavailable(error.to_string()))
    }

    /// How many tasks run on a TaskManager, whoever owns them.
    pub fn tasks_on(&self, id: &TaskManagerId) -> u32 {
        let on_it = |view: &JobView| live_tasks(view).iter().filter(|(_, task_manager)| task_manager == id).count();
        let jobs = self.services.registry.views();
        u32::try_from(jobs.iter().map(on_it).sum::<usize>()).unwrap_or(u32::MAX)
    }

    /// For each slot that a tenant's jobs have on a TaskManager: the job and how many tasks run in it. Slots of others are
    /// left out: they are none of the tenant's business.
    pub fn slots_in_use(&self, tenant: &TenantId, task_manager: &TaskManagerView) -> Vec<(JobId, u32)> {
        let mut tasks_by_job = BTreeMap::new();
        for job in task_manager.slots.iter().flatten() {
            if let Some(entry) = self.services.registry.of_tenant(tenant, *job) {
                let view = entry.view.borrow().clone();
                tasks_by_job.entry(*job).or_insert_with(|| tasks_by_slot(&view, &task_manager.registration.id));
            }
        }
        let slot = |job: &JobId| Some((*job, tasks_by_job.get_mut(job)?.pop_front().unwrap_or(0)));
        task_manager.slots.iter().flatten().filter_map(slot).collect()
    }
}

/// How many of a job's tasks run in each of the slots that it has on a TaskManager.
fn tasks_by_slot(view: &JobView, id: &TaskManagerId) -> VecDeque<u32> {
    let sharing = SlotSharing::of(&view.graph);
    let mut tasks = BTreeMap::<u32, u32>::new();
    for (attempt, _) in live_tasks(view).iter().filter(|(_, task_manager)| task_manager == id) {
        if let Some(vertex) = view.graph.vertex_index(attempt.vertex) {
            *tasks.entry(sharing.slot_of(vertex, attempt.subtask)).or_default() += 1;
        }
    }
    tasks.into_values().collect()
}
