//! TaskManagers that the ResourceManager has started and stopped by a driver, as jobs need slots.
//!
//! Whatever the driver starts is a *worker*: a process, a pod. It has a name that is never used again, and its TaskManager
//! registers under ids that begin with it. How many there should be follows from what jobs lack ([`plan::wanted`]).
//!
//! Invariants:
//! - Nothing is started before the driver has said what earlier leaders left: these workers serve on.
//! - No worker is started beyond the most slots that there may be, nor for a job that would lack slots all the same.
//! - A worker is stopped if nobody has a slot of it, or its TaskManager is not to be heard of. From then on its
//!   TaskManager is refused, so that nobody gets a slot that is about to go.
//! - After failed starts there is a pause, and a limit on how many there may be in a minute.

mod options;
mod plan;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use millrace_types::{LeaderEpoch, TaskManagerId, Timestamp};

pub use options::{WORKER_OPTIONS, WorkerOption, WorkerOptionError, WorkerOptions};
pub(crate) use plan::{Lacking, Situation, wanted};

use crate::registry::Registry;
use crate::slot::SlotState;

/// How long a worker that had registered may be without its TaskManager before it is stopped, and how long an earlier
/// leader's workers are waited for before others are started in their place.
const RETURN_MS: u64 = 10_000;

/// A worker that ends by itself so soon after its start counts as a failed start.
const EARLY_MS: u64 = 10_000;

/// After what time a worker that is still there is told to stop once more.
const STOP_RETRY_MS: u64 = 15_000;

/// The pause after the first of several failed starts in a row; each one doubles it.
const PAUSE_MIN_MS: u64 = 50;

/// The span over which failed starts are counted.
const FAILURES_WITHIN_MS: u64 = 60_000;

/// The most failed starts that are remembered. More in a minute change nothing.
const FAILURES_REMEMBERED_MAX: usize = 1_024;

/// The name of a worker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub String);

impl WorkerId {
    /// The worker of a TaskManager: the ids of all its lives begin with the worker's, and what tells these apart is
    /// behind the last '-'.
    fn of(task_manager: &TaskManagerId) -> Option<Self> {
        task_manager.0.rsplit_once('-').map(|(worker, _)| Self(worker.to_owned()))
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The driver was told to start it.
    Ordered,
    /// It is there.
    Running,
    /// The driver was told to stop it, the last time then.
    Stopping { told: Timestamp },
}

/// A worker.
#[derive(Debug, Clone)]
struct Worker {
    stage: Stage,
    /// An earlier leader started it.
    inherited: bool,
    /// When it was started, or heard of first.
    started: Timestamp,
    /// Whether its TaskManager is registered now, and whether it ever was.
    registered: bool,
    was_registered: bool,
    /// Since when its TaskManager has not been registered.
    absent_since: Timestamp,
    /// Since when nobody has a slot of it.
    idle_since: Option<Timestamp>,
}

impl Worker {
    fn new(stage: Stage, inherited: bool, now: Timestamp) -> Self {
        Self {
            stage,
            inherited,
            started: now,
            registered: false,
            was_registered: false,
            absent_since: now,
            idle_since: None,
        }
    }

    fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. })
    }

    /// Whether its slots are still to come.
    fn is_expected(&self, now: Timestamp) -> bool {
        let waited_for = !self.inherited || now < self.absent_since.plus_ms(RETURN_MS);
        !self.is_stopping() && !self.registered && !self.was_registered && waited_for
    }

    /// When its TaskManager has been away for too long.
    fn overdue_at(&self, options: &WorkerOptions) -> Option<Timestamp> {
        let limit_ms = if self.was_registered { RETURN_MS } else { options.registration_timeout_ms };
        let absent = self.stage == Stage::Running && !self.registered;
        absent.then(|| self.absent_since.plus_ms(limit_ms))
    }
}

/// The workers, and what is known of their starts.
#[derive(Debug)]
pub(crate) struct Workers {
    pub options: WorkerOptions,
    epoch: LeaderEpoch,
    known: BTreeMap<WorkerId, Worker>,
    /// Whether the driver has said what there is.
    listed: bool,
    /// How many this leader has started.
    started: u64,
    /// When starts failed lately.
    failures: VecDeque<Timestamp>,
    failures_in_a_row: u32,
    paused_until: Timestamp,
    /// When there is something to look at again.
    pub wake_at: Option<Timestamp>,
}

impl Workers {
    pub fn new(options: WorkerOptions, epoch: LeaderEpoch) -> Self {
        Self {
            options,
            epoch,
            known: BTreeMap::new(),
            listed: false,
            started: 0,
            failures: VecDeque::new(),
            failures_in_a_row: 0,
            paused_until: Timestamp::default(),
            wake_at: None,
        }
    }

    /// The driver says which workers there are.
    pub fn listed(&mut self, there: &BTreeSet<WorkerId>, now: Timestamp) {
        self.listed = true;
        let gone: Vec<WorkerId> = self
            .known
            .iter()
            // One that is being started need not be there yet.
            .filter(|(id, worker)| worker.stage != Stage::Ordered && !there.contains(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            let Some(worker) = self.known.remove(&id) else { continue };
            let early = now < worker.started.plus_ms(EARLY_MS) && !worker.inherited;
            if !worker.is_stopping() && (early || !worker.was_registered) {
                self.start_has_failed(now);
            }
        }
        for id in there {
            self.known.entry(id.clone()).or_insert_with(|| Worker::new(Stage::Running, true, now));
        }
    }

    /// The driver has started a worker.
    pub fn is_started(&mut self, id: &WorkerId) {
        if let Some(worker) = self.known.get_mut(id).filter(|worker| worker.stage == Stage::Ordered) {
            worker.stage = Stage::Running;
        }
    }

    /// The driver could not start a worker.
    pub fn is_not_started(&mut self, id: &WorkerId, now: Timestamp) {
        if self.known.get(id).is_some_and(|worker| worker.stage == Stage::Ordered) {
            self.known.remove(id);
            self.start_has_failed(now);
        }
    }

    fn start_has_failed(&mut self, now: Timestamp) {
        self.failures.retain(|at| now < at.plus_ms(FAILURES_WITHIN_MS));
        if self.failures.len() < FAILURES_REMEMBERED_MAX {
            self.failures.push_back(now);
        }
        let doubled = PAUSE_MIN_MS.saturating_mul(1 << self.failures_in_a_row.min(32));
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let too_many = self.failures.len() >= self.options.failures_per_minute_max as usize;
        let retry_ms = self.options.retry_interval_ms;
        self.paused_until = now.plus_ms(if too_many { retry_ms } else { doubled.min(retry_ms) });
    }

    /// Whether a TaskManager's worker is to end, so that it must not register.
    pub fn is_stopping(&self, task_manager: &TaskManagerId) -> bool {
        WorkerId::of(task_manager).and_then(|id| self.known.get(&id)).is_some_and(Worker::is_stopping)
    }

    /// Notes what the registry says of each worker's TaskManager.
    pub fn observe(&mut self, registry: &Registry, now: Timestamp) {
        let mut busy = BTreeMap::<WorkerId, bool>::new();
        for (id, task_manager) in &registry.known {
            if let Some(worker) = WorkerId::of(id) {
                let in_use = task_manager.slots.iter().any(|slot| !matches!(slot, SlotState::Free));
                *busy.entry(worker).or_default() |= in_use;
            }
        }
        for (id, worker) in &mut self.known {
            let busy = busy.get(id);
            if busy.is_some() && !worker.was_registered {
                worker.was_registered = true;
                self.failures_in_a_row = 0;
            }
            if busy.is_none() && worker.registered {
                worker.absent_since = now;
            }
            worker.registered = busy.is_some();
            worker.idle_since = (busy == Some(&false)).then(|| worker.idle_since.unwrap_or(now));
        }
    }

    /// The slots of workers that have not registered yet.
    pub fn slots_expected(&self, now: Timestamp) -> u32 {
        let expected = self.known.values().filter(|worker| worker.is_expected(now)).count();
        u32::try_from(expected).unwrap_or(u32::MAX).saturating_mul(self.options.slots_per_worker)
    }

    /// Workers that are to be stopped, or told so once more, whatever jobs need.
    pub fn stop_overdue(&mut self, now: Timestamp) -> Vec<WorkerId> {
        let due = |worker: &Worker| match worker.stage {
            Stage::Stopping { told } => told.plus_ms(STOP_RETRY_MS) <= now,
            _ => worker.overdue_at(&self.options).is_some_and(|at| at <= now),
        };
        let due: Vec<WorkerId> =
            self.known.iter().filter(|(_, worker)| due(worker)).map(|(id, _)| id.clone()).collect();
        for id in &due {
            let never_came = |worker: &Worker| !worker.is_stopping() && !worker.was_registered && !worker.inherited;
            if self.known.get(id).is_some_and(never_came) {
                self.start_has_failed(now);
            }
            self.stop(id, now);
        }
        due
    }

    /// Names so many workers to start, unless there is a pause.
    pub fn start(&mut self, count: u32, now: Timestamp) -> Vec<WorkerId> {
        if !self.listed || now < self.paused_until {
            return Vec::new();
        }
        let mut names = Vec::new();
        for _ in 0..count {
            self.started += 1;
            let id = WorkerId(format!("taskmanager-{}-{}", self.epoch.0, self.started));
            self.known.insert(id.clone(), Worker::new(Stage::Ordered, false, now));
            names.push(id);
        }
        names
    }

    /// Workers that nobody has had a slot of for long enough, the idlest first.
    pub fn idle(&self, now: Timestamp) -> Vec<WorkerId> {
        let timeout_ms = self.options.idle_timeout_ms;
        let idle = |worker: &Worker| worker.idle_since.filter(|since| since.plus_ms(timeout_ms) <= now);
        let running = self.known.iter().filter(|(_, worker)| worker.stage == Stage::Running);
        let mut found: Vec<_> =
            running.filter_map(|(id, worker)| idle(worker).map(|since| (since, id.clone()))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, id)| id).collect()
    }

    /// A worker is to end.
    pub fn stop(&mut self, id: &WorkerId, now: Timestamp) {
        if let Some(worker) = self.known.get_mut(id) {
            worker.stage = Stage::Stopping { told: now };
        }
    }

    /// Works out when there is something to look at again.
    pub fn plan_to_wake(&mut self, start_wanted: bool, now: Timestamp) {
        let mut times = Vec::new();
        for worker in self.known.values() {
            times.extend(worker.overdue_at(&self.options));
            times.extend(worker.idle_since.map(|since| since.plus_ms(self.options.idle_timeout_ms)));
            match worker.stage {
                Stage::Stopping { told } => times.push(told.plus_ms(STOP_RETRY_MS)),
                _ if worker.inherited => times.push(worker.absent_since.plus_ms(RETURN_MS)),
                _ => {}
            }
        }
        if start_wanted && self.listed {
            times.push(self.paused_until);
        }
        self.wake_at = times.into_iter().filter(|at| *at > now).min();
    }

    /// The TaskManagers of a worker among those that are registered.
    pub fn task_managers(worker: &WorkerId, registry: &Registry) -> Vec<TaskManagerId> {
        registry.known.keys().filter(|id| WorkerId::of(id).as_ref() == Some(worker)).cloned().collect()
    }
}
