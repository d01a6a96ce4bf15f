//! Operators at work in an instance.

use std::time::Duration;

use bytes::Bytes;
use millrace_graph::GuestCode;
use millrace_types::{Digest, EventTime, NodeId, SandboxLimits, StateKind};

use crate::bindings::exports::millrace::app::operator as wit;
use crate::bindings::millrace::app::host as wit_host;
use crate::builder::{self, BuildInput};
use crate::component::CompiledComponent;
use crate::error::{GuestError, GuestErrorKind};
use crate::graph::code_to_guest;
use crate::guest::{Guest, Outcome};
use crate::host::{Clock, OperatorHost};
use crate::sandbox::Inner;

/// The most pieces of state that the operators of an instance may have.
const STATES_MAX: usize = 1_000;
/// The longest name or fingerprint of a piece of state, in bytes.
const STATE_TEXT_BYTES_MAX: usize = 64 * 1024;

/// An operator to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorSpec {
    /// Its id in the graph.
    pub node: NodeId,
    /// Names its state.
    pub uid: String,
    /// Its name, for errors.
    pub name: String,
    /// Its code.
    pub code: GuestCode,
    /// Its watermark so far.
    pub watermark: EventTime,
}

/// What to run in an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSpec {
    /// The recorded arguments of the run.
    pub args: Vec<String>,
    /// The recorded default parallelism of the run, which the builder is told.
    pub default_parallelism: u32,
    /// The digest that the builder's graph must have; none: the graph is not this component's.
    pub graph_digest: Option<Digest>,
    /// The operators, in topological order.
    pub operators: Vec<OperatorSpec>,
    /// The subtask, from 0.
    pub subtask: u32,
    /// The operators' parallelism.
    pub parallelism: u32,
    /// The operators' number of key groups.
    pub max_parallelism: u32,
    /// What a batch aims at, in bytes.
    pub batch_bytes: u32,
    /// The longest row, in bytes.
    pub record_bytes_max: u32,
    /// What the guest may keep cached of its state, in bytes.
    pub state_cache_bytes: u32,
    /// What the instance may use.
    pub limits: SandboxLimits,
}

/// A piece of keyed state that an operator uses. Its id is its position in [`OperatorInstance::states`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDescriptor {
    /// The operator.
    pub node: NodeId,
    /// Its name, unique within the operator.
    pub name: String,
    /// Names the type of the key and of the value.
    pub fingerprint: String,
    /// Whose it is.
    pub kind: StateKind,
    /// Whether its values begin with the time from which on the host may drop them.
    pub expires: bool,
}

/// What a source says about going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollStatus {
    /// There is more to read at once.
    More,
    /// There is nothing for so many milliseconds.
    Idle(u32),
    /// The split is read to its end.
    Finished,
}

/// What `poll` returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// Where to go on.
    pub offset: Bytes,
    /// Whether and when.
    pub status: PollStatus,
}

/// Operators in an instance of their component. One call at a time; behind an error, or a call that was dropped
/// before its end, every further call fails.
pub struct OperatorInstance {
    guest: Guest,
    operator: wit::Guest,
    names: Vec<(NodeId, String)>,
    states: Vec<StateDescriptor>,
}

impl OperatorInstance {
    pub(crate) async fn open(
        sandbox: &Inner,
        component: &CompiledComponent,
        spec: OpenSpec,
        host: Box<dyn OperatorHost>,
    ) -> Result<Self, GuestError> {
        let (mut guest, instance) = Guest::instantiate(sandbox, component, &spec.limits, Some(host)).await?;
        if component.info().exports_program {
            let program = builder::program(&mut guest, &instance, component)?;
            let input = BuildInput { args: &spec.args, parallelism: spec.default_parallelism };
            let graph = builder::build(&mut guest, &program, input, &sandbox.options.builder).await?;
            if let Some(expected) = spec.graph_digest
                && graph.digest() != expected
            {
                let message = "the builder returned another graph in this instance than when the job was submitted";
                return Err(guest.reject(GuestErrorKind::NonDeterministicGraph, message.to_owned()));
            }
        }
        let operator = match component.linked().operator.load(&mut guest.store, &instance) {
            Ok(operator) => operator,
            Err(error) => return Err(guest.reject(GuestErrorKind::Contract, format!("{error:#}"))),
        };
        guest.begin_operating(&spec.limits);
        let names = spec.operators.iter().map(|operator| (operator.node, operator.name.clone())).collect();
        let mut opened = Self { guest, operator, names, states: Vec::new() };
        let started = opened.guest.begin("open", None)?;
        let context = context(&spec);
        let outcome = started.run(Box::pin(opened.operator.call_open(&mut opened.guest.store, &context))).await;
        let descriptors = opened.end(outcome)?;
        opened.states = opened.accept_states(descriptors)?;
        Ok(opened)
    }

    fn accept_states(&mut self, descriptors: Vec<wit::StateDescriptor>) -> Result<Vec<StateDescriptor>, GuestError> {
        let states: Vec<_> = descriptors
            .into_iter()
            .map(|state| StateDescriptor {
                node: NodeId(state.node),
                name: state.name,
                fingerprint: state.fingerprint,
                kind: match state.kind {
                    wit::StateKind::Keyed => StateKind::Keyed,
                    wit::StateKind::List => StateKind::List,
                    wit::StateKind::Union => StateKind::Union,
                    wit::StateKind::Broadcast => StateKind::Broadcast,
                },
                expires: state.expires,
            })
            .collect();
        let mut names: Vec<_> = states.iter().map(|state| (state.node, &state.name)).collect();
        names.sort_unstable();
        let is_long = |state: &StateDescriptor| state.name.len().max(state.fingerprint.len()) > STATE_TEXT_BYTES_MAX;
        let problem = if states.len() > STATES_MAX {
            Some((GuestErrorKind::TooMuch, format!("{} pieces of state, limit {STATES_MAX}", states.len())))
        } else if states.iter().any(is_long) {
            let message = format!("the name or fingerprint of a state has more than {STATE_TEXT_BYTES_MAX} bytes");
            Some((GuestErrorKind::TooMuch, message))
        } else if let Some(state) = states.iter().find(|state| self.name_of(state.node).is_none()) {
            Some((GuestErrorKind::Contract, format!("a state of node {}, which is not opened here", state.node)))
        } else {
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            twice.map(|pair| (GuestErrorKind::Contract, format!("two states of one node are named \"{}\"", pair[0].1)))
        };
        match problem {
            Some((kind, message)) => Err(self.guest.reject(kind, message)),
            None => Ok(states),
        }
    }

    fn name_of(&self, node: NodeId) -> Option<&String> {
        self.names.iter().find(|(id, _)| *id == node).map(|(_, name)| name)
    }

    fn end<R>(&mut self, outcome: Outcome<R>) -> Result<R, GuestError> {
        self.guest.end(outcome).map_err(|mut error| {
            error.operator = error.node.and_then(|node| self.name_of(node)).cloned();
            error
        })
    }

    /// The state that the operators use.
    pub fn states(&self) -> &[StateDescriptor] {
        &self.states
    }

    /// Hands over input for a node.
    ///
    /// # Errors
    /// As every call: if the guest traps, returns an error or passes a limit.
    pub async fn process(&mut self, node: NodeId, port: u32, batch: &[u8]) -> Result<(), GuestError> {
        let started = self.guest.begin("process", Some(node))?;
        let call = self.operator.call_process(&mut self.guest.store, node.0, port, batch);
        let outcome = started.run(call).await;
        self.end(outcome)
    }

    /// Reads about `max_bytes` from a split of a source. `offset` is empty at first and then what the last call for
    /// the split returned.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`].
    pub async fn poll(
        &mut self,
        node: NodeId,
        split: &[u8],
        offset: &[u8],
        max_bytes: u32,
    ) -> Result<Polled, GuestError> {
        let started = self.guest.begin("poll", Some(node))?;
        let call = self.operator.call_poll(&mut self.guest.store, node.0, split, offset, max_bytes);
        let outcome = started.run(call).await;
        let polled = self.end(outcome)?;
        let status = match polled.status {
            wit::PollStatus::More => PollStatus::More,
            wit::PollStatus::Idle(ms) => PollStatus::Idle(ms),
            wit::PollStatus::Finished => PollStatus::Finished,
        };
        Ok(Polled { offset: Bytes::from(polled.offset), status })
    }

    /// Tells a node that generates watermarks which split of its source the records that follow come from, and how far
    /// that split's watermark is, in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`].
    pub async fn turn(&mut self, node: NodeId, split: u32, watermark: EventTime) -> Result<(), GuestError> {
        let started = self.guest.begin("turn", Some(node))?;
        let outcome = started.run(self.operator.call_turn(&mut self.guest.store, node.0, split, watermark)).await;
        self.end(outcome)
    }

    /// Advances a node's watermark, in milliseconds since 1970.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`].
    pub async fn watermark(&mut self, node: NodeId, timestamp: i64) -> Result<(), GuestError> {
        let started = self.guest.begin("watermark", Some(node))?;
        let outcome = started.run(self.operator.call_watermark(&mut self.guest.store, node.0, timestamp)).await;
        self.end(outcome)
    }

    /// Fires timers of a node.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`].
    pub async fn timers(&mut self, node: NodeId, clock: Clock, due: &[u8]) -> Result<(), GuestError> {
        let started = self.guest.begin("timers", Some(node))?;
        let clock = match clock {
            Clock::EventTime => wit_host::Clock::EventTime,
            Clock::ProcessingTime => wit_host::Clock::ProcessingTime,
        };
        let outcome = started.run(self.operator.call_timers(&mut self.guest.store, node.0, clock, due)).await;
        self.end(outcome)
    }

    /// Has the operators emit what should not wait for a flush.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`].
    pub async fn pre_barrier(&mut self) -> Result<(), GuestError> {
        let started = self.guest.begin("pre-barrier", None)?;
        let outcome = started.run(self.operator.call_pre_barrier(&mut self.guest.store)).await;
        self.end(outcome)
    }

    /// Has the operators hand over the state that has changed. Behind it the instance may be dropped and another one
    /// opened in its place.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`]; also if the guest emits.
    pub async fn flush(&mut self) -> Result<(), GuestError> {
        let started = self.guest.begin("flush", None)?;
        let outcome = started.run(self.operator.call_flush(&mut self.guest.store)).await;
        self.end(outcome)
    }

    /// Tells a node that its input has ended.
    ///
    /// # Errors
    /// See [`OperatorInstance::process`].
    pub async fn finish(&mut self, node: NodeId) -> Result<(), GuestError> {
        let started = self.guest.begin("finish", Some(node))?;
        let outcome = started.run(self.operator.call_finish(&mut self.guest.store, node.0)).await;
        self.end(outcome)
    }

    /// Whether further calls can succeed.
    pub fn is_alive(&self) -> bool {
        self.guest.is_alive()
    }

    /// The processor time that the guest and the functions it called have used.
    pub fn cpu_time(&self) -> Duration {
        self.guest.store.data().meter.total()
    }

    /// The size of the guest's linear memories, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.guest.store.data().limiter.memory_bytes()
    }

    /// The host, between calls. It is what was given to `open`: `<dyn Any>::downcast_mut` gets at its own type.
    pub fn host_mut(&mut self) -> Option<&mut dyn OperatorHost> {
        self.guest.store.data_mut().host.as_deref_mut()
    }

    /// Ends the instance and gives its host back, for another instance in its place.
    pub fn into_host(mut self) -> Option<Box<dyn OperatorHost>> {
        self.guest.take_host()
    }
}

impl std::fmt::Debug for OperatorInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorInstance").field("operators", &self.names).field("states", &self.states).finish()
    }
}

fn context(spec: &OpenSpec) -> wit::OpenContext {
    let operators = spec.operators.iter().map(|operator| wit::OperatorInfo {
        node: operator.node.0,
        uid: operator.uid.clone(),
        code: code_to_guest(&operator.code),
        watermark: operator.watermark,
    });
    wit::OpenContext {
        operators: operators.collect(),
        args: spec.args.clone(),
        subtask: spec.subtask,
        parallelism: spec.parallelism,
        max_parallelism: spec.max_parallelism,
        batch_bytes: spec.batch_bytes,
        record_bytes_max: spec.record_bytes_max,
        state_cache_bytes: spec.state_cache_bytes,
    }
}
