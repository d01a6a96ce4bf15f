//! A typed client of the REST API, used by the command line and by the tests.
//!
//! Invariants: every request has a deadline ([`ClientOptions`]); an answer that is no success becomes a
//! [`ClientError::Refused`] with the server's own words; while a JobManager takes the place of another one, requests are
//! sent again where that is safe (`transport.rs`).

mod error;
mod transport;

use std::path::Path;

use bytes::Bytes;
pub use error::ClientError;
pub use millrace_rest_api as api;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use transport::{Call, Transport, fresh_id};

/// How long to wait for a server.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// For the connection.
    pub connect_timeout_ms: u64,
    /// For a whole request; an upload also compiles and checks components.
    pub request_timeout_ms: u64,
    /// How long requests are sent again while no JobManager leads.
    pub retry_timeout_ms: u64,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { connect_timeout_ms: 3_000, request_timeout_ms: 120_000, retry_timeout_ms: 20_000 }
    }
}

/// A client of one cluster; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client of the cluster whose JobManagers are at `HOST:PORT`, separated by commas; any of them will do.
    pub fn new(addresses: &str, options: &ClientOptions) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(addresses, options)? })
    }

    /// Where the JobManager is that answered last, as `http://HOST:PORT`.
    pub fn base_url(&self) -> &str {
        self.transport.base()
    }

    /// `GET /config`.
    pub async fn config(&self) -> Result<api::ClusterConfig, ClientError> {
        self.transport.get("/config").await
    }

    /// `GET /overview`.
    pub async fn overview(&self) -> Result<api::ClusterOverview, ClientError> {
        self.transport.get("/overview").await
    }

    /// `GET /taskmanagers`.
    pub async fn task_managers(&self) -> Result<api::TaskManagerList, ClientError> {
        self.transport.get("/taskmanagers").await
    }

    /// `GET /taskmanagers/:id/metrics`: the values of the metrics of these names.
    pub async fn task_manager_metrics(&self, id: &str, names: &[&str]) -> Result<Vec<api::Metric>, ClientError> {
        self.transport.get(&format!("/taskmanagers/{id}/metrics?get={}", names.join(","))).await
    }

    /// Uploads a bundle and returns its id.
    pub async fn upload(&self, path: &Path) -> Result<String, ClientError> {
        let local = |error: std::io::Error| ClientError::LocalFile { path: path.to_owned(), source: error };
        let bytes = tokio::fs::read(path).await.map_err(local)?;
        let name = path.file_name().map_or_else(|| "bundle.mrb".to_owned(), |name| name.to_string_lossy().into_owned());
        let bytes = Bytes::from(bytes);
        let form = || {
            let part = reqwest::multipart::Part::stream_with_length(bytes.clone(), bytes.len() as u64);
            reqwest::multipart::Form::new().part("jarfile", part.file_name(name.clone()))
        };
        // A bundle's id is the digest of its contents.
        let call = Call::keyed_post("/jars/upload");
        let uploaded: api::BundleUploaded = self.transport.answer(&call, |request| request.multipart(form())).await?;
        let id = uploaded.filename.rsplit('/').next().unwrap_or_default();
        Ok(id.to_owned())
    }

    /// `GET /jars`.
    pub async fn bundles(&self) -> Result<api::BundleList, ClientError> {
        self.transport.get("/jars").await
    }

    /// `DELETE /jars/:id`.
    pub async fn delete_bundle(&self, id: &str) -> Result<api::Empty, ClientError> {
        self.transport.answer(&Call::new(Method::DELETE, &format!("/jars/{id}")), |request| request).await
    }

    /// `POST /jars/:id/plan`.
    pub async fn plan(&self, id: &str, request: &api::PlanRequest) -> Result<api::PlanResponse, ClientError> {
        self.transport.json(Call::keyed_post(&format!("/jars/{id}/plan")), request).await
    }

    /// `POST /jars/:id/run`. A run that names no job is given an id here, so that it is one job however often it is sent.
    pub async fn run(&self, id: &str, request: &api::RunRequest) -> Result<api::RunResponse, ClientError> {
        let mut request = request.clone();
        request.job_id.get_or_insert_with(fresh_id);
        self.transport.json(Call::keyed_post(&format!("/jars/{id}/run")), &request).await
    }

    /// `GET /jobs/overview`.
    pub async fn jobs(&self) -> Result<api::JobsOverview, ClientError> {
        self.transport.get("/jobs/overview").await
    }

    /// `GET /jobs/:id`.
    pub async fn job(&self, id: &str) -> Result<api::JobDetails, ClientError> {
        self.transport.get(&format!("/jobs/{id}")).await
    }

    /// `GET /jobs/:id/config`.
    pub async fn job_config(&self, id: &str) -> Result<api::JobConfig, ClientError> {
        self.transport.get(&format!("/jobs/{id}/config")).await
    }

    /// `GET /jobs/:id/status`.
    pub async fn status(&self, id: &str) -> Result<api::JobStatusInfo, ClientError> {
        self.transport.get(&format!("/jobs/{id}/status")).await
    }

    /// `GET /jobs/:id/exceptions`.
    pub async fn exceptions(&self, id: &str) -> Result<api::JobExceptions, ClientError> {
        self.transport.get(&format!("/jobs/{id}/exceptions")).await
    }

    /// `GET /jobs/:id/vertices/:vertex`.
    pub async fn vertex(&self, id: &str, vertex: &str) -> Result<api::VertexDetails, ClientError> {
        self.transport.get(&format!("/jobs/{id}/vertices/{vertex}")).await
    }

    /// `PATCH /jobs/:id?mode=cancel`.
    pub async fn cancel(&self, id: &str) -> Result<api::Empty, ClientError> {
        self.transport.answer(&Call::new(Method::PATCH, &format!("/jobs/{id}?mode=cancel")), |request| request).await
    }

    /// `POST /jobs/:id/savepoints`.
    pub async fn savepoint(
        &self,
        id: &str,
        request: &api::SavepointTriggerRequest,
    ) -> Result<api::TriggerResponse, ClientError> {
        self.triggered(&format!("/jobs/{id}/savepoints"), request).await
    }

    /// `POST /jobs/:id/stop`: a savepoint, and the job's end.
    pub async fn stop(&self, id: &str, request: &api::StopRequest) -> Result<api::TriggerResponse, ClientError> {
        self.triggered(&format!("/jobs/{id}/stop"), request).await
    }

    /// `GET /jobs/:id/savepoints/:trigger`.
    pub async fn savepoint_status(
        &self,
        id: &str,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::SavepointOutcome>, ClientError> {
        self.transport.get(&format!("/jobs/{id}/savepoints/{trigger}")).await
    }

    /// `POST /jobs/:id/upgrade`: other code for a job that runs.
    pub async fn upgrade(&self, id: &str, request: &api::UpgradeRequest) -> Result<api::TriggerResponse, ClientError> {
        self.triggered(&format!("/jobs/{id}/upgrade"), request).await
    }

    /// `GET /jobs/:id/upgrade/:trigger`.
    pub async fn upgrade_status(
        &self,
        id: &str,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::UpgradeOutcome>, ClientError> {
        self.transport.get(&format!("/jobs/{id}/upgrade/{trigger}")).await
    }

    /// `POST /jobs/:id/checkpoints`: a checkpoint, now.
    pub async fn trigger_checkpoint(
        &self,
        id: &str,
        request: &api::CheckpointTriggerRequest,
    ) -> Result<api::TriggerResponse, ClientError> {
        self.triggered(&format!("/jobs/{id}/checkpoints"), request).await
    }

    /// `GET /jobs/:id/checkpoints/:trigger`.
    pub async fn checkpoint_status(
        &self,
        id: &str,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::CheckpointOutcome>, ClientError> {
        self.transport.get(&format!("/jobs/{id}/checkpoints/{trigger}")).await
    }

    /// `GET /jobs/:id/checkpoints`.
    pub async fn checkpoints(&self, id: &str) -> Result<api::CheckpointStatistics, ClientError> {
        self.transport.get(&format!("/jobs/{id}/checkpoints")).await
    }

    /// `GET /jobs/:id/checkpoints/config`.
    pub async fn checkpoint_config(&self, id: &str) -> Result<api::CheckpointConfig, ClientError> {
        self.transport.get(&format!("/jobs/{id}/checkpoints/config")).await
    }

    /// `POST /savepoint-disposal`.
    pub async fn dispose(&self, request: &api::DisposalRequest) -> Result<api::TriggerResponse, ClientError> {
        self.transport.json(Call::new(Method::POST, "/savepoint-disposal"), request).await
    }

    /// `GET /savepoint-disposal/:trigger`.
    pub async fn disposal_status(
        &self,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::DisposalOutcome>, ClientError> {
        self.transport.get(&format!("/savepoint-disposal/{trigger}")).await
    }

    /// Rows of a job's `collect` sinks from a position on; waits at the server, up to `wait_ms`, until there are any.
    pub async fn results(&self, id: &str, from: u64, wait_ms: u64) -> Result<api::CollectedResults, ClientError> {
        self.transport.get(&format!("/jobs/{id}/results?from={from}&wait-ms={wait_ms}")).await
    }

    /// `GET /jobs/:id/log`: of all tasks, of those of a vertex, or of those of a subtask's number.
    pub async fn log(&self, id: &str, vertex: Option<&str>, subtask: Option<u32>) -> Result<api::JobLog, ClientError> {
        let vertex = vertex.map(|vertex| format!("vertex={vertex}"));
        let subtask = subtask.map(|subtask| format!("subtask={subtask}"));
        let query: Vec<String> = vertex.into_iter().chain(subtask).collect();
        self.transport.get(&format!("/jobs/{id}/log?{}", query.join("&"))).await
    }

    /// Any request, for what has no method here: method, path behind the address, optional JSON body.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, String), ClientError> {
        let call = Call::new(method, path);
        let add = |request: reqwest::RequestBuilder| match &body {
            Some(body) => request.header("content-type", "application/json").body(body.clone()),
            None => request,
        };
        let response = self.transport.send(&call, add).await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| ClientError::unreachable(self.base_url(), &error))?;
        Ok((status, text))
    }

    /// `GET /cluster/members`.
    pub async fn members(&self) -> Result<api::GroupInfo, ClientError> {
        self.transport.get("/cluster/members").await
    }

    /// `POST /cluster/members`.
    pub async fn add_member(&self, member: &api::NewMember) -> Result<api::Empty, ClientError> {
        // A member that is there already is not added twice.
        self.transport.json(Call::keyed_post("/cluster/members"), member).await
    }

    /// `DELETE /cluster/members/:id`.
    pub async fn remove_member(&self, id: u64) -> Result<api::Empty, ClientError> {
        self.transport.answer(&Call::new(Method::DELETE, &format!("/cluster/members/{id}")), |request| request).await
    }

    /// `PUT /cluster/members/:id`.
    pub async fn readdress_member(&self, id: u64, to: &api::NewAddresses) -> Result<api::Empty, ClientError> {
        self.transport.json(Call::new(Method::PUT, &format!("/cluster/members/{id}")), to).await
    }

    /// Begins something whose outcome is asked for later, under an id that is chosen here: however often it is sent, a
    /// JobManager begins it once.
    async fn triggered(&self, path: &str, request: &impl Serialize) -> Result<api::TriggerResponse, ClientError> {
        let unexpected = |reason: String| ClientError::UnexpectedAnswer { path: path.to_owned(), reason };
        let mut body = serde_json::to_value(request).map_err(|error| unexpected(error.to_string()))?;
        if let Some(fields) = body.as_object_mut() {
            fields.entry("triggerId").or_insert_with(|| fresh_id().into());
        }
        self.transport.json(Call::keyed_post(path), &body).await
    }
}
