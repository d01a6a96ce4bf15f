//! What a round is to do, from its seed alone.

use std::fmt;

use millrace_types::{CrashAt, CrashPoint};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// TaskManagers at the start.
pub const TASK_MANAGERS: usize = 3;

/// Slots of each: one TaskManager can be missing at every parallelism that is used.
pub const SLOTS: u32 = 2;

/// The queries, and how many records they take a second.
const QUERIES: [(&str, u64); 5] = [("wc", 3_000), ("q1", 15_000), ("q5", 20_000), ("q7", 20_000), ("q8", 20_000)];

/// Events in a second of event time: sparse, so that a short run has many windows.
pub const EVENTS_PER_SECOND: u64 = 2_000;

/// What a heavy round's rate is multiplied with: more than can be taken, so that barriers meet full channels.
const HEAVY: u64 = 5;

/// How often a process passes the point at which it dies.
const PASSES_MAX: u32 = 6;

/// How much a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As part of all tests.
    Short,
    /// By itself.
    Full,
}

/// A round.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it was made from.
    pub seed: u64,
    /// What runs.
    pub job: JobPlan,
    /// What happens to it, one after the other.
    pub faults: Vec<Fault>,
}

/// What runs.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// The query of the example `nexmark`.
    pub query: &'static str,
    /// How many records it reads.
    pub records: u64,
    /// How many it is offered a second.
    pub rate: u64,
    /// At the start.
    pub parallelism: u32,
    /// `hashmap` or `redb`.
    pub backend: &'static str,
    /// How long barriers wait before they overtake records; `None`: until all have come.
    pub unaligned_after_ms: Option<u64>,
    /// Between checkpoints; `None`: there are none, and every failure begins the job anew.
    pub interval_ms: Option<u64>,
    /// How many checkpoints in a row may fail before the job does.
    pub tolerated: u32,
    /// How many JobManagers the cluster has.
    pub job_managers: usize,
}

/// When something happens and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// When, seen from the one before.
    pub when: Moment,
    /// What.
    pub harm: Harm,
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After so many milliseconds.
    After(u64),
    /// As soon as so many more checkpoints are complete: their commits may not have been told to all.
    Completed(u64),
    /// While a checkpoint is under way.
    InProgress,
    /// While the job starts again.
    Restarting,
}

/// What happens. TaskManagers are numbered as they stand at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// A TaskManager is killed, and another one joins.
    Kill(usize),
    /// All but one are killed, and as many join.
    KillMost,
    /// A TaskManager stands still for so long, and then goes on as if nothing had been.
    Freeze(usize, u64),
    /// The JobManager, or the leading one, is killed and comes back.
    RestartJobManager,
    /// All JobManagers of a group are killed and come back, one after the other.
    KillAllJobManagers,
    /// The leading JobManager and this TaskManager are killed at once, and come back.
    KillLeaderAnd(usize),
    /// A JobManager that does not lead is killed and comes back.
    KillFollower,
    /// The leading JobManager stands still for so long, and then goes on as if nothing had been.
    FreezeLeader(u64),
    /// A TaskManager's files cannot grow for so long.
    FullDisk(usize, u64),
    /// All TaskManagers are replaced by ones that die at this point, and the first that does by another one.
    CrashTaskManager(CrashAt),
    /// The JobManager is replaced by one that dies at this point, and then by another one.
    CrashJobManager(CrashAt),
    /// The job stops with a savepoint and goes on from it at this parallelism.
    Rescale(u32),
    /// The same, and a TaskManager is killed while it stops.
    RescaleAndKill(u32, usize),
}

impl Plan {
    /// The plan of a seed for a cluster of so many JobManagers.
    pub fn new(seed: u64, size: Size, job_managers: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut job = JobPlan::new(&mut random, size);
        let mut faults = faults(&mut random, &job, size);
        if job_managers > 1 {
            job.job_managers = job_managers;
            let count = if size == Size::Short { 2 } else { random.random_range(2..=4) };
            for _ in 0..count {
                let at = random.random_range(0..=faults.len());
                let harm = fault_of_group(&mut random);
                faults.insert(at, Fault { when: moment(&mut random, job.interval_ms.is_some()), harm });
            }
        }
        Self { seed, job, faults }
    }
}

impl JobPlan {
    fn new(random: &mut StdRng, size: Size) -> Self {
        let (query, rate) = QUERIES[random.random_range(0..QUERIES.len())];
        let seconds = if size == Size::Short { 5 } else { random.random_range(8..16) };
        let heavy = size == Size::Full && random.random_ratio(1, 4);
        // Without checkpoints a round takes as long as all its attempts together.
        let interval_ms = (!random.random_ratio(1, 12)).then(|| random.random_range(100..=500));
        let seconds = if interval_ms.is_none() { 3 } else { seconds };
        let rate = if heavy { rate * HEAVY } else { rate };
        Self {
            query,
            records: rate * seconds,
            rate,
            parallelism: random.random_range(2..=4),
            backend: if random.random_ratio(1, 2) { "redb" } else { "hashmap" },
            unaligned_after_ms: random.random_ratio(1, 2).then(|| [0, 20, 100][random.random_range(0..3)]),
            interval_ms,
            tolerated: if random.random_ratio(1, 2) { 0 } else { 10 },
            job_managers: 1,
        }
    }
}

fn faults(random: &mut StdRng, job: &JobPlan, size: Size) -> Vec<Fault> {
    let count = if size == Size::Short { 3 } else { random.random_range(4..=8) };
    let mut faults: Vec<Fault> = (0..count).map(|_| fault(random, job.interval_ms.is_some())).collect();
    if job.interval_ms.is_some() && random.random_ratio(1, 3) {
        // 2 -> 4 -> 1, or whatever it begins with, among the other faults: fewer readers than splits, too.
        for parallelism in [4, 1] {
            let at = random.random_range(0..=faults.len());
            let victim = random.random_range(0..TASK_MANAGERS);
            let harm = match random.random_ratio(1, 3) {
                true => Harm::RescaleAndKill(parallelism, victim),
                false => Harm::Rescale(parallelism),
            };
            faults.insert(at, Fault { when: Moment::Completed(1), harm });
        }
    }
    faults
}

fn moment(random: &mut StdRng, checkpoints: bool) -> Moment {
    match random.random_range(0..8) {
        0..3 if checkpoints => Moment::Completed(random.random_range(1..4)),
        3..5 if checkpoints => Moment::InProgress,
        5 => Moment::Restarting,
        _ => Moment::After(random.random_range(100..1_500)),
    }
}

/// What happens to a group of JobManagers and to none else.
fn fault_of_group(random: &mut StdRng) -> Harm {
    match random.random_range(0..8) {
        0..3 => Harm::RestartJobManager,
        3 | 4 => Harm::KillLeaderAnd(random.random_range(0..TASK_MANAGERS)),
        5 => Harm::KillFollower,
        6 => Harm::FreezeLeader(random.random_range(300..2_500)),
        _ => Harm::KillAllJobManagers,
    }
}

fn fault(random: &mut StdRng, checkpoints: bool) -> Fault {
    let when = moment(random, checkpoints);
    let victim = random.random_range(0..TASK_MANAGERS);
    let harm = match random.random_range(0..14) {
        10..13 if checkpoints => Harm::CrashTaskManager(crash(random, &CrashPoint::OF_TASK_MANAGERS)),
        13 if checkpoints => Harm::CrashJobManager(crash(random, &CrashPoint::OF_JOB_MANAGERS)),
        0..4 => Harm::Kill(victim),
        4 => Harm::KillMost,
        5 | 6 => Harm::Freeze(victim, random.random_range(300..2_500)),
        7 | 8 => Harm::FullDisk(victim, random.random_range(300..2_000)),
        _ => Harm::RestartJobManager,
    };
    Fault { when, harm }
}

fn crash(random: &mut StdRng, points: &[CrashPoint]) -> CrashAt {
    CrashAt { point: points[random.random_range(0..points.len())], passes: random.random_range(1..=PASSES_MAX) }
}

impl fmt::Display for JobPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { query, records, rate, parallelism, backend, tolerated, .. } = self;
        write!(f, "{query} at parallelism {parallelism} on {backend}, {records} records at {rate}/s, ")?;
        if self.job_managers > 1 {
            write!(f, "{} JobManagers, ", self.job_managers)?;
        }
        match self.interval_ms {
            None => return write!(f, "no checkpoints"),
            Some(interval_ms) => write!(f, "checkpoints each {interval_ms} ms, {tolerated} may fail, ")?,
        }
        match self.unaligned_after_ms {
            None => write!(f, "aligned"),
            Some(after_ms) => write!(f, "unaligned after {after_ms} ms"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.when {
            Moment::After(ms) => write!(f, "after {ms} ms: "),
            Moment::Completed(more) => write!(f, "when {more} more checkpoints are complete: "),
            Moment::InProgress => write!(f, "while a checkpoint is under way: "),
            Moment::Restarting => write!(f, "while the job restarts: "),
        }?;
        match self.harm {
            Harm::Kill(victim) => write!(f, "kill TaskManager {victim}"),
            Harm::KillMost => write!(f, "kill all TaskManagers but one"),
            Harm::Freeze(victim, ms) => write!(f, "stop TaskManager {victim} for {ms} ms"),
            Harm::RestartJobManager => write!(f, "kill the JobManager"),
            Harm::KillAllJobManagers => write!(f, "kill all JobManagers"),
            Harm::KillLeaderAnd(victim) => write!(f, "kill the JobManager and TaskManager {victim}"),
            Harm::KillFollower => write!(f, "kill a JobManager that does not lead"),
            Harm::FreezeLeader(ms) => write!(f, "stop the JobManager for {ms} ms"),
            Harm::FullDisk(victim, ms) => write!(f, "fill the disk of TaskManager {victim} for {ms} ms"),
            Harm::CrashTaskManager(at) => write!(f, "let a TaskManager die at {at}"),
            Harm::CrashJobManager(at) => write!(f, "let the JobManager die at {at}"),
            Harm::Rescale(parallelism) => write!(f, "rescale to {parallelism}"),
            Harm::RescaleAndKill(parallelism, victim) => {
                write!(f, "rescale to {parallelism}, and kill TaskManager {victim} meanwhile")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.job)?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n    {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_again_and_others_give_other_plans() {
        assert_eq!(Plan::new(7, Size::Full, 3).to_string(), Plan::new(7, Size::Full, 3).to_string());
        let plans: Vec<String> = (0..200).map(|seed| Plan::new(seed, Size::Full, 1).to_string()).collect();
        let seen = |text: &str| plans.iter().any(|plan| plan.contains(text));
        for text in ["wc", "q1", "q5", "q7", "q8", "redb", "hashmap", " aligned", "unaligned", "no checkpoints"] {
            assert!(seen(text), "{text}");
        }
        for text in
            ["kill TaskManager", "but one", "stop", "JobManager", "fill", "rescale to 4", "meanwhile", "under way"]
        {
            assert!(seen(text), "{text}");
        }
        for point in CrashPoint::OF_TASK_MANAGERS.iter().chain(&CrashPoint::OF_JOB_MANAGERS) {
            assert!(seen(&format!("die at {point}:")), "{point}");
        }
    }
}
