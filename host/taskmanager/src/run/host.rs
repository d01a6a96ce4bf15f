//! What the operators of one guest segment ask of their task: output, state, timers, log.
//!
//! All that must outlive an instance is here: an instance that is dropped gives this back, and the next one gets it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_protocol::{DeclaredStates, OperatorCounter};
use millrace_sandbox::{Clock, HostError, LogLevel, LogSource, OperatorHost};
use millrace_state::{
    KeyedBackend, SealedOperator, SegmentStates, StateDescriptor, StateError, StateTimer, TimerUpdate,
};
use millrace_task_core::{Clock as TimerClock, Timer, TimerService};
use millrace_types::{Failure, FailureKind, NodeId, RECORD_BYTES_MAX};
use millrace_wire::{BatchError, BatchView, read_timer_changes};

use crate::log::Level;
use crate::run::outlet::Outlet;
use crate::run::shared::{TaskError, TaskShared, wall_clock};
use crate::run::snapshot::OperatorParts;
use crate::sampler::GuestSample;

/// The host of one segment.
pub(crate) struct SegmentHost {
    pub outlet: Outlet,
    pub timers: TimerService,
    backend: KeyedBackend,
    states: SegmentStates,
    /// The segment's operators, by node: uid and name.
    operators: BTreeMap<NodeId, (String, String)>,
    /// The segment as its log lines name it.
    label: String,
    shared: Arc<TaskShared>,
}

impl SegmentHost {
    pub(crate) fn new(
        outlet: Outlet,
        timers: TimerService,
        backend: KeyedBackend,
        operators: BTreeMap<NodeId, (String, String)>,
        shared: Arc<TaskShared>,
    ) -> Self {
        let label = label(&operators);
        Self { outlet, timers, backend, states: SegmentStates::default(), operators, label, shared }
    }

    /// The operators have other names.
    pub(crate) fn rename(&mut self, names: &BTreeMap<NodeId, String>) {
        for (node, (_, name)) in &mut self.operators {
            if let Some(other) = names.get(node) {
                name.clone_from(other);
            }
        }
        self.label = label(&self.operators);
    }

    /// Whether instances with these states can take the place of those that run.
    pub(crate) fn check_states(&self, states: &DeclaredStates) -> Result<(), StateError> {
        let uids = self.operators.values().map(|(uid, _)| uid);
        let declared = uids.filter_map(|uid| Some((uid, states.get(uid)?)));
        self.backend.check_segment(declared.flat_map(|(uid, states)| {
            states.iter().map(move |state| StateDescriptor {
                uid: uid.clone(),
                name: state.name.clone(),
                fingerprint: state.fingerprint.clone(),
                kind: state.kind,
                expires: state.expires,
            })
        }))
    }

    /// Takes the states of an instance that was opened.
    pub(crate) fn bind_states(&mut self, states: &[millrace_sandbox::StateDescriptor]) -> Result<(), StateError> {
        let uid = |node: NodeId| self.operators.get(&node).map(|(uid, _)| uid.clone()).unwrap_or_default();
        let descriptors = states.iter().map(|state| StateDescriptor {
            uid: uid(state.node),
            name: state.name.clone(),
            fingerprint: state.fingerprint.clone(),
            kind: state.kind,
            expires: state.expires,
        });
        self.states = self.backend.open_segment(descriptors)?;
        Ok(())
    }

    /// What the segment's operators have at a barrier, by uid: the guest has flushed.
    pub(crate) fn seal(&mut self) -> Result<BTreeMap<String, OperatorParts>, StateError> {
        let mut timers: BTreeMap<String, Vec<TimerUpdate>> = BTreeMap::new();
        let changes = self.timers.take_changes();
        let mut note = |node: NodeId, clock, timer: &Timer, set| {
            if let Some((uid, _)) = self.operators.get(&node) {
                let timer = state_timer(clock, timer);
                timers.entry(uid.clone()).or_default().push(TimerUpdate { timer, set });
            }
        };
        if self.backend.base_due() {
            self.timers.iter().for_each(|(node, clock, timer)| note(node, clock, timer, true));
        } else {
            changes.iter().for_each(|change| note(change.node, change.clock, &change.timer, change.set));
        }
        let sealed = self.backend.seal(timers)?;
        let parts = sealed.into_iter().map(|(uid, operator)| {
            let SealedOperator { segments: sealed, fingerprints, operator_state } = operator;
            (uid, OperatorParts { sealed, fingerprints, operator_state, ..OperatorParts::default() })
        });
        Ok(parts.collect())
    }

    /// Fails the guest's call and keeps the whole cause for the task's failure.
    fn fail(&self, node: Option<NodeId>, error: TaskError) -> HostError {
        let name = node.and_then(|node| self.operators.get(&node)).map(|(_, name)| name);
        let (error, refusal) = match (error, name) {
            (TaskError::Failed(failure), name) => {
                let refusal = HostError::Contract(failure.message.clone());
                let failure = match name {
                    Some(name) => failure.in_operator(name),
                    None => failure,
                };
                (TaskError::Failed(failure), refusal)
            }
            (TaskError::PeerGone(failure), _) => {
                let refusal = HostError::Failed(failure.message.clone());
                (TaskError::PeerGone(failure), refusal)
            }
        };
        self.shared.blame(error);
        refusal
    }

    /// Counts what is of all operators of the instance, with the first one.
    fn count(&self, counter: OperatorCounter, more: usize) {
        let first = self.operators.keys().next().and_then(|node| self.shared.metrics.operator(*node));
        if let Some(operator) = first {
            operator.add(counter, more as u64);
        }
    }

    fn refuse(&self, node: Option<NodeId>, failure: impl Into<Failure>) -> HostError {
        self.fail(node, TaskError::Failed(failure.into()))
    }

    fn bad_batch(&self, node: Option<NodeId>, call: &str, error: &BatchError) -> HostError {
        let failure = Failure::new(FailureKind::Contract, format!("`{call}` got a malformed batch: {error}"));
        self.refuse(node, failure.with_remedy("build the component with the SDK of this Millrace's version"))
    }

    fn parse(&self, node: Option<NodeId>, call: &str, batch: Bytes) -> Result<BatchView, HostError> {
        let view = BatchView::parse(batch).map_err(|error| self.bad_batch(node, call, &error))?;
        match view.check_record_limit(RECORD_BYTES_MAX) {
            Ok(()) => Ok(view),
            Err(error) => Err(self.bad_batch(node, call, &error)),
        }
    }
}

#[async_trait]
impl OperatorHost for SegmentHost {
    async fn emit(&mut self, node: NodeId, port: u32, batch: Bytes) -> Result<(), HostError> {
        let batch = self.parse(Some(node), "emit", batch)?;
        match self.outlet.emit(node, port, batch).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(Some(node), error)),
        }
    }

    fn emit_watermark(&mut self, node: NodeId, timestamp: i64) -> Result<(), HostError> {
        if !self.operators.contains_key(&node) {
            let message = format!("emitted a watermark of node {node}, which does not run in this instance");
            return Err(self.refuse(None, Failure::new(FailureKind::Contract, message)));
        }
        self.outlet.emit_watermark(node, timestamp);
        Ok(())
    }

    fn get(&mut self, state: u32, keys: &[u8]) -> Result<Vec<u8>, HostError> {
        let keys = self.parse(None, "get", Bytes::copy_from_slice(keys))?;
        self.count(OperatorCounter::StateReads, keys.len());
        let answer = self.states.resolve(state).and_then(|state| self.backend.get(state, &keys));
        answer.map(Vec::from).map_err(|error| self.refuse(None, error))
    }

    fn scan(&mut self, state: u32, prefix: &[u8], after: Option<&[u8]>, max_bytes: u32) -> Result<Vec<u8>, HostError> {
        let answer = self.states.resolve(state).and_then(|state| self.backend.scan(state, prefix, after, max_bytes));
        answer.map(Vec::from).map_err(|error| self.refuse(None, error))
    }

    fn put(&mut self, state: u32, changes: &[u8]) -> Result<(), HostError> {
        self.count(OperatorCounter::FlushBytes, changes.len());
        let changes = self.parse(None, "put", Bytes::copy_from_slice(changes))?;
        let result = self.states.resolve(state).and_then(|state| self.backend.put(state, &changes));
        result.map_err(|error| self.refuse(None, error))
    }

    fn set_timers(&mut self, node: NodeId, clock: Clock, changes: &[u8]) -> Result<(), HostError> {
        if !self.operators.contains_key(&node) {
            let message = format!("set timers of node {node}, which does not run in this instance");
            return Err(self.refuse(None, Failure::new(FailureKind::Contract, message)));
        }
        let changes = self.parse(Some(node), "set-timers", Bytes::copy_from_slice(changes))?;
        let clock = timer_clock(clock);
        let rows = read_timer_changes(&changes).map_err(|error| self.bad_batch(Some(node), "set-timers", &error))?;
        for change in rows {
            let change = change.map_err(|error| self.bad_batch(Some(node), "set-timers", &error))?;
            if change.set {
                let set = self.timers.set(node, clock, change.timestamp, change.key, change.namespace);
                set.map_err(|error| self.refuse(Some(node), error))?;
            } else {
                self.timers.delete(node, clock, change.timestamp, change.key, change.namespace);
            }
        }
        Ok(())
    }

    fn wants_sample(&self) -> bool {
        self.shared.metrics.sampler.is_wanted()
    }

    fn sampled(&mut self, call: &'static str, node: Option<NodeId>, mut functions: Vec<String>) {
        functions.insert(0, format!("`{call}`"));
        self.shared.metrics.sampler.take(GuestSample { node, frames: functions });
    }

    fn now_ms(&mut self) -> i64 {
        i64::try_from(wall_clock().0).unwrap_or(i64::MAX)
    }

    fn log(&mut self, level: LogLevel, line: &str, from: LogSource) {
        let level = match level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
        };
        match from {
            LogSource::Log | LogSource::Host => self.shared.line(level, &self.label, line),
            LogSource::Stdout => self.shared.line(level, &self.label, &format!("stdout: {line}")),
            LogSource::Stderr => self.shared.line(level, &self.label, &format!("stderr: {line}")),
        }
    }
}

/// A segment as its log lines name it.
fn label(operators: &BTreeMap<NodeId, (String, String)>) -> String {
    let names: Vec<_> = operators.values().map(|(_, name)| name.as_str()).collect();
    names.join(" -> ")
}

fn state_timer(clock: TimerClock, timer: &Timer) -> StateTimer {
    let clock = match clock {
        TimerClock::EventTime => millrace_state::TimerClock::EventTime,
        TimerClock::ProcessingTime => millrace_state::TimerClock::ProcessingTime,
    };
    StateTimer { clock, timestamp: timer.timestamp, key: timer.key.clone(), namespace: timer.namespace.clone() }
}

fn timer_clock(clock: Clock) -> TimerClock {
    match clock {
        Clock::EventTime => TimerClock::EventTime,
        Clock::ProcessingTime => TimerClock::ProcessingTime,
    }
}
