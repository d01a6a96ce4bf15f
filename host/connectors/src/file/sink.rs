//! The `file` sink: gathers rows and writes them in blocking threads.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use millrace_wire::BatchView;

use super::CHUNK_BYTES;
use super::options::{FileSinkOptions, SinkFormat};
use super::part_name::PartNames;
use super::part_writer::PartWriter;
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
        let SinkContext { job, node, subtask, parallelism, attempt, roots, .. } = context;
        let names = PartNames::new(&prefix, &suffix, job, node, subtask, attempt);
        let writer = blocking(move || PartWriter::open(roots, &path, names, parallelism, roll_size.0)).await?;
        let chunk_bytes = CHUNK_BYTES.min(usize::try_from(roll_size.0).unwrap_or(CHUNK_BYTES));
        Ok(FileSink { format, writer: Arc::new(Mutex::new(writer)), buffer: Vec::new(), chunk_bytes })
    }
}

/// Writes rows to part files.
pub struct FileSink {
    format: SinkFormat,
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::path::Path;

    use millrace_types::{JobId, NodeId};
    use millrace_wire::{BatchBuilder, BatchFlags};

    use super::*;
    use crate::{CollectSender, TaskLog};

    struct Nobody;

    impl TaskLog for Nobody {
        fn line(&self, _text: &str) {}
    }

    #[async_trait]
    impl CollectSender for Nobody {
        async fn send(&self, _rows: Vec<Vec<u8>>) -> Result<(), ConnectorError> {
            Ok(())
        }
    }

    async fn open(folder: &Path, subtask: u32, attempt: u32, more: &str) -> Result<FileSink, ConnectorError> {
        let options = format!(r#"{{"path": "{}"{more}}}"#, folder.display());
        let context = SinkContext {
            job: JobId::from_bytes([7; 16]),
            node: NodeId(3),
            subtask,
            parallelism: 2,
            attempt,
            roots: FileRoots::unrestricted(),
            log: Arc::new(Nobody),
            collect: Arc::new(Nobody),
        };
        FileSinkPlan::parse(&options)?.open(context).await
    }

    fn batch(rows: &[&str]) -> BatchView {
        let mut builder = BatchBuilder::new(BatchFlags::default());
        for row in rows {
            builder.push(None, None, row.as_bytes());
        }
        builder.finish_view()
    }

    /// The names in a folder without the job's part, and the contents of all.
    fn contents(folder: &Path) -> Vec<(String, String)> {
        let mut found: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().replace(&"07".repeat(16), "JOB");
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[tokio::test]
    async fn parts_are_visible_when_the_sink_finishes_and_not_before() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("new/out");
        let mut sink = open(&folder, 0, 4, r#", "suffix": ".txt", "roll-size": 1"#).await.unwrap();
        sink.write(&batch(&["a", "b"])).await.unwrap();
        sink.write(&batch(&[])).await.unwrap();
        sink.write(&batch(&["c"])).await.unwrap();
        assert_eq!(
            contents(&folder),
            named(&[(".part-JOB-3-0-0.txt.inprogress.4", "a\nb\n"), (".part-JOB-3-0-1.txt.inprogress.4", "c\n")])
        );
        sink.finish().await.unwrap();
        drop(sink);
        assert_eq!(contents(&folder), named(&[("part-JOB-3-0-0.txt", "a\nb\n"), ("part-JOB-3-0-1.txt", "c\n")]));
    }

    #[tokio::test]
    async fn no_rows_make_no_file() {
        let temp = tempfile::tempdir().unwrap();
        let mut sink = open(temp.path(), 0, 0, "").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(contents(temp.path()), []);
    }

    #[tokio::test]
    async fn an_aborted_or_dropped_sink_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        for abort in [true, false] {
            let mut sink = open(temp.path(), 0, 0, r#", "roll-size": 1"#).await.unwrap();
            sink.write(&batch(&["a"])).await.unwrap();
            sink.write(&batch(&["b"])).await.unwrap();
            assert_eq!(contents(temp.path()).len(), 2);
            if abort {
                sink.abort().await;
            }
            drop(sink);
            assert_eq!(contents(temp.path()), []);
        }
    }

    #[tokio::test]
    async fn an_attempt_replaces_what_earlier_ones_left() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("part-other"), "mine").unwrap();
        for subtask in [0, 1, 5] {
            let mut sink = open(temp.path(), subtask, 0, r#", "roll-size": 1"#).await.unwrap();
            sink.write(&batch(&["first"])).await.unwrap();
            sink.write(&batch(&["attempt"])).await.unwrap();
            sink.finish().await.unwrap();
        }
        let mut zombie = open(temp.path(), 0, 1, "").await.unwrap();
        zombie.write(&batch(&["zombie"])).await.unwrap();
        zombie.flush().await.unwrap();

        let mut sink = open(temp.path(), 0, 2, "").await.unwrap();
        sink.write(&batch(&["again"])).await.unwrap();
        sink.finish().await.unwrap();
        // The earlier attempt's part is gone: it can no longer publish anything.
        assert!(matches!(zombie.finish().await, Err(ConnectorError::Io { .. })));
        zombie.abort().await;
        assert_eq!(
            contents(temp.path()),
            named(&[
                ("part-JOB-3-0-0", "again\n"),
                ("part-JOB-3-1-0", "first\n"),
                ("part-JOB-3-1-1", "attempt\n"),
                ("part-other", "mine")
            ])
        );
    }

    #[tokio::test]
    async fn a_full_disk_and_a_wrong_path_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        let plan = FileSinkPlan::parse(&format!(r#"{{"path": "{}"}}"#, file.display())).unwrap();
        assert!(matches!(plan.check_path(&FileRoots::unrestricted()), Err(ConnectorError::Path { .. })));
        let error = open(&file, 0, 0, "").await.err().unwrap();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");

        let mut sink = open(&temp.path().join("out"), 0, 0, "").await.unwrap();
        sink.write(&batch(&["a"])).await.unwrap();
        sink.flush().await.unwrap();
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        sink.writer.lock().unwrap().replace_file(full);
        sink.write(&batch(&["b"])).await.unwrap();
        let error = sink.finish().await.unwrap_err();
        assert!(error.to_string().contains("part-") && error.remedy().unwrap().contains("free space"), "{error}");
        sink.abort().await;
        assert_eq!(contents(&temp.path().join("out")), []);
    }
}
