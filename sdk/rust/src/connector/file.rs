//! Files of the host.

use serde::de::DeserializeOwned;

use super::native::{NativeSink, NativeSource};
use crate::data::Data;
use crate::fields::Fields;
use crate::format::{CsvFields, CsvLine, Json, Raw};

/// Reads files, folders and globs.
pub struct FileSource;

fn strings(values: impl IntoIterator<Item: Into<String>>) -> Vec<String> {
    values.into_iter().map(Into::into).collect()
}

impl FileSource {
    /// Each line is a record.
    pub fn lines(paths: impl IntoIterator<Item: Into<String>>) -> NativeSource<String, Raw> {
        NativeSource::new("file").option("paths", strings(paths)).option("format", "lines")
    }

    /// Each CSV row is a record of these columns, in this order. The first row of a file names its columns.
    pub fn csv(
        paths: impl IntoIterator<Item: Into<String>>,
        columns: impl IntoIterator<Item: Into<String>>,
    ) -> NativeSource<Fields, CsvFields> {
        let source = NativeSource::new("file").option("paths", strings(paths)).option("format", "csv");
        source.option("columns", strings(columns))
    }

    /// Each line is a JSON value.
    pub fn json_lines<T: Data + DeserializeOwned>(
        paths: impl IntoIterator<Item: Into<String>>,
    ) -> NativeSource<T, Json<T>> {
        NativeSource::new("file").option("paths", strings(paths)).option("format", "json-lines")
    }
}

/// Writes part files into a folder. A part is visible once it is complete.
pub struct FileSink;

impl FileSink {
    /// Each record is a line.
    pub fn lines(path: impl Into<String>) -> NativeSink<Raw> {
        NativeSink::new("file").option("path", path.into())
    }

    /// Each record is a CSV row, quoted where needed.
    pub fn csv(path: impl Into<String>) -> NativeSink<CsvLine> {
        NativeSink::new("file").option("path", path.into()).option("suffix", ".csv")
    }

    /// Each record is a line of JSON.
    pub fn json(path: impl Into<String>) -> NativeSink<Json> {
        NativeSink::new("file").option("path", path.into()).option("suffix", ".jsonl")
    }
}
