//! Makes the requests.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method as HttpMethod, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::options::{HttpLookupPlan, Method};
use super::record::{Record, RecordFormat};
use crate::ConnectorError;
use crate::async_io::{AsyncFunction, AsyncRow};

/// How long a connection is kept that nobody uses.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// The first pause before a request is made again; each one is twice as long as the one before.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The longest such pause.
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Who asks.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("millrace/", env!("CARGO_PKG_VERSION")));

/// The requests of one subtask, which share connections.
pub struct HttpLookup {
    plan: HttpLookupPlan,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a service said.
struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Why there is no answer.
enum NoAnswer {
    /// Another time there may be one.
    Unreached(String),
    /// Another time is no better.
    Refused(String),
}

impl HttpLookup {
    pub fn new(plan: HttpLookupPlan) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .build(connector);
        Self { plan, client }
    }

    fn service_name(&self) -> String {
        self.plan.url.as_str().to_owned()
    }

    fn request(&self, uri: Uri, payload: &Bytes, record: &Record<'_>) -> Result<Request<Full<Bytes>>, String> {
        let request = Request::builder().uri(uri).header(USER_AGENT, AGENT);
        let request = match self.plan.method {
            Method::Get => request.method(HttpMethod::GET).body(Full::default()),
            Method::Post => {
                let (kind, body) = match self.plan.format {
                    RecordFormat::Raw => ("text/plain; charset=utf-8", payload.clone()),
                    RecordFormat::Json => ("application/json", payload.clone()),
                    RecordFormat::Fields => ("application/json", Bytes::from(record.json())),
                };
                request.method(HttpMethod::POST).header(CONTENT_TYPE, kind).body(Full::new(body))
            }
        };
        request.map_err(|error| error.to_string())
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        let response = self.client.request(request).await.map_err(|error| NoAnswer::Unreached(causes(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), self.plan.body_bytes_max).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                let max = self.plan.body_bytes_max;
                return NoAnswer::Refused(format!("its answer has more than {max} bytes, which is \"body-max\""));
            }
            NoAnswer::Unreached(causes(error.as_ref()))
        })?;
        Ok(Answer { status, body: body.to_bytes() })
    }

    /// Asks until there is an answer, or there were enough attempts.
    async fn ask_again(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let mut pause = RETRY_PAUSE;
        for left in (0..=self.plan.retries).rev() {
            match self.ask(request.clone()).await {
                Ok(answer) if left == 0 || !is_passing(answer.status) => return Ok(answer),
                Err(NoAnswer::Refused(reason)) => return Err(reason),
                Err(NoAnswer::Unreached(reason)) if left == 0 => return Err(reason),
                Ok(_) | Err(NoAnswer::Unreached(_)) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
        }
        Err("no attempt was made".to_owned())
    }
}

/// Whether a status tells that the service is not there for now.
fn is_passing(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// An error with what it came from.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[async_trait]
impl AsyncFunction for HttpLookup {
    fn service(&self) -> &str {
        self.plan.url.as_str()
    }

    async fn invoke(&self, row: AsyncRow) -> Result<Vec<Bytes>, ConnectorError> {
        let bad = |reason| ConnectorError::BadRow { service: self.service_name(), reason };
        let members = self.plan.url.fields().next().is_some();
        let (request, input) = {
            let record = Record::parse(self.plan.format, &row.payload, members).map_err(bad)?;
            let uri = self.plan.url.url(&record).map_err(bad)?;
            (self.request(uri, &row.payload, &record).map_err(bad)?, record.json())
        };
        let failed = |reason| ConnectorError::Request { service: self.service_name(), reason };
        let Answer { status, body } = self.ask_again(request).await.map_err(failed)?;
        let body = serde_json::Value::from(String::from_utf8_lossy(&body)).to_string();
        let result = format!("{{\"input\":{input},\"status\":{},\"body\":{body}}}", status.as_u16());
        if result.len() > millrace_types::RECORD_BYTES_MAX as usize {
            return Err(bad(format!("with its answer it has {} bytes, more than a record may have", result.len())));
        }
        Ok(vec![Bytes::from(result)])
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
