//! A typed client of the REST API, used by the command line and by the tests.
//!
//! Invariants: every request has a deadline ([`ClientOptions`]); an answer that is no success becomes a
//! [`ClientError::Refused`] with the server's own words; nothing is retried behind the caller's back.

mod error;

use std::path::Path;
use std::time::Duration;

pub use error::ClientError;
pub use millrace_rest_api as api;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long to wait for a server.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// For the connection.
    pub connect_timeout_ms: u64,
    /// For a whole request; an upload also compiles and checks components.
    pub request_timeout_ms: u64,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { connect_timeout_ms: 3_000, request_timeout_ms: 120_000 }
    }
}

/// A client of one cluster; cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// A client of the cluster at `HOST:PORT`.
    pub fn new(address: &str, options: &ClientOptions) -> Result<Self, ClientError> {
        let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
        // The HTTP library is built with TLS, for S3, and wants to know whose, though nothing here is encrypted. Another part
        // of the process may have been first; it chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            // For plain HTTP a machine needs no certificates.
            .tls_certs_only([])
            .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
            .timeout(Duration::from_millis(options.request_timeout_ms))
            .build()
            .map_err(|error| ClientError::unreachable(address, &error))?;
        Ok(Self { base: format!("http://{address}"), http })
    }

    /// Where the cluster is.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// `GET /config`.
    pub async fn config(&self) -> Result<api::ClusterConfig, ClientError> {
        self.get("/config").await
    }

    /// `GET /overview`.
    pub async fn overview(&self) -> Result<api::ClusterOverview, ClientError> {
        self.get("/overview").await
    }

    /// `GET /taskmanagers`.
    pub async fn task_managers(&self) -> Result<api::TaskManagerList, ClientError> {
        self.get("/taskmanagers").await
    }

    /// `GET /taskmanagers/:id/metrics`: the values of the metrics of these names.
    pub async fn task_manager_metrics(&self, id: &str, names: &[&str]) -> Result<Vec<api::Metric>, ClientError> {
        self.get(&format!("/taskmanagers/{id}/metrics?get={}", names.join(","))).await
    }

    /// Uploads a bundle and returns its id.
    pub async fn upload(&self, path: &Path) -> Result<String, ClientError> {
        let local = |error: std::io::Error| ClientError::LocalFile { path: path.to_owned(), source: error };
        let bytes = tokio::fs::read(path).await.map_err(local)?;
        let name = path.file_name().map_or_else(|| "bundle.mrb".to_owned(), |name| name.to_string_lossy().into_owned());
        let part = reqwest::multipart::Part::bytes(bytes).file_name(name);
        let form = reqwest::multipart::Form::new().part("jarfile", part);
        let uploaded: api::BundleUploaded =
            self.send(self.request(Method::POST, "/jars/upload").multipart(form)).await?;
        let id = uploaded.filename.rsplit('/').next().unwrap_or_default();
        Ok(id.to_owned())
    }

    /// `GET /jars`.
    pub async fn bundles(&self) -> Result<api::BundleList, ClientError> {
        self.get("/jars").await
    }

    /// `DELETE /jars/:id`.
    pub async fn delete_bundle(&self, id: &str) -> Result<api::Empty, ClientError> {
        self.send(self.request(Method::DELETE, &format!("/jars/{id}"))).await
    }

    /// `POST /jars/:id/plan`.
    pub async fn plan(&self, id: &str, request: &api::PlanRequest) -> Result<api::PlanResponse, ClientError> {
        self.post(&format!("/jars/{id}/plan"), request).await
    }

    /// `POST /jars/:id/run`.
    pub async fn run(&self, id: &str, request: &api::RunRequest) -> Result<api::RunResponse, ClientError> {
        self.post(&format!("/jars/{id}/run"), request).await
    }

    /// `GET /jobs/overview`.
    pub async fn jobs(&self) -> Result<api::JobsOverview, ClientError> {
        self.get("/jobs/overview").await
    }

    /// `GET /jobs/:id`.
    pub async fn job(&self, id: &str) -> Result<api::JobDetails, ClientError> {
        self.get(&format!("/jobs/{id}")).await
    }

    /// `GET /jobs/:id/config`.
    pub async fn job_config(&self, id: &str) -> Result<api::JobConfig, ClientError> {
        self.get(&format!("/jobs/{id}/config")).await
    }

    /// `GET /jobs/:id/status`.
    pub async fn status(&self, id: &str) -> Result<api::JobStatusInfo, ClientError> {
        self.get(&format!("/jobs/{id}/status")).await
    }

    /// `GET /jobs/:id/exceptions`.
    pub async fn exceptions(&self, id: &str) -> Result<api::JobExceptions, ClientError> {
        self.get(&format!("/jobs/{id}/exceptions")).await
    }

    /// `GET /jobs/:id/vertices/:vertex`.
    pub async fn vertex(&self, id: &str, vertex: &str) -> Result<api::VertexDetails, ClientError> {
        self.get(&format!("/jobs/{id}/vertices/{vertex}")).await
    }

    /// `PATCH /jobs/:id?mode=cancel`.
    pub async fn cancel(&self, id: &str) -> Result<api::Empty, ClientError> {
        self.send(self.request(Method::PATCH, &format!("/jobs/{id}?mode=cancel"))).await
    }

    /// `POST /jobs/:id/savepoints`.
    pub async fn savepoint(
        &self,
        id: &str,
        request: &api::SavepointTriggerRequest,
    ) -> Result<api::TriggerResponse, ClientError> {
        self.post(&format!("/jobs/{id}/savepoints"), request).await
    }

    /// `POST /jobs/:id/stop`: a savepoint, and the job's end.
    pub async fn stop(&self, id: &str, request: &api::StopRequest) -> Result<api::TriggerResponse, ClientError> {
        self.post(&format!("/jobs/{id}/stop"), request).await
    }

    /// `GET /jobs/:id/savepoints/:trigger`.
    pub async fn savepoint_status(
        &self,
        id: &str,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::SavepointOutcome>, ClientError> {
        self.get(&format!("/jobs/{id}/savepoints/{trigger}")).await
    }

    /// `POST /jobs/:id/upgrade`: other code for a job that runs.
    pub async fn upgrade(&self, id: &str, request: &api::UpgradeRequest) -> Result<api::TriggerResponse, ClientError> {
        self.post(&format!("/jobs/{id}/upgrade"), request).await
    }

    /// `GET /jobs/:id/upgrade/:trigger`.
    pub async fn upgrade_status(
        &self,
        id: &str,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::UpgradeOutcome>, ClientError> {
        self.get(&format!("/jobs/{id}/upgrade/{trigger}")).await
    }

    /// `POST /jobs/:id/checkpoints`: a checkpoint, now.
    pub async fn trigger_checkpoint(
        &self,
        id: &str,
        request: &api::CheckpointTriggerRequest,
    ) -> Result<api::TriggerResponse, ClientError> {
        self.post(&format!("/jobs/{id}/checkpoints"), request).await
    }

    /// `GET /jobs/:id/checkpoints/:trigger`.
    pub async fn checkpoint_status(
        &self,
        id: &str,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::CheckpointOutcome>, ClientError> {
        self.get(&format!("/jobs/{id}/checkpoints/{trigger}")).await
    }

    /// `GET /jobs/:id/checkpoints`.
    pub async fn checkpoints(&self, id: &str) -> Result<api::CheckpointStatistics, ClientError> {
        self.get(&format!("/jobs/{id}/checkpoints")).await
    }

    /// `GET /jobs/:id/checkpoints/config`.
    pub async fn checkpoint_config(&self, id: &str) -> Result<api::CheckpointConfig, ClientError> {
        self.get(&format!("/jobs/{id}/checkpoints/config")).await
    }

    /// `POST /savepoint-disposal`.
    pub async fn dispose(&self, request: &api::DisposalRequest) -> Result<api::TriggerResponse, ClientError> {
        self.post("/savepoint-disposal", request).await
    }

    /// `GET /savepoint-disposal/:trigger`.
    pub async fn disposal_status(
        &self,
        trigger: &str,
    ) -> Result<api::OperationStatus<api::DisposalOutcome>, ClientError> {
        self.get(&format!("/savepoint-disposal/{trigger}")).await
    }

    /// Rows of a job's `collect` sinks from a position on; waits at the server, up to `wait_ms`, until there are any.
    pub async fn results(&self, id: &str, from: u64, wait_ms: u64) -> Result<api::CollectedResults, ClientError> {
        self.get(&format!("/jobs/{id}/results?from={from}&wait-ms={wait_ms}")).await
    }

    /// `GET /jobs/:id/log`: of all tasks, of those of a vertex, or of those of a subtask's number.
    pub async fn log(&self, id: &str, vertex: Option<&str>, subtask: Option<u32>) -> Result<api::JobLog, ClientError> {
        let vertex = vertex.map(|vertex| format!("vertex={vertex}"));
        let subtask = subtask.map(|subtask| format!("subtask={subtask}"));
        let query: Vec<String> = vertex.into_iter().chain(subtask).collect();
        self.get(&format!("/jobs/{id}/log?{}", query.join("&"))).await
    }

    /// Any request, for what has no method here: method, path behind the address, optional JSON body.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<(StatusCode, String), ClientError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| ClientError::unreachable(&self.base, &error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| ClientError::unreachable(&self.base, &error))?;
        Ok((status, text))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1{path}", self.base))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(self.request(Method::GET, path)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = request.send().await.map_err(|error| ClientError::unreachable(&self.base, &error))?;
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let path = response.url().path().to_owned();
        response.json().await.map_err(|error| ClientError::UnexpectedAnswer { path, reason: error.to_string() })
    }

    async fn refused(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_default();
        let errors = serde_json::from_str::<api::Errors>(&text).map(|body| body.errors);
        ClientError::Refused { status, errors: errors.unwrap_or_else(|_| vec![text]) }
    }
}
