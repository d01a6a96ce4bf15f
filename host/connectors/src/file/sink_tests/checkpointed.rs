//! The file sink with checkpoints, step by step.

use bytes::Bytes;
use millrace_types::CheckpointId;

use super::*;
use crate::RestoredSink;

const ROLLING: &str = r#", "roll-size": 1"#;

/// An attempt of a subtask that goes on from a checkpoint, 0 for none.
async fn attempt(folder: &Path, subtask: u32, attempt: u32, checkpoint: u64, committables: &[Bytes]) -> FileSink {
    let restored = RestoredSink { checkpoint: CheckpointId(checkpoint), committables: committables.to_vec() };
    let restored = Some(restored).filter(|_| checkpoint > 0);
    let context = SinkContext { subtask, attempt, checkpointed: true, restored, ..context() };
    open_with(folder, ROLLING, context).await.unwrap()
}

async fn write(sink: &mut FileSink, rows: &[&str]) {
    for row in rows {
        sink.write(&batch(&[row])).await.unwrap();
    }
}

/// As if the process had been killed.
fn kill(sink: FileSink) {
    std::mem::forget(sink);
}

/// The rows that a reader of the folder sees, in order.
fn visible(folder: &Path) -> Vec<String> {
    let seen = contents(folder).into_iter().filter(|(name, _)| !name.starts_with('.'));
    let mut rows: Vec<_> = seen.flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn each_checkpoint_with_new_rows_makes_parts_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = attempt(temp.path(), 0, 4, 0, &[]).await;
    assert!(sink.transactional());
    assert_eq!(sink.prepare(CheckpointId(1)).await.unwrap(), Vec::<Bytes>::new());
    write(&mut sink, &["a", "b"]).await;
    let second = sink.prepare(CheckpointId(2)).await.unwrap();
    write(&mut sink, &["c"]).await;
    assert_eq!(
        contents(temp.path()),
        named(&[
            (".part-JOB-3-0-2-4-0.prepared", "a\n"),
            (".part-JOB-3-0-2-4-1.prepared", "b\n"),
            (".part-JOB-3-0-2.inprogress.4", "c\n")
        ])
    );
    for _ in 0..2 {
        sink.commit(&second).await.unwrap();
        assert_eq!(visible(temp.path()), ["a", "b"]);
    }
    assert!(matches!(sink.finish().await, Err(ConnectorError::Uncommitted { .. })));
    let third = sink.prepare(CheckpointId(3)).await.unwrap();
    assert_eq!(third.len(), 1, "what is committed is not named again");
    sink.commit(&third).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(
        contents(temp.path()),
        named(&[("part-JOB-3-0-2-4-0", "a\n"), ("part-JOB-3-0-2-4-1", "b\n"), ("part-JOB-3-0-3-4-2", "c\n")])
    );
}

#[tokio::test]
async fn a_checkpoint_covers_what_those_before_it_prepared_in_vain() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = attempt(temp.path(), 0, 0, 0, &[]).await;
    write(&mut sink, &["a"]).await;
    let first = sink.prepare(CheckpointId(1)).await.unwrap();
    write(&mut sink, &["b"]).await;
    let second = sink.prepare(CheckpointId(2)).await.unwrap();
    assert_eq!((first.len(), second.len()), (1, 2));
    sink.commit(&second).await.unwrap();
    // The word of the first one's end came late.
    sink.commit(&first).await.unwrap();
    assert_eq!(visible(temp.path()), ["a", "b"]);
}

#[tokio::test]
async fn wherever_an_attempt_dies_each_row_of_the_checkpoint_is_there_once() {
    // How many of the three parts of checkpoint 2 were renamed when the attempt died: for `prepare`, which is then not
    // acknowledged, and for `commit`.
    for committing in [false, true] {
        for done in 0..=3 {
            let temp = tempfile::tempdir().unwrap();
            let mut sink = attempt(temp.path(), 0, 0, 0, &[]).await;
            write(&mut sink, &["a"]).await;
            let first = sink.prepare(CheckpointId(1)).await.unwrap();
            sink.commit(&first).await.unwrap();
            write(&mut sink, &["b", "c", "d"]).await;
            let second = sink.prepare(CheckpointId(2)).await.unwrap();
            let (restored, committables) = if committing {
                sink.commit(&second[..done]).await.unwrap();
                (2, second)
            } else {
                for (name, _) in contents(temp.path()).iter().filter(|(name, _)| name.ends_with(".prepared")).skip(done)
                {
                    let name = name.replace("JOB", &"07".repeat(16));
                    let number = name.strip_suffix(".prepared").unwrap().rsplit_once('-').unwrap().1;
                    let before = format!(".part-{}-3-0-{number}.inprogress.0", "07".repeat(16));
                    fs::rename(temp.path().join(&name), temp.path().join(before)).unwrap();
                }
                (1, first)
            };
            kill(sink);
            let mut again = attempt(temp.path(), 0, 1, restored, &committables).await;
            let covered: &[&str] = if committing { &["a", "b", "c", "d"] } else { &["a"] };
            assert_eq!(visible(temp.path()), covered, "{committing} {done}");
            assert_eq!(contents(temp.path()).len(), covered.len(), "nothing is left over: {committing} {done}");
            write(&mut again, &["e"]).await;
            let third = again.prepare(CheckpointId(3)).await.unwrap();
            again.commit(&third).await.unwrap();
            assert_eq!(visible(temp.path()), [covered, &["e"]].concat(), "{committing} {done}");
        }
    }
}

#[tokio::test]
async fn a_failed_attempt_keeps_what_it_prepared_and_removes_the_rest() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = attempt(temp.path(), 0, 0, 0, &[]).await;
    write(&mut sink, &["a"]).await;
    let first = sink.prepare(CheckpointId(1)).await.unwrap();
    write(&mut sink, &["b", "c"]).await;
    sink.abort().await;
    drop(sink);
    assert_eq!(contents(temp.path()), named(&[(".part-JOB-3-0-1-0-0.prepared", "a\n")]));
    // The checkpoint turned out to be complete.
    attempt(temp.path(), 0, 1, 1, &first).await.finish().await.unwrap();
    assert_eq!(visible(temp.path()), ["a"]);
}

#[tokio::test]
async fn any_subtask_commits_and_nobody_removes_what_another_one_is_to_commit() {
    let temp = tempfile::tempdir().unwrap();
    let mut committables = Vec::new();
    for subtask in 0..3 {
        let mut sink = attempt(temp.path(), subtask, 0, 0, &[]).await;
        write(&mut sink, &[&format!("covered-{subtask}")]).await;
        committables.push(sink.prepare(CheckpointId(1)).await.unwrap());
        write(&mut sink, &["lost"]).await;
        sink.prepare(CheckpointId(2)).await.unwrap();
        kill(sink);
    }
    // Two subtasks, with the parts of the others: the first one opens, and cleans up, before the second one commits.
    let first = attempt(temp.path(), 0, 1, 1, &committables[1]).await;
    let second = attempt(temp.path(), 1, 1, 1, &[committables[0].clone(), committables[2].clone()].concat()).await;
    assert_eq!(visible(temp.path()), ["covered-0", "covered-1", "covered-2"]);
    assert_eq!(contents(temp.path()).len(), 3, "nothing is left over");
    drop((first, second));
}

#[tokio::test]
async fn going_back_behind_a_completed_checkpoint_takes_its_rows_back() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = attempt(temp.path(), 0, 0, 0, &[]).await;
    write(&mut sink, &["a"]).await;
    let first = sink.prepare(CheckpointId(1)).await.unwrap();
    sink.commit(&first).await.unwrap();
    write(&mut sink, &["b"]).await;
    let second = sink.prepare(CheckpointId(2)).await.unwrap();
    sink.commit(&second).await.unwrap();
    kill(sink);
    // The second one's files were damaged.
    let sink = attempt(temp.path(), 0, 1, 1, &first).await;
    assert_eq!(visible(temp.path()), ["a"]);
    drop(sink);
}

#[tokio::test]
async fn a_zombie_neither_damages_nor_publishes_anything() {
    let temp = tempfile::tempdir().unwrap();
    let mut zombie = attempt(temp.path(), 0, 0, 0, &[]).await;
    write(&mut zombie, &["a"]).await;
    let told = zombie.prepare(CheckpointId(1)).await.unwrap();
    write(&mut zombie, &["b"]).await;
    let not_told = zombie.prepare(CheckpointId(2)).await.unwrap();
    write(&mut zombie, &["c"]).await;

    let mut sink = attempt(temp.path(), 0, 2, 1, &told).await;
    write(&mut sink, &["b2"]).await;
    let third = sink.prepare(CheckpointId(3)).await.unwrap();
    sink.commit(&third).await.unwrap();
    write(&mut sink, &["c2"]).await;
    // It wakes: it had been told to commit the first one, and finds a barrier in its queue.
    zombie.commit(&told).await.unwrap();
    assert!(zombie.prepare(CheckpointId(2)).await.is_err());
    assert!(matches!(zombie.commit(&not_told).await, Err(ConnectorError::PreparedLost { .. })));
    zombie.abort().await;
    // The attempt in between wakes, which had not even opened its sink.
    drop(attempt(temp.path(), 0, 1, 1, &told).await);
    let fourth = sink.prepare(CheckpointId(4)).await.unwrap();
    sink.commit(&fourth).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(visible(temp.path()), ["a", "b2", "c2"]);
}

#[tokio::test]
async fn without_periodic_checkpoints_a_savepoint_publishes_too() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = open(temp.path(), 0, 0, ROLLING).await.unwrap();
    assert!(!sink.transactional());
    write(&mut sink, &["a"]).await;
    let first = sink.prepare(CheckpointId(1)).await.unwrap();
    sink.commit(&first).await.unwrap();
    write(&mut sink, &["b"]).await;
    let _aborted = sink.prepare(CheckpointId(2)).await.unwrap();
    write(&mut sink, &["c"]).await;
    assert_eq!(visible(temp.path()), ["a"]);
    sink.finish().await.unwrap();
    assert_eq!(visible(temp.path()), ["a", "b", "c"]);
}

#[tokio::test]
async fn committed_parts_may_be_moved_away_and_lost_ones_are_named() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = attempt(temp.path(), 0, 0, 0, &[]).await;
    write(&mut sink, &["a", "b"]).await;
    let first = sink.prepare(CheckpointId(1)).await.unwrap();
    let hidden = contents(temp.path()).remove(0).0.replace("JOB", &"07".repeat(16));
    fs::remove_file(temp.path().join(hidden)).unwrap();
    let error = sink.commit(&first).await.unwrap_err();
    assert!(matches!(error, ConnectorError::PreparedLost { .. }) && error.to_string().contains("-1-0-0"), "{error}");
    kill(sink);

    let lines = Arc::new(Lines::default());
    let restored = Some(RestoredSink { checkpoint: CheckpointId(1), committables: first });
    let log = Arc::clone(&lines) as Arc<dyn TaskLog>;
    let context = SinkContext { attempt: 1, checkpointed: true, restored, log, ..context() };
    open_with(temp.path(), "", context).await.unwrap();
    assert_eq!(visible(temp.path()), ["b"]);
    let lines = lines.0.lock().unwrap();
    assert!(lines.len() == 1 && lines[0].contains("-1-0-0"), "{lines:?}");
}

#[tokio::test]
async fn what_is_to_be_committed_reaches_no_other_files() {
    let temp = tempfile::tempdir().unwrap();
    let mut sink = attempt(temp.path(), 0, 0, 0, &[]).await;
    let forged = |folder: &str, complete: &str| Bytes::from(postcard::to_stdvec(&(0u8, folder, complete)).unwrap());
    let folder = temp.path().canonicalize().unwrap().display().to_string();
    sink.commit(&[forged(&folder, "never-there")]).await.unwrap();
    for bytes in [
        Bytes::new(),
        Bytes::from_static(b"\xff"),
        forged(&folder, ""),
        forged(&folder, "../x"),
        forged(&folder, "/etc/passwd"),
        forged(&folder, ".hidden"),
    ] {
        let error = sink.commit(std::slice::from_ref(&bytes)).await.unwrap_err();
        assert!(matches!(error, ConnectorError::BadCommittable { .. }), "{bytes:?}: {error}");
    }
    let roots = FileRoots::only([temp.path()]).unwrap();
    let context = SinkContext { roots, checkpointed: true, ..context() };
    let mut sink = open_with(temp.path(), "", context).await.unwrap();
    let error = sink.commit(&[forged("/", "x")]).await.unwrap_err();
    assert!(matches!(error, ConnectorError::OutsideRoots { .. }), "{error}");
}
