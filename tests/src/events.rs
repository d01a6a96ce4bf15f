//! Listening to a cluster's server-sent events.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;

use crate::process::PATIENCE;
use crate::wait::until;

/// A stream of events.
pub struct Events {
    response: Response,
    /// What has come and was not read.
    text: String,
}

impl Events {
    /// Listens at `HOST:PORT` to what a path tells, as soon as whoever is asked knows a leader.
    pub async fn listen(address: &str, path: &str) -> Result<Self> {
        let http = Client::new();
        let what = format!("the events of {path} at {address}");
        let events = until(&what, async || {
            let (status, events) = Self::ask(&http, address, path).await?;
            ensure!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE, "{path}: {status}");
            Ok((status == StatusCode::OK).then_some(events))
        })
        .await?;
        let content_type = events.response.headers().get("content-type").and_then(|value| value.to_str().ok());
        ensure!(content_type == Some("text/event-stream"), "{path}: {content_type:?}");
        Ok(events)
    }

    /// The answer to one who wants to listen, whatever it is.
    pub async fn ask(http: &Client, address: &str, path: &str) -> Result<(StatusCode, Self)> {
        let response = http.get(format!("http://{address}/v1{path}")).send().await?;
        Ok((response.status(), Self { response, text: String::new() }))
    }

    /// The next event: its name and its data; `None`: the stream has ended, or is broken off.
    pub async fn next(&mut self) -> Result<Option<(String, Value)>> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let name = field("event: ").with_context(|| format!("an event without a name: {event}"))?;
                let data = field("data: ").with_context(|| format!("an event without data: {event}"))?;
                self.text = rest.to_owned();
                return Ok(Some((name, serde_json::from_str(&data)?)));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            match chunk.context("the stream of events is silent")? {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk)?),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// Waits for an event of this name that satisfies a condition.
    pub async fn wait_for(&mut self, name: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            let (told, data) = self.next().await?.with_context(|| format!("the stream ended before its {name}"))?;
            if told == name && condition(&data) {
                return Ok(data);
            }
        }
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> Result<()> {
        while self.next().await?.is_some() {}
        Ok(())
    }
}
