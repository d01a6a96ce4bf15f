//! The subtasks of a vertex as others may see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_protocol::{TaskFigures, TaskPresence};
use millrace_types::{ExecutionState, Failure, TaskManagerId, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest message that an attempt keeps of its failure, in bytes: the exception history has it in full.
const FAILURE_BYTES_MAX: usize = 512;

/// An attempt of a subtask: the present one, with the earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskView {
    /// Its state.
    pub state: ExecutionState,
    /// Its number.
    pub attempt: u32,
    /// Where it runs or ran; `None`: it was not deployed.
    pub task_manager: Option<TaskManagerId>,
    /// When it entered each state that it has had.
    pub timestamps: BTreeMap<ExecutionState, Timestamp>,
    /// What it has done so far.
    pub figures: TaskFigures,
    /// Why it failed, in short: without the guest's stack.
    pub failure: Option<Arc<Failure>>,
    /// The attempts before the present one, the newest last; of these only the newest are kept, and an earlier attempt
    /// has none of its own.
    pub earlier: Vec<Arc<SubtaskView>>,
}

impl SubtaskView {
    pub(crate) fn new(attempt: u32, now: Timestamp) -> Self {
        Self {
            state: ExecutionState::Created,
            attempt,
            task_manager: None,
            timestamps: [(ExecutionState::Created, now)].into(),
            figures: TaskFigures::default(),
            failure: None,
            earlier: Vec::new(),
        }
    }

    /// An attempt that an earlier leader deployed, as its TaskManager reports it.
    pub(crate) fn adopted(task_manager: &TaskManagerId, task: &TaskPresence) -> Self {
        Self {
            state: task.state,
            attempt: task.attempt.attempt,
            task_manager: Some(task_manager.clone()),
            timestamps: task.timestamps.clone(),
            figures: task.figures,
            failure: None,
            earlier: Vec::new(),
        }
    }

    /// An attempt by its number, if it is the present one or still kept.
    pub fn attempt(&self, number: u32) -> Option<&Self> {
        if self.attempt == number {
            return Some(self);
        }
        self.earlier.iter().map(Arc::as_ref).find(|earlier| earlier.attempt == number)
    }

    /// Begins the next attempt and keeps the present one, which has ended, among so many earlier ones.
    pub(crate) fn renew(&mut self, now: Timestamp, max: usize) {
        assert!(self.state.is_terminal(), "attempt {} is {}, another one cannot follow", self.attempt, self.state);
        let mut earlier = std::mem::take(&mut self.earlier);
        let ended = std::mem::replace(self, Self::new(self.attempt + 1, now));
        earlier.push(Arc::new(ended));
        earlier.drain(..earlier.len().saturating_sub(max));
        self.earlier = earlier;
    }

    /// Notes why the attempt fails.
    pub(crate) fn fail(&mut self, failure: &Failure) {
        let mut message = failure.message.clone();
        message.truncate(message.floor_char_boundary(FAILURE_BYTES_MAX));
        let mut short = Failure::new(failure.kind, message);
        short.operator.clone_from(&failure.operator);
        self.failure = Some(Arc::new(short));
    }

    /// Enters a state. Terminal states are final: leaving one is a bug and asserts.
    pub(crate) fn enter(&mut self, state: ExecutionState, now: Timestamp) {
        assert!(!self.state.is_terminal(), "{} is final, {state} cannot follow", self.state);
        self.state = state;
        self.timestamps.insert(state, now);
    }

    /// When it was deployed.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.timestamps.get(&ExecutionState::Deploying).copied()
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        if self.state.is_terminal() { self.timestamps.get(&self.state).copied() } else { None }
    }

    /// How long it was, or has been, in each state that is not final, in milliseconds.
    pub fn state_durations_ms(&self, now: Timestamp) -> BTreeMap<ExecutionState, u64> {
        let mut entered: Vec<_> = self.timestamps.iter().map(|(state, at)| (*at, *state)).collect();
        entered.sort_unstable();
        let left = entered.iter().skip(1).map(|(at, _)| *at).chain([now]);
        let durations = entered.iter().zip(left).filter(|((_, state), _)| !state.is_terminal());
        durations.map(|((at, state), left)| (*state, left.since_ms(*at))).collect()
    }
}

/// The subtasks of a vertex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VertexView {
    /// The subtasks, by number.
    pub subtasks: Vec<SubtaskView>,
}

impl VertexView {
    /// How many subtasks are in each state; every state is there.
    pub fn task_counts(&self) -> BTreeMap<ExecutionState, u32> {
        let mut counts: BTreeMap<ExecutionState, u32> = ExecutionState::ALL.iter().map(|state| (*state, 0)).collect();
        for subtask in &self.subtasks {
            *counts.entry(subtask.state).or_default() += 1;
        }
        counts
    }

    /// The vertex's state by Flink's rule: the one that all subtasks share, else the most telling one.
    pub fn aggregate_state(&self) -> ExecutionState {
        use ExecutionState::{Canceled, Canceling, Created, Failed, Finished, Initializing, Running};
        let first = self.subtasks.first().map_or(Created, |subtask| subtask.state);
        if self.subtasks.iter().all(|subtask| subtask.state == first) {
            return first;
        }
        let has = |state| self.subtasks.iter().any(|subtask| subtask.state == state);
        match [Failed, Canceling, Canceled, Initializing, Running].into_iter().find(|state| has(*state)) {
            Some(state) => state,
            // Some have finished and the others have not begun to run.
            None if has(Finished) => Running,
            None => Created,
        }
    }

    /// When the first subtask was deployed.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.subtasks.iter().filter_map(SubtaskView::started_at).min()
    }

    /// When the last subtask ended; `None` while one has not.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.subtasks.iter().map(SubtaskView::ended_at).collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// What all subtasks together have done so far.
    pub fn figures(&self) -> TaskFigures {
        self.subtasks
            .iter()
            .fold(TaskFigures::default(), |sum, subtask| combine(&sum, &subtask.figures, u64::saturating_add))
    }
}

/// Combines each of two subtasks' numbers.
pub(crate) fn combine(one: &TaskFigures, other: &TaskFigures, with: fn(u64, u64) -> u64) -> TaskFigures {
    TaskFigures {
        records_in: with(one.records_in, other.records_in),
        bytes_in: with(one.bytes_in, other.bytes_in),
        records_out: with(one.records_out, other.records_out),
        bytes_out: with(one.bytes_out, other.bytes_out),
        busy_ms: with(one.busy_ms, other.busy_ms),
        idle_ms: with(one.idle_ms, other.idle_ms),
        backpressured_ms: with(one.backpressured_ms, other.backpressured_ms),
    }
}
