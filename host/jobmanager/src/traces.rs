//! Traces of jobs: a span for each checkpoint, for each status that a job was in, and for its whole life, sent to a
//! collector of OpenTelemetry if one is named.
//!
//! Invariants:
//! - Nothing waits for the collector: what it does not take in time is dropped, and that is said in the log.
//! - A trace's id is its job's, and a span's follows from what it is about: a leader that takes a job over goes on with
//!   its trace, and what is told twice is one span.

mod otlp;
mod spans;

use std::sync::Arc;

use millrace_job_core::JobView;
use tokio::sync::{mpsc, watch};

use spans::{Observer, Span};

/// Spans that wait to be sent.
const WAITING_MAX: usize = 10_000;

/// Where traces are sent: Flink's `traces.reporter.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// The collector's URL, up to `/v1/traces`; `None`: nothing is sent. `traces.reporter.otel.exporter.endpoint`.
    pub endpoint: Option<String>,
    /// How long it may take to answer, in milliseconds: `traces.reporter.otel.exporter.timeout`.
    pub timeout_ms: u64,
    /// What it shows the cluster as: `traces.reporter.otel.service.name`.
    pub service_name: String,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { endpoint: None, timeout_ms: 10_000, service_name: "millrace".to_owned() }
    }
}

/// Takes spans; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Traces(Option<mpsc::Sender<Span>>);

impl Traces {
    /// Begins to send on the present runtime, if there is a collector.
    pub(crate) fn start(options: &TraceOptions) -> Self {
        let Some(endpoint) = &options.endpoint else { return Self(None) };
        match otlp::Exporter::new(endpoint, options) {
            Ok(exporter) => {
                let (sender, waiting) = mpsc::channel(WAITING_MAX);
                tokio::spawn(exporter.run(waiting));
                Self(Some(sender))
            }
            Err(error) => {
                tracing::error!(%endpoint, %error, "traces cannot be sent");
                Self(None)
            }
        }
    }

    /// Watches a job to its end.
    pub(crate) fn watch(&self, mut view: watch::Receiver<JobView>) {
        let Some(sender) = self.0.clone() else { return };
        let mut observer = Observer::new(&view.borrow_and_update());
        tokio::spawn(async move {
            let mut dropped = 0u64;
            while !observer.has_ended() && view.changed().await.is_ok() {
                // A clone: what is lent out keeps the job from its next step.
                let seen = Arc::new(view.borrow_and_update().clone());
                for span in observer.see(&seen) {
                    dropped += u64::from(sender.try_send(span).is_err());
                }
            }
            if dropped > 0 {
                tracing::warn!(dropped, "spans of a job were dropped: the collector of traces is too slow");
            }
        });
    }
}
