//! The sinks that need no file: `print`, `discard` and `collect`.

use std::sync::Arc;

use async_trait::async_trait;
use millrace_wire::BatchView;
use serde::Deserialize;

use crate::options::parse_options;
use crate::{CollectSender, ConnectorError, Sink, SinkContext, TaskLog};

/// The longest row that `print` shows in full, in bytes.
const PRINT_BYTES_MAX: usize = 8 * 1024;

/// The most rows in one message of `collect`.
const COLLECT_ROWS_MAX: usize = 1024;

/// About the most bytes of rows in one message of `collect`; a longer row travels alone.
const COLLECT_BYTES_MAX: usize = 256 * 1024;

/// The options of connectors that have none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

impl NoOptions {
    pub fn parse(connector: &'static str, options: &str) -> Result<Self, ConnectorError> {
        parse_options("sink", connector, options)
    }
}

/// Writes rows to the task's log, as Flink's `print` does to standard output.
pub struct PrintSink {
    log: Arc<dyn TaskLog>,
    /// `3> `, counted from 1, if there are several subtasks.
    prefix: String,
}

impl PrintSink {
    pub fn new(context: &SinkContext) -> Self {
        let prefix = if context.parallelism > 1 { format!("{}> ", context.subtask + 1) } else { String::new() };
        Self { log: Arc::clone(&context.log), prefix }
    }
}

#[async_trait]
impl Sink for PrintSink {
    async fn write(&mut self, batch: &BatchView) -> Result<(), ConnectorError> {
        for row in batch.rows() {
            let shown = &row.payload[..row.payload.len().min(PRINT_BYTES_MAX)];
            let mut line = format!("{}{}", self.prefix, String::from_utf8_lossy(shown));
            if shown.len() < row.payload.len() {
                line.push_str(&format!("… ({} bytes)", row.payload.len()));
            }
            self.log.line(&line);
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn abort(&mut self) {}
}

/// Drops rows: for measurements.
pub struct DiscardSink;

#[async_trait]
impl Sink for DiscardSink {
    async fn write(&mut self, _batch: &BatchView) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn abort(&mut self) {}
}

/// Sends rows to the client.
pub struct CollectSink {
    sender: Arc<dyn CollectSender>,
}

impl CollectSink {
    pub fn new(sender: Arc<dyn CollectSender>) -> Self {
        Self { sender }
    }
}

#[async_trait]
impl Sink for CollectSink {
    async fn write(&mut self, batch: &BatchView) -> Result<(), ConnectorError> {
        let mut message = Vec::new();
        let mut bytes = 0;
        for row in batch.rows() {
            let full = message.len() == COLLECT_ROWS_MAX || bytes + row.payload.len() > COLLECT_BYTES_MAX;
            if full && !message.is_empty() {
                self.sender.send(std::mem::take(&mut message)).await?;
                bytes = 0;
            }
            bytes += row.payload.len();
            message.push(row.payload.to_vec());
        }
        if message.is_empty() { Ok(()) } else { self.sender.send(message).await }
    }

    async fn finish(&mut self) -> Result<(), ConnectorError> {
        Ok(())
    }

    async fn abort(&mut self) {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Mutex;

    use millrace_types::{CrashPoints, JobId, NodeId};
    use millrace_wire::{BatchBuilder, BatchFlags};

    use super::*;
    use crate::FileRoots;

    #[derive(Default)]
    struct Recorder {
        lines: Mutex<Vec<String>>,
        messages: Mutex<Vec<Vec<Vec<u8>>>>,
    }

    impl TaskLog for Recorder {
        fn line(&self, text: &str) {
            self.lines.lock().unwrap().push(text.to_owned());
        }
    }

    #[async_trait]
    impl CollectSender for Recorder {
        async fn send(&self, rows: Vec<Vec<u8>>) -> Result<(), ConnectorError> {
            self.messages.lock().unwrap().push(rows);
            Ok(())
        }
    }

    fn context(recorder: &Arc<Recorder>, subtask: u32, parallelism: u32) -> SinkContext {
        SinkContext {
            job: JobId::from_bytes([1; 16]),
            node: NodeId(2),
            subtask,
            parallelism,
            attempt: 0,
            checkpointed: false,
            restored: None,
            roots: FileRoots::none(),
            crash_points: CrashPoints::default(),
            log: Arc::clone(recorder) as Arc<dyn TaskLog>,
            collect: Arc::clone(recorder) as Arc<dyn CollectSender>,
        }
    }

    fn batch(rows: &[&[u8]]) -> BatchView {
        let mut builder = BatchBuilder::new(BatchFlags::default());
        for row in rows {
            builder.push(None, None, row);
        }
        builder.finish_view()
    }

    #[tokio::test]
    async fn print_names_the_subtask_if_there_are_several() {
        let recorder = Arc::new(Recorder::default());
        PrintSink::new(&context(&recorder, 0, 1)).write(&batch(&[b"alone"])).await.unwrap();
        PrintSink::new(&context(&recorder, 2, 4)).write(&batch(&[b"third", b"\xff"])).await.unwrap();
        PrintSink::new(&context(&recorder, 0, 1)).write(&batch(&[&[b'x'; PRINT_BYTES_MAX + 1]])).await.unwrap();
        let lines = recorder.lines.lock().unwrap();
        assert_eq!(lines[..3], ["alone", "3> third", "3> \u{fffd}"]);
        assert!(lines[3].ends_with("x… (8193 bytes)"));
    }

    #[tokio::test]
    async fn collect_sends_bounded_messages_in_order() {
        let recorder = Arc::new(Recorder::default());
        let big = vec![b'b'; COLLECT_BYTES_MAX + 1];
        let mut rows: Vec<&[u8]> = vec![b"a", &big, b"c"];
        rows.extend(std::iter::repeat_n(&b""[..], COLLECT_ROWS_MAX));
        CollectSink::new(context(&recorder, 0, 1).collect).write(&batch(&rows)).await.unwrap();
        let messages = recorder.messages.lock().unwrap();
        assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, COLLECT_ROWS_MAX, 1]);
        assert_eq!(messages.concat(), rows);
    }
}
