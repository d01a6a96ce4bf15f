//! `/jobmanager`, the logs of TaskManagers, and what has a meaning for a JVM alone: that is answered as if there were none
//! of it, in shapes that clients of Flink can read.
//!
//! Logs are the newest lines that a process holds in memory: it writes the whole to its standard error.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use millrace_rest_api::{ConfigEntry, DataSets, EnvironmentInfo, JvmInfo, LogInfo, LogList, ThreadDump};
use millrace_types::{LOG_TAIL_BYTES_MAX, TaskManagerId};

use crate::error::RestError;
use crate::figures::millis;
use crate::jobs::job_of;
use crate::server::RestState;
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// The names under which logs are listed and fetched.
const JOB_MANAGER_LOG: &str = "jobmanager.log";
const TASK_MANAGER_LOG: &str = "taskmanager.log";

/// Plain text, as Flink labels it.
pub(crate) struct PlainText(String);

impl IntoResponse for PlainText {
    fn into_response(self) -> axum::response::Response {
        ([(header::CONTENT_TYPE, "text/plain")], self.0).into_response()
    }
}

/// `GET /jobmanager/config`.
pub(crate) async fn config(State(state): State<RestState>, Tenant(_): Tenant) -> Json<Vec<ConfigEntry>> {
    Json(options(&state).collect())
}

fn options(state: &RestState) -> impl Iterator<Item = ConfigEntry> {
    state.options.configuration.iter().map(|(key, value)| ConfigEntry { key: key.clone(), value: value.clone() })
}

/// `GET /jobs/:id/jobmanager/config`: the cluster's options, and the run's own in their places.
pub(crate) async fn job_config(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<Vec<ConfigEntry>> {
    let job = job_of(&state, &tenant, &id)?;
    let settings = &job.record.submission.settings;
    let clusters = options(&state).filter(|entry| !settings.contains_key(&entry.key));
    let own = settings.iter().map(|(key, value)| ConfigEntry { key: key.clone(), value: value.clone() });
    Ok(Json(clusters.chain(own).collect()))
}

/// `GET /jobmanager/environment`.
pub(crate) async fn environment(State(state): State<RestState>, Tenant(_): Tenant) -> Json<EnvironmentInfo> {
    Json(environment_of(&state))
}

fn environment_of(state: &RestState) -> EnvironmentInfo {
    EnvironmentInfo {
        jvm: JvmInfo {
            version: format!("Millrace {}: no JVM", state.options.version),
            arch: std::env::consts::ARCH.to_owned(),
            options: Vec::new(),
        },
        classpath: Vec::new(),
    }
}

/// `GET /jobs/:id/jobmanager/environment`.
pub(crate) async fn job_environment(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Answer<EnvironmentInfo> {
    job_of(&state, &tenant, &id)?;
    Ok(Json(environment_of(&state)))
}

/// `GET /jobmanager/logs`.
pub(crate) async fn logs(State(state): State<RestState>, Tenant(_): Tenant) -> Json<LogList> {
    let (size, at) = state.options.process_log.size();
    Json(LogList { logs: vec![LogInfo { name: JOB_MANAGER_LOG.to_owned(), size: size as u64, mtime: millis(at) }] })
}

/// `GET /jobmanager/log`.
pub(crate) async fn log(State(state): State<RestState>, Tenant(_): Tenant) -> PlainText {
    PlainText(state.options.process_log.newest(LOG_TAIL_BYTES_MAX))
}

/// `GET /jobmanager/logs/:name`.
pub(crate) async fn log_file(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(name): Path<String>,
) -> Result<PlainText, RestError> {
    check_log(&name, JOB_MANAGER_LOG)?;
    Ok(PlainText(state.options.process_log.newest(LOG_TAIL_BYTES_MAX)))
}

fn check_log(name: &str, known: &str) -> Result<(), RestError> {
    if name == known {
        return Ok(());
    }
    let name: String = name.chars().take(200).collect();
    Err(RestError::not_found(format!("The file {name} does not exist: there is {known}")))
}

/// `GET /jobmanager/stdout`: a JobManager prints where it listens, and that is all.
pub(crate) async fn stdout(State(_): State<RestState>, Tenant(_): Tenant) -> PlainText {
    PlainText(String::new())
}

/// `GET /jobmanager/thread-dump`.
pub(crate) async fn thread_dump(State(_): State<RestState>, Tenant(_): Tenant) -> Json<ThreadDump> {
    Json(ThreadDump { thread_infos: Vec::new() })
}

/// `GET /taskmanagers/:id/logs`.
pub(crate) async fn task_manager_logs(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(id): Path<String>,
) -> Answer<LogList> {
    let id = TaskManagerId(id);
    let found = state.dispatcher.task_manager(&id)?;
    let size = state.dispatcher.process_log(&id, LOG_TAIL_BYTES_MAX as u64).await?.len() as u64;
    // It told of its life in a heartbeat last; when it wrote its last line is in that line.
    let mtime = millis(found.last_heartbeat);
    Ok(Json(LogList { logs: vec![LogInfo { name: TASK_MANAGER_LOG.to_owned(), size, mtime }] }))
}

/// `GET /taskmanagers/:id/log`.
pub(crate) async fn task_manager_log(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(id): Path<String>,
) -> Result<PlainText, RestError> {
    Ok(PlainText(state.dispatcher.process_log(&TaskManagerId(id), LOG_TAIL_BYTES_MAX as u64).await?))
}

/// `GET /taskmanagers/:id/logs/:name`.
pub(crate) async fn task_manager_log_file(
    state: State<RestState>,
    tenant: Tenant,
    Path((id, name)): Path<(String, String)>,
) -> Result<PlainText, RestError> {
    check_log(&name, TASK_MANAGER_LOG)?;
    task_manager_log(state, tenant, Path(id)).await
}

/// `GET /taskmanagers/:id/stdout`: what `print` sinks write stands in the logs of their tasks.
pub(crate) async fn task_manager_stdout(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(id): Path<String>,
) -> Result<PlainText, RestError> {
    state.dispatcher.task_manager(&TaskManagerId(id))?;
    Ok(PlainText(String::new()))
}

/// `GET /taskmanagers/:id/thread-dump`.
pub(crate) async fn task_manager_thread_dump(
    State(state): State<RestState>,
    Tenant(_): Tenant,
    Path(id): Path<String>,
) -> Answer<ThreadDump> {
    state.dispatcher.task_manager(&TaskManagerId(id))?;
    Ok(Json(ThreadDump { thread_infos: Vec::new() }))
}

/// `GET /datasets`.
pub(crate) async fn data_sets(State(_): State<RestState>, Tenant(_): Tenant) -> Json<DataSets> {
    Json(DataSets { data_sets: Vec::new() })
}
