//! The file sink: its parts with and without checkpoints.
#![allow(clippy::unwrap_used, reason = "tests")]

mod checkpointed;
mod interleavings;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use millrace_types::{CrashPoints, JobId, NodeId};
use millrace_wire::{BatchBuilder, BatchFlags, BatchView};

use super::sink::{FileSink, FileSinkPlan};
use crate::{CollectSender, ConnectorError, FileRoots, Sink, SinkContext, TaskLog};

/// Keeps what a sink logs.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl TaskLog for Lines {
    fn line(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

#[async_trait]
impl CollectSender for Lines {
    async fn send(&self, _rows: Vec<Vec<u8>>) -> Result<(), ConnectorError> {
        Ok(())
    }
}

/// Subtask 0 of 2 in its first attempt, without checkpoints.
fn context() -> SinkContext {
    let lines = Arc::new(Lines::default());
    SinkContext {
        job: JobId::from_bytes([7; 16]),
        node: NodeId(3),
        subtask: 0,
        parallelism: 2,
        attempt: 0,
        checkpointed: false,
        restored: None,
        roots: FileRoots::unrestricted(),
        crash_points: CrashPoints::default(),
        log: Arc::clone(&lines) as Arc<dyn TaskLog>,
        collect: lines,
    }
}

async fn open_with(folder: &Path, more: &str, context: SinkContext) -> Result<FileSink, ConnectorError> {
    let options = format!(r#"{{"path": "{}"{more}}}"#, folder.display());
    FileSinkPlan::parse(&options)?.open(context).await
}

async fn open(folder: &Path, subtask: u32, attempt: u32, more: &str) -> Result<FileSink, ConnectorError> {
    open_with(folder, more, SinkContext { subtask, attempt, ..context() }).await
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
    zombie.flush_for_test().await;

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
    sink.flush_for_test().await;
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    sink.replace_file(full);
    sink.write(&batch(&["b"])).await.unwrap();
    let error = sink.finish().await.unwrap_err();
    assert!(error.to_string().contains("part-") && error.remedy().unwrap().contains("free space"), "{error}");
    sink.abort().await;
    assert_eq!(contents(&temp.path().join("out")), []);
}
