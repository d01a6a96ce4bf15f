//! The history of a job's rescales: each time that its tasks were to be deployed at a parallelism that was not known before,
//! why, and what came of it. What REST shows under `/jobs/:id/rescales`.
//!
//! Invariants: bounded to [`RESCALES_MAX`] entries, the newest first; only the newest one may be in progress.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::{JobCore, Phase};

/// So many rescales are remembered.
pub const RESCALES_MAX: usize = 16;

/// So many states of one rescale are.
const STATES_MAX: usize = 16;

/// Why a job is rescaled: Flink's `TriggerCause`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RescaleCause {
    /// It begins.
    InitialSchedule,
    /// The user wants another parallelism.
    UpdateRequirement,
    /// There are slots for more.
    NewResourceAvailable,
    /// It failed, and runs again.
    RecoverableFailover,
}

/// How a rescale ended: Flink's `TerminatedReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RescaleEnd {
    /// The tasks are deployed.
    Succeeded,
    /// The slots did not suffice.
    ExceptionOccurred,
    /// The user wanted yet another parallelism.
    RequirementsUpdated,
    /// There was nothing to change.
    NothingChanges,
    /// The job finished before.
    JobFinished,
    /// It failed before.
    JobFailed,
    /// It was cancelled before.
    JobCanceled,
    /// It restarted for another reason.
    JobRestarting,
}

/// What the scheduler does, by Flink's names of its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerState {
    /// The tasks run.
    Executing,
    /// They are being stopped.
    Restarting,
    /// Slots, splits and records are waited for.
    WaitingForResources,
}

/// A vertex in a rescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescaledVertex {
    /// The number of subtasks that is wanted.
    pub desired: u32,
    /// The number that is enough.
    pub sufficient: u32,
    /// The number before; `None`: it did not run.
    pub before: Option<u32>,
    /// The number after; `None`: it has not come to that.
    pub after: Option<u32>,
}

/// One rescale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescale {
    /// Its number among all of the job, from 1.
    pub number: u64,
    /// The number of the requirements that it is for, from 0.
    pub requirements: u64,
    /// Its number among those for these requirements, from 1.
    pub attempt: u64,
    /// Why it began.
    pub cause: RescaleCause,
    /// When.
    pub started_at: Timestamp,
    /// When and how it ended; `None`: it is in progress.
    pub ended: Option<(Timestamp, RescaleEnd)>,
    /// Its vertices, in the order of the graph.
    pub vertices: Vec<RescaledVertex>,
    /// What the scheduler did meanwhile, and since when.
    pub states: Vec<(SchedulerState, Timestamp)>,
}

/// The rescales of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RescaleHistory {
    /// The newest first.
    pub entries: VecDeque<Rescale>,
    /// How many there were in all.
    pub total: u64,
    /// How many of them succeeded.
    pub completed: u64,
    /// How many of those were wished for or had new slots as their cause: the job ran, and was changed.
    pub changed: u64,
    /// How many of them failed.
    pub failed: u64,
    /// How many of them came to nothing.
    pub ignored: u64,
    /// How often the user has changed the requirements.
    requirements: u64,
    /// How many rescales there were for the present ones.
    attempts: u64,
}

impl RescaleHistory {
    /// A rescale by its number, if it is still remembered.
    pub fn rescale(&self, number: u64) -> Option<&Rescale> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// The one that is in progress.
    pub fn in_progress(&self) -> Option<&Rescale> {
        self.entries.front().filter(|entry| entry.ended.is_none())
    }

    fn current(&mut self) -> Option<&mut Rescale> {
        self.entries.front_mut().filter(|entry| entry.ended.is_none())
    }

    /// The user has changed the requirements.
    pub(crate) fn required(&mut self) {
        self.requirements += 1;
        self.attempts = 0;
    }

    fn begin(
        &mut self,
        cause: RescaleCause,
        vertices: Vec<RescaledVertex>,
        state: Option<SchedulerState>,
        now: Timestamp,
    ) {
        self.end(RescaleEnd::JobRestarting, now);
        self.total += 1;
        self.attempts += 1;
        self.entries.push_front(Rescale {
            number: self.total,
            requirements: self.requirements,
            attempt: self.attempts,
            cause,
            started_at: now,
            ended: None,
            vertices,
            states: state.map(|state| (state, now)).into_iter().collect(),
        });
        self.entries.truncate(RESCALES_MAX);
    }

    fn end(&mut self, end: RescaleEnd, now: Timestamp) {
        let Some(current) = self.current() else { return };
        current.ended = Some((now, end));
        let is_change = matches!(current.cause, RescaleCause::UpdateRequirement | RescaleCause::NewResourceAvailable);
        match end {
            RescaleEnd::Succeeded => {
                self.completed += 1;
                self.changed += u64::from(is_change);
            }
            RescaleEnd::ExceptionOccurred => self.failed += 1,
            _ => self.ignored += 1,
        }
    }

    fn enter(&mut self, state: SchedulerState, now: Timestamp) {
        if let Some(current) = self.current()
            && current.states.len() < STATES_MAX
            && current.states.last().is_none_or(|(last, _)| *last != state)
        {
            current.states.push((state, now));
        }
    }
}

impl JobCore {
    /// A rescale begins; one that was in progress has come to nothing.
    pub(crate) fn begin_rescale(&mut self, cause: RescaleCause) {
        let Some(scaling) = &self.scaling else { return };
        let runs = !matches!(cause, RescaleCause::InitialSchedule);
        let wanted = scaling.desired().vertices.iter().zip(scaling.least_parallelism());
        let vertices = wanted.zip(&self.spec.graph.vertices).map(|((desired, least), running)| RescaledVertex {
            desired: desired.parallelism,
            sufficient: *least,
            before: runs.then_some(running.parallelism),
            after: None,
        });
        let vertices = vertices.collect();
        let state = match self.phase {
            Phase::Running => Some(SchedulerState::Executing),
            Phase::Restarting { .. } => Some(SchedulerState::Restarting),
            Phase::Waiting => Some(SchedulerState::WaitingForResources),
            _ => None,
        };
        Arc::make_mut(&mut self.view.rescales).begin(cause, vertices, state, self.now);
    }

    /// The rescale that is in progress ends, if there is one.
    pub(crate) fn end_rescale(&mut self, end: RescaleEnd) {
        if self.view.rescales.in_progress().is_none() {
            return;
        }
        let history = Arc::make_mut(&mut self.view.rescales);
        if let (RescaleEnd::Succeeded, Some(current)) = (end, history.current()) {
            for (vertex, running) in current.vertices.iter_mut().zip(&self.spec.graph.vertices) {
                vertex.after = Some(running.parallelism);
            }
        }
        history.end(end, self.now);
    }

    /// The scheduler does something else.
    pub(crate) fn note_scheduler(&mut self, state: SchedulerState) {
        if self.view.rescales.in_progress().is_some() {
            Arc::make_mut(&mut self.view.rescales).enter(state, self.now);
        }
    }
}
