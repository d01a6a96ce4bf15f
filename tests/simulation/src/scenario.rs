//! What a seed chooses: the job, the cluster, and what goes wrong in it.

use std::collections::BTreeMap;

use millrace_job_core::{AdaptiveOptions, CheckpointMode, CheckpointOptions, JobOptions, RestartStrategy, Retention};

use crate::rng::Rng;
use crate::rows::Record;

/// How the operators are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `source -hash-> count -> sink`, the last two chained.
    Chained,
    /// `source -hash-> count -rebalance-> sink`.
    Spread,
    /// `source -rebalance-> relay -hash-> count -> sink`.
    Relayed,
    /// Two sources in front of one `count`.
    TwoSources,
}

/// What goes on in a job whose leader dies at each of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Checkpoints of keyed state and windows, on two TaskManagers.
    Checkpoints,
    /// Two sources of many small splits.
    Splits,
    /// The job is stopped with a savepoint and runs again at another parallelism.
    Rescale,
    /// A TaskManager dies, and the job runs with fewer subtasks until another one has come.
    Adaptive,
    /// Sinks of another vertex that commit often, and a region beside.
    Commits,
}

/// The chances of what may go wrong, per thousand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chances {
    /// A write to the metadata store fails.
    pub(crate) write_fails: u64,
    /// A write to the metadata store is applied and reported as failed.
    pub(crate) write_unknown: u64,
    /// A description cannot be written.
    pub(crate) store_fails: u64,
    /// A task's part of a checkpoint cannot be written.
    pub(crate) upload_fails: u64,
    /// A message about checkpoints is lost.
    pub(crate) loss: u64,
    /// A message about checkpoints comes twice.
    pub(crate) duplicate: u64,
    /// A message about checkpoints overtakes others or is overtaken.
    pub(crate) reorder: u64,
    /// An operator fails on a row.
    pub(crate) operator_fails: u64,
}

/// A TaskManager that stands still for so long counts as lost when it wakes, in milliseconds.
pub(crate) const ZOMBIE_MS_MIN: u64 = 160;

/// Something that breaks at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A TaskManager's process ends, and another one starts some time later.
    CrashTaskManager,
    /// A TaskManager stands still for so many milliseconds.
    StopTaskManager(u64),
    /// A connection breaks; both sides notice it, each in its own time.
    BreakConnection,
    /// The JobManager's process ends, and another one starts some time later.
    CrashJobManager,
    /// A file or the description of the newest checkpoint is damaged.
    DamageCheckpoint,
}

/// Something that a user does at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Checkpoint,
    Savepoint,
    /// Other code, at a barrier.
    Upgrade,
    /// Stop with a savepoint, and run again from it at another parallelism.
    Rescale,
    /// Stop with a savepoint behind the end of the sources.
    Drain,
}

/// All that a seed chooses ahead of time.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) shape: Shape,
    /// A pipeline beside the other one, of tasks that are source and sink at once.
    pub(crate) second_region: bool,
    pub(crate) exactly_once: bool,
    /// Whether each key sees the records of each split in order.
    pub(crate) ordered: bool,
    pub(crate) keys: u16,
    pub(crate) splits: u16,
    pub(crate) split_rows: u16,
    pub(crate) task_managers: u32,
    pub(crate) slots: u32,
    pub(crate) checkpoints: CheckpointOptions,
    pub(crate) options: JobOptions,
    /// A message takes up to so many milliseconds.
    pub(crate) delay_ms: u64,
    /// A write takes up to so many milliseconds.
    pub(crate) write_ms: u64,
    /// A task does something every so many milliseconds, at most.
    pub(crate) pace_ms: u64,
    /// What a channel takes before its producer waits.
    pub(crate) credit: usize,
    /// How often a segment travels with the acknowledgement.
    pub(crate) inline: u64,
    /// Segments of an operator beyond which they are merged.
    pub(crate) segments_max: usize,
    /// Whether a source without a split says that it is idle.
    pub(crate) idles: bool,
    /// Whether what is restored from a savepoint is claimed.
    pub(crate) claim: bool,
    /// How long a leader waits for the tasks of the one before; `None`: it begins again at once.
    pub(crate) adoption_ms: Option<u64>,
    /// How long tasks run on without a leader.
    pub(crate) orphan_ms: u64,
    pub(crate) chances: Chances,
    pub(crate) faults: Vec<(u64, Fault)>,
    pub(crate) wishes: Vec<(u64, Wish)>,
    /// From here on nothing breaks any more.
    pub(crate) calm_at: u64,
    windows: BTreeMap<(u16, i64), u32>,
}

impl Scenario {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let shape = rng.one_of(&[Shape::Chained, Shape::Spread, Shape::Relayed, Shape::TwoSources]);
        let exactly_once = !rng.chance(120);
        let unaligned = exactly_once && rng.chance(300);
        let calm_at = rng.between(150, 700);
        let task_managers = rng.between(2, 3) as u32;
        let mut scenario = Self {
            shape,
            second_region: rng.chance(200),
            exactly_once,
            ordered: exactly_once && shape != Shape::Relayed,
            keys: rng.between(1, 12) as u16,
            splits: rng.between(1, 6) as u16,
            split_rows: rng.between(3, 30) as u16,
            task_managers,
            slots: rng.between(u64::from(task_managers == 2) + 1, 3) as u32,
            checkpoints: checkpoint_options(rng, exactly_once, unaligned),
            options: job_options(rng),
            delay_ms: rng.one_of(&[0, 1, 3, 8]),
            write_ms: rng.one_of(&[1, 4, 15]),
            pace_ms: rng.between(1, 5),
            credit: rng.between(1, 12) as usize,
            inline: rng.one_of(&[0, 300, 1_000]),
            segments_max: rng.between(1, 4) as usize,
            idles: rng.chance(300),
            claim: rng.chance(500),
            adoption_ms: if rng.chance(850) { Some(rng.one_of(&[30, 100, 100, 250])) } else { None },
            orphan_ms: rng.one_of(&[40, 400, 400]),
            chances: chances(rng),
            faults: Vec::new(),
            wishes: Vec::new(),
            calm_at,
            windows: BTreeMap::new(),
        };
        let within = calm_at - 20;
        for _ in 0..rng.one_of(&[0, 1, 1, 2, 3]) {
            let (at, fault) = (rng.between(20, within), fault(rng));
            scenario.faults.push((at, fault));
            if fault == Fault::DamageCheckpoint && rng.chance(500) {
                // Tasks that go back behind it, and a leader that hears of that.
                scenario.faults.push((at + 5, Fault::CrashTaskManager));
                scenario.faults.push((at + rng.between(60, 200), Fault::CrashJobManager));
            }
        }
        if rng.chance(750) {
            let stopped = Fault::StopTaskManager(rng.between(ZOMBIE_MS_MIN, 400));
            scenario.faults.push((rng.between(10, within), stopped));
        }
        for _ in 0..rng.one_of(&[0, 0, 1, 1, 2]) {
            scenario.faults.push((rng.between(20, within), Fault::CrashJobManager));
        }
        for _ in 0..rng.one_of(&[0, 0, 1, 2]) {
            let wish = rng.one_of(&[
                Wish::Checkpoint,
                Wish::Savepoint,
                Wish::Upgrade,
                Wish::Upgrade,
                Wish::Rescale,
                Wish::Rescale,
                Wish::Drain,
            ]);
            // Behind a lost word nobody would stop.
            let stops = matches!(wish, Wish::Rescale | Wish::Drain);
            if !(stops && scenario.chances.loss > 0) {
                scenario.wishes.push((rng.between(15, within), wish));
            }
        }
        scenario.windows = scenario.sizes();
        scenario
    }

    /// A small job in a cluster in which nothing goes wrong by itself.
    pub(crate) fn of(protocol: Protocol, rng: &mut Rng) -> Self {
        let any = Self::new(rng);
        let shape = match protocol {
            Protocol::Checkpoints | Protocol::Rescale | Protocol::Adaptive => Shape::Chained,
            Protocol::Splits => Shape::TwoSources,
            Protocol::Commits => Shape::Spread,
        };
        let (splits, split_rows) = if protocol == Protocol::Splits { (8, 3) } else { (3, 10) };
        let unaligned = protocol == Protocol::Checkpoints && rng.chance(300);
        let mut checkpoints = checkpoint_options(rng, true, unaligned);
        checkpoints.interval_ms = Some(if protocol == Protocol::Commits { 12 } else { 20 });
        let adaptive = AdaptiveOptions {
            wait_timeout_ms: None,
            stabilization_ms: 5,
            executing_stabilization_ms: 5,
            cooldown_ms: 5,
            max_delay_ms: Some(20),
        };
        let adaptive = Some(adaptive).filter(|_| protocol == Protocol::Adaptive);
        let mut scenario = Self {
            options: JobOptions { adaptive, ..any.options },
            shape,
            second_region: protocol == Protocol::Commits,
            exactly_once: true,
            ordered: true,
            splits,
            split_rows,
            checkpoints,
            adoption_ms: Some(150),
            orphan_ms: 1_000,
            chances: Chances::default(),
            faults: if adaptive.is_some() { vec![(30, Fault::CrashTaskManager)] } else { Vec::new() },
            wishes: if protocol == Protocol::Rescale { vec![(35, Wish::Rescale)] } else { Vec::new() },
            calm_at: 0,
            ..any
        };
        scenario.windows = scenario.sizes();
        scenario
    }

    /// The sources whose records are counted: the first ones.
    pub(crate) fn counted_sources(&self) -> u8 {
        if self.shape == Shape::TwoSources { 2 } else { 1 }
    }

    fn sources(&self) -> u8 {
        self.counted_sources() + u8::from(self.second_region)
    }

    /// All of the input.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        let (splits, rows) = (self.splits, self.split_rows);
        (0..self.sources()).flat_map(move |source| {
            (0..splits).flat_map(move |split| (0..rows).map(move |sequence| Record { source, split, sequence }))
        })
    }

    fn sizes(&self) -> BTreeMap<(u16, i64), u32> {
        let mut sizes = BTreeMap::new();
        for record in self.records().filter(|record| record.source < self.counted_sources()) {
            *sizes.entry((record.key(self.keys), record.window(self.split_rows))).or_default() += 1;
        }
        sizes
    }

    /// How many records a window of a key has.
    pub(crate) fn window_size(&self, key: u16, window: i64) -> u32 {
        self.windows.get(&(key, window)).copied().unwrap_or(0)
    }
}

fn checkpoint_options(rng: &mut Rng, exactly_once: bool, unaligned: bool) -> CheckpointOptions {
    let timeout_ms = rng.one_of(&[150, 500, 1_500]);
    // A job that restarts whenever the shortest time has passed may never come to its end.
    let tolerable = if timeout_ms == 150 { [1_000; 4] } else { [1_000, 1_000, 2, 0] };
    CheckpointOptions {
        interval_ms: Some(rng.between(10, 60)),
        timeout_ms,
        min_pause_ms: rng.one_of(&[0, 0, 20]),
        max_concurrent: if unaligned { 1 } else { rng.one_of(&[1, 1, 2, 3]) },
        tolerable_failures: rng.one_of(&tolerable),
        mode: if exactly_once { CheckpointMode::ExactlyOnce } else { CheckpointMode::AtLeastOnce },
        unaligned,
        aligned_timeout_ms: rng.one_of(&[0, 5, 20]),
        retained_max: rng.between(1, 3) as u32,
        retention: Retention::NoExternalized,
        after_tasks_finish: true,
        history_max: 2,
    }
}

fn job_options(rng: &mut Rng) -> JobOptions {
    JobOptions {
        exceptions_max: 1,
        cancel_retry_ms: 40,
        cancel_timeout_ms: 400,
        persist_retry_ms: rng.between(5, 30),
        attempts_max: 2,
        restart_strategy: RestartStrategy::FixedDelay { attempts: 1_000_000, delay_ms: rng.one_of(&[0, 5, 40]) },
        restart_seed: 0,
        adaptive: rng.chance(200).then(|| AdaptiveOptions {
            wait_timeout_ms: None,
            stabilization_ms: rng.one_of(&[0, 15, 60]),
            executing_stabilization_ms: 30,
            cooldown_ms: 20,
            max_delay_ms: rng.one_of(&[None, Some(20)]),
        }),
    }
}

fn chances(rng: &mut Rng) -> Chances {
    let some = |rng: &mut Rng, of: &[u64]| rng.one_of(of);
    let lossy = rng.chance(250);
    Chances {
        write_fails: some(rng, &[0, 0, 60, 250]),
        write_unknown: some(rng, &[0, 0, 60, 250]),
        store_fails: some(rng, &[0, 0, 100]),
        upload_fails: some(rng, &[0, 0, 50]),
        loss: if lossy { 60 } else { 0 },
        duplicate: if lossy { 150 } else { 0 },
        reorder: if lossy { 200 } else { 0 },
        operator_fails: some(rng, &[0, 0, 0, 4]),
    }
}

fn fault(rng: &mut Rng) -> Fault {
    match rng.below(16) {
        0..=3 => Fault::CrashTaskManager,
        4 => Fault::StopTaskManager(rng.between(20, 400)),
        // So long that its tasks run elsewhere when it wakes.
        5..=8 => Fault::StopTaskManager(rng.between(ZOMBIE_MS_MIN, 500)),
        9 | 10 => Fault::BreakConnection,
        11..=13 => Fault::CrashJobManager,
        _ => Fault::DamageCheckpoint,
    }
}
