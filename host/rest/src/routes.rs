//! All paths.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use futures::StreamExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::RestError;
use crate::server::RestState;
use crate::{
    accumulators, backpressure, bundles, checkpoints, cluster, events, flame_graphs, group, jobs, metrics, peek,
    processes, prometheus, rescaling, results, savepoints, upgrades, vertices,
};

/// How many times the largest upload is read before the connection is cut.
const UPLOAD_DRAINED_FACTOR: usize = 8;

/// What is read of a body that nobody wants before its connection is cut.
const REFUSED_BODY_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The largest JSON body.
const JSON_BODY_BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn router(state: RestState) -> Router {
    // Far beyond what an upload may have: the handler itself answers one that is too large, and keeps none of it.
    let upload_max = usize::try_from(state.options.upload_bytes_max).unwrap_or(usize::MAX);
    let upload = post(bundles::upload).layer(DefaultBodyLimit::max(upload_max.saturating_mul(UPLOAD_DRAINED_FACTOR)));
    let bundles = Router::new()
        .route("/jars", get(bundles::list))
        .route("/jars/upload", upload)
        .route("/jars/{id}", delete(bundles::remove))
        .route("/jars/{id}/plan", get(bundles::plan_get).post(bundles::plan_post))
        .route("/jars/{id}/manifest", get(bundles::manifest))
        .route("/jars/{id}/run", post(bundles::run));
    let code = bundles.route("/jobs/{id}/upgrade", post(upgrades::trigger));
    let code = if state.options.submissions { code } else { code.layer(from_fn(no_submissions)) };
    let api = Router::new()
        .merge(code)
        .route("/config", get(cluster::config))
        .route("/overview", get(cluster::overview))
        .route("/events", get(events::cluster))
        .route("/cluster/members", get(group::status).post(group::add))
        .route("/cluster/members/{id}", put(group::readdress).delete(group::remove))
        .route("/taskmanagers", get(cluster::task_managers))
        .route("/taskmanagers/{id}", get(cluster::task_manager))
        .route("/taskmanagers/{id}/metrics", get(metrics::task_manager))
        .route("/taskmanagers/{id}/logs", get(processes::task_manager_logs))
        .route("/taskmanagers/{id}/logs/{name}", get(processes::task_manager_log_file))
        .route("/taskmanagers/{id}/log", get(processes::task_manager_log))
        .route("/taskmanagers/{id}/stdout", get(processes::task_manager_stdout))
        .route("/taskmanagers/{id}/thread-dump", get(processes::task_manager_thread_dump))
        .route("/jobmanager/metrics", get(metrics::job_manager))
        .route("/jobmanager/config", get(processes::config))
        .route("/jobmanager/environment", get(processes::environment))
        .route("/jobmanager/logs", get(processes::logs))
        .route("/jobmanager/logs/{name}", get(processes::log_file))
        .route("/jobmanager/log", get(processes::log))
        .route("/jobmanager/stdout", get(processes::stdout))
        .route("/jobmanager/thread-dump", get(processes::thread_dump))
        .route("/datasets", get(processes::data_sets))
        .merge(figure_routes())
        .route("/jobs", get(jobs::list))
        .route("/jobs/overview", get(jobs::overview))
        .route("/jobs/{id}", get(jobs::details).patch(jobs::cancel))
        .route("/jobs/{id}/status", get(jobs::status))
        .route("/jobs/{id}/events", get(events::job))
        .route("/jobs/{id}/plan", get(jobs::plan))
        .route("/jobs/{id}/config", get(jobs::config))
        .route("/jobs/{id}/yarn-cancel", get(jobs::cancel_by_get))
        .route("/jobs/{id}/jobmanager/config", get(processes::job_config))
        .route("/jobs/{id}/jobmanager/environment", get(processes::job_environment))
        .route("/jobs/{id}/resource-requirements", get(rescaling::requirements).put(rescaling::require))
        .route("/jobs/{id}/rescales/config", get(rescaling::config))
        .route("/jobs/{id}/rescales/overview", get(rescaling::overview))
        .route("/jobs/{id}/rescales/history", get(rescaling::history))
        .route("/jobs/{id}/rescales/summary", get(rescaling::summary))
        .route("/jobs/{id}/rescales/details/{rescale}", get(rescaling::one))
        .route("/jobs/{id}/exceptions", get(jobs::exceptions))
        .route("/jobs/{id}/savepoints", post(savepoints::trigger))
        .route("/jobs/{id}/savepoints/{trigger}", get(savepoints::outcome))
        .route("/jobs/{id}/stop", post(savepoints::stop))
        .route("/jobs/{id}/upgrade/{trigger}", get(upgrades::outcome))
        .route("/jobs/{id}/checkpoints", get(checkpoints::statistics).post(savepoints::trigger_checkpoint))
        .route("/jobs/{id}/checkpoints/config", get(checkpoints::config))
        .route("/jobs/{id}/checkpoints/details/{checkpoint}", get(checkpoints::details))
        .route("/jobs/{id}/checkpoints/details/{checkpoint}/subtasks/{vertex}", get(checkpoints::subtasks))
        .route("/jobs/{id}/checkpoints/{trigger}", get(savepoints::checkpoint_outcome))
        .route("/savepoint-disposal", post(savepoints::dispose))
        .route("/savepoint-disposal/{trigger}", get(savepoints::disposal_outcome))
        .route("/jobs/{id}/results", get(results::results))
        .route("/jobs/{id}/log", get(results::log))
        .route("/jobs/{id}/vertices/{vertex}", get(vertices::details))
        .route("/jobs/{id}/vertices/{vertex}/peek", get(peek::peek))
        .route("/jobs/{id}/vertices/{vertex}/subtasktimes", get(vertices::subtask_times))
        .route("/jobs/{id}/vertices/{vertex}/taskmanagers", get(vertices::task_managers))
        .route("/jobs/{id}/vertices/{vertex}/subtasks/{subtask}", get(vertices::subtask))
        .route("/jobs/{id}/vertices/{vertex}/subtasks/{subtask}/attempts", get(vertices::attempts))
        .route("/jobs/{id}/vertices/{vertex}/subtasks/{subtask}/attempts/{attempt}", get(vertices::attempt));
    Router::new()
        .route("/metrics", get(prometheus::exposition))
        .merge(api.clone())
        .nest("/v1", api)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(state)
}

/// What people look at while a job runs.
fn figure_routes() -> Router<RestState> {
    Router::new()
        .route("/taskmanagers/metrics", get(metrics::task_managers))
        .route("/jobs/metrics", get(metrics::jobs))
        .route("/jobs/{id}/metrics", get(metrics::job))
        .route("/jobs/{id}/accumulators", get(accumulators::job))
        .route("/jobs/{id}/vertices/{vertex}/metrics", get(metrics::vertex))
        .route("/jobs/{id}/vertices/{vertex}/subtasks/metrics", get(metrics::subtasks))
        .route("/jobs/{id}/vertices/{vertex}/subtasks/{subtask}/metrics", get(metrics::subtask))
        .route("/jobs/{id}/vertices/{vertex}/jm-operator-metrics", get(metrics::coordinators))
        .route("/jobs/{id}/vertices/{vertex}/watermarks", get(metrics::watermarks))
        .route("/jobs/{id}/vertices/{vertex}/backpressure", get(backpressure::backpressure))
        .route("/jobs/{id}/vertices/{vertex}/flamegraph", get(flame_graphs::flame_graph))
        .route("/jobs/{id}/vertices/{vertex}/accumulators", get(accumulators::vertex))
        .route("/jobs/{id}/vertices/{vertex}/subtasks/accumulators", get(accumulators::subtasks))
}

/// A process that runs one application takes no other, nor other code for it.
async fn no_submissions(request: Request, next: Next) -> Response {
    if request.method() == Method::GET {
        return next.run(request).await;
    }
    // A client that is hung up on while it sends sees no answer.
    let mut body = request.into_body().into_data_stream();
    let mut drained = 0;
    while let Some(Ok(chunk)) = body.next().await {
        drained += chunk.len();
        if drained > REFUSED_BODY_BYTES_MAX {
            break;
        }
    }
    let text =
        "this cluster runs one application alone and takes no other code: submit to a cluster of `millrace jobmanager`";
    RestError::new(StatusCode::FORBIDDEN, text).into_response()
}

async fn no_such_path(request: Request) -> RestError {
    RestError::not_found(format!("Unable to load requested file {}.", request.uri().path()))
}

/// Flink answers a wrong method with 404 too.
async fn no_such_method(request: Request) -> RestError {
    RestError::not_found(format!("Not found: {}", request.uri().path()))
}

/// A fault of a handler ends one request; the cause is in the process's log.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    RestError::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error.").into_response()
}
