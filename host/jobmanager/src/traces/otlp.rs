//! Spans to a collector: OTLP over HTTP, in JSON.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::TraceOptions;
use super::spans::{Attribute, Span};

/// The most spans of one request.
const BATCH_MAX: usize = 512;

/// How long spans wait for others.
const LINGER: Duration = Duration::from_millis(500);

/// What the collector is told the spans come from.
const SCOPE: &str = "millrace.jobmanager";

/// Sends spans to a collector.
pub(crate) struct Exporter {
    http: reqwest::Client,
    url: String,
    service_name: String,
}

impl Exporter {
    pub(crate) fn new(endpoint: &str, options: &TraceOptions) -> Result<Self, reqwest::Error> {
        // The HTTP library is built with TLS and wants to know whose. Another part of the process may have been first; it
        // chose the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_millis(options.timeout_ms));
        // For plain HTTP a machine needs no certificates.
        let http = if endpoint.starts_with("https://") { http } else { http.tls_certs_only([]) };
        let http = http.build()?;
        let endpoint = endpoint.trim_end_matches('/');
        let url = if endpoint.ends_with("/v1/traces") { endpoint.to_owned() } else { format!("{endpoint}/v1/traces") };
        Ok(Self { http, url, service_name: options.service_name.clone() })
    }

    /// Sends what comes until nobody sends any more.
    pub(crate) async fn run(self, mut waiting: mpsc::Receiver<Span>) {
        let mut batch = Vec::new();
        let mut is_taken = true;
        while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
            if batch.len() < BATCH_MAX {
                tokio::time::sleep(LINGER).await;
                while batch.len() < BATCH_MAX
                    && let Ok(span) = waiting.try_recv()
                {
                    batch.push(span);
                }
            }
            let sent = self.http.post(&self.url).json(&request(&self.service_name, &batch)).send().await;
            let taken = sent.and_then(reqwest::Response::error_for_status);
            // Once: a collector that is away stays away for many spans.
            match &taken {
                Err(error) if is_taken => {
                    tracing::warn!(url = %self.url, %error, "traces are not taken and are dropped")
                }
                Ok(_) if !is_taken => tracing::info!(url = %self.url, "traces are taken again"),
                _ => {}
            }
            is_taken = taken.is_ok();
            batch.clear();
        }
    }
}

fn request(service_name: &str, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({
        "resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service_name}}]},
            "scopeSpans": [{"scope": {"name": SCOPE}, "spans": spans}],
        }]
    })
}

fn span(span: &Span) -> Value {
    let attribute = |(key, value): &(&'static str, Attribute)| match value {
        Attribute::Text(text) => json!({"key": key, "value": {"stringValue": text}}),
        // Whole numbers are texts in the JSON of protocol buffers.
        Attribute::Number(number) => json!({"key": key, "value": {"intValue": number.to_string()}}),
    };
    let nanos = |ms: u64| (u128::from(ms) * 1_000_000).to_string();
    let id = |id: u64| format!("{id:016x}");
    let status = span.failure.as_ref().map_or_else(|| json!({"code": 1}), |why| json!({"code": 2, "message": why}));
    let mut value = json!({
        "traceId": span.job.to_string(),
        "spanId": id(span.id),
        "name": span.name,
        "kind": 1,
        "startTimeUnixNano": nanos(span.began.0),
        "endTimeUnixNano": nanos(span.ended.0),
        "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "status": status,
    });
    if let Some(parent) = span.parent {
        value["parentSpanId"] = json!(id(parent));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_types::{JobId, Timestamp};

    #[test]
    fn a_span_is_what_the_protocol_says() {
        let told = Span {
            job: JobId::from_bytes([0xab; 16]),
            id: 0x1f,
            parent: Some(2),
            name: "Checkpoint".to_owned(),
            began: Timestamp(1_000),
            ended: Timestamp(1_250),
            attributes: vec![("checkpointId", Attribute::Number(7))],
            failure: Some("no".to_owned()),
        };
        let request = request("here", &[told]);
        let span = &request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        let expected = json!({
            "traceId": "abababababababababababababababab",
            "spanId": "000000000000001f",
            "name": "Checkpoint",
            "kind": 1,
            "startTimeUnixNano": "1000000000",
            "endTimeUnixNano": "1250000000",
            "attributes": [{"key": "checkpointId", "value": {"intValue": "7"}}],
            "status": {"code": 2, "message": "no"},
            "parentSpanId": "0000000000000002",
        });
        assert_eq!(*span, expected);
    }
}
