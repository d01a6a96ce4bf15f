//! `/config`, `/overview` and `/taskmanagers`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use millrace_resource_core::TaskManagerView;
use millrace_rest_api::{
    AllocatedSlot, ClusterConfig, ClusterOverview, Features, Hardware, MemoryConfiguration, Resource,
    TaskManagerDetails, TaskManagerFigures, TaskManagerInfo, TaskManagerList,
};
use millrace_types::{JobId, TaskManagerId};

use crate::error::RestError;
use crate::server::RestState;
use crate::tenant::Tenant;

/// The version of Flink whose API this is.
const FLINK_VERSION: &str = "2.3.0";

/// How often a dashboard should ask.
const REFRESH_INTERVAL_MS: u64 = 3_000;

const MIB: u64 = 1024 * 1024;

/// `GET /config`.
pub(crate) async fn config(State(state): State<RestState>) -> Json<ClusterConfig> {
    Json(ClusterConfig {
        refresh_interval: REFRESH_INTERVAL_MS,
        timezone_name: "Coordinated Universal Time".to_owned(),
        timezone_offset: 0,
        flink_version: FLINK_VERSION.to_owned(),
        flink_revision: format!("millrace {}", state.options.version),
        features: Features {
            web_submit: state.options.submissions,
            web_cancel: true,
            web_rescale: false,
            web_history: false,
        },
    })
}

/// `GET /overview`.
pub(crate) async fn overview(State(state): State<RestState>, Tenant(tenant): Tenant) -> Json<ClusterOverview> {
    let overview = state.dispatcher.overview(&tenant);
    Json(ClusterOverview {
        taskmanagers: overview.task_managers,
        slots_total: overview.slots_total,
        slots_available: overview.slots_available,
        jobs_running: overview.jobs_running,
        jobs_finished: overview.jobs_finished,
        jobs_cancelled: overview.jobs_cancelled,
        jobs_failed: overview.jobs_failed,
        flink_version: FLINK_VERSION.to_owned(),
        flink_commit: format!("millrace-{}", state.options.version),
    })
}

/// `GET /taskmanagers`.
pub(crate) async fn task_managers(State(state): State<RestState>, Tenant(_): Tenant) -> Json<TaskManagerList> {
    let taskmanagers = state.dispatcher.task_managers().iter().map(|found| info_of(found, &state)).collect();
    Json(TaskManagerList { taskmanagers })
}

/// `GET /taskmanagers/:id`.
pub(crate) async fn task_manager(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Result<Json<TaskManagerDetails>, RestError> {
    let found = state.dispatcher.task_manager(&TaskManagerId(id))?;
    let slots = found.registration.slots.max(1);
    let mut resource = total_resource(&found);
    resource.cpu_cores /= f64::from(slots);
    resource.task_heap_memory /= u64::from(slots);
    let slot = |(job, tasks): (JobId, u32)| AllocatedSlot {
        job_id: job.to_string(),
        resource: resource.clone(),
        assigned_tasks: tasks,
    };
    let allocated_slots = state.dispatcher.slots_in_use(&tenant, &found).into_iter().map(slot).collect();
    let used = found.registration.memory_bytes.saturating_sub(found.memory_free_bytes);
    let metrics = TaskManagerFigures {
        heap_used: used,
        heap_committed: used,
        heap_max: found.registration.memory_bytes,
        ..TaskManagerFigures::default()
    };
    Ok(Json(TaskManagerDetails { info: info_of(&found, &state), allocated_slots, metrics }))
}

fn total_resource(found: &TaskManagerView) -> Resource {
    Resource {
        cpu_cores: f64::from(found.registration.cpu_cores),
        task_heap_memory: found.registration.memory_bytes / MIB,
        extended_resources: BTreeMap::new(),
        ..Resource::default()
    }
}

/// The port of `host:port`; 0 where all is one process.
fn data_port(address: Option<&str>) -> u16 {
    let port = address.and_then(|address| address.rsplit_once(':')).map(|(_, port)| port);
    port.and_then(|port| port.parse().ok()).unwrap_or(0)
}

fn info_of(found: &TaskManagerView, state: &RestState) -> TaskManagerInfo {
    let registration = &found.registration;
    let total_resource = total_resource(found);
    let slots = registration.slots.max(1);
    let share = f64::from(found.slots_free) / f64::from(slots);
    let free_resource = Resource {
        cpu_cores: total_resource.cpu_cores * share,
        task_heap_memory: (total_resource.task_heap_memory as f64 * share) as u64,
        ..Resource::default()
    };
    TaskManagerInfo {
        id: registration.id.to_string(),
        path: format!("millrace://{}", registration.id),
        data_port: data_port(registration.data_address.as_deref()),
        jmx_port: -1,
        time_since_last_heartbeat: i64::try_from(found.last_heartbeat.0).unwrap_or(i64::MAX),
        slots_number: registration.slots,
        free_slots: found.slots_free,
        assigned_tasks: state.dispatcher.tasks_on(&registration.id),
        total_resource,
        free_resource,
        hardware: Hardware {
            cpu_cores: registration.cpu_cores,
            physical_memory: registration.memory_bytes,
            free_memory: found.memory_free_bytes,
            managed_memory: 0,
        },
        memory_configuration: MemoryConfiguration {
            task_heap: registration.memory_bytes,
            total_flink_memory: registration.memory_bytes,
            total_process_memory: registration.memory_bytes,
            ..MemoryConfiguration::default()
        },
    }
}
