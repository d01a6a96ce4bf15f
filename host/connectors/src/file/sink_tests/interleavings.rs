//! The file sink in any order of rows, checkpoints, commits, deaths and awakenings, against a model of the JobMaster.

use std::collections::BTreeSet;

use bytes::Bytes;
use millrace_types::CheckpointId;
use proptest::prelude::*;

use super::*;
use crate::RestoredSink;

#[derive(Debug, Clone)]
enum Step {
    /// A subtask writes some rows.
    Write { subtask: u32, rows: u8 },
    /// A checkpoint that only some subtasks prepare before it is aborted.
    Abort { preparing: u8 },
    /// A checkpoint that is completed, and that only some subtasks are told of, each of which gets so far.
    Complete { told: u8, parts: u8 },
    /// All die, or are stopped, and the job goes on from one of the last completed checkpoints.
    Restart { parallelism: u32, back: u8, stopped: u8 },
    /// A stopped one wakes.
    Wake { which: prop::sample::Index, act: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u32..3, 0u8..4).prop_map(|(subtask, rows)| Step::Write { subtask, rows }),
        1 => any::<u8>().prop_map(|preparing| Step::Abort { preparing }),
        2 => (any::<u8>(), 0u8..4).prop_map(|(told, parts)| Step::Complete { told, parts }),
        1 => (1u32..4, 0u8..4, any::<u8>())
            .prop_map(|(parallelism, back, stopped)| Step::Restart { parallelism, back, stopped }),
        2 => (any::<prop::sample::Index>(), 0u8..6).prop_map(|(which, act)| Step::Wake { which, act }),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the JobMaster knows of a completed checkpoint.
#[derive(Debug, Clone)]
struct Completed {
    id: u64,
    committables: Vec<Bytes>,
    rows: BTreeSet<u64>,
}

/// A stopped attempt, and what it was told to commit before it could.
struct Zombie {
    sink: FileSink,
    told: Vec<Bytes>,
}

struct Model<'a> {
    folder: &'a Path,
    sinks: Vec<FileSink>,
    zombies: Vec<Zombie>,
    /// Attempts that were stopped before they opened their sinks.
    unopened: Vec<SinkContext>,
    /// What each subtask is told to commit and has not committed.
    told: Vec<Vec<Bytes>>,
    completed: Vec<Completed>,
    /// All rows that the job has written since it began, seen from now.
    rows: BTreeSet<u64>,
    next_row: u64,
    next_checkpoint: u64,
    attempt: u32,
}

fn chosen(mask: u8, subtask: usize) -> bool {
    mask & (1 << subtask) != 0
}

impl Model<'_> {
    /// What the subtasks of a new attempt get.
    fn contexts(&mut self, parallelism: u32) -> Vec<SinkContext> {
        self.attempt += 1;
        let (attempt, restored) = (self.attempt, self.completed.last());
        let context = |subtask: u32| {
            // Dealt out in an order that has nothing to do with who prepared them.
            let share = |completed: &Completed| {
                let all = completed.committables.iter();
                all.skip(subtask as usize).step_by(parallelism as usize).cloned().collect()
            };
            let restored = restored.map(|completed| RestoredSink {
                checkpoint: CheckpointId(completed.id),
                committables: share(completed),
            });
            SinkContext { subtask, parallelism, attempt, checkpointed: true, restored, ..context() }
        };
        (0..parallelism).map(context).collect()
    }

    async fn open_sink(&self, context: SinkContext) -> FileSink {
        open_with(self.folder, r#", "roll-size": 8"#, context).await.unwrap()
    }

    async fn open(&mut self, parallelism: u32) {
        self.rows = self.completed.last().map(|completed| completed.rows.clone()).unwrap_or_default();
        for context in self.contexts(parallelism) {
            let sink = self.open_sink(context).await;
            self.sinks.push(sink);
            self.told.push(Vec::new());
        }
    }

    async fn restart(&mut self, parallelism: u32, back: u8, stopped: u8) {
        let told = std::mem::take(&mut self.told);
        for (subtask, (sink, told)) in std::mem::take(&mut self.sinks).into_iter().zip(told).enumerate() {
            if chosen(stopped, subtask) {
                self.zombies.push(Zombie { sink, told });
            } else {
                std::mem::forget(sink);
            }
        }
        // An attempt that is lost before it begins.
        let mut unopened = self.contexts(parallelism % 3 + 1);
        unopened.retain(|context| chosen(stopped >> 4, context.subtask as usize));
        self.unopened.extend(unopened);
        // Seldom the last checkpoint cannot be read.
        if back == 3 {
            self.completed.pop();
        }
        self.open(parallelism).await;
    }

    async fn write(&mut self, subtask: u32, rows: u8) {
        let sinks = self.sinks.len();
        for _ in 0..rows {
            let row = self.next_row;
            self.next_row += 1;
            self.rows.insert(row);
            self.sinks[subtask as usize % sinks].write(&batch(&[&row.to_string()])).await.unwrap();
        }
    }

    async fn checkpoint(&mut self, preparing: u8, told: Option<(u8, u8)>) {
        let id = self.next_checkpoint;
        self.next_checkpoint += 1;
        let mut all = Vec::new();
        for subtask in 0..self.sinks.len() {
            if told.is_some() || chosen(preparing, subtask) {
                let committables = self.sinks[subtask].prepare(CheckpointId(id)).await.unwrap();
                if told.is_some() {
                    self.told[subtask].clone_from(&committables);
                }
                all.extend(committables);
            }
        }
        let Some((reached, parts)) = told else { return };
        self.completed.push(Completed { id, committables: all, rows: self.rows.clone() });
        for subtask in 0..self.sinks.len() {
            if chosen(reached, subtask) {
                let told = &mut self.told[subtask];
                let count = told.len().min(usize::from(parts));
                self.sinks[subtask].commit(&told[..count]).await.unwrap();
                if count == told.len() {
                    told.clear();
                }
            }
        }
    }

    async fn wake(&mut self, which: prop::sample::Index, act: u8) {
        if act == 5 && !self.unopened.is_empty() {
            let context = self.unopened.swap_remove(which.index(self.unopened.len()));
            let sink = self.open_sink(context).await;
            self.zombies.push(Zombie { sink, told: Vec::new() });
            return;
        }
        if self.zombies.is_empty() {
            return;
        }
        let at = which.index(self.zombies.len());
        let zombie = &mut self.zombies[at];
        // Whatever it tries may fail; it must do no harm.
        match act {
            0 => drop(zombie.sink.write(&batch(&["zombie"])).await),
            // A barrier that it finds in its queue is of a checkpoint of its own time.
            1 => drop(zombie.sink.prepare(CheckpointId(self.next_checkpoint - 1)).await),
            2 => drop(zombie.sink.commit(&zombie.told).await),
            3 => zombie.sink.abort().await,
            _ => drop(self.zombies.remove(at)),
        }
    }

    fn visible(&self) -> Vec<u64> {
        let seen = contents(self.folder).into_iter().filter(|(name, _)| !name.starts_with('.'));
        let rows =
            seen.flat_map(|(_, text)| text.lines().map(|row| row.parse().unwrap_or(u64::MAX)).collect::<Vec<_>>());
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        rows
    }

    async fn run(mut self, steps: Vec<Step>) -> Result<(), TestCaseError> {
        self.open(2).await;
        for step in steps {
            let restarted = matches!(step, Step::Restart { .. });
            match step {
                Step::Write { subtask, rows } => self.write(subtask, rows).await,
                Step::Abort { preparing } => self.checkpoint(preparing, None).await,
                Step::Complete { told, parts } => self.checkpoint(0, Some((told, parts))).await,
                Step::Restart { parallelism, back, stopped } => self.restart(parallelism, back, stopped).await,
                Step::Wake { which, act } => self.wake(which, act).await,
            }
            let covered: Vec<u64> =
                self.completed.last().map(|completed| completed.rows.iter().copied().collect()).unwrap_or_default();
            let visible = self.visible();
            if restarted {
                prop_assert_eq!(&visible, &covered, "exactly what the checkpoint covers");
            }
            let once: BTreeSet<u64> = visible.iter().copied().collect();
            prop_assert_eq!(once.len(), visible.len(), "a row is there twice: {:?}", visible);
            prop_assert!(once.iter().all(|row| covered.contains(row)), "{:?} beyond {:?}", visible, covered);
        }
        self.checkpoint(0, Some((u8::MAX, u8::MAX))).await;
        for sink in &mut self.sinks {
            sink.finish().await.unwrap();
        }
        prop_assert_eq!(self.visible(), self.rows.iter().copied().collect::<Vec<_>>());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn the_rows_of_completed_checkpoints_are_there_exactly_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let model = Model {
            folder: temp.path(),
            sinks: Vec::new(),
            zombies: Vec::new(),
            unopened: Vec::new(),
            told: Vec::new(),
            completed: Vec::new(),
            rows: BTreeSet::new(),
            next_row: 0,
            next_checkpoint: 1,
            attempt: 0,
        };
        runtime.block_on(model.run(steps))?;
    }
}
