//! Requests and where they go: to any of the cluster's JobManagers, again if that is safe.
//!
//! Invariants:
//! - A request is sent again only if nothing was done (no connection, or 503), or if doing it twice is doing it once.
//! - All attempts together take no longer than [`crate::ClientOptions::retry_timeout_ms`] beyond the request's own time.
//! - A cluster that never answered, and of which one address is known, is reported at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::{ClientError, ClientOptions, api};

/// The wait between two rounds of attempts, at first and at most.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_millis(500);

/// A request that can be built again.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Behind the version.
    pub(crate) path: &'a str,
    /// Whether doing it twice is doing it once.
    pub(crate) repeatable: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        let repeatable = method != Method::POST;
        Self { method, path, repeatable }
    }

    /// A `POST` that names what it makes: the server knows it when it comes again.
    pub(crate) fn keyed_post(path: &'a str) -> Self {
        Self { method: Method::POST, path, repeatable: true }
    }
}

/// Sends requests to a cluster; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    /// `http://HOST:PORT` of each JobManager that is known.
    bases: Arc<[String]>,
    /// The one that answered last.
    preferred: Arc<AtomicUsize>,
    /// Whether any has ever answered.
    answered: Arc<AtomicBool>,
    retry_timeout: Duration,
    http: reqwest::Client,
}

impl Transport {
    pub(crate) fn new(addresses: &str, options: &ClientOptions) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(options.connect_timeout_ms))
            .timeout(Duration::from_millis(options.request_timeout_ms))
            .build()
            .map_err(|error| ClientError::unreachable(addresses, &error))?;
        let plain = |address: &str| address.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let bases: Vec<_> = addresses.split(',').map(|address| format!("http://{}", plain(address))).collect();
        let retry_timeout = Duration::from_millis(options.retry_timeout_ms);
        Ok(Self { bases: bases.into(), preferred: Arc::default(), answered: Arc::default(), retry_timeout, http })
    }

    /// Where the JobManager is that answered last.
    pub(crate) fn base(&self) -> &str {
        let preferred = self.preferred.load(Ordering::Relaxed);
        self.bases.get(preferred).or(self.bases.first()).map_or("", String::as_str)
    }

    /// Sends a request until somebody answers it; `add` gives each attempt its body.
    pub(crate) async fn send(
        &self,
        call: &Call<'_>,
        add: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ClientError> {
        let deadline = Instant::now() + self.retry_timeout;
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let mut last = None;
            for _ in 0..self.bases.len() {
                let (at, base) = (self.preferred.load(Ordering::Relaxed), self.base());
                let request = add(self.http.request(call.method.clone(), format!("{base}/v1{}", call.path)));
                let outcome = request.send().await;
                let retry = match &outcome {
                    Ok(response) => {
                        self.answered.store(true, Ordering::Relaxed);
                        match response.status() {
                            StatusCode::SERVICE_UNAVAILABLE => response.headers().contains_key("retry-after"),
                            StatusCode::BAD_GATEWAY => call.repeatable,
                            _ => false,
                        }
                    }
                    Err(error) => error.is_connect() || (call.repeatable && !error.is_timeout()),
                };
                if !retry {
                    return outcome.map_err(|error| ClientError::unreachable(base, &error));
                }
                last = Some((base.to_owned(), outcome));
                let _ = self.preferred.compare_exchange(
                    at,
                    (at + 1) % self.bases.len(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
            let hopeless = self.bases.len() == 1 && !self.answered.load(Ordering::Relaxed);
            if let Some((base, outcome)) = last
                && (hopeless || Instant::now() + delay > deadline)
            {
                return outcome.map_err(|error| ClientError::unreachable(&base, &error));
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.answer(&Call::new(Method::GET, path), |request| request).await
    }

    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.answer(&call, |request| request.json(body)).await
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn answer<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        add: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = self.send(call, add).await?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let path = response.url().path().to_owned();
        response.json().await.map_err(|error| ClientError::UnexpectedAnswer { path, reason: error.to_string() })
    }
}

async fn refused(response: Response) -> ClientError {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap_or_default();
    let errors = serde_json::from_str::<api::Errors>(&text).map(|body| body.errors);
    ClientError::Refused { status, errors: errors.unwrap_or_else(|_| vec![text]) }
}

/// An id that nobody else chooses, as Flink writes ids.
pub(crate) fn fresh_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
