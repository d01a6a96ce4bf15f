//! The options of the `file` source and sink.

use serde::Deserialize;

use crate::ConnectorError;
use crate::options::{ByteSize, parse_options};

/// The most paths of one source.
const PATHS_MAX: usize = 10_000;

/// The most columns of a CSV file.
pub const COLUMNS_MAX: usize = 10_000;

/// What the files of a source contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Each line is a record, empty ones too.
    #[default]
    Lines,
    /// RFC 4180.
    Csv,
    /// Each line is a JSON value.
    JsonLines,
}

/// Whether the files of a source are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Files whose name ends with `.gz` or `.gzip` are.
    #[default]
    Auto,
    /// No file is.
    None,
    /// All files are.
    Gzip,
}

/// The options of the `file` source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSourceOptions {
    /// Files, folders and globs.
    pub paths: Vec<String>,
    #[serde(default)]
    pub format: FileFormat,
    /// CSV: the columns to read, in this order; all of them if absent. Without a header: the names of all columns.
    pub columns: Option<Vec<String>>,
    /// CSV: what separates fields, one ASCII character; a comma if absent.
    delimiter: Option<String>,
    /// CSV: whether the first record names the columns; it does if absent.
    header: Option<bool>,
    /// CSV: whether quoted fields may contain line ends; then files are not split.
    multiline: Option<bool>,
    #[serde(default)]
    pub compression: Compression,
    /// The longest split; smaller ones are made to keep all readers busy.
    #[serde(default = "default_split_size")]
    pub split_size: ByteSize,
}

fn default_split_size() -> ByteSize {
    ByteSize(64 * 1024 * 1024)
}

impl FileSourceOptions {
    pub fn parse(text: &str) -> Result<Self, ConnectorError> {
        let options: Self = parse_options("source", "file", text)?;
        options.check().map_err(|reason| ConnectorError::Options { kind: "source", connector: "file", reason })?;
        Ok(options)
    }

    fn check(&self) -> Result<(), String> {
        if self.paths.is_empty() {
            return Err("option \"paths\": it names no path".to_owned());
        }
        if self.paths.len() > PATHS_MAX {
            return Err(format!("option \"paths\": it has {} paths; at most {PATHS_MAX}", self.paths.len()));
        }
        if self.format != FileFormat::Csv {
            let csv_only = [
                ("columns", self.columns.is_some()),
                ("delimiter", self.delimiter.is_some()),
                ("header", self.header.is_some()),
                ("multiline", self.multiline.is_some()),
            ];
            if let Some((name, _)) = csv_only.iter().find(|(_, given)| *given) {
                return Err(format!("option \"{name}\": it needs \"format\": \"csv\""));
            }
        }
        if self.columns.as_ref().is_some_and(|columns| columns.is_empty() || columns.len() > COLUMNS_MAX) {
            return Err(format!("option \"columns\": name 1 to {COLUMNS_MAX} columns"));
        }
        if let Some(delimiter) = &self.delimiter {
            let [byte] = delimiter.as_bytes() else {
                return Err("option \"delimiter\": it has to be one ASCII character".to_owned());
            };
            if !byte.is_ascii() || matches!(byte, b'"' | b'\n' | b'\r') {
                return Err("option \"delimiter\": it cannot be a quote or a line end".to_owned());
            }
        }
        Ok(())
    }

    pub fn delimiter(&self) -> u8 {
        self.delimiter.as_deref().and_then(|text| text.bytes().next()).unwrap_or(b',')
    }

    pub fn header(&self) -> bool {
        self.header.unwrap_or(true)
    }

    pub fn multiline(&self) -> bool {
        self.multiline.unwrap_or(false)
    }
}

/// What a sink writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SinkFormat {
    /// Each row and a line end.
    #[default]
    Lines,
}

/// The options of the `file` sink.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileSinkOptions {
    /// The folder of the part files; it is created if it does not exist.
    pub path: String,
    /// How rows are written.
    #[serde(default)]
    pub format: SinkFormat,
    /// What the names of part files begin with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// What the names of part files end with.
    #[serde(default)]
    pub suffix: String,
    /// A part that has grown to this size is followed by another one.
    #[serde(default = "default_roll_size")]
    pub roll_size: ByteSize,
}

fn default_prefix() -> String {
    "part".to_owned()
}

fn default_roll_size() -> ByteSize {
    ByteSize(128 * 1024 * 1024)
}

impl FileSinkOptions {
    pub fn parse(text: &str) -> Result<Self, ConnectorError> {
        let options: Self = parse_options("sink", "file", text)?;
        let refuse =
            |reason: &str| Err(ConnectorError::Options { kind: "sink", connector: "file", reason: reason.to_owned() });
        let named = |text: &str| text.len() <= 100 && !text.contains(['/', '\0']);
        if options.prefix.is_empty() || !named(&options.prefix) || options.prefix.starts_with(['.', '_']) {
            return refuse("option \"prefix\": 1 to 100 bytes without \"/\" that do not begin with \".\" or \"_\"");
        }
        if !named(&options.suffix) {
            return refuse("option \"suffix\": at most 100 bytes without \"/\"");
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let options = FileSourceOptions::parse(r#"{"paths": ["/a"], "format": "csv"}"#).unwrap();
        assert_eq!((options.delimiter(), options.header(), options.multiline()), (b',', true, false));
        assert_eq!((options.split_size, options.compression), (ByteSize(64 << 20), Compression::Auto));
        let options = FileSinkOptions::parse(r#"{"path": "/a", "roll-size": "2 mb"}"#).unwrap();
        assert_eq!((options.prefix.as_str(), options.suffix.as_str(), options.roll_size.0), ("part", "", 2 << 20));
        assert_eq!(options.format, SinkFormat::Lines);
    }

    #[test]
    fn what_is_wrong_with_the_options_is_named() {
        for (text, named) in [
            ("", "missing field `paths`"),
            (r#"{"paths": [], "format": "lines"}"#, "\"paths\""),
            (r#"{"path": "/a"}"#, "unknown field `path`, expected one of `paths`"),
            (r#"{"paths": "/a"}"#, "option \"paths\": invalid type"),
            (r#"{"paths": ["/a", 3]}"#, "option \"paths[1]\": invalid type"),
            (r#"{"paths": ["/a"], "format": "xml"}"#, "option \"format\": unknown variant `xml`"),
            (r#"{"paths": ["/a"], "split-size": "many"}"#, "option \"split-size\": \"many\" is not an amount"),
            (r#"{"paths": ["/a"], "split-size": 0}"#, "option \"split-size\""),
            (r#"{"paths": ["/a"], "multiline": true}"#, "\"multiline\": it needs \"format\": \"csv\""),
            (r#"{"paths": ["/a"], "format": "csv", "delimiter": "\""}"#, "\"delimiter\""),
            (r#"{"paths": ["/a"], "format": "csv", "delimiter": "::"}"#, "\"delimiter\""),
            (r#"{"paths": ["/a"], "format": "csv", "columns": []}"#, "\"columns\""),
            (r#"{"paths": ["/a"]} x"#, "trailing"),
            ("[[\"/a\"]]", "not a JSON object"),
        ] {
            let message = FileSourceOptions::parse(text).unwrap_err().to_string();
            assert!(message.contains(named), "{text}: {message}");
        }
        for (text, named) in [
            (r#"{"path": "/a", "prefix": "a/b"}"#, "\"prefix\""),
            (r#"{"path": "/a", "prefix": ".a"}"#, "\"prefix\""),
            (r#"{"path": "/a", "suffix": "/../x"}"#, "\"suffix\""),
            (r#"{"path": 7}"#, "option \"path\""),
        ] {
            let message = FileSinkOptions::parse(text).unwrap_err().to_string();
            assert!(message.contains(named), "{text}: {message}");
        }
    }
}
