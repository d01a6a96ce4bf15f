//! Clients of S3 and of what speaks as it does.
//!
//! Invariants:
//! - Nothing that is written has the place of something else: a put says so itself (`PutMode::Create`), and the end of a
//!   multipart upload is sent with `If-None-Match: *` by [`CreateOnly`], since the library cannot ask for it.
//! - No request waits for ever, none is repeated for ever, and no more than [`REQUESTS_MAX`] of a process are under way.
//! - Keys are in no `Debug`, no error and no log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http::header::{HeaderValue, IF_NONE_MATCH};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tokio::sync::Semaphore;

/// How long one request may take, with its body: at most 8 MiB of a checkpoint's file, or a bundle.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a request is repeated that the server refused for the time being, or that reached nobody.
const RETRIES_MAX: usize = 100;

/// For how long that is done, unless the options say otherwise.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest pause in between.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Requests of a process that are under way at once, from their first byte to the head of the answer. Others wait.
const REQUESTS_MAX: usize = 64;

/// How S3 is reached. What is unset is taken from the environment, as Amazon's own tools do: `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, a web identity, the container's or the
/// machine's role.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    /// The server's URL; Amazon's own unless set.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// The key's id.
    pub access_key: Option<String>,
    /// The key.
    pub secret_key: Option<String>,
    /// Whether the bucket stands in the path of a request, and not in the name of its host.
    pub path_style: bool,
    /// For how long a request is repeated that reached nobody or was refused for the time being; a minute unless set.
    pub retry_timeout: Option<Duration>,
}

impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, region, path_style, retry_timeout, .. } = self;
        let mut out = f.debug_struct("S3Options");
        out.field("endpoint", endpoint).field("region", region).field("path_style", path_style);
        out.field("retry_timeout", retry_timeout).finish_non_exhaustive()
    }
}

impl S3Options {
    /// A client of a bucket. Asks nobody yet.
    pub(crate) fn client(&self, bucket: &str, requests: &Requests) -> Result<AmazonS3, object_store::Error> {
        // Another part of the process may have been first; it chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let (Some(id), Some(key)) = (&self.access_key, &self.secret_key) {
            builder = builder.with_access_key_id(id).with_secret_access_key(key);
        }
        builder = builder.with_virtual_hosted_style_request(!self.path_style);
        let mut client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            // Without TLS there is nothing to verify, and a machine needs no certificates for it.
            let plain = endpoint.starts_with("http://");
            client = client.with_allow_http(plain).with_no_system_certificates(plain);
            builder = builder.with_endpoint(match endpoint.split_once("://") {
                Some((scheme, host)) if !self.path_style => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            });
        }
        let backoff = BackoffConfig { max_backoff: BACKOFF_MAX, ..BackoffConfig::default() };
        let retry_timeout = self.retry_timeout.unwrap_or(RETRY_TIMEOUT);
        let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout };
        let connector = CreateOnlyConnector(requests.clone());
        builder.with_client_options(client).with_retry(retry).with_http_connector(connector).build()
    }
}

/// Keeps the requests of all clients of a process within [`REQUESTS_MAX`]. A clone is the same one.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<Semaphore>);

impl Default for Requests {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(REQUESTS_MAX)))
    }
}

#[derive(Debug)]
struct CreateOnlyConnector(Requests);

impl HttpConnector for CreateOnlyConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(CreateOnly { inner, requests: self.0.clone() }))
    }
}

/// Sends the end of a multipart upload on the condition that there is nothing under the name. The header is not part of
/// what is signed, which the protocol allows.
#[derive(Debug)]
struct CreateOnly {
    inner: HttpClient,
    requests: Requests,
}

#[async_trait]
impl HttpService for CreateOnly {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if ends_upload(&request) {
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        // Nobody closes it; and if somebody did, no request would have to wait.
        let _permit = self.requests.0.acquire().await.ok();
        self.inner.execute(request).await
    }
}

fn ends_upload(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::POST && query.split('&').any(|part| part.starts_with("uploadId="))
}
