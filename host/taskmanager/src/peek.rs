//! Copies of the records that tasks send, for whoever looks.
//!
//! Invariants:
//! - While nobody looks a task pays one relaxed read for a batch. While somebody does it copies a bounded number of records,
//!   each to a bounded length, and waits for nobody.
//! - A look ends when it has what it wanted, when its time is over, and when whoever looks is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use millrace_protocol::{PEEK_RECORD_BYTES_MAX, PEEK_RECORDS_MAX, PEEK_WAIT_MS_MAX, PeekRequest, PeekedRecord};
use millrace_types::AttemptId;
use millrace_wire::BatchView;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::metrics::TaskMetrics;

/// Those who look at one task at once.
const LOOKS_MAX: usize = 8;

/// How long a look goes on behind its first record.
const SETTLE: Duration = Duration::from_millis(300);

/// Somebody who looks at an edge of a task.
#[derive(Debug)]
struct Look {
    subtask: u32,
    target_uid: String,
    target_port: u32,
    /// Has room for what is wanted.
    records: mpsc::Sender<PeekedRecord>,
}

impl Look {
    /// Copies what is wanted of a batch. Whether more is.
    fn copy(&self, batch: &BatchView) -> bool {
        batch.rows().all(|row| {
            let kept = beginning(row.payload);
            let key = row.key.map(|key| Bytes::copy_from_slice(beginning(key)));
            let is_cut = kept.len() < row.payload.len() || key.as_ref().map(Bytes::len) < row.key.map(<[u8]>::len);
            let record = PeekedRecord {
                subtask: self.subtask,
                timestamp: row.timestamp,
                payload: Bytes::copy_from_slice(kept),
                key,
                is_cut,
            };
            self.records.try_send(record).is_ok()
        })
    }
}

/// What is kept of some bytes.
fn beginning(bytes: &[u8]) -> &[u8] {
    bytes.get(..PEEK_RECORD_BYTES_MAX).unwrap_or(bytes)
}

/// Between a task and those who look at what it sends.
#[derive(Debug, Default)]
pub(crate) struct Peeks {
    wanted: AtomicBool,
    looks: Mutex<Vec<Look>>,
}

impl Peeks {
    /// Whether somebody looks.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// A batch goes to an operator's port.
    pub(crate) fn copy(&self, target_uid: &str, target_port: u32, batch: &BatchView) {
        let mut looks = self.lock();
        looks.retain(|look| {
            let is_meant = look.target_port == target_port && look.target_uid == target_uid;
            if is_meant { look.copy(batch) } else { !look.records.is_closed() }
        });
        self.wanted.store(!looks.is_empty(), Ordering::Relaxed);
    }

    fn add(&self, look: Look) {
        let mut looks = self.lock();
        looks.retain(|look| !look.records.is_closed());
        if looks.len() < LOOKS_MAX {
            looks.push(look);
        }
        self.wanted.store(!looks.is_empty(), Ordering::Relaxed);
    }

    /// Somebody looks no longer.
    fn settle(&self) {
        let mut looks = self.lock();
        looks.retain(|look| !look.records.is_closed());
        self.wanted.store(!looks.is_empty(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next records that some tasks send along an edge.
pub(crate) async fn look(tasks: Vec<(AttemptId, Arc<TaskMetrics>)>, wanted: &PeekRequest) -> Vec<PeekedRecord> {
    let records_max = wanted.records_max.clamp(1, PEEK_RECORDS_MAX) as usize;
    let (sender, mut receiver) = mpsc::channel(records_max);
    for (attempt, metrics) in &tasks {
        metrics.peeks.add(Look {
            subtask: attempt.subtask,
            target_uid: wanted.target_uid.clone(),
            target_port: wanted.target_port,
            records: sender.clone(),
        });
    }
    // When the last task is gone nothing comes any more.
    drop(sender);
    let mut deadline = Instant::now() + Duration::from_millis(wanted.wait_ms.min(PEEK_WAIT_MS_MAX));
    let mut records = Vec::new();
    while records.len() < records_max {
        let Ok(Some(record)) = tokio::time::timeout_at(deadline, receiver.recv()).await else { break };
        if records.is_empty() {
            deadline = deadline.min(Instant::now() + SETTLE);
        }
        records.push(record);
    }
    drop(receiver);
    tasks.iter().for_each(|(_, metrics)| metrics.peeks.settle());
    records
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use millrace_types::{JobId, VertexId};
    use millrace_wire::{BatchBuilder, BatchFlags};

    use super::*;

    fn batch(rows: &[&[u8]]) -> BatchView {
        let mut builder = BatchBuilder::new(BatchFlags { timestamped: true, keyed: false });
        for row in rows {
            builder.push(Some(7), None, row);
        }
        builder.finish_view()
    }

    fn task(subtask: u32) -> (AttemptId, Arc<TaskMetrics>) {
        let (job, vertex) = (JobId::from_bytes([1; 16]), VertexId::from_bytes([2; 16]));
        (AttemptId { job, vertex, subtask, attempt: 0 }, Arc::new(TaskMetrics::new([])))
    }

    fn wanted(records_max: u32) -> PeekRequest {
        let (attempt, _) = task(0);
        let target_uid = "sink".to_owned();
        PeekRequest {
            job: attempt.job,
            vertex: attempt.vertex,
            target_uid,
            target_port: 1,
            records_max,
            wait_ms: 5_000,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_records_of_the_edge_are_copied_and_no_others() {
        let tasks = vec![task(0), task(3)];
        let others = tasks.clone();
        let looking = tokio::spawn(async move { look(tasks, &wanted(3)).await });
        while !others[1].1.peeks.is_wanted() {
            tokio::task::yield_now().await;
        }
        let peeks = &others[1].1.peeks;
        peeks.copy("sink", 0, &batch(&[b"another port"]));
        peeks.copy("other", 1, &batch(&[b"another operator"]));
        let long = [b'x'; PEEK_RECORD_BYTES_MAX + 1];
        peeks.copy("sink", 1, &batch(&[b"a", &long]));
        others[0].1.peeks.copy("sink", 1, &batch(&[b"c", b"one too many"]));
        let found = looking.await.unwrap();
        let short: Vec<_> = found.iter().map(|record| (record.subtask, record.payload.len(), record.is_cut)).collect();
        assert_eq!(short, [(3, 1, false), (3, PEEK_RECORD_BYTES_MAX, true), (0, 1, false)]);
        assert_eq!(found[0].timestamp, Some(7));
        assert!(others.iter().all(|(_, metrics)| !metrics.peeks.is_wanted()));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_copied_too_since_some_records_are_nothing_else() {
        let tasks = vec![task(0)];
        let metrics = tasks[0].1.clone();
        let looking = tokio::spawn(async move { look(tasks, &wanted(2)).await });
        while !metrics.peeks.is_wanted() {
            tokio::task::yield_now().await;
        }
        let mut builder = BatchBuilder::new(BatchFlags { timestamped: false, keyed: true });
        builder.push(None, Some(b"word"), b"");
        builder.push(None, Some(&[b'k'; PEEK_RECORD_BYTES_MAX + 1]), b"v");
        metrics.peeks.copy("sink", 1, &builder.finish_view());
        let found = looking.await.unwrap();
        let keys: Vec<_> = found.iter().map(|record| (record.key.as_ref().unwrap().len(), record.is_cut)).collect();
        assert_eq!(keys, [(4, false), (PEEK_RECORD_BYTES_MAX, true)]);
        assert_eq!((found[0].key.as_deref(), found[1].payload.as_ref()), (Some(b"word".as_slice()), b"v".as_slice()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_with_its_time_and_shortly_behind_its_first_record() {
        let began = Instant::now();
        let tasks = vec![task(0)];
        assert_eq!(look(tasks.clone(), &wanted(3)).await, []);
        assert_eq!(began.elapsed().as_millis(), 5_000);
        assert!(!tasks[0].1.peeks.is_wanted());
        let (began, others) = (Instant::now(), tasks.clone());
        let looking = tokio::spawn(async move { look(tasks, &wanted(3)).await });
        while !others[0].1.peeks.is_wanted() {
            tokio::task::yield_now().await;
        }
        others[0].1.peeks.copy("sink", 1, &batch(&[b"a"]));
        assert_eq!(looking.await.unwrap().len(), 1);
        assert_eq!(began.elapsed(), SETTLE);
    }

    #[tokio::test]
    async fn few_may_look_at_once() {
        let (attempt, metrics) = task(0);
        let (sender, receiver) = mpsc::channel(1);
        for _ in 0..LOOKS_MAX + 3 {
            let target_uid = "sink".to_owned();
            metrics.peeks.add(Look { subtask: attempt.subtask, target_uid, target_port: 0, records: sender.clone() });
        }
        assert_eq!(metrics.peeks.lock().len(), LOOKS_MAX);
        drop(receiver);
        // Whoever went without a word is noticed with the next batch.
        metrics.peeks.copy("other", 0, &batch(&[b"a"]));
        assert!(!metrics.peeks.is_wanted());
    }
}
