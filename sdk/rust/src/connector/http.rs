//! Services that answer over HTTP.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::native::NativeOperator;
use crate::Data;
use crate::fields::ToFields;
use crate::format::{CsvFields, Json, Raw};
use crate::stream::{IntoOperator, Stream};

/// What a service answered about a record.
#[derive(Debug, Clone, PartialEq, Eq, Data, Deserialize)]
pub struct HttpAnswer<T> {
    /// The record.
    pub input: T,
    /// The answer's status, such as 200 or 404: no status fails the application.
    pub status: u16,
    /// Its body, as text.
    pub body: String,
}

/// Asks an HTTP service about each record, many at a time: Flink's `AsyncDataStream`, with the requests made by the host.
///
/// `{}` in the URL stands for the record, `{name}` for a member of a [JSON](Self::json) record, and `{0}` for the first
/// field of a record of [fields](Self::fields). What is filled in is escaped. The origin has to be one that the cluster
/// allows (`--http-origin`).
///
/// ```
/// use std::time::Duration;
///
/// use millrace::prelude::*;
/// use millrace::testing::{PipelineOptions, run_pipeline};
///
/// fn build(env: &Environment, _args: &Args) -> Result<()> {
///     let lookup = HttpLookup::get("http://127.0.0.1:8080/users/{}")
///         .unordered()
///         .capacity(50)
///         .timeout(Duration::from_secs(2));
///     env.from_source(FileSource::lines(["users.txt"]), "ids")
///         .async_lookup(lookup, "users")
///         .filter(|answer: &HttpAnswer<String>| answer.status == 200)
///         .map(|answer| format!("{}: {}", answer.input, answer.body))
///         .sink_to(PrintSink::new(), "names");
///     Ok(())
/// }
///
/// let options = PipelineOptions::new().lines("ids", ["1", "2"]).service("users", |id| match id {
///     "1" => (200, "Ann".to_owned()),
///     _ => (404, String::new()),
/// });
/// assert_eq!(run_pipeline(build, &options).unwrap().lines("names").unwrap(), ["1: Ann"]);
/// ```
///
/// A request that has no answer in time fails the application, which goes on from its last checkpoint; records that were
/// asked about and not answered then are asked about again. So each record has one answer, but a service may be asked more
/// than once.
#[must_use]
pub struct HttpLookup<E> {
    operator: NativeOperator<E>,
}

impl HttpLookup<Raw> {
    /// Asks by GET: the record is in the URL.
    pub fn get(url: impl Into<String>) -> Self {
        Self { operator: NativeOperator::new("http-lookup").option("url", url.into()) }
    }

    /// Asks by POST: the record is the body.
    pub fn post(url: impl Into<String>) -> Self {
        let Self { operator } = Self::get(url);
        Self { operator: operator.option("method", "POST") }
    }

    /// Records are JSON.
    pub fn json(self) -> HttpLookup<Json> {
        HttpLookup { operator: self.operator.option("format", "json").of() }
    }

    /// Records are lists of fields.
    pub fn fields(self) -> HttpLookup<CsvFields> {
        HttpLookup { operator: self.operator.option("format", "fields").of() }
    }
}

impl<E> HttpLookup<E> {
    fn option(self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        Self { operator: self.operator.option(name, value) }
    }

    /// Answers have the order of the records: Flink's `orderedWait`, and what is done unless something else is said.
    pub fn ordered(self) -> Self {
        self.option("mode", "ordered")
    }

    /// Answers go on as they come, between watermarks: Flink's `unorderedWait`.
    pub fn unordered(self) -> Self {
        self.option("mode", "unordered")
    }

    /// How many records at most each subtask asks about at a time; 100 unless stated. Then it takes no more.
    pub fn capacity(self, records: u32) -> Self {
        self.option("capacity", records)
    }

    /// How long an answer may take, with all that is tried again; 10 seconds unless stated.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option("timeout-ms", u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// How often a GET is made again when the service is not there; twice unless stated.
    pub fn retries(self, retries: u32) -> Self {
        self.option("retries", retries)
    }

    /// The longest answer, in bytes; 256 KiB unless stated. A longer one fails the application.
    pub fn body_bytes_max(self, bytes: u32) -> Self {
        self.option("body-max", bytes)
    }
}

impl IntoOperator<String> for HttpLookup<Raw> {
    type Output = HttpAnswer<String>;

    fn add_to(self, stream: &Stream<String>, name: &str) -> Stream<Self::Output> {
        self.operator.add_to::<_, _, Json<Self::Output>>(stream, name)
    }
}

impl<T: Data + serde::Serialize + DeserializeOwned> IntoOperator<T> for HttpLookup<Json> {
    type Output = HttpAnswer<T>;

    fn add_to(self, stream: &Stream<T>, name: &str) -> Stream<Self::Output> {
        self.operator.add_to::<_, _, Json<Self::Output>>(stream, name)
    }
}

impl<T: Data + ToFields> IntoOperator<T> for HttpLookup<CsvFields> {
    type Output = HttpAnswer<Vec<String>>;

    fn add_to(self, stream: &Stream<T>, name: &str) -> Stream<Self::Output> {
        self.operator.add_to::<_, _, Json<Self::Output>>(stream, name)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use crate::prelude::*;
    use crate::testing::{PipelineOptions, run_pipeline};

    #[derive(Debug, Clone, PartialEq, Data, Serialize, serde::Deserialize)]
    struct Order {
        id: u32,
    }

    /// All three formats, keys behind them, and instances thrown away meanwhile.
    #[test]
    fn records_come_back_with_their_answers() {
        let build = |env: &Environment, _: &Args| {
            let lines = env.from_source(FileSource::lines(["in"]), "lines");
            let texts = lines.async_lookup(HttpLookup::get("http://a/{}").ordered(), "texts");
            texts
                .key_by(|answer| answer.input.len() as u64)
                .reduce(|a, b| HttpAnswer { body: a.body + &b.body, ..b })
                .map(|answer| answer.body)
                .sink_to(CollectSink::lines(), "texts");
            let orders = lines.map(|line| Order { id: line.len() as u32 });
            let orders = orders.async_lookup(HttpLookup::post("http://a/{id}").json().retries(0), "orders");
            let shown = orders.map(|answer: HttpAnswer<Order>| format!("{:?} {}", answer.input, answer.body));
            shown.sink_to(CollectSink::lines(), "orders");
            let pairs = lines.map(|line| (line, 7u32)).async_lookup(HttpLookup::get("http://a/{0}").fields(), "pairs");
            pairs.map(|answer| answer.input.join("+") + &answer.body).sink_to(CollectSink::lines(), "pairs");
            Ok(())
        };
        for seed in 0..10 {
            let echo = |record: &str| (200, format!("<{record}>"));
            let options = PipelineOptions::new().lines("lines", ["a", "bb", "cc"]).discard_instances(seed);
            let options = options.service("texts", echo).service("orders", echo).service("pairs", echo);
            let output = run_pipeline(build, &options).unwrap();
            assert_eq!(output.lines("texts").unwrap(), ["<a>", "<bb>", "<bb><cc>"]);
            let orders: Vec<String> =
                [1, 2, 2].iter().map(|id| format!("Order {{ id: {id} }} <{{\"id\":{id}}}>")).collect();
            assert_eq!(output.lines("orders").unwrap(), orders);
            let pairs = ["a+7<[\"a\",\"7\"]>", "bb+7<[\"bb\",\"7\"]>", "cc+7<[\"cc\",\"7\"]>"];
            assert_eq!(output.lines("pairs").unwrap(), pairs);
        }
    }

    #[test]
    fn a_test_that_says_nothing_of_the_service_is_told_so() {
        let build = |env: &Environment, _: &Args| {
            let lines = env.from_source(FileSource::lines(["in"]), "lines");
            lines.async_lookup(HttpLookup::get("http://a/{}"), "users").sink_to(DiscardSink::new(), "out");
            Ok(())
        };
        let error = run_pipeline(build, &PipelineOptions::new().lines("lines", ["a"])).err().unwrap();
        assert!(error.to_string().contains("'users'"), "{error}");
    }
}
