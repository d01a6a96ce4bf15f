//! When a leader has to take a job's tasks over, and when it must not: decided from what is true of the tasks, which nobody
//! in the cluster can see, and from what has reached the leader. It shares no code with the leader's own judgement.
//!
//! Invariants, checked at each step of a JobMaster that may adopt:
//! - It adopts at the very step at which all tasks of the recorded attempts are known to it and nothing speaks against it.
//! - It refuses at the very step at which something does, and at no other.

use std::collections::{BTreeMap, BTreeSet};

use millrace_job_core::Input;
use millrace_types::{AllocationId, AttemptId, CheckpointId, ExecutionState, JobId, NodeId, Timestamp, VertexId};

/// What is true of a task.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) attempt: AttemptId,
    pub(crate) allocation: AllocationId,
    pub(crate) began_with: Option<CheckpointId>,
    /// Checkpoints that it has said it acknowledges, whether anybody has heard it or not.
    pub(crate) acknowledged: BTreeSet<CheckpointId>,
    pub(crate) drained: bool,
    pub(crate) told_other_code: bool,
    pub(crate) ended: Option<ExecutionState>,
}

/// What speaks against an adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// A task has failed.
    Failed,
    /// A task was stopped.
    Canceled,
    /// A task goes on from another checkpoint than the newest.
    Behind,
    /// A source was told to end before its input does.
    Drained,
    /// A task was told to make ready for other code.
    OtherCode,
    /// A TaskManager was lost after it had introduced itself.
    TaskManagerLost,
    /// A slot was lost after it was reported.
    SlotLost,
    /// Not in time: the leader before recorded an attempt and died before a task got it.
    NeverDeployed,
    /// Not in time: the TaskManager's process has ended.
    Crashed,
    /// Not in time: the TaskManager waited for a leader for so long that it stopped its tasks.
    GaveUp,
    /// Not in time: a leader before took the slot back.
    SlotFreed,
    /// Not in time: the TaskManager has it, and came too late.
    Late,
    /// Not in time: the splits of a source.
    SplitsUnlisted,
}

/// How a job was taken over; what spoke against its adoption, if it began again.
pub type Takeover = Result<(), Doubt>;

/// A job that is being taken over.
#[derive(Debug)]
pub(crate) struct Reconciling {
    pub(crate) job: JobId,
    pub(crate) timeout_ms: u64,
    /// Each vertex's recorded attempt and number of subtasks.
    pub(crate) vertices: BTreeMap<VertexId, (u32, u32)>,
    pub(crate) newest: Option<CheckpointId>,
    /// Subtasks that had finished when the newest checkpoint was taken.
    pub(crate) ended_before: BTreeSet<(VertexId, u32)>,
    /// Sources whose splits are being listed.
    pub(crate) unlisted: BTreeSet<NodeId>,
    until: Option<Timestamp>,
    /// What the leader knows of, and on which TaskManager.
    found: BTreeMap<(VertexId, u32), (u32, Facts)>,
    doubts: BTreeSet<Doubt>,
}

impl Reconciling {
    pub(crate) fn new(job: JobId, timeout_ms: u64) -> Self {
        let (vertices, ended_before, unlisted, found, doubts) = Default::default();
        Self { job, timeout_ms, vertices, newest: None, ended_before, unlisted, until: None, found, doubts }
    }

    fn tasks(&self) -> impl Iterator<Item = AttemptId> {
        let job = self.job;
        let of_vertex = move |(vertex, (attempt, count)): (&VertexId, &(u32, u32))| {
            let (vertex, attempt) = (*vertex, *attempt);
            (0..*count).map(move |subtask| AttemptId { job, vertex, subtask, attempt })
        };
        self.vertices.iter().flat_map(of_vertex)
    }

    fn missing(&self) -> impl Iterator<Item = AttemptId> {
        self.tasks().filter(|task| !self.found.contains_key(&(task.vertex, task.subtask)))
    }

    fn presented(&mut self, task_manager: u32, tasks: &[Facts]) {
        for facts in tasks {
            let AttemptId { job, vertex, subtask, attempt } = facts.attempt;
            if job != self.job || self.vertices.get(&vertex).is_none_or(|(recorded, _)| *recorded != attempt) {
                continue;
            }
            let goes_on = facts.began_with == self.newest
                || self.newest.is_some_and(|newest| facts.acknowledged.contains(&newest))
                || self.ended_before.contains(&(vertex, subtask));
            let doubts = [
                (facts.ended == Some(ExecutionState::Failed), Doubt::Failed),
                (facts.ended == Some(ExecutionState::Canceled), Doubt::Canceled),
                (facts.drained, Doubt::Drained),
                (facts.told_other_code, Doubt::OtherCode),
                (!goes_on, Doubt::Behind),
            ];
            self.doubts.extend(doubts.into_iter().filter(|(holds, _)| *holds).map(|(_, doubt)| doubt));
            self.found.insert((vertex, subtask), (task_manager, facts.clone()));
        }
    }

    fn hear(&mut self, now: Timestamp, input: &Input, why_missing: impl Fn(AttemptId) -> Doubt) {
        match input {
            Input::Start => self.until = Some(now.plus_ms(self.timeout_ms)),
            Input::TaskReported(report) => {
                let known = |(_, facts): &(u32, Facts)| facts.attempt == report.attempt;
                let doubt = match report.state {
                    ExecutionState::Failed => Some(Doubt::Failed),
                    ExecutionState::Canceled => Some(Doubt::Canceled),
                    _ => None,
                };
                self.doubts.extend(doubt.filter(|_| self.found.values().any(known)));
            }
            Input::TaskManagerLost { task_manager, .. } => {
                let number = crate::world::number_of(task_manager);
                let is_lost = self.found.values().any(|(found, _)| *found == number);
                self.doubts.extend(is_lost.then_some(Doubt::TaskManagerLost));
            }
            Input::SlotsLost(allocations) => {
                let is_lost = |(_, facts): &(u32, Facts)| allocations.contains(&facts.allocation);
                self.doubts.extend(self.found.values().any(is_lost).then_some(Doubt::SlotLost));
            }
            Input::SplitsEnumerated { node, .. } => drop(self.unlisted.remove(node)),
            Input::DeadlineReached if self.until.is_some_and(|until| until <= now) => {
                let missing: Vec<_> = self.missing().map(why_missing).collect();
                self.doubts.extend(missing);
                if !self.unlisted.is_empty() {
                    self.doubts.insert(Doubt::SplitsUnlisted);
                }
            }
            _ => {}
        }
    }
}

/// Knows what is true.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// What each TaskManager had when it introduced itself to the present leader.
    introduced: BTreeMap<u32, Vec<Facts>>,
    reconciling: Option<Reconciling>,
    /// Tasks that were deployed on TaskManagers that are no more, and why that is.
    gone: BTreeMap<AttemptId, Doubt>,
    /// How jobs were taken over so far.
    pub(crate) takeovers: Vec<Takeover>,
}

impl Oracle {
    /// Nobody leads.
    pub(crate) fn leader_lost(&mut self) {
        self.introduced.clear();
        self.reconciling = None;
    }

    pub(crate) fn introduced(&mut self, task_manager: u32, tasks: Vec<Facts>) {
        self.introduced.insert(task_manager, tasks);
    }

    /// A life of a TaskManager is over.
    pub(crate) fn ended(&mut self, tasks: Vec<Facts>, why: Doubt) {
        self.gone.extend(tasks.into_iter().map(|facts| (facts.attempt, why)));
    }

    pub(crate) fn begin(&mut self, reconciling: Reconciling) {
        self.reconciling = Some(reconciling);
    }

    /// An input reaches the JobMaster. `present` are the tasks that TaskManagers have, `deployed` tells what was deployed.
    pub(crate) fn hear(
        &mut self,
        now: Timestamp,
        input: &Input,
        present: impl Fn(AttemptId) -> bool,
        deployed: impl Fn(AttemptId) -> bool,
    ) {
        let Some(reconciling) = &mut self.reconciling else { return };
        if let Input::Present(presence) = input {
            let number = crate::world::number_of(&presence.task_manager);
            let tasks = self.introduced.get(&number).map_or(&[][..], Vec::as_slice);
            return reconciling.presented(number, tasks);
        }
        let gone = &self.gone;
        reconciling.hear(now, input, |task| match gone.get(&task) {
            _ if present(task) => Doubt::Late,
            Some(why) => *why,
            None if !deployed(task) => Doubt::NeverDeployed,
            None => Doubt::SlotFreed,
        });
    }

    /// The JobMaster has taken the input; `adopted` is what it decided, if it has.
    pub(crate) fn judge(&mut self, adopted: Option<(bool, &str)>) {
        let Some(reconciling) = &self.reconciling else {
            assert!(adopted.is_none(), "nothing is to be taken over: {adopted:?}");
            return;
        };
        let doubts = &reconciling.doubts;
        let complete = reconciling.missing().next().is_none() && reconciling.unlisted.is_empty();
        let takeover = match adopted {
            None => {
                assert!(doubts.is_empty(), "{doubts:?}, and the job still waits to be taken over");
                assert!(!complete, "all is known, and the job still waits to be taken over");
                return;
            }
            Some((true, _)) => {
                let missing: Vec<_> = reconciling.missing().collect();
                assert!(doubts.is_empty(), "the job was adopted although {doubts:?}");
                assert!(complete, "the job was adopted although {missing:?} are not known");
                Ok(())
            }
            Some((false, reason)) => Err(*doubts
                .first()
                .unwrap_or_else(|| panic!("nothing speaks against it, but it was refused: {reason}"))),
        };
        self.takeovers.push(takeover);
        self.reconciling = None;
    }
}
