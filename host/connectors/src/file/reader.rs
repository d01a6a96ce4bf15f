//! The reader of the `file` source: keeps the last split open between polls.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_wire::BatchBuilder;

use super::options::FileSourceOptions;
use super::split::{FileSplit, decode_offset, encode_offset};
use super::split_reader::SplitReader;
use crate::{ConnectorError, FileRoots, PollStatus, Polled, SourceReader};

/// What all splits of a source are read with.
pub struct Reading {
    pub options: Arc<FileSourceOptions>,
    pub roots: FileRoots,
    /// What is read at once, in bytes.
    pub chunk_bytes: usize,
}

/// Reads splits of the `file` source.
pub struct FileReader {
    reading: Reading,
    /// The split that was read last, if it has more. Taken out while it is read: an abandoned or failed poll leaves
    /// nothing half read behind.
    current: Option<(Vec<u8>, SplitReader)>,
}

impl FileReader {
    pub fn new(reading: Reading) -> Self {
        Self { reading, current: None }
    }

    async fn open(&self, split: &[u8], position: Option<u64>) -> Result<SplitReader, ConnectorError> {
        SplitReader::open(&FileSplit::decode(split)?, position, &self.reading).await
    }
}

#[async_trait]
impl SourceReader for FileReader {
    async fn poll(
        &mut self,
        split: &[u8],
        offset: &[u8],
        out: &mut BatchBuilder,
        max_bytes: usize,
    ) -> Result<Polled, ConnectorError> {
        let position = decode_offset(offset)?;
        let (id, mut reader) = match self.current.take() {
            Some((id, reader)) if id == split && position == Some(reader.position()) => (id, reader),
            _ => (split.to_vec(), self.open(split, position).await?),
        };
        let finished = reader.read(out, max_bytes).await?;
        let offset = encode_offset(reader.position());
        if finished {
            return Ok(Polled { offset, status: PollStatus::Finished });
        }
        self.current = Some((id, reader));
        Ok(Polled { offset, status: PollStatus::More })
    }
}
