//! The `file` source before it is read: checks and splits.

use std::sync::Arc;

use millrace_graph::Format;

use super::CHUNK_BYTES;
use super::listing::{check_paths, list_files};
use super::options::{FileFormat, FileSourceOptions};
use super::reader::{FileReader, Reading};
use super::split::{FileSplit, plan_splits};
use crate::{ConnectorError, FileRoots};

/// A `file` source with its options read.
pub struct FileSourcePlan {
    options: Arc<FileSourceOptions>,
}

impl FileSourcePlan {
    pub fn parse(options: &str) -> Result<Self, ConnectorError> {
        Ok(Self { options: Arc::new(FileSourceOptions::parse(options)?) })
    }

    pub fn payload_format(&self) -> Format {
        match self.options.format {
            FileFormat::Lines => Format::Raw,
            FileFormat::Csv => Format::Fields,
            FileFormat::JsonLines => Format::Json,
        }
    }

    pub fn check_paths(&self, roots: &FileRoots) -> Result<(), ConnectorError> {
        check_paths(&self.options.paths, roots)
    }

    pub fn enumerate(&self, parallelism: u32, roots: &FileRoots) -> Result<Vec<Vec<u8>>, ConnectorError> {
        let files = list_files(&self.options.paths, roots)?;
        plan_splits(files, &self.options, parallelism)?.iter().map(FileSplit::encode).collect()
    }

    pub fn reader(self, roots: FileRoots) -> FileReader {
        FileReader::new(Reading { options: self.options, roots, chunk_bytes: CHUNK_BYTES })
    }
}
