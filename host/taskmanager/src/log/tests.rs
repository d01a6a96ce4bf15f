//! Tests of the logs as tasks and readers use them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn key(vertex: u8, subtask: u32) -> LogKey {
    LogKey {
        tenant: TenantId::default_tenant(),
        job: JobId::from_bytes([1; 16]),
        vertex: VertexId::from_bytes([vertex; 16]),
        subtask,
    }
}

async fn read(logs: &TaskLogs, vertex: Option<u8>, bytes_max: u64) -> String {
    let (LogKey { tenant, job, .. }, vertex) = (key(0, 0), vertex.map(|v| VertexId::from_bytes([v; 16])));
    logs.read(LogRequest { tenant, job, vertex, subtask: None, bytes_max }).await.unwrap()
}

#[tokio::test]
async fn lines_of_all_subtasks_are_merged_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let logs = TaskLogs::start(folder.path().join("logs")).unwrap();
    let first = logs.open(key(1, 0), 2).await;
    let second = logs.open(key(1, 1), 2).await;
    let other = logs.open(key(2, 0), 1).await;
    first.line(Timestamp(1_000), Level::Info, "print", "a");
    second.line(Timestamp(2_000), Level::Warn, "print", "b\nmore\n");
    first.line(Timestamp(3_000), Level::Error, "print", "c");
    other.line(Timestamp(2_500), Level::Debug, "map", "d");
    let all = "1970-01-01T00:00:01.000Z INFO  print (1/2): a\n\
               1970-01-01T00:00:02.000Z WARN  print (2/2): b\n\tmore\n\
               1970-01-01T00:00:02.500Z DEBUG map (1/1): d\n\
               1970-01-01T00:00:03.000Z ERROR print (1/2): c\n";
    assert_eq!(read(&logs, None, 10_000).await, all);
    assert_eq!(read(&logs, Some(2), 10_000).await.lines().count(), 1);
    assert_eq!(read(&logs, Some(3), 10_000).await, "");
    let newest = read(&logs, None, 100).await;
    assert!(all.ends_with(&newest) && newest.lines().count() == 2, "{newest}");
    drop((first, second, other));
    assert_eq!(read(&logs, None, 10_000).await, all, "a log outlives its tasks");
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_counted_and_said() {
    let folder = tempfile::tempdir().unwrap();
    // No thread takes from this queue until the flood is over.
    let (orders, receiver) = mpsc::channel(3);
    let logs = TaskLogs { orders, root: Arc::new(folder.path().to_owned()), dropped: Arc::default() };
    let log = logs.open(key(1, 0), 1).await;
    for n in 0..10 {
        log.line(Timestamp(n), Level::Info, "op", "x");
    }
    assert_eq!(logs.lines_dropped(), 8);
    let files = LogFiles::new(folder.path().to_owned());
    std::thread::spawn(move || write_out(receiver, files));
    assert_eq!(read(&logs, None, 10_000).await.lines().count(), 2);
    log.line(Timestamp(20), Level::Info, "op", "y");
    let text = read(&logs, None, 10_000).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[2].ends_with("8 lines were dropped: they came faster than the disk takes them"), "{text}");
    assert!(lines[3].ends_with("y"));
}
