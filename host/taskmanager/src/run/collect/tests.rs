//! Tests of the window.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::log::{LogKey, TaskLogs};
use crate::metrics::TaskMetrics;
use millrace_types::{AttemptId, JobId, TenantId, VertexId};

#[tokio::test]
async fn a_client_that_does_not_keep_up_holds_the_sink_back() {
    let folder = tempfile::tempdir().unwrap();
    let logs = TaskLogs::start(folder.path().to_owned()).unwrap();
    let (job, vertex) = (JobId::from_bytes([1; 16]), VertexId::from_bytes([2; 16]));
    let key = LogKey { tenant: TenantId::default_tenant(), job, vertex, subtask: 0 };
    let attempt = AttemptId { job, vertex, subtask: 0, attempt: 0 };
    let shared = Arc::new(TaskShared::new(attempt, Arc::new(TaskMetrics::new([])), logs.open(key, 1).await));
    let (outbound, mut messages) = mpsc::channel(64);
    let (acknowledge, acknowledged) = watch::channel(0);
    let link = Arc::new(CollectLink::new(NodeId(3), outbound, acknowledged, shared));

    for n in 0..UNACKNOWLEDGED_MAX as u8 {
        link.send(vec![vec![n], vec![n]]).await.unwrap();
    }
    let waiting = tokio::spawn({
        let link = Arc::clone(&link);
        async move { link.send(vec![vec![99]]).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    // Half of the first message is not enough.
    acknowledge.send(1).unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    acknowledge.send(2).unwrap();
    waiting.await.unwrap().unwrap();

    let mut sequences = Vec::new();
    while let Ok(ToJobManager::Collected(message)) = messages.try_recv() {
        sequences.push((message.sequence, message.rows.len()));
    }
    let expected: Vec<_> = (0..UNACKNOWLEDGED_MAX as u64).map(|n| (2 * n, 2)).chain([(16, 1)]).collect();
    assert_eq!(sequences, expected);

    drop(messages);
    acknowledge.send(17).unwrap();
    assert!(matches!(link.send(vec![]).await, Err(ConnectorError::CollectClosed { .. })));
}
