//! `/jars`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::{Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use millrace_graph::JobPlan;
use millrace_jobmanager::{RunRequest as Run, recovery_options};
use millrace_metadata_core::BundleRecord;
use millrace_rest_api::{
    BundleFile, BundleList, BundleManifest, BundleUploaded, Empty, EntryPoint, ManifestComponent, PlanRequest,
    PlanResponse, RunRequest, RunResponse,
};
use millrace_types::{BundleId, Digest, JobId};
use serde::Deserialize;

use crate::body::Body;
use crate::error::RestError;
use crate::path::{path_parameter, query_parameter};
use crate::server::RestState;
use crate::tenant::Tenant;

type Answer<T> = Result<Json<T>, RestError>;

/// `GET /jars`.
pub(crate) async fn list(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    headers: HeaderMap,
) -> Json<BundleList> {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
    let address = format!("http://{}", host.unwrap_or_else(|| state.address.to_string()));
    let files = state.dispatcher.bundles(&tenant).iter().map(|bundle| file_of(bundle)).collect();
    Json(BundleList { address, files })
}

fn file_of(bundle: &BundleRecord) -> BundleFile {
    let description = Some(format!("{} {}", bundle.name, bundle.version));
    let entry = bundle.entry.iter().map(|name| EntryPoint { name: name.clone(), description: description.clone() });
    BundleFile {
        id: bundle.id.to_string(),
        name: bundle.id.file_name().to_owned(),
        uploaded: bundle.uploaded_at.0,
        entry: entry.collect(),
    }
}

/// `POST /jars/upload`: a multipart form with one file, under any name.
pub(crate) async fn upload(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    form: Result<Multipart, MultipartRejection>,
) -> Answer<BundleUploaded> {
    let mut form = form.map_err(|rejection| {
        let hint = "send a multipart form with the bundle as its file, such as curl -F jarfile=@app.mrb";
        RestError::bad_request(format!("The upload is no multipart form ({}): {hint}", rejection.body_text()))
    })?;
    let (name, bytes) = read_file(&mut form, state.options.upload_bytes_max).await?;
    let bundle = state.dispatcher.upload_bundle(&tenant, &name, bytes).await?;
    Ok(Json(BundleUploaded { filename: format!("/bundles/{tenant}/{}", bundle.id), status: "success".to_owned() }))
}

/// Reads the form's file. One that is too large is read to its end all the same, and thrown away: a client that is still
/// sending would see its connection break instead of the answer.
async fn read_file(form: &mut Multipart, bytes_max: u64) -> Result<(String, Bytes), RestError> {
    let broken = |error: MultipartError| {
        RestError::new(error.status(), format!("The upload cannot be read: {}", error.body_text()))
    };
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let Some(name) = field.file_name().map(str::to_owned) else { continue };
        let mut bytes = BytesMut::new();
        let mut length = 0u64;
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            length += chunk.len() as u64;
            if length <= bytes_max {
                bytes.extend_from_slice(&chunk);
            } else {
                bytes = BytesMut::new();
            }
        }
        if length > bytes_max {
            return Err(RestError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The bundle has {length} bytes and may have {bytes_max}: rest.upload.size-max sets the limit"),
            ));
        }
        return Ok((name, bytes.freeze()));
    }
    Err(RestError::bad_request("The upload has no file: send the bundle as a file, such as curl -F jarfile=@app.mrb"))
}

/// `DELETE /jars/:id`.
pub(crate) async fn remove(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Answer<Empty> {
    // Flink answers 400 where there is no such file.
    let missing = || RestError::bad_request(format!("File {id} does not exist: GET /jars lists those that do"));
    let bundle: BundleId = id.parse().map_err(|_| missing())?;
    state.dispatcher.bundle(&tenant, &bundle).map_err(|_| missing())?;
    state.dispatcher.delete_bundle(&tenant, &bundle).await?;
    Ok(Json(Empty {}))
}

/// `GET /jars/:id/manifest`.
pub(crate) async fn manifest(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
) -> Answer<BundleManifest> {
    let id = bundle_id(&id)?;
    let record = state.dispatcher.bundle(&tenant, &id)?;
    let manifest = state.dispatcher.manifest(&tenant, &id).await?;
    let application = manifest.application;
    let asked = manifest.capabilities;
    let ask = |kind: &'static str, of: Vec<String>| of.into_iter().map(move |what| format!("{kind}: {what}"));
    let options = application.parallelism.map(|count| ("parallelism.default".to_owned(), count.to_string()));
    let component = |(name, digest): (&String, &Digest)| {
        let limits = manifest.components.get(name).map(|component| &component.limits);
        let component = ManifestComponent {
            digest: digest.to_string(),
            memory_bytes: limits.and_then(|limits| limits.memory.as_ref()).map(|memory| memory.bytes()),
            call_deadline_ms: limits.and_then(|limits| limits.call_deadline.as_ref()).map(|span| span.ms()),
        };
        (name.clone(), component)
    };
    Ok(Json(BundleManifest {
        entries: file_of(&record).entry,
        name: application.name,
        version: application.version,
        sdk: None,
        capabilities: ask("env", asked.env)
            .chain(ask("http", asked.http))
            .chain(ask("sockets", asked.sockets))
            .collect(),
        options: options.into_iter().collect(),
        components: record.components.iter().map(component).collect(),
    }))
}

/// What the run's requests may state in the query instead of the body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct RunQuery {
    entry_class: Option<String>,
    parallelism: Option<String>,
    program_args: Option<String>,
    #[serde(rename = "programArg")]
    program_arg: Option<String>,
    #[serde(rename = "savepointPath")]
    savepoint_path: Option<String>,
}

/// `GET /jars/:id/plan`.
pub(crate) async fn plan_get(
    state: State<RestState>,
    tenant: Tenant,
    id: Path<String>,
    query: Query<RunQuery>,
) -> Answer<PlanResponse> {
    plan_post(state, tenant, id, query, Body(PlanRequest::default())).await
}

/// `POST /jars/:id/plan`.
pub(crate) async fn plan_post(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Query(query): Query<RunQuery>,
    Body(request): Body<PlanRequest>,
) -> Answer<PlanResponse> {
    let bundle = bundle_id(&id)?;
    let request = RunRequest {
        entry_class: request.entry_class,
        program_args: request.program_args,
        program_args_list: request.program_args_list,
        parallelism: request.parallelism,
        job_id: request.job_id,
        flink_configuration: request.flink_configuration,
        ..RunRequest::default()
    };
    let run = run_of(request, query)?;
    let job = run.job.unwrap_or_else(|| JobId::from_bytes([0; 16]));
    let plan = state.dispatcher.plan(&tenant, &bundle, &run).await?;
    Ok(Json(plan_response(&plan.job_graph.plan(job, &plan.stream_graph.name))?))
}

/// Flink's JSON plan.
pub(crate) fn plan_response(plan: &JobPlan) -> Result<PlanResponse, RestError> {
    let plan = serde_json::to_value(plan).map_err(|error| {
        RestError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the plan cannot be shown: {error}"))
    })?;
    Ok(PlanResponse { plan })
}

/// `POST /jars/:id/run`.
pub(crate) async fn run(
    State(state): State<RestState>,
    Tenant(tenant): Tenant,
    Path(id): Path<String>,
    Query(query): Query<RunQuery>,
    Body(request): Body<RunRequest>,
) -> Answer<RunResponse> {
    let bundle = bundle_id(&id)?;
    let run = run_of(request, query)?;
    let job = state.dispatcher.run(&tenant, &bundle, run).await?.to_string();
    Ok(Json(RunResponse { jobid: job.clone(), application_id: job }))
}

pub(crate) fn bundle_id(id: &str) -> Result<BundleId, RestError> {
    id.parse().map_err(|_| RestError::not_found(format!("Bundle {id} does not exist: GET /jars lists those that do")))
}

/// The options of a run; what the body states of the state to begin with goes before what its options say.
fn options_of(
    stated: Option<BTreeMap<String, String>>,
    recovery: Option<BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut options = stated.unwrap_or_default();
    options.extend(recovery.unwrap_or_default());
    options
}

/// A run as the Dispatcher takes it; what the body states goes before what the query states.
fn run_of(request: RunRequest, query: RunQuery) -> Result<Run, RestError> {
    let claim = request.claim_mode.or(request.restore_mode);
    let path = request.savepoint_path.or(query.savepoint_path).filter(|path| !path.is_empty());
    let recovery = path.map(|path| recovery_options(path, claim, request.allow_non_restored_state));
    let parallelism = match (request.parallelism, query.parallelism) {
        (Some(stated), _) => Some(stated),
        (None, Some(text)) => Some(query_parameter("parallelism", &text)?),
        (None, None) => None,
    };
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect();
    let in_query = || {
        let listed = query.program_arg.map(|text| text.split(',').map(str::to_owned).collect());
        listed.or(query.program_args.map(words))
    };
    let args = request.program_args_list.or(request.program_args.map(words)).or_else(in_query);
    Ok(Run {
        job: request.job_id.map(|id| path_parameter("jobId", &id)).transpose()?,
        entry: request.entry_class.or(query.entry_class).filter(|entry| !entry.is_empty()),
        args: args.unwrap_or_default(),
        // A number that is no parallelism is for the planner to refuse, with the same words everywhere.
        parallelism: parallelism.map(|stated: i64| u32::try_from(stated).unwrap_or(0)),
        options: options_of(request.flink_configuration, recovery),
    })
}
