//! The `file` sink: gathers rows and writes them in blocking threads.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use millrace_types::CheckpointId;
use millrace_wire::BatchView;

use super::CHUNK_BYTES;
use super::options::{FileSinkOptions, SinkFormat};
use super::part_name::PartNames;
use super::part_writer::{PartSettings, PartWriter};
use crate::blocking::blocking;
use crate::{ConnectorError, FileRoots, Sink, SinkContext};

/// A `file` sink with its options read.
pub struct FileSinkPlan {
    options: FileSinkOptions,
}

impl FileSinkPlan {
    pub fn parse(options: &str) -> Result<Self, ConnectorError> {
        Ok(Self { options: FileSinkOptions::parse(options)? })
    }

    pub fn check_path(&self, roots: &FileRoots) -> Result<(), ConnectorError> {
        let path = roots.resolve(&self.options.path)?;
        if path.exists() && !path.is_dir() {
            let reason = "it is a file, and a folder for part files is needed".to_owned();
            return Err(ConnectorError::Path { path: self.options.path.clone(), reason });
        }
        Ok(())
    }

    pub async fn open(self, context: SinkContext) -> Result<FileSink, ConnectorError> {
        let FileSinkOptions { path, format, prefix, suffix, roll_size } = self.options;
        let SinkContext { job, node, subtask, parallelism, attempt, checkpointed, .. } = context;
        let SinkContext { restored, roots, crash_points, log, .. } = context;
        let names = PartNames::new(&prefix, &suffix, job, node, subtask, attempt);
        let settings = PartSettings { names, parallelism, roll_bytes: roll_size.0, checkpointed, crash_points };
        let (writer, gone) = blocking(move || PartWriter::open(roots, &path, settings, restored)).await?;
        for part in gone {
            log.line(&format!(
                "\"{}\" is part of the restored checkpoint and is not there: it was moved away or removed after it had \
                 been published",
                part.display()
            ));
        }
        let chunk_bytes = CHUNK_BYTES.min(usize::try_from(roll_size.0).unwrap_or(CHUNK_BYTES));
        let writer = Arc::new(Mutex::new(writer));
        Ok(FileSink { format, checkpointed, writer, buffer: Vec::new(), chunk_bytes })
    }
}

/// Writes rows to part files.
pub struct FileSink {
    format: SinkFormat,
    checkpointed: bool,
    /// Shared with the blocking thread that writes: whoever comes next waits for it, even if its future was dropped.
    writer: Arc<Mutex<PartWriter>>,
    buffer: Vec<u8>,
    /// How much is gathered before it is written, in bytes.
    chunk_bytes: usize,
}

impl FileSink {
    async fn with_writer<T, F>(&self, work: F) -> Result<T, ConnectorError>
    where
        T: Send + 'static,
        F: FnOnce(&mut PartWriter) -> Result<T, ConnectorError> + Send + 'static,
    {
        let writer = Arc::clone(&self.writer);
        // A writer that panicked is still good for an abort; anything else fails on its files.
        blocking(move || work(&mut writer.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    async fn flush(&mut self) -> Result<(), ConnectorError> {
        let mut rows = std::mem::take(&mut self.buffer);
        let written = self.with_writer(move |writer| {
            writer.write(&rows)?;
            rows.clear();
            Ok(rows)
        });
        self.buffer = written.await?;
        Ok(())
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn write(&mut self, batch: &BatchView) -> Result<(), ConnectorError> {
        let SinkFormat::Lines = self.format;
        for row in batch.rows() {
            self.buffer.extend_from_slice(row.payload);
            self.buffer.push(b'\n');
        }
        if self.buffer.len() >= self.chunk_bytes { self.flush().await } else { Ok(()) }
    }

    fn transactional(&self) -> bool {
        self.checkpointed
    }

    async fn prepare(&mut self, checkpoint: CheckpointId) -> Result<Vec<Bytes>, ConnectorError> {
        self.flush().await?;
        self.with_writer(move |writer| writer.prepare(checkpoint)).await
    }

    async fn commit(&mut self, committables: &[Bytes]) -> Result<(), ConnectorError> {
        let committables = committables.to_vec();
        self.with_writer(move |writer| writer.commit(&committables)).await
    }

    async fn finish(&mut self) -> Result<(), ConnectorError> {
        self.flush().await?;
        self.with_writer(PartWriter::finish).await
    }

    async fn abort(&mut self) {
        let aborted = self.with_writer(|writer| {
            writer.abort();
            Ok(())
        });
        // It fails only where the process is ending; what is left is removed by the next attempt.
        let _ended_anyway = aborted.await;
    }
}

#[cfg(test)]
impl FileSink {
    /// Hands over what was gathered.
    pub async fn flush_for_test(&mut self) {
        self.flush().await.unwrap();
    }

    /// Makes the part being written one on a full disk.
    pub fn replace_file(&self, file: std::fs::File) {
        self.writer.lock().unwrap().replace_file(file);
    }
}
