//! The options of the `http-lookup` operator.

use std::num::NonZeroUsize;
use std::time::Duration;

use millrace_graph::Format;
use serde::Deserialize;

use super::lookup::HttpLookup;
use super::record::RecordFormat;
use super::template::UrlTemplate;
use crate::async_io::{AsyncSettings, ResultOrder};
use crate::operator::AsyncOperator;
use crate::options::{ByteSize, parse_options};
use crate::{ConnectorError, HttpOrigins};

/// The connector's name.
pub const NAME: &str = "http-lookup";

/// How many records at most are under way unless stated, as in Flink.
const CAPACITY: usize = 100;

/// The largest capacity: each request may hold a connection and an answer.
const CAPACITY_MAX: usize = 10_000;

/// How long a request may take unless stated, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// The longest timeout, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 3_600_000;

/// How often a GET that failed is made again unless stated.
const GET_RETRIES: u32 = 2;

/// The most retries.
const RETRIES_MAX: u32 = 100;

/// The longest body of an answer unless stated, in bytes.
const BODY_BYTES: u64 = 256 * 1024;

/// The longest body that may be allowed, in bytes: in JSON it has to fit into a record.
const BODY_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// What requests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Method {
    /// The record is in the URL alone.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// The record is the body.
    #[serde(rename = "POST")]
    Post,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Ordered,
    Unordered,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// `http://HOST[:PORT]/…` with `{}` for the record and `{name}` for a field of it.
    url: String,
    #[serde(default)]
    method: Method,
    /// What the records are; raw if absent.
    #[serde(default)]
    format: RecordFormat,
    #[serde(default)]
    mode: Mode,
    capacity: Option<usize>,
    timeout_ms: Option<u64>,
    /// How often a request is made again that found no service; GET alone.
    retries: Option<u32>,
    body_max: Option<ByteSize>,
}

/// A `http-lookup` operator with its options read.
#[derive(Debug, Clone)]
pub struct HttpLookupPlan {
    pub(super) url: UrlTemplate,
    pub(super) method: Method,
    pub(super) format: RecordFormat,
    pub(super) retries: u32,
    pub(super) body_bytes_max: usize,
    settings: AsyncSettings,
}

impl HttpLookupPlan {
    pub fn parse(text: &str) -> Result<Self, ConnectorError> {
        let options: Options = parse_options("operator", NAME, text)?;
        let refuse = |reason: String| ConnectorError::Options { kind: "operator", connector: NAME, reason };
        let range = |option: &str, max: u64| refuse(format!("option \"{option}\": it has to be from 1 to {max}"));
        let url = UrlTemplate::parse(&options.url).map_err(|reason| refuse(format!("option \"url\": {reason}")))?;
        if options.format == RecordFormat::Raw
            && let Some(field) = url.fields().next()
        {
            return Err(refuse(format!("option \"url\": raw records have no field \"{field}\"; {{}} is the record")));
        }
        let capacity = NonZeroUsize::new(options.capacity.unwrap_or(CAPACITY)).filter(|at| at.get() <= CAPACITY_MAX);
        let capacity = capacity.ok_or_else(|| range("capacity", CAPACITY_MAX as u64))?;
        let timeout_ms = options.timeout_ms.unwrap_or(TIMEOUT_MS);
        if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
            return Err(range("timeout-ms", TIMEOUT_MS_MAX));
        }
        let body_max = options.body_max.map_or(BODY_BYTES, |size| size.0);
        if body_max > BODY_BYTES_MAX {
            return Err(range("body-max", BODY_BYTES_MAX));
        }
        let retries = match (options.method, options.retries) {
            (Method::Post, Some(1..)) => {
                let reason =
                    "option \"retries\": a POST is not made again, since the first one may have had its effect";
                return Err(refuse(reason.to_owned()));
            }
            (Method::Post, _) => 0,
            (Method::Get, None) => GET_RETRIES,
            (Method::Get, Some(retries)) if retries <= RETRIES_MAX => retries,
            (Method::Get, Some(_)) => {
                return Err(refuse(format!("option \"retries\": at most {RETRIES_MAX} are made")));
            }
        };
        let order = match options.mode {
            Mode::Ordered => ResultOrder::Ordered,
            Mode::Unordered => ResultOrder::Unordered,
        };
        let settings = AsyncSettings { order, capacity, timeout: Some(Duration::from_millis(timeout_ms)) };
        let body_bytes_max = usize::try_from(body_max).unwrap_or(usize::MAX);
        Ok(Self { url, method: options.method, format: options.format, retries, body_bytes_max, settings })
    }

    /// Whether requests may go where they are to go.
    pub fn check_origin(&self, origins: &HttpOrigins) -> Result<(), ConnectorError> {
        origins.check(self.url.origin())
    }

    /// The format of the records that it takes.
    pub fn format(&self) -> Format {
        match self.format {
            RecordFormat::Raw => Format::Raw,
            RecordFormat::Json => Format::Json,
            RecordFormat::Fields => Format::Fields,
        }
    }

    /// Makes ready for requests. Makes none.
    pub fn open(self, origins: &HttpOrigins) -> Result<AsyncOperator, ConnectorError> {
        self.check_origin(origins)?;
        let settings = self.settings;
        Ok(AsyncOperator { function: std::sync::Arc::new(HttpLookup::new(self)), settings })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_not_stated_is_as_in_flink() {
        let plan = HttpLookupPlan::parse(r#"{"url": "http://a/{}"}"#).unwrap();
        assert_eq!((plan.method, plan.retries, plan.format()), (Method::Get, GET_RETRIES, Format::Raw));
        let AsyncSettings { order, capacity, timeout } = plan.settings;
        assert_eq!((order, capacity.get(), timeout), (ResultOrder::Ordered, 100, Some(Duration::from_secs(10))));
        let plan = HttpLookupPlan::parse(
            r#"{"url": "http://a/{id}", "method": "POST", "format": "json", "mode": "unordered", "body-max": "1 kb"}"#,
        );
        let plan = plan.unwrap();
        assert_eq!((plan.retries, plan.settings.order, plan.body_bytes_max), (0, ResultOrder::Unordered, 1024));
    }

    #[test]
    fn wrong_options_are_named() {
        for (options, named) in [
            ("{}", "url"),
            (r#"{"url": "https://a"}"#, "https"),
            (r#"{"url": "http://a/{id}"}"#, "id"),
            (r#"{"url": "http://a", "capacity": 0}"#, "capacity"),
            (r#"{"url": "http://a", "capacity": 10001}"#, "capacity"),
            (r#"{"url": "http://a", "timeout-ms": 0}"#, "timeout-ms"),
            (r#"{"url": "http://a", "method": "PUT"}"#, "method"),
            (r#"{"url": "http://a", "mode": "any"}"#, "mode"),
            (r#"{"url": "http://a", "method": "POST", "retries": 1}"#, "retries"),
            (r#"{"url": "http://a", "retries": 101}"#, "retries"),
            (r#"{"url": "http://a", "body-max": "1 gb"}"#, "body-max"),
            (r#"{"url": "http://a", "header": "x"}"#, "header"),
        ] {
            let error = HttpLookupPlan::parse(options).unwrap_err();
            assert!(matches!(error, ConnectorError::Options { .. }));
            assert!(error.to_string().contains(named), "{options}: {error}");
        }
    }
}
