//! Which connectors there are: from a name and options to a source, a sink or an operator.

use millrace_graph::{Format, NativeConnector};

use crate::datagen::Datagen;
use crate::file::{FileSinkPlan, FileSourcePlan};
use crate::http::HttpLookupPlan;
use crate::row_sinks::{CollectSink, DiscardSink, NoOptions, PrintSink};
use crate::{
    AsyncOperator, ConnectorError, FileRoots, OperatorContext, Reach, Sink, SinkContext, SourceContext, SourceReader,
};

const SOURCES: [&str; 2] = ["datagen", "file"];
const SINKS: [&str; 4] = ["collect", "discard", "file", "print"];
const OPERATORS: [&str; 1] = ["http-lookup"];

/// Which side of the graph a connector stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectorKind {
    /// It reads.
    Source,
    /// It writes.
    Sink,
    /// It turns records into others.
    Operator,
}

/// A source with its options read.
enum SourcePlan {
    File(FileSourcePlan),
    Datagen(Datagen),
}

impl SourcePlan {
    fn parse(connector: &NativeConnector) -> Result<Self, ConnectorError> {
        match connector.connector.as_str() {
            "file" => FileSourcePlan::parse(&connector.options).map(Self::File),
            "datagen" => Datagen::parse(&connector.options).map(Self::Datagen),
            name => Err(unknown("source", name, &SOURCES)),
        }
    }
}

/// A sink with its options read.
enum SinkPlan {
    File(FileSinkPlan),
    Print,
    Discard,
    Collect,
}

impl SinkPlan {
    fn parse(connector: &NativeConnector) -> Result<Self, ConnectorError> {
        let options = &connector.options;
        match connector.connector.as_str() {
            "file" => FileSinkPlan::parse(options).map(Self::File),
            "print" => NoOptions::parse("print", options).map(|NoOptions {}| Self::Print),
            "discard" => NoOptions::parse("discard", options).map(|NoOptions {}| Self::Discard),
            "collect" => NoOptions::parse("collect", options).map(|NoOptions {}| Self::Collect),
            name => Err(unknown("sink", name, &SINKS)),
        }
    }
}

/// The operator of these options.
fn operator_plan(connector: &NativeConnector) -> Result<HttpLookupPlan, ConnectorError> {
    match connector.connector.as_str() {
        "http-lookup" => HttpLookupPlan::parse(&connector.options),
        name => Err(unknown("operator", name, &OPERATORS)),
    }
}

fn unknown(kind: &'static str, name: &str, known: &[&str]) -> ConnectorError {
    ConnectorError::UnknownConnector { kind, name: name.chars().take(80).collect(), known: known.join(", ") }
}

/// Checks a connector when its application is submitted: that it exists, its options, and that its paths and
/// addresses are within reach. Whether there are files is seen later, by [`enumerate_splits`]. Does blocking IO.
///
/// # Errors
/// What is wrong, naming the connector, the option or the path.
pub fn validate_connector(
    kind: ConnectorKind,
    connector: &NativeConnector,
    reach: &Reach,
) -> Result<(), ConnectorError> {
    match kind {
        ConnectorKind::Source => match SourcePlan::parse(connector)? {
            SourcePlan::File(plan) => plan.check_paths(&reach.files),
            SourcePlan::Datagen(_) => Ok(()),
        },
        ConnectorKind::Sink => match SinkPlan::parse(connector)? {
            SinkPlan::File(plan) => plan.check_path(&reach.files),
            SinkPlan::Print | SinkPlan::Discard | SinkPlan::Collect => Ok(()),
        },
        ConnectorKind::Operator => operator_plan(connector)?.check_origin(&reach.http),
    }
}

/// Cuts the input of a source into splits for so many readers, always in the same order. Does blocking IO. There may be
/// none, where the input is empty.
///
/// # Errors
/// Wrong options, and paths that are missing, not readable or outside of the roots.
pub fn enumerate_splits(
    connector: &NativeConnector,
    parallelism: u32,
    roots: &FileRoots,
) -> Result<Vec<Vec<u8>>, ConnectorError> {
    match SourcePlan::parse(connector)? {
        SourcePlan::File(plan) => plan.enumerate(parallelism, roots),
        SourcePlan::Datagen(plan) => plan.enumerate(parallelism),
    }
}

/// What the payloads of a source's rows are.
///
/// # Errors
/// An unknown connector, or wrong options.
pub fn source_format(connector: &NativeConnector) -> Result<Format, ConnectorError> {
    match SourcePlan::parse(connector)? {
        SourcePlan::File(plan) => Ok(plan.payload_format()),
        SourcePlan::Datagen(_) => Ok(Format::Raw),
    }
}

/// Whether an edge of that format may end in the sink. `file` and `print` write text; nothing native reads `internal`.
///
/// # Errors
/// An unknown connector, or wrong options.
pub fn sink_accepts(connector: &NativeConnector, format: Format) -> Result<bool, ConnectorError> {
    match SinkPlan::parse(connector)? {
        SinkPlan::File(_) | SinkPlan::Print => Ok(matches!(format, Format::Raw | Format::Json)),
        SinkPlan::Discard | SinkPlan::Collect => Ok(format != Format::Internal),
    }
}

/// Whether an edge of that format may end in the operator.
///
/// # Errors
/// An unknown connector, or wrong options.
pub fn operator_accepts(connector: &NativeConnector, format: Format) -> Result<bool, ConnectorError> {
    Ok(operator_plan(connector)?.format() == format)
}

/// What the payloads of an operator's rows are.
///
/// # Errors
/// An unknown connector, or wrong options.
pub fn operator_format(connector: &NativeConnector) -> Result<Format, ConnectorError> {
    operator_plan(connector).map(|_| Format::Json)
}

/// Opens an operator. Does no IO: its first request does.
///
/// # Errors
/// An unknown connector, wrong options, or an address that is out of reach.
pub fn open_operator(connector: &NativeConnector, context: &OperatorContext) -> Result<AsyncOperator, ConnectorError> {
    operator_plan(connector)?.open(&context.origins)
}

/// Makes a reader of a source's splits. Does no IO: the first poll does.
///
/// # Errors
/// An unknown connector, or wrong options.
pub fn open_source(
    connector: &NativeConnector,
    context: SourceContext,
) -> Result<Box<dyn SourceReader>, ConnectorError> {
    match SourcePlan::parse(connector)? {
        SourcePlan::File(plan) => Ok(Box::new(plan.reader(context.roots))),
        SourcePlan::Datagen(plan) => Ok(Box::new(plan.reader())),
    }
}

/// Opens a sink: commits what the checkpoint that it goes on from had prepared, then removes what earlier attempts of
/// the subtask left behind beyond that checkpoint.
///
/// # Errors
/// An unknown connector, wrong options, or output that cannot be written.
pub async fn open_sink(connector: &NativeConnector, context: SinkContext) -> Result<Box<dyn Sink>, ConnectorError> {
    match SinkPlan::parse(connector)? {
        SinkPlan::File(plan) => Ok(Box::new(plan.open(context).await?)),
        SinkPlan::Print => Ok(Box::new(PrintSink::new(&context))),
        SinkPlan::Discard => Ok(Box::new(DiscardSink)),
        SinkPlan::Collect => Ok(Box::new(CollectSink::new(context.collect))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use millrace_types::{Failure, FailureKind};

    use super::*;
    use crate::HttpOrigins;

    fn connector(name: &str, options: &str) -> NativeConnector {
        NativeConnector { connector: name.to_owned(), options: options.to_owned() }
    }

    #[test]
    fn unknown_connectors_are_refused_with_those_that_there_are() {
        let reach = Reach { files: FileRoots::none(), http: HttpOrigins::none() };
        for (kind, name, known) in [
            (ConnectorKind::Source, "kafka", "datagen, file"),
            (ConnectorKind::Source, "print", "datagen, file"),
            (ConnectorKind::Sink, "datagen", "collect, discard, file, print"),
            (ConnectorKind::Operator, "file", "http-lookup"),
        ] {
            let failure = Failure::from(validate_connector(kind, &connector(name, "{}"), &reach).unwrap_err());
            assert_eq!(failure.kind, FailureKind::InvalidApplication);
            assert!(failure.message.contains(name) && failure.remedy.unwrap().contains(known), "{}", failure.message);
        }
    }

    #[test]
    fn options_and_paths_are_checked_at_submission() {
        let temp = tempfile::tempdir().unwrap();
        let origins = HttpOrigins::only(["http://127.0.0.1:8080"]).unwrap();
        let reach = Reach { files: FileRoots::only([temp.path()]).unwrap(), http: origins };
        let inside = temp.path().join("not/yet").display().to_string();
        let check = |kind, name, options: &str| validate_connector(kind, &connector(name, options), &reach);
        for name in ["print", "discard", "collect"] {
            check(ConnectorKind::Sink, name, "").unwrap();
            assert!(check(ConnectorKind::Sink, name, r#"{"x": 1}"#).unwrap_err().to_string().contains("`x`"));
        }
        check(ConnectorKind::Source, "datagen", r#"{"rows": null}"#).unwrap();
        check(ConnectorKind::Source, "file", &format!(r#"{{"paths": ["{inside}", "{inside}/*.csv"]}}"#)).unwrap();
        check(ConnectorKind::Sink, "file", &format!(r#"{{"path": "{inside}"}}"#)).unwrap();
        let lookup = |url: &str| check(ConnectorKind::Operator, "http-lookup", &format!(r#"{{"url": "{url}"}}"#));
        lookup("http://127.0.0.1:8080/{}").unwrap();
        assert!(matches!(lookup("http://127.0.0.1:8081/{}"), Err(ConnectorError::OutsideOrigins { .. })));
        for path in ["/etc", "/none", "/etc/*"] {
            let source = check(ConnectorKind::Source, "file", &format!(r#"{{"paths": ["{path}"]}}"#));
            let sink = check(ConnectorKind::Sink, "file", &format!(r#"{{"path": "{path}"}}"#));
            for result in [source, sink] {
                assert!(matches!(result, Err(ConnectorError::OutsideRoots { .. })), "{path}: {result:?}");
            }
        }
    }

    #[test]
    fn formats_follow_from_the_options() {
        for (options, format) in [("lines", Format::Raw), ("csv", Format::Fields), ("json-lines", Format::Json)] {
            let options = format!(r#"{{"paths": ["/a"], "format": "{options}"}}"#);
            assert_eq!(source_format(&connector("file", &options)).unwrap(), format);
        }
        let lookup = connector("http-lookup", r#"{"url": "http://a/{}", "format": "fields"}"#);
        assert!(operator_accepts(&lookup, Format::Fields).unwrap() && !operator_accepts(&lookup, Format::Raw).unwrap());
        assert_eq!(operator_format(&lookup).unwrap(), Format::Json);
        assert!(!sink_accepts(&connector("print", ""), Format::Fields).unwrap());
        assert!(sink_accepts(&connector("collect", ""), Format::Fields).unwrap());
    }
}
